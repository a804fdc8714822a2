"""Work done apart: its result and its errors come back, its memory does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trtllm_builder.errors import BuilderError, PatchError, Where
from trtllm_builder.process import apart


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_the_result_comes_back_and_the_memory_does_not() -> None:
    kept: list[bytes] = []

    def work() -> int:
        kept.append(b"x" * 200_000_000)
        return os.getpid()

    before = resident()
    assert apart(work) != os.getpid()
    assert kept == [] and resident() - before < 50_000_000


def test_errors_come_back_whole() -> None:
    def work() -> None:
        raise PatchError("does not fit", remedy="mend it", where=Where("a.py", 3), others=(PatchError("nor that"),))

    with pytest.raises(PatchError) as caught:
        apart(work)
    error = caught.value
    assert (error.what, error.remedy, str(error.where), error.others[0].what) == (
        "does not fit", "mend it", "a.py:3:1", "nor that",
    )  # fmt: skip


def test_a_child_that_dies_is_an_error_and_leaves_no_zombie() -> None:
    with pytest.raises(RuntimeError, match="ended with 9"):
        apart(lambda: os._exit(9))
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_every_error_of_ours_survives_the_way() -> None:
    for kind in BuilderError.__subclasses__():
        if kind.__name__ != "Interrupted":

            def work(kind: type[BuilderError] = kind) -> None:
                raise kind("what", remedy="r")

            with pytest.raises(kind) as caught:
                apart(work)
            assert caught.value.remedy == "r"
