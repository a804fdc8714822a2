"""gc among links, mounts, files of others and trees that somebody made to hurt; killed while it deletes."""

from __future__ import annotations

import os
import shutil
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
from trtllm_builder.build.registry import runs_dir

ALL = Wish(frozenset(KINDS), unfinished=True)


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
    before = world.snapshot(world.base)
    carry_out(Wish(ALL.kinds - {"run"}, unfinished=True), world.environ)
    assert world.snapshot(world.base) == before
    known = look(world.environ)
    reasons = [choice.stays for choice in choose(ALL, known) if choice.item.path == entry.workspace]
    assert [*reasons, *known.foreign.values()] != [""], "and it is said why"


def test_untagged_caches_and_tools_without_receipt_are_not_even_looked_at(world: Any) -> None:
    world.fill_caches()
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
    before = world.snapshot(outside)
    told = carry_out(ALL, world.environ)
    assert not entry.workspace.exists() or any(choice.stays for choice in told)
    assert not entry.workspace.exists() or os.geteuid() != 0
    assert world.snapshot(outside) == before
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
    world.fill_caches()
    tool = world.make_tool("cmake-1")
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


def test_what_is_no_file_in_the_registry_is_not_ours(world: Any) -> None:
    world.run("a")
    registry = runs_dir(world.environ)
    (registry / "mine.json").mkdir()
    (registry / "mine.json/thesis").touch()
    (registry / "endless.json").symlink_to("/dev/zero")
    (registry / "half.json").write_text("{")
    carry_out(Wish(frozenset(("run",))), world.environ)
    assert {path.name for path in registry.iterdir()} == {"a.json", "mine.json", "endless.json"}
    assert (registry / "mine.json/thesis").exists()
