"""The worst files we could think of cost at most 64 MB and a few seconds, counted by the kernel in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration
EXTRA = 64 << 20  # bytes
SECONDS = 20.0  # about one on a machine that does nothing else

CHILD = """
import io, json, resource, struct, sys, time
from trtllm_builder.binary.fatbin import Entry
from trtllm_builder.binary.kernels import LIMIT, unpacked
from trtllm_builder.verify.expect import Expectation
from trtllm_builder.verify.library import read_library
import zstandard

M = 1 << 20
NAMES = b"\\0.nv_fatbin\\0"
GPU, PLAIN, STRINGS = 1, 1, 3

def elf(*parts, needed=0):
    out, headers = bytearray(64), [bytes(64)]
    dynamic = (0, 6, struct.pack("<qQ", 1, 1) * needed or bytes(16), 3 if needed else 1, 0)
    for name, kind, data, link, info in ((0, STRINGS, NAMES, 0, 0), dynamic, *parts):
        out += bytes(-len(out) % 8)
        headers.append(struct.pack("<IIQQQQIIQQ", name, kind, 0, 0, len(out), len(data), link, info, 0, 0))
        out += data
    head = (b"\\x7fELF\\2\\1\\1", 3, 62, 1, 0, 0, len(out), 0, 64, 0, 0, 64, len(headers), 1)
    out[:64] = struct.pack("<16sHHIQQQIHHHHHH", *head)
    for header in headers:
        out += header
    return bytes(out)

def symbols(count, name):
    return struct.pack("<IBBHQQ", name, 0x10, 0, 1, 0, 0) * count

def wide():
    names = b"".join(b"abcd" * 100 + "\\U0001f600".encode() + b"\\0" for _ in range(50_000))
    table = b"".join(struct.pack("<IBBHQQ", 1 + 405 * n, 0x10, 0, 1, 0, 0) for n in range(50_000))
    return elf((0, 11, table, 4, 0), (0, STRINGS, b"\\0" + names, 0, 0))

def text(data):
    return 0, STRINGS, b"\\0" + data + b"\\0", 0, 0

def same(name=1):
    return 0, 11, symbols(500_000, name), 4, 0

def frame(size):
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, size)

entry = struct.pack("<HHIQIIHHIIIQQQ", 2, 0x101, 64, 0, 0, 0, 7, 1, 89, 0, 0, 0x11, 0, 0)
cases = {
    "symbols": lambda: elf(same(), text(b"a" * 40)),
    "long names": lambda: elf(same(), text(b"a" * (20 * M + 1))),
    "wide names": wide,
    "needed": lambda: elf(text(b"b" * 60_000), needed=500_000),
    "tables": lambda: elf(same(0), text(bytes(23 * M)), (0, 0x6FFFFFFF, bytes(24 * M), 3, 0)),
    "entries": lambda: elf((GPU, PLAIN, frame(64 * 300_000) + entry * 300_000, 0, 0)),
    "frames": lambda: elf((GPU, PLAIN, frame(0) * 10**6, 0, 0)),
    "padding": lambda: elf((GPU, PLAIN, bytes(200 * M), 0, 0)),
}
name = sys.argv[1]
if name == "bomb":
    packed = zstandard.ZstdCompressor().compress(bytes(LIMIT - M))
    code = Entry("ptx", 89, "", "zstd", 0, len(packed), LIMIT - M, (9, 0))
    work = lambda: unpacked(packed, code) and ""
else:
    stream = io.BytesIO(cases[name]())
    work = lambda: read_library("toy.so", stream, Expectation()).error
with open("/proc/self/clear_refs", "w") as refs:
    refs.write("5")  # the peak so far is forgotten: proc(5)
def status(field):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))
before, began = status("VmRSS"), time.monotonic()
error = work()
print(json.dumps([status("VmHWM") - before, time.monotonic() - began, error]))
"""


@pytest.mark.parametrize(
    ("case", "error"),
    [
        ("symbols", ""),
        ("long names", "a name of more than 1 MiB"),
        ("wide names", ""),
        ("needed", "more than 8 MiB"),
        ("tables", ""),
        ("entries", "more than 100000"),
        ("frames", "more than 100000"),
        ("padding", ""),
        ("bomb", ""),
    ],
)
def test_the_worst_is_bounded(case: str, error: str) -> None:
    done = subprocess.run([sys.executable, "-c", CHILD, case], capture_output=True, text=True, check=True)
    extra, seconds, told = json.loads(done.stdout)
    print(f"{case}: {extra / 1e6:.0f} MB, {seconds:.1f} s")
    assert (error in told) if error else told == ""
    assert extra <= EXTRA
    assert seconds <= SECONDS
