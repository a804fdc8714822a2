"""What must hold for any bytes at all: the readers answer, or raise their own error, and nothing else.

The fuzzer (fuzz.py) and the replay of its corpus (tests/unit/binary/test_fuzz_corpus.py) run these.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trtllm_builder.binary import members, unpack
from trtllm_builder.binary.elf import ElfError, read_elf
from trtllm_builder.binary.fatbin import FatbinError, read_fatbin
from trtllm_builder.binary.fatbin_scout import Scout
from trtllm_builder.binary.kernels import kernel_names
from trtllm_builder.binary.unpack import UnpackError
from trtllm_builder.binary.wheel import WheelError, read_wheel

SECTIONS = (".nv_fatbin", "__nv_relfatbin")


def fatbin(data: bytes) -> None:
    """Entries lie inside; a stream tells the same as a buffer; the scout sees every header of a sound section."""
    try:
        entries = list(read_fatbin(data))
    except FatbinError as error:
        assert 0 <= error.offset <= len(data)
        return
    assert all(entry.offset >= 0 and entry.offset + entry.size <= len(data) for entry in entries)
    assert list(read_fatbin(io.BytesIO(data))) == entries
    caught: list[int] = []
    scout = Scout(lambda offset, _: caught.append(offset))
    for at in range(0, len(data), 97):
        scout.feed(data[at : at + 97])
    assert caught == sorted(caught)
    for entry in entries:
        try:
            names = kernel_names(data, entry)
        except FatbinError:
            continue
        assert list(names) == sorted(set(names))


def elf(data: bytes) -> None:
    try:
        found = read_elf(io.BytesIO(data), keep=4096)
        for section in found.named(*SECTIONS):
            list(read_fatbin(data, section.offset, section.offset + section.size))
    except (ElfError, FatbinError) as error:
        assert str(error)


def wheel(data: bytes) -> None:
    """A library unpacked again from bookmarks reads like one that is kept in memory."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "toy-1.0-py3-none-any.whl"
        path.write_bytes(data)
        kept = members._IN_MEMORY, unpack._APART
        try:
            first = _read(path)
            members._IN_MEMORY, unpack._APART = 0, 64
            assert _read(path) == first
        except WheelError as error:
            assert str(error)
        finally:
            members._IN_MEMORY, unpack._APART = kept


def _read(path: Path) -> Any:
    libraries: list[tuple[str, object]] = []

    def visit(name: str, stream: Any) -> None:
        try:
            found = read_elf(stream, keep=4096)
            code = [
                entry
                for section in found.named(*SECTIONS)
                for entry in read_fatbin(stream, section.offset, section.offset + section.size)
            ]
        except (ElfError, FatbinError, UnpackError) as error:
            libraries.append((name, str(error)))
        else:
            libraries.append((name, (found, code)))

    return read_wheel(path, visit=visit, keep=lambda name: name.endswith(".py")), sorted(libraries, key=repr)


TARGETS: dict[str, Callable[[bytes], None]] = {"fatbin": fatbin, "elf": elf, "wheel": wheel}
