"""Real failures of a real build, one after the other in one workspace on a small disk, and at last the wheel.

A wrapper in the compiler's place does what the file ``mode`` says when it gets to one source of the canary.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.host.cgroups import levels

pytestmark = pytest.mark.integration

MIB = 2**20
WRAPPER = """#!/bin/sh
case "$*" in
*answer.cpp*)
  case "$(cat '{mode}')" in
  killed) kill -9 $$ ;;
  memory) exec python3 -c 'bytearray(8 * 2**30)' ;;
  header) exec g++ -include zmq_that_is_not_there/zmq.h "$@" ;;
  full) dd if=/dev/zero of='{filler}' bs=1M 2>/dev/null; sleep 2 ;;
  nearly) fallocate -l $(($(stat -f -c '%a * %S' '{disk}') - 4194304)) '{filler}'; sleep 30 ;;
  esac ;;
esac
exec g++ "$@"
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def memory_cgroup() -> Iterator[Path | None]:
    """One below ours with a limit, None where none can be made."""
    made = None
    for level in levels("memory"):
        directory = level.directory / f"trtllm-builder-diagnosed-{os.getpid()}"
        try:
            directory.mkdir()
            name = "memory.limit_in_bytes" if level.version == 1 else "memory.max"
            (directory / name).write_text(str(1536 * MIB))
        except OSError:
            continue
        made = directory
        break
    yield made
    if made is not None:
        made.rmdir()


def test_every_failure_is_named_and_the_same_command_goes_on(
    builder: Any, small_disk: Path, memory_cgroup: Path | None, tmp_path: Path, validate: Callable[[str, object], None]
) -> None:
    mode, filler, wrapper = tmp_path / "mode", small_disk / "filler", tmp_path / "c++"
    wrapper.write_text(WRAPPER.format(mode=mode, filler=filler, disk=small_disk))
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    builder.workspace = small_disk / "workspace"
    builder.words = ("--set", f"build.environment.CXX={wrapper}", "--jobs", "2")

    def failing(how: str, status: int) -> dict[str, Any]:
        mode.write_text(how)
        events = builder.events(expect=status)
        for event in events:
            validate("build-events", event)
        error: dict[str, Any] = events[-1]["error"]
        return error

    killed = failing("killed", 6)
    assert killed["diagnosis"]["cause"] == "killed" and "answer.cpp" in killed["what"]
    assert "not by the kernel" in killed["what"] or "could not be seen" in killed["what"]

    header = failing("header", 6)["diagnosis"]
    assert header["cause"] == "header-missing" and "zmq.h" in header["sentence"]
    # This attempt's lines, by their numbers in a log that holds the earlier attempt too.
    log = next((builder.workspace / "logs").glob("*/compile.log")).read_text().splitlines()
    for line in header["lines"]:
        assert line["text"] == log[line["number"] - 1].strip()

    if memory_cgroup is not None:
        enter, plain = ["sh", "-c", f'echo $$ > {memory_cgroup}/cgroup.procs; exec "$@"', "sh"], builder.argv
        builder.argv = lambda *words: [*enter, *plain(*words)]
        asked, builder.words = builder.words, builder.words[:2]
        memory = failing("memory", 6)
        builder.argv, builder.words = plain, asked
        assert memory["diagnosis"]["cause"] == "out-of-memory"
        # Behind the gate it was run once more by itself.
        assert "1.5 GiB" in memory["what"] and str(memory_cgroup.name) in memory["what"]
        assert "twice" in memory["what"] and "3 GiB" in memory["remedy"]

    nearly = failing("nearly", 3)
    assert "stopped before it is full" in nearly["what"] and "same command" in nearly["remedy"]
    last = json.loads((builder.workspace / "journal.jsonl").read_text().splitlines()[-1])
    assert last["event"] == "failed" and last["error"]["what"] == nearly["what"], "the journal could still be written"
    filler.unlink()

    full = failing("full", 3)
    assert "No space left" in full["what"] or "disk" in full["what"]
    assert "same command" in full["remedy"]
    filler.unlink()
    mode.write_text("well")
    events = builder.events()
    assert builder.states(events)["fetch"] == "kept" and events[-1]["event"] == "finished"
    assert builder.wheel.is_file()
    status = subprocess.run(
        [*builder.argv()[:3], "explain", next((builder.workspace / "logs").glob("*/compile.log"))],
        env=builder.environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert status.stdout
