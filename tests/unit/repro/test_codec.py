from __future__ import annotations

import hashlib
import random
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.repro.codec import BLOCK, CODEC, crc_of_both, pack


def test_the_bytes_are_the_ones_we_know() -> None:
    """Another implementation, version or setting makes others: then locks made before no longer give their wheels, and
    whoever raises zlib-ng in requirements.lock should say so in the change log."""
    source = random.Random(7)
    words = [source.randbytes(source.randrange(3, 40)) for _ in range(300)]
    data = b"".join(source.choice(words) for _ in range(60_000))
    first, second = data[:BLOCK], data[BLOCK : BLOCK + 200_000]
    packed = pack(first, b"", last=False).data + pack(second, first, last=True).data
    assert CODEC.to_json() == {"package": "zlib-ng 1.1.0", "library": "zlib-ng 2.3.3", "level": 6, "block": 1 << 20}
    assert hashlib.sha256(packed).hexdigest() == "e4967947c7a2fc2ece1b834ad1a9758e86ca09e235ce1f2de91bcc2db6daf7f6"


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=5000), min_size=1, max_size=5))
def test_blocks_join_to_one_stream(blocks: list[bytes]) -> None:
    packed = [pack(one, blocks[n - 1] if n else b"", last=n == len(blocks) - 1) for n, one in enumerate(blocks)]
    inflate = zlib.decompressobj(-15)
    assert inflate.decompress(b"".join(one.data for one in packed)) == b"".join(blocks)
    assert inflate.eof and not inflate.unused_data
    crc = packed[0].crc
    for one in packed[1:]:
        crc = crc_of_both(crc, one)
    assert crc == zlib.crc32(b"".join(blocks))


def test_a_block_looks_back_into_the_one_before() -> None:
    noise = random.Random(1).randbytes(20_000)
    assert len(pack(noise, noise, last=True).data) < 500 < 20_000 < len(pack(noise, b"", last=True).data)
