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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trtllm_builder.build.gc import remove as removing
from trtllm_builder.build.gc.choose import Wish, carry_out, choose
from trtllm_builder.build.gc.find import KINDS
from trtllm_builder.build.gc.measure import freed, measure, mounts_below
from trtllm_builder.build.gc.places import look
from trtllm_builder.build.journal import Journal
from trtllm_builder.build.workspace import Workspace, tag_cache

ALL = Wish(frozenset(KINDS), unfinished=True)
Command = Callable[..., tuple[int, str, str]]


def snapshot(root: Path) -> dict[str, Any]:
    """Names, kinds and contents of everything below, links not followed."""
    return {
        str(path.relative_to(root)): path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes()
        for path in sorted(root.rglob("*"))
    }


def fill_caches(world: Any) -> None:
    tag_cache(world.base)
    for name in ("git/x.git", "git/notes", "lfs", "pip/http", "ccache/0", "mine"):
        (world.base / name).mkdir(parents=True)
        (world.base / name / "HEAD").write_text("ref\n")


def make_tool(world: Any, name: str) -> Path:
    directory: Path = world.tools / name
    (directory / "bin").mkdir(parents=True)
    (directory / "bin/cmake").write_text("program")
    (directory / "receipt.json").write_text('{"schema": 1, "facts": {"name": "cmake", "version": "3"}, "files": {}}')
    return directory


def stays(world: Any, wish: Wish = ALL) -> dict[str, str]:
    return {choice.item.path.name: choice.stays for choice in choose(wish, look(world.environ))}


def test_nothing_goes_unless_asked_twice(world: Any, command: Command, validate: Callable[[str, object], None]) -> None:
    assert command("gc") == (0, "no build of ours left anything here\n", "")
    entry = world.run("a")
    fill_caches(world)
    make_tool(world, "cmake-1")
    before = snapshot(world.base.parent.parent)
    for words in ((), ("--all",), ("--yes",), ("--workspaces", "--tools"), ("--json", "--all")):
        code, out, err = command("gc", *words)
        assert code == 0 and err == "" and str(entry.workspace) in out
        assert snapshot(world.base.parent.parent) == before
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


@pytest.mark.parametrize("state", ["running", "interrupted", "done"])
def test_what_is_in_use_stays(world: Any, state: str) -> None:
    fill_caches(world)
    used, free = make_tool(world, "cmake-1"), make_tool(world, "cmake-2")
    entry = world.run("a", state, tool=used / "bin/cmake")
    wish = Wish(frozenset(KINDS))
    told = stays(world, wish)
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
    tool = make_tool(world, "cmake-1")
    world.run("a", "running")
    assert "choosing its tools" in stays(world)["cmake-1"]
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

    tool = make_tool(world, "cmake-1")
    with (world.tools / ".lock-cmake-1").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert ["is held by" in choice.stays for choice in carry_out(ALL, world.environ)] == [True]
    assert tool.exists()


def test_age_and_number(world: Any) -> None:
    tools = [make_tool(world, f"cmake-{number}") for number in range(3)]
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


def foreign(world: Any, root: Path, trick: str) -> None:
    tag = root / "CACHEDIR.TAG"
    if trick == "untagged":
        tag.unlink()
    elif trick == "tagged by another program":
        tag.write_text("Signature: 8a477f597d28d172789f06886806bc55\n# made by ccache\n")
    elif trick == "tag is a link":
        shutil.move(tag, root.parent / "tag")
        tag.symlink_to(root.parent / "tag")
    elif trick == "no journal":
        (root / "journal.jsonl").unlink()
    elif trick == "somebody's notes":
        (root / "notes.txt").write_text("mine")
    elif trick == "a link":
        shutil.move(root, root.parent.parent / "elsewhere")
        root.symlink_to(root.parent.parent / "elsewhere")
    elif trick == "a file of another user":
        os.chown(root / "source/file", 12345, 12345)
    elif trick == "the wheel is in it":
        (root / "dist").mkdir()
        (root / "dist/x.whl").write_text("precious")
        result = {"wheel": str(root / "dist/x.whl"), "record": "r", "sha256": "0"}
        Journal(root / "journal.jsonl").append("end", stage="record", run="a", result=result)
        Journal(root / "journal.jsonl").append("done", id="a")


TRICKS = [
    "untagged", "tagged by another program", "tag is a link", "no journal", "somebody's notes", "a link",
    "a file of another user", "the wheel is in it",
]  # fmt: skip


@pytest.mark.parametrize("trick", TRICKS)
def test_what_is_not_surely_ours_stays(world: Any, trick: str) -> None:
    if trick == "a file of another user" and os.geteuid():
        pytest.skip("only root can give a file away")
    entry = world.run("a")
    foreign(world, entry.workspace, trick)
    before = snapshot(world.base)
    carry_out(Wish(ALL.kinds - {"run"}, unfinished=True), world.environ)
    assert snapshot(world.base) == before
    known = look(world.environ)
    reasons = [choice.stays for choice in choose(ALL, known) if choice.item.path == entry.workspace]
    assert [*reasons, *known.foreign.values()] != [""], "and it is said why"


def test_untagged_caches_and_tools_without_receipt_are_not_even_looked_at(world: Any) -> None:
    fill_caches(world)
    (world.base / "CACHEDIR.TAG").unlink()
    (world.tools / "hand-made/bin").mkdir(parents=True)
    (world.tools / "linked").symlink_to(world.base)
    assert choose(ALL, look(world.environ)) == ()


name = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=6).filter(
    lambda text: text not in (".", "..")
)
node = st.one_of(
    st.tuples(st.just("file"), st.integers(0, 5000)),
    st.tuples(st.just("link"), st.sampled_from(["outside", "outside/deep", "outside/file", "/", "..", "missing"])),
    st.tuples(st.just("directory"), st.sampled_from([0o755, 0o500, 0o000])),
    st.tuples(st.just("name"), st.just(0)),
)


@given(nodes=st.lists(st.tuples(st.lists(name, min_size=1, max_size=3), node), max_size=12))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tree_goes_and_nothing_outside(world: Any, nodes: list[Any]) -> None:
    outside = world.base.parent.parent / "outside"
    shutil.rmtree(outside, ignore_errors=True)
    (outside / "deep/er").mkdir(parents=True)
    (outside / "file").write_text("precious")
    (outside / "deep/er/file").write_text("precious")
    entry = world.run("a")
    for parts, (kind, value) in nodes:
        path = entry.workspace.joinpath("source", *parts)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "file":
                path.write_bytes(b"x" * value)
            elif kind == "link":
                path.symlink_to(outside.parent / value if value != ".." else value)
            elif kind == "directory":
                path.mkdir(value)
            else:
                os.link(outside / "file", path)
        except OSError:
            continue
    before = snapshot(outside)
    told = carry_out(ALL, world.environ)
    assert not entry.workspace.exists() or any(choice.stays for choice in told)
    assert not entry.workspace.exists() or os.geteuid() != 0
    assert snapshot(outside) == before
    shutil.rmtree(entry.workspace, ignore_errors=True)


def test_a_name_elsewhere_keeps_the_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for directory in (one, two):
        directory.mkdir()
    (one / "pack").write_bytes(b"x" * 100_000)
    os.link(one / "pack", two / "pack")
    owner = os.geteuid()
    empty = freed([measure(two, owner)])
    assert freed([measure(one, owner)]) < 100_000 <= freed([measure(one, owner), measure(two, owner)]) - empty
    os.link(one / "pack", one / "again")
    (two / "pack").unlink()
    assert 100_000 <= freed([measure(one, owner)]) < 150_000, "once, under two names"


def test_mount_points(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        f"36 35 98:0 /a {tmp_path}/w rw - ext4 /dev/root rw\n"
        f"37 35 98:0 /b {tmp_path}/w/a\\040b\\134 rw - ext4 /dev/root rw\n"
        f"38 35 98:0 /c {tmp_path}/within rw - ext4 /dev/root rw\nshort\n"
    )
    assert mounts_below(tmp_path / "w", table) == (f"{tmp_path}/w/a b\\",)


@pytest.mark.parametrize("kind", ["workspace", "ccache", "tool"])
def test_a_removal_that_is_killed_is_finished_by_the_next(
    world: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = world.run("a", "interrupted", tool=Path("/usr/bin/cmake"))
    fill_caches(world)
    tool = make_tool(world, "cmake-1")
    target = {"workspace": entry.workspace, "ccache": world.base / "ccache", "tool": tool}[kind]
    real = removing.run

    def killed(words: list[Any], **more: Any) -> Any:
        if not any(target.name in str(word) for word in words):
            return real(words, **more)
        # rm had deleted the first of what it was given, and some of that.
        victim = next(Path(word) for word in words[4:])
        next(path for path in victim.rglob("*") if path.is_file()).unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(removing, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        carry_out(ALL, world.environ)
    monkeypatch.setattr(removing, "run", real)
    if kind == "workspace":
        assert Journal(entry.workspace / "journal.jsonl").stamps() == {}, "a resumed run trusts none of it"
    else:
        assert not target.exists(), "and no build takes it for whole"
    assert not any(choice.stays for choice in carry_out(ALL, world.environ))
    left = {path.name for path in world.base.rglob("*")} - {
        "CACHEDIR.TAG",
        "git",
        "mine",
        "notes",
        "HEAD",
        "workspaces",
    }
    assert left == {"x.git.lock"} and list(world.tools.glob("[!.]*")) == list(world.tools.glob(".removing*")) == []


def test_runs_that_are_over(world: Any, command: Command) -> None:
    older, last = world.run("older", age=5), world.run("last")
    gone = world.run("gone", root=world.base / "workspaces" / "gone")
    shutil.rmtree(gone.workspace)
    (last.logs / "compile.log").write_text("x")
    (world.base.parent.parent / "state/trtllm-builder/runs/bad.json").write_text("{")
    assert set(stays(world, Wish(frozenset(["run"])))) >= {"older", "gone.json", "bad.json"}
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
    tool = make_tool(world, "cmake-1")
    shutil.copy(shutil.which("sleep") or "", tool / "bin/sleep")
    running = subprocess.Popen([tool / "bin/sleep", "600"])
    try:
        assert stays(world) == {"cmake-1": f"process {running.pid} runs from it"}
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
        assert stays(world)[entry.workspace.name] == f"process {shell.pid} works in it"
        carry_out(ALL, world.environ)
        assert (entry.workspace / "source/file").exists()
    finally:
        shell.kill()
        shell.wait()
