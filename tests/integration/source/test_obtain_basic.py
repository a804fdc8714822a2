"""Commits, refs, the shared cache and the checkout that stays."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.errors import HostError, SourceError
from trtllm_builder.source import obtain as obtain_module
from trtllm_builder.source.edits import changed
from trtllm_builder.source.git import CONFIG
from trtllm_builder.source.model import SourceWant
from trtllm_builder.source.records import read_record, write_record

World = Any  # conftest.py

pytestmark = pytest.mark.integration


def test_a_branch_is_checked_out_detached_and_says_that_it_is_not_pinned(world: World, repository: Callable) -> None:
    upstream = repository("up")
    head = upstream.commit({"a.txt": "1", "scripts/b.py": "2"})
    got = world.obtain(SourceWant(upstream.url, "main"))
    assert (got.commit, got.pinned, got.served_by, got.dirty) == (head, False, "original", False)
    assert (got.path / "scripts/b.py").read_text() == "2"
    assert (got.path / ".git" / "HEAD").read_text().strip() == head
    assert got.digest.startswith("sha256:") and got.notes == ()


def test_a_pinned_commit_needs_the_network_once(world: World, repository: Callable, tmp_path: Path) -> None:
    upstream = repository("up")
    first = upstream.commit({"a": "1"})
    upstream.commit({"a": "2"})
    want = SourceWant(upstream.url, "main", first)
    got = world.obtain(want)
    assert got.pinned and (got.path / "a").read_text() == "1"
    assert any("main is now" in note and first[:12] in note for note in got.notes)
    upstream.path.rename(tmp_path / "gone")
    begun = time.monotonic()
    again = world.obtain(want)
    assert time.monotonic() - begun < 1.0
    assert again.commit == first and again.digest == got.digest
    other = world.obtain(want, "another-workspace")
    assert other.served_by == "cache" and (other.path / "a").read_text() == "1"


def test_the_commit_may_stand_in_the_ref(world: World, repository: Callable) -> None:
    upstream = repository("up")
    first = upstream.commit({"a": "1"})
    upstream.commit({"a": "2"})
    got = world.obtain(SourceWant(upstream.url, first))
    assert got.pinned and got.commit == first and got.notes == ()


def test_an_annotated_tag_is_peeled_and_wins_over_a_branch_of_its_name(world: World, repository: Callable) -> None:
    upstream = repository("up")
    tagged = upstream.commit({"a": "1"})
    upstream.git("tag", "-a", "v1", "-m", "x")
    later = upstream.commit({"a": "2"})
    upstream.git("branch", "v1", later)
    got = world.obtain(SourceWant(upstream.url, "v1"))
    assert got.commit == tagged
    assert any("both a branch and a tag" in note for note in got.notes)
    assert world.obtain(SourceWant(upstream.url, "refs/heads/v1"), "b").commit == later


def test_a_missing_ref_names_the_nearest(world: World, repository: Callable) -> None:
    upstream = repository("up")
    upstream.commit({"a": "1"})
    upstream.git("branch", "release/0.20")
    with pytest.raises(SourceError) as caught:
        world.obtain(SourceWant(upstream.url, "release/0.21"))
    assert "release/0.21 is neither a branch nor a tag" in caught.value.what
    assert "release/0.20" in caught.value.remedy
    assert not (world.work / "src").exists()


def test_a_missing_commit_is_said(world: World, repository: Callable) -> None:
    upstream = repository("up")
    upstream.commit({"a": "1"})
    with pytest.raises(SourceError, match=f"commit {'1' * 40} is not in"):
        world.obtain(SourceWant(upstream.url, "main", "1" * 40))


def test_a_missing_repository_is_said(world: World, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no repository was found"):
        world.obtain(SourceWant(f"file://{tmp_path}/nothing", "main"))


def test_offline_takes_what_was_last_seen(world: World, repository: Callable) -> None:
    upstream = repository("up")
    first = upstream.commit({"a": "1"})
    with pytest.raises(SourceError, match="never fetched here, and this run is offline"):
        world.obtain(SourceWant(upstream.url, "main"), offline=True)
    world.obtain(SourceWant(upstream.url, "main"))
    second = upstream.commit({"a": "2"})
    got = world.obtain(SourceWant(upstream.url, "main"), "b", offline=True)
    assert got.commit == first and any("offline" in note for note in got.notes)
    with pytest.raises(SourceError, match="not in the cache, and this run is offline"):
        world.obtain(SourceWant(upstream.url, "main", second), "c", offline=True)


def test_changed_files_are_kept_and_reported_until_a_reset(world: World, repository: Callable) -> None:
    upstream = repository("up")
    head = upstream.commit({"a": "1", "ü b": "2", "c": "3"})
    want = SourceWant(upstream.url, "main", head)
    got = world.obtain(want)
    (got.path / "a").write_text("patched")
    (got.path / "ü b").unlink()
    (got.path / "built.o").write_text("x")
    kept = world.obtain(want)
    assert kept.dirty and set(kept.modified) == {"a", "ü b"}
    assert (got.path / "a").read_text() == "patched" and kept.digest == got.digest
    reset = world.obtain(want, existing="reset")
    assert not reset.dirty and (got.path / "a").read_text() == "1" and not (got.path / "built.o").exists()


def test_a_commit_made_there_hides_no_change_and_neither_does_a_lost_repository(
    world: World, repository: Callable
) -> None:
    upstream = repository("up")
    head = upstream.commit({"a": "1", "b": "2"})
    got = world.obtain(SourceWant(upstream.url, "main", head))
    assert changed(got.path, os.environ) == {}
    (got.path / "a").write_text("by hand")
    (got.path / "new").write_text("by hand")
    author = ("-c", "user.name=x", "-c", "user.email=x@example.invalid")
    for words in (("add", "-A"), (*author, "commit", "-q", "-m", "x")):
        subprocess.run(["git", "-C", str(got.path), *words], check=True)
    assert list(changed(got.path, os.environ)) == ["a", "new"]
    shutil.rmtree(got.path / ".git")
    assert ".git" in changed(got.path, os.environ)


def test_another_commit_replaces_a_clean_checkout_but_not_a_changed_one(world: World, repository: Callable) -> None:
    upstream = repository("up")
    first, second = upstream.commit({"a": "1"}), upstream.commit({"a": "2"})
    world.obtain(SourceWant(upstream.url, "main", first))
    got = world.obtain(SourceWant(upstream.url, "main", second))
    assert (got.path / "a").read_text() == "2"
    (got.path / "a").write_text("mine")
    with pytest.raises(SourceError, match=r"files in it were changed \(a\)") as caught:
        world.obtain(SourceWant(upstream.url, "main", first))
    assert "--rebuild" in caught.value.remedy and (got.path / "a").read_text() == "mine"
    assert world.obtain(SourceWant(upstream.url, "main", first), existing="reset").commit == first


def test_a_directory_that_is_not_ours_is_left_alone(world: World, repository: Callable) -> None:
    upstream = repository("up")
    upstream.commit({"a": "1"})
    (world.work / "src").mkdir(parents=True)
    (world.work / "src" / "precious").write_text("x")
    for existing in ("keep", "reset"):
        with pytest.raises(SourceError, match="was not made by this tool"):
            world.obtain(SourceWant(upstream.url, "main"), existing=existing)
    assert (world.work / "src" / "precious").read_text() == "x"


def test_the_cache_gives_hard_links_and_outlives_any_workspace(world: World, repository: Callable) -> None:
    upstream = repository("up")
    want = SourceWant(upstream.url, "main", upstream.commit({"a": "1"}))
    got = world.obtain(want)
    packs = list((got.path / ".git/objects/pack").glob("*.pack"))
    assert packs and all(pack.stat().st_nlink == 2 for pack in packs)
    shutil.rmtree(world.cache)
    assert not world.obtain(want).dirty
    assert world.obtain(want, existing="reset").commit == want.commit


def test_a_killed_fetch_leaves_nothing_trusted_and_its_locks_are_cleared(world: World, repository: Callable) -> None:
    upstream = repository("up")
    first = upstream.commit({"a": "1"})
    world.obtain(SourceWant(upstream.url, "main", first))
    (bare,) = (world.cache / "git").glob("*.git")
    second = upstream.commit({"a": "2"})
    (bare / "shallow.lock").write_text("")
    (bare / "refs/pins" / f"{second}.lock").write_text("")
    (bare / "objects/pack/tmp_pack_killed").write_bytes(b"half")
    (world.work / ".src.partial" / "junk").mkdir(parents=True)
    got = world.obtain(SourceWant(upstream.url, "main", second))
    assert (got.path / "a").read_text() == "2" and not (got.path / "junk").exists()
    assert not (bare / "objects/pack/tmp_pack_killed").exists()


def test_a_killed_swap_is_made_again(world: World, repository: Callable) -> None:
    upstream = repository("up")
    want = SourceWant(upstream.url, "main", upstream.commit({"a": "1"}))
    got = world.obtain(want)
    (got.path / "a").unlink()
    record = read_record(got.path)
    assert record is not None
    write_record(got.path, record, complete=False)
    assert (world.obtain(want).path / "a").read_text() == "1"


def test_an_interrupt_right_after_the_swap_leaves_a_tree_that_is_known_as_ours(
    world: World, repository: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = repository("up")
    want = SourceWant(upstream.url, "main", upstream.commit({"a": "1"}))
    real = obtain_module._take_name

    def interrupted(fresh: Path, destination: Path) -> None:
        real(fresh, destination)
        raise KeyboardInterrupt

    monkeypatch.setattr(obtain_module, "_take_name", interrupted)
    with pytest.raises(KeyboardInterrupt):
        world.obtain(want)
    monkeypatch.setattr(obtain_module, "_take_name", real)
    assert (world.obtain(want).path / "a").read_text() == "1"


@pytest.mark.parametrize("victim", ["*.pack", "*.idx"])
def test_a_damaged_cache_is_rebuilt_once(world: World, repository: Callable, victim: str) -> None:
    upstream = repository("up")
    want = SourceWant(upstream.url, "main", upstream.commit({"a": "1" * 4000, "b": "x"}))
    world.obtain(want)
    (bare,) = (world.cache / "git").glob("*.git")
    for pack in (bare / "objects/pack").glob(victim):
        content = pack.read_bytes()
        pack.unlink()
        pack.write_bytes(content[:40] + b"\0" * 40 + content[80:100])
    got = world.obtain(want, "b")
    assert (got.path / "b").read_text() == "x" and got.served_by == "original"
    assert any("damaged" in line for line in world.lines)


def test_two_workspaces_wait_for_each_other(world: World, repository: Callable) -> None:
    upstream = repository("up")
    want = SourceWant(upstream.url, "main", upstream.commit({"a": "1"}))
    world.obtain(want)
    (lock,) = (world.cache / "git").glob("*.lock")
    with lock.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(HostError, match="another process still holds"):
            world.obtain(want, "b", deadline=0.3)
    assert any("waiting for another build" in line for line in world.lines)
    assert world.obtain(want, "b").commit == want.commit


def test_a_server_that_gives_no_commit_by_id_is_asked_for_the_ref(
    world: World, repository: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = repository("up")
    first, second = upstream.commit({"a": "1"}), upstream.commit({"a": "2"})
    # Protocol 0 has the restriction; the server's configuration cannot be seen in protocol 2.
    git_config = upstream.path / ".git/config"
    git_config.write_text(git_config.read_text() + "[uploadpack]\n\tallowAnySHA1InWant = false\n")
    old = tmp_path / "old-git"
    old.write_text((CONFIG).read_text() + "[protocol]\n\tversion = 0\n")
    monkeypatch.setattr("trtllm_builder.source.git.CONFIG", old)
    assert world.obtain(SourceWant(upstream.url, "main", second)).commit == second
    got = world.obtain(SourceWant(upstream.url, "main", first), "b")
    assert (got.path / "a").read_text() == "1"
    with pytest.raises(SourceError, match=f"commit {'1' * 40} is not in"):
        world.obtain(SourceWant(upstream.url, "main", "1" * 40), "c")


def test_nothing_of_the_users_git_is_read_or_changed(world: World, repository: Callable, tmp_path: Path) -> None:
    upstream = repository("up")
    head = upstream.commit({"a": "1"})
    config = Path(world.environ["HOME"]) / ".gitconfig"
    config.write_text('[core]\n\thooksPath = /evil\n[url "https://evil.invalid/"]\n\tinsteadOf = file://\n')
    hooks = tmp_path / "templates" / "hooks"
    hooks.mkdir(parents=True)
    (hooks / "post-checkout").write_text("#!/bin/sh\ntouch " + str(tmp_path / "ran"))
    (hooks / "post-checkout").chmod(0o755)
    world.environ.update({"GIT_TEMPLATE_DIR": str(hooks.parent), "GIT_DIR": "/nonexistent", "GIT_SSH_COMMAND": "false"})
    before = config.read_bytes()
    assert world.obtain(SourceWant(upstream.url, "main", head)).commit == head
    assert config.read_bytes() == before and not (tmp_path / "ran").exists()
