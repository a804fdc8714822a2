"""Listing the GPU code of a library of half a gigabyte and more, against ``cuobjdump --list-elf``: the same set."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from trtllm_builder.binary.elf_tables import Tables
from trtllm_builder.verify.cuobjdump import find_cuobjdump
from trtllm_builder.verify.library import gpu_code

TIMES = 100
ROUNDS = 5
TURNS = 5  # of ours in each round: so short a time is easily doubled by whatever else runs


def listed(path: Path) -> Counter[str]:
    """What ``--list-elf`` names, counted."""
    with path.open("rb") as stream:
        code = gpu_code(Tables(stream).sections, stream)
        return Counter(entry.target.removesuffix("f") for linked, entry in code if linked and entry.kind == "cubin")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "file"), [("nvidia-cublas", "libcublasLt.so.13"), ("sgl-kernel", "flash_ops.abi3.so")]
)
def test_listing_is_a_hundred_times_faster(library: Callable[[str, str], Path], name: str, file: str) -> None:
    tool = find_cuobjdump(os.environ)
    if tool is None:
        pytest.skip("there is no cuobjdump, on PATH for example")
    path = library(name, file)
    ours, theirs, said = [], [], ""
    for _ in range(ROUNDS):
        began = time.perf_counter()
        said = subprocess.run([tool, "--list-elf", path], check=True, capture_output=True, text=True).stdout
        theirs.append(time.perf_counter() - began)
        for _ in range(TURNS):
            began = time.perf_counter()
            found = listed(path)
            ours.append(time.perf_counter() - began)
    assert found == Counter(re.findall(r"\.(sm_\d+a?)f?\.cubin", said))
    ratio = statistics.median(theirs) / statistics.median(ours)
    told = f"{min(ours):.4f} to {max(ours):.4f} s, median {statistics.median(ours):.4f} s"
    print(f"\n{file}, {path.stat().st_size / 1e6:.0f} MB, {sum(found.values())} cubins: ours {told}, {ratio:.0f} times")
    print(f"faster than cuobjdump, {[round(one, 2) for one in sorted(theirs)]} s")
    assert ratio >= TIMES
