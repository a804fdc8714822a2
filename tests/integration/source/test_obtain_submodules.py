"""Submodules: by gitlink, recursive, through the same mirrors, and the hostile ones refused."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.errors import SourceError
from trtllm_builder.source import assemble
from trtllm_builder.source.model import Mirror, SourceWant

World = Server = Any  # conftest.py

pytestmark = pytest.mark.integration


def test_submodules_come_recursively_by_their_gitlinks(world: World, repository: Callable) -> None:
    leaf, middle, top = repository("leaf"), repository("middle"), repository("top")
    pinned = leaf.commit({"leaf.txt": "old"})
    leaf.commit({"leaf.txt": "new"})
    middle.commit({"m": "1"})
    middle.add_submodule("deep/leaf", "../leaf", pinned)
    middle_commit = middle.git("rev-parse", "HEAD")
    top.commit({"t": "1"})
    top.add_submodule("3rdparty/middle", middle.url, middle_commit)
    want = SourceWant(top.url, "main", top.git("rev-parse", "HEAD"))
    got = world.obtain(want)
    assert got.submodules == (("3rdparty/middle", middle_commit), ("3rdparty/middle/deep/leaf", pinned))
    assert (got.path / "3rdparty/middle/deep/leaf/leaf.txt").read_text() == "old"
    # Upstream's build script asks whether these exist before it fetches for itself.
    assert (got.path / "3rdparty/middle/.git").exists() and got.served[1] == (middle.url, "original")
    (got.path / "3rdparty/middle/m").write_text("patched")
    shutil.rmtree(got.path / "3rdparty/middle/deep/leaf")
    kept = world.obtain(want)
    assert set(kept.modified) == {"3rdparty/middle/m", "3rdparty/middle/deep/leaf"}
    for upstream in (leaf, middle, top):
        shutil.rmtree(upstream.path)
    again = world.obtain(want, existing="reset")
    assert not again.dirty and again.digest == got.digest and again.served_by == "cache"


def test_submodules_can_be_left_out(world: World, repository: Callable) -> None:
    leaf, top = repository("leaf"), repository("top")
    top.add_submodule("leaf", leaf.url, leaf.commit({"x": "1"}))
    got = world.obtain(SourceWant(top.url, "main", submodules=False))
    assert got.submodules == () and list((got.path / "leaf").iterdir()) == []


def test_a_mirror_serves_submodules_too(world: World, repository: Callable, server: Server) -> None:
    leaf, top = repository("leaf"), repository("top")
    commit = leaf.commit({"x": "1"})
    top.add_submodule("leaf", "../leaf", commit)
    top.add_submodule("other", "https://second.invalid/leaf", commit)
    mirror = Mirror("near", (("https://up.invalid/", f"{server.url}/"), ("https://second.invalid/", f"{server.url}/")))
    got = world.obtain(SourceWant("https://up.invalid/top", "main", top.git("rev-parse", "HEAD"), (mirror,)))
    assert set(got.served) == {
        ("https://up.invalid/top", "near"),
        ("https://up.invalid/leaf", "near"),
        ("https://second.invalid/leaf", "near"),
    }


@pytest.mark.parametrize(
    ("path", "url", "extra", "said"),
    [
        ("ok", "../leaf", '[submodule "../x"]\n\tpath = ok2\n\turl = ../leaf\n', "the name '../x' climbs out"),
        ("ok", "../leaf", '[submodule "-x"]\n\tpath = ok2\n\turl = ../leaf\n', "looks like an option"),
        ("ok", "../leaf", '[submodule "x"]\n\tpath = ok\n\turl = ../leaf\n', "two submodules claim ok"),
        ("../out", "../leaf", "", "not a plain path"),
        ("a/../../out", "../leaf", "", "not a plain path"),
        (".git/hooks", "../leaf", "", "not a plain path"),
        ("a/.GIT/b", "../leaf", "", "not a plain path"),
        ("-o", "../leaf", "", "like an option|not a plain path"),
        ("ok", "-u./payload", "", "looks like an option"),
        ("ok", "ext::sh -c touch% /tmp/x", "", "control character|transport helper"),
        ("ok", "ext::touch", "", "transport helper"),
        ("ok", "git://host.invalid/x", "", "not safe to fetch"),
        ("ok", "http://host.invalid/x", "", "plain http"),
        ("ok", "ssh://-oProxyCommand=touch/x", "", "lacks a host"),
        ("ok", "../../../../../../../../../../x", "", "climbs out"),
        ("ok", "../leaf", "\tupdate = !touch /tmp/x\n", "command to be run"),
    ],
)
def test_hostile_submodule_lists_are_refused(
    world: World, repository: Callable, path: str, url: str, extra: str, said: str
) -> None:
    leaf, top = repository("leaf"), repository("top")
    commit = leaf.commit({"x": "1"})
    (top.path / ".gitmodules").write_text(f'[submodule "n"]\n\tpath = {path}\n\turl = {url}\n{extra}')
    top.git("update-index", "--add", "--cacheinfo", f"160000,{commit},ok")
    top.git("add", ".gitmodules")
    top.git("commit", "-q", "-m", "hostile")
    with pytest.raises(SourceError, match=said) as caught:
        world.obtain(SourceWant(top.url, "main"))
    assert str(caught.value).startswith(".gitmodules:1:1: ")
    assert not (world.work / "src").exists()


def test_a_local_path_named_by_a_distant_repository_is_refused(
    world: World, repository: Callable, server: Server
) -> None:
    leaf, top = repository("leaf"), repository("top")
    top.add_submodule("leaf", leaf.url, leaf.commit({"x": "1"}))
    with pytest.raises(SourceError, match="may not name"):
        world.obtain(SourceWant(f"{server.url}/top/.git", "main"))


def test_a_linked_gitmodules_is_refused(world: World, repository: Callable) -> None:
    top = repository("top")
    blob = subprocess.run(["git", "hash-object", "-w", "--stdin"], cwd=top.path, input=b"target", capture_output=True)
    entry = f"120000 blob {blob.stdout.decode().strip()}\t.gitmodules\n".encode()
    tree = subprocess.run(["git", "mktree"], cwd=top.path, input=entry, capture_output=True).stdout.decode().strip()
    commit = top.git("commit-tree", "-m", "hostile", tree)
    top.git("update-ref", "refs/heads/main", commit)
    with pytest.raises(SourceError, match="gitmodules"):
        world.obtain(SourceWant(top.url, "main"))
    assert not (world.work / "src").exists()


def test_an_unreadable_gitmodules_is_a_sentence(world: World, repository: Callable) -> None:
    for number, content in enumerate(
        [b"[submodule", b"\xff\xfe", b'[submodule "a"]\npath', b"=x\n[[", b"[include]\npath=/etc/x\n"]
    ):
        top = repository(f"top{number}")
        top.commit({".gitmodules": content})
        try:
            got = world.obtain(SourceWant(top.url, "main"), f"w{number}")
        except SourceError as error:
            assert ".gitmodules:1:1" in str(error)
        else:
            assert got.submodules == ()


def test_a_gitlink_that_nobody_names_is_a_note(world: World, repository: Callable) -> None:
    top = repository("top")
    top.commit({"a": "1"})
    top.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},stray")
    top.git("commit", "-q", "-m", "stray")
    got = world.obtain(SourceWant(top.url, "main"))
    (top.path / ".gitmodules").write_text('[submodule "planned"]\n\tpath = planned\n\turl = ../planned\n')
    top.git("add", ".gitmodules")
    top.git("commit", "-q", "-m", "an entry without a gitlink")
    assert world.obtain(SourceWant(top.url, "main"), "b").submodules == ()
    assert any("stray" in note and "left empty" in note for note in got.notes)


def test_a_submodule_whose_commit_vanished_is_said(world: World, repository: Callable) -> None:
    leaf, top = repository("leaf"), repository("top")
    leaf.commit({"x": "1"})
    top.add_submodule("leaf", leaf.url, "2" * 40)
    with pytest.raises(SourceError, match=f"commit {'2' * 40} is not in .*leaf"):
        world.obtain(SourceWant(top.url, "main"))


def test_a_link_that_took_the_place_of_a_submodules_directory_is_not_followed(
    world: World, repository: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As happens where names ignore case; here it is put there behind git's back."""
    leaf, top = repository("leaf"), repository("top")
    top.add_submodule("a/leaf", leaf.url, leaf.commit({"x": "1"}))
    outside = tmp_path / "outside"
    (outside / "leaf").mkdir(parents=True)
    real = assemble.check_out

    def collide(cache: Any, commit: str, directory: Path, **more: Any) -> None:
        real(cache, commit, directory, **more)
        if (directory / "a").is_dir():
            shutil.rmtree(directory / "a")
            (directory / "a").symlink_to(outside)

    monkeypatch.setattr(assemble, "check_out", collide)
    with pytest.raises(SourceError, match="behind a symbolic link"):
        world.obtain(SourceWant(top.url, "main"))
    assert list((outside / "leaf").iterdir()) == []


def test_git_variables_of_the_callers_shell_do_not_lead_astray(
    world: World, repository: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    leaf, top = repository("leaf"), repository("top")
    top.add_submodule("leaf", leaf.url, leaf.commit({"x": "1"}))
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):  # as in a hook
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    assert len(world.obtain(SourceWant(top.url, "main")).submodules) == 1
