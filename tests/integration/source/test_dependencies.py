"""What a build clones by itself comes from the disk: laid out beforehand, found by git's own insteadOf."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.source.dependencies import Wanted, obtain_dependencies
from trtllm_builder.source.git import find_git
from trtllm_builder.source.model import Mirror, in_order
from trtllm_builder.source.redirect import write_config
from trtllm_builder.source.servers import Servers
from trtllm_builder.source.urls import parse_url

Server = Any  # conftest.py

pytestmark = pytest.mark.integration

BASE = "https://upstream.invalid/"
"""Nobody answers there, so that only a redirection can serve it."""


def servers(tmp_path: Path, mirrors: tuple[Mirror, ...], *, offline: bool = False) -> Servers:
    git = find_git({"PATH": "/usr/local/bin:/usr/bin:/bin"})
    return Servers(git, tmp_path / "cache", mirrors, time.monotonic() + 60, print, offline)


def clone(tmp_path: Path, config: Path, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    """As CMake does it, with the build's environment."""
    return subprocess.run(
        ["git", "clone", "--quiet", *words, url, tmp_path / "clone"],
        env={
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": "/nonexistent",
            "GIT_CONFIG_GLOBAL": str(config),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ALLOW_PROTOCOL": "https:ssh:file",
            "GIT_TERMINAL_PROMPT": "0",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def mirror(tmp_path: Path) -> Mirror:
    return Mirror("near", ((BASE, f"{(tmp_path / 'upstream').as_uri()}/"),))


def test_a_tag_a_commit_and_nested_submodules_are_cloned_from_the_disk(tmp_path: Path, repository: Callable) -> None:
    inner, outer = repository("inner"), repository("outer")
    old = inner.commit({"a": "1"})
    inner.commit({"a": "2"})
    outer.add_submodule("deep/inner", "../inner", old)
    outer.commit({"b": "1"})
    outer.git("tag", "v1.0")
    outer.commit({"b": "2"})
    wanted = [Wanted("outer", f"{BASE}outer", "v1.0", True)]
    got = obtain_dependencies(wanted, servers(tmp_path, (mirror(tmp_path),)), tmp_path / "served")
    assert (got.missing, [one.served_by for one in got.held]) == ((), ["near", "near"]), got.notes
    assert got.held[1].commit == old

    config = tmp_path / "gitconfig"
    write_config(config, served=tmp_path / "served", held=[parse_url(one.url) for one in got.held])
    done = clone(tmp_path, config, f"{BASE}outer", "--branch", "v1.0", "--depth", "1", "--recurse-submodules")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "clone/b").read_text() == "1" and (tmp_path / "clone/deep/inner/a").read_text() == "1"

    # A second time without a network, from the cache.
    again = obtain_dependencies(wanted, servers(tmp_path, (), offline=True), tmp_path / "again")
    assert again.missing == ("outer",), "a name that nobody but the mirror knew is not trusted offline"
    again = obtain_dependencies(wanted, servers(tmp_path, (mirror(tmp_path),), offline=True), tmp_path / "again")
    assert [one.commit for one in again.held] == [one.commit for one in got.held]


def test_a_dead_mirror_is_asked_once_and_the_next_of_its_set_serves(
    tmp_path: Path, repository: Callable, server: Server
) -> None:
    heads = {name: repository(name).commit({"a": name}) for name in ("one", "two")}
    mirrors = in_order("near", [(BASE, "http://127.0.0.1:9/"), (BASE, f"{server.url}/")], None)
    assert [one.name for one in mirrors] == ["near-1", "near-2"]
    lines: list[str] = []
    wanted = [Wanted(name, f"{BASE}{name}/.git", commit, True) for name, commit in heads.items()]
    got = obtain_dependencies(
        wanted, Servers(**{**vars(servers(tmp_path, mirrors)), "log": lines.append}), tmp_path / "s"
    )
    assert [(one.commit, one.served_by) for one in got.held] == [(head, "near-2") for head in heads.values()]
    assert sum("asking near-1" in line for line in lines) == 1


def test_what_cannot_be_had_is_a_note_and_goes_through_the_mirror(tmp_path: Path, repository: Callable) -> None:
    repository("there").commit({"a": "1"})
    wanted = [Wanted("gone", f"{BASE}gone", "v1", True), Wanted("odd", "ext::sh -c id", "v1", True)]
    got = obtain_dependencies(wanted, servers(tmp_path, (mirror(tmp_path),)), tmp_path / "served")
    assert got.missing == ("gone", "odd") and len(got.notes) == 2
    config = tmp_path / "gitconfig"
    write_config(config, served=tmp_path / "served", held=[], mirror=mirror(tmp_path))
    done = clone(tmp_path, config, f"{BASE}there")
    assert done.returncode == 0, done.stderr


def test_with_nothing_else_what_is_not_held_fails_at_once(tmp_path: Path, repository: Callable) -> None:
    repository("a b").commit({"a": "1"})
    url = f"{BASE}a%20b"
    near = Mirror("near", ((url, (tmp_path / "upstream/a b").as_uri()),))
    got = obtain_dependencies([Wanted("a b", url, "main", False)], servers(tmp_path, (near,)), tmp_path / "served")
    assert not got.missing, got.notes
    config = tmp_path / "gitconfig"
    write_config(config, served=tmp_path / "served", held=[parse_url(url)], nothing_else=True)
    done = clone(tmp_path, config, f"{BASE}other")
    assert done.returncode and "other" in done.stderr and "Could not resolve" not in done.stderr
    assert clone(tmp_path, config, url).returncode == 0
