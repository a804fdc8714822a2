"""What the fuzzer found worth keeping is read again, with the memory that each input takes."""

from __future__ import annotations

import importlib.util
import sys
import tracemalloc
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[2] / "fuzz"
_SPEC = importlib.util.spec_from_file_location("fuzz_targets", FUZZ / "targets.py")
assert _SPEC and _SPEC.loader
targets = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = targets
_SPEC.loader.exec_module(targets)

EXTRA = 64 << 20  # bytes


@pytest.mark.parametrize("reader", sorted(targets.TARGETS))
def test_the_corpus_is_read_without_a_crash_and_in_little_memory(reader: str) -> None:
    inputs = sorted((FUZZ / "corpus" / reader).iterdir())
    assert len(inputs) >= 10
    tracemalloc.start()
    for path in inputs:
        data = path.read_bytes()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        targets.TARGETS[reader](data)
        assert tracemalloc.get_traced_memory()[1] - before < EXTRA, path.name
    tracemalloc.stop()
