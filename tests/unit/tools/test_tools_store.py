"""Directories are complete or not there, whatever happens while they are made."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from trtllm_builder.errors import HostError
from trtllm_builder.tools.store import RECEIPT, fill, read_entry


def make(tree: Path, scratch: Path) -> tuple[Mapping[str, str], tuple[str, ...]]:
    (scratch / "unpacked").touch()
    (tree / "program").write_text("works")
    return {"version": "1"}, ("program",)


def never(_tree: Path, _scratch: Path) -> tuple[Mapping[str, str], tuple[str, ...]]:
    raise AssertionError("made again")


def silent(_line: str) -> None:
    pass


def staging(directory: Path) -> list[Path]:
    return list(directory.parent.glob(".staging-*"))


def test_it_is_made_once_and_nothing_else_is_left(tmp_path: Path) -> None:
    directory = tmp_path / "tools/a-1"
    entry = fill(directory, make, silent)
    assert entry.facts == {"version": "1"}
    assert sorted(path.name for path in directory.iterdir()) == ["program", RECEIPT]
    assert fill(directory, never, silent) == entry
    assert staging(directory) == []


@pytest.mark.parametrize(
    "harm",
    [
        lambda directory: (directory / "program").write_text(""),
        lambda directory: (directory / "program").unlink(),
        lambda directory: (directory / RECEIPT).unlink(),
        lambda directory: (directory / RECEIPT).write_text("{"),
        lambda directory: (directory / RECEIPT).write_text("[]"),
        lambda directory: (directory / RECEIPT).write_text('{"files": {"program": "5"}}'),
    ],
)
def test_what_is_not_as_it_was_made_is_made_again(tmp_path: Path, harm: object) -> None:
    directory = tmp_path / "a-1"
    fill(directory, make, silent)
    assert callable(harm)
    harm(directory)
    assert read_entry(directory) is None
    fill(directory, make, silent)
    assert (directory / "program").read_text() == "works"


def test_a_maker_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fails(tree: Path, _scratch: Path) -> tuple[Mapping[str, str], tuple[str, ...]]:
        (tree / "half").touch()
        raise HostError("no network")

    with pytest.raises(HostError, match="no network"):
        fill(tmp_path / "a-1", fails, silent)
    assert [path.name for path in tmp_path.iterdir()] == [".lock-a-1"]


def test_killed_in_the_middle_nothing_is_trusted_and_the_next_run_cleans_up(tmp_path: Path) -> None:
    directory = tmp_path / "a-1"
    killed = (
        "import os, signal, sys; from pathlib import Path; from trtllm_builder.tools.store import fill\n"
        "def make(tree, scratch):\n"
        "    (tree / 'program').write_text('ha'); os.kill(os.getpid(), signal.SIGKILL)\n"
        "fill(Path(sys.argv[1]), make, print)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", killed, directory], check=False, env={"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert done.returncode == -signal.SIGKILL
    assert len(staging(directory)) == 1
    assert read_entry(directory) is None
    fill(directory, make, silent)
    assert staging(directory) == []
    assert (directory / "program").read_text() == "works"


def test_of_two_at_once_one_makes_it_and_the_other_waits(tmp_path: Path) -> None:
    directory, made, lines = tmp_path / "a-1", [], []
    waiting = threading.Event()

    def slow(tree: Path, scratch: Path) -> tuple[Mapping[str, str], tuple[str, ...]]:
        made.append(1)
        assert waiting.wait(20)
        return make(tree, scratch)

    def log(line: str) -> None:
        lines.append(line)
        waiting.set()

    threads = [threading.Thread(target=fill, args=(directory, slow, log)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert made == [1]
    assert lines == ["another run is preparing a-1; waiting for it"]
    assert read_entry(directory) is not None


def test_too_little_room_is_said_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        fill(tmp_path / "a-1", never, silent, needs=10**18)
    assert "1000000000.0 GB" in caught.value.what
    assert "XDG_DATA_HOME" in caught.value.remedy


def test_a_data_directory_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError) as caught:
        fill(tmp_path / "file/tools/a-1", make, silent)
    assert str(tmp_path / "file") in caught.value.what
    assert "XDG_DATA_HOME" in caught.value.remedy


def test_the_receipt_names_its_files_and_sizes(tmp_path: Path) -> None:
    fill(tmp_path / "a-1", make, silent)
    assert json.loads((tmp_path / "a-1" / RECEIPT).read_text()) == {
        "schema": 1,
        "facts": {"version": "1"},
        "files": {"program": 5},
    }
