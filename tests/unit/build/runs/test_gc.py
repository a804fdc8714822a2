"""gc: sizes first, and nothing goes that is in use or that no build of ours made, in hostile trees either."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.build.gc.choose import Wish, carry_out, choose
from trtllm_builder.build.gc.find import KINDS
from trtllm_builder.build.gc.places import look
from trtllm_builder.build.scratch import LOCK, scratch_in
from trtllm_builder.build.workspace import Workspace, tag_cache

ALL = Wish(frozenset(KINDS), unfinished=True)
Command = Callable[..., tuple[int, str, str]]


def test_nothing_goes_unless_asked_twice(world: Any, command: Command, validate: Callable[[str, object], None]) -> None:
    assert command("gc") == (0, "no build of ours left anything here\n", "")
    entry = world.run("a")
    world.fill_caches()
    world.make_tool("cmake-1")
    before = world.snapshot(world.base.parent.parent)
    for words in ((), ("--all",), ("--yes",), ("--workspaces", "--tools"), ("--json", "--all")):
        code, out, err = command("gc", *words)
        assert code == 0 and err == "" and str(entry.workspace) in out
        assert world.snapshot(world.base.parent.parent) == before
    document = json.loads(out)
    validate("gc", document)
    assert not document["removed"] and 0 < document["freed"] == document["bytes"]
    code, out, _ = command("gc", "--all", "--yes", "--json")
    validate("gc", json.loads(out))
    assert json.loads(out)["removed"] and not entry.workspace.exists() and list(world.tools.glob("[!.]*")) == []
    # What is not ours stays, in a directory of ours too.
    assert {path.name for path in world.base.iterdir()} == {"CACHEDIR.TAG", "git", "mine", "workspaces"}
    assert {path.name for path in (world.base / "git").iterdir()} == {"notes", "x.git.lock"}
    assert command("gc", "--all")[1] == "no build of ours left anything here\n"


def test_what_a_killed_fetch_left_goes_and_a_living_ones_stays(world: Any) -> None:
    world.run("a", "done")
    left, strange = world.base / "fetch-dead", world.base / "fetch-mine"
    for directory in (left, strange):
        directory.mkdir(parents=True)
        (directory / "pack").write_bytes(b"x" * 5000)
    (left / LOCK).touch()
    wish = Wish(frozenset({"downloads"}))
    with scratch_in(world.base) as living:
        carry_out(wish, world.environ)
        assert living.is_dir() and strange.is_dir() and not left.exists()
    assert not living.exists()


@pytest.mark.parametrize("state", ["running", "interrupted", "done"])
def test_what_is_in_use_stays(world: Any, state: str) -> None:
    world.fill_caches()
    used, free = world.make_tool("cmake-1"), world.make_tool("cmake-2")
    entry = world.run("a", state, tool=used / "bin/cmake")
    wish = Wish(frozenset(KINDS))
    told = world.stays(wish)
    assert told["cmake-2"] == ""
    carry_out(wish, world.environ)
    assert not free.exists()
    if state == "running":
        assert "at work" in told[entry.workspace.name]
        assert all("run a uses it" in told[name] for name in ("x.git", "lfs", "pip", "ccache"))
        assert "is built with it" in told["cmake-1"]
    assert entry.workspace.exists() == (state != "done") == used.exists()
    assert (world.base / "ccache").exists() == (state == "running")
    if state == "interrupted":
        assert "--unfinished" in told[entry.workspace.name]


def test_a_run_that_still_chooses_its_tools_keeps_all_of_them(world: Any) -> None:
    tool = world.make_tool("cmake-1")
    world.run("a", "running")
    assert "choosing its tools" in world.stays()["cmake-1"]
    carry_out(ALL, world.environ)
    assert tool.exists()


def test_a_workspace_that_is_locked_stays_whatever_its_journal_says(world: Any) -> None:
    entry = world.run("a")
    with Workspace(entry.workspace).locked():
        told = {choice.item.path: choice.stays for choice in carry_out(ALL, world.environ)}
        assert "is in use by process" in told[entry.workspace]
    assert (entry.workspace / "source/file").exists()


def test_a_store_that_is_locked_stays(world: Any) -> None:
    import fcntl

    tool = world.make_tool("cmake-1")
    with (world.tools / ".lock-cmake-1").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert ["is held by" in choice.stays for choice in carry_out(ALL, world.environ)] == [True]
    assert tool.exists()


def test_age_and_number(world: Any) -> None:
    tools = [world.make_tool(f"cmake-{number}") for number in range(3)]
    for days, tool in enumerate(tools):
        for path in (tool, *tool.iterdir()):
            os.utime(path, (1e9 - days * 86400 - 10, 1e9 - days * 86400 - 10))

    def going(**more: Any) -> list[str]:
        choices = choose(Wish(frozenset(KINDS), **more), look(world.environ), now=1e9)
        return sorted(choice.item.path.name[-1] for choice in choices if not choice.stays)

    assert going() == ["0", "1", "2"] and going(keep=1) == ["1", "2"] and going(keep=9) == []
    assert (
        going(older_than=1.0) == ["1", "2"] and going(older_than=1.5) == ["2"] and going(older_than=2, keep=2) == ["2"]
    )


def test_runs_that_are_over(world: Any, command: Command) -> None:
    older, last = world.run("older", age=5), world.run("last")
    gone = world.run("gone", root=world.base / "workspaces" / "gone")
    shutil.rmtree(gone.workspace)
    (last.logs / "compile.log").write_text("x")
    (world.base.parent.parent / "state/trtllm-builder/runs/bad.json").write_text("{")
    assert set(world.stays(Wish(frozenset(["run"])))) >= {"older", "gone.json", "bad.json"}
    carry_out(Wish(frozenset(["run"])), world.environ)
    assert not older.logs.exists() and (last.logs / "compile.log").exists()
    document = json.loads(command("runs", "--all", "--json")[1])
    assert [one["id"] for one in document["runs"]] == ["last"] and document["damaged"] == []


def test_a_directory_that_held_something_is_never_marked(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("x")
    tag_cache(tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]


def test_a_lock_that_was_cleared_away_is_not_taken_for_the_workspaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trtllm_builder.build import lock

    real, opened = lock._open, []

    def opens(path: Path) -> int:
        opened.append(real(path))
        if len(opened) == 1:
            path.unlink()
        return opened[-1]

    monkeypatch.setattr(lock, "_open", opens)
    descriptor, taken = lock.open_and_take(tmp_path / "lock")
    assert taken and len(opened) == 2 and os.fstat(descriptor).st_ino == (tmp_path / "lock").stat().st_ino
    os.close(descriptor)


def test_a_tool_that_runs_stays_though_no_known_workspace_was_built_with_it(world: Any) -> None:
    tool = world.make_tool("cmake-1")
    shutil.copy(shutil.which("sleep") or "", tool / "bin/sleep")
    running = subprocess.Popen([tool / "bin/sleep", "600"])
    try:
        assert world.stays() == {"cmake-1": f"process {running.pid} runs from it"}
        carry_out(ALL, world.environ)
        assert tool.exists()
    finally:
        running.kill()
        running.wait()
    carry_out(ALL, world.environ)
    assert not tool.exists()


def test_a_workspace_that_somebodys_shell_is_in_stays(world: Any) -> None:
    entry = world.run("a")
    shell = subprocess.Popen(["sleep", "600"], cwd=entry.workspace / "source")
    try:
        assert world.stays()[entry.workspace.name] == f"process {shell.pid} works in it"
        carry_out(ALL, world.environ)
        assert (entry.workspace / "source/file").exists()
    finally:
        shell.kill()
        shell.wait()
