"""The git side of a directory source: which commit it and its submodules are at, and repositories of ours that say so.

The user's own .git is neither copied nor written: it may hold hooks, filters and programs in its configuration.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.source.git import Git
from trtllm_builder.source.refs import is_commit
from trtllm_builder.text import clean


@dataclass(frozen=True)
class Head:
    """``commit`` is empty when there is none yet; ``common`` is git's directory that holds objects and refs."""

    commit: str
    common: str


def read_heads(source: Path, directories: Iterable[str], git: Git) -> dict[str, Head]:
    """Each of ``directories`` (relative, "" is the source itself) that is a git work tree."""
    heads = {}
    for directory in directories:
        git_dir = source / directory / ".git"
        if not os.path.lexists(git_dir):
            continue
        words = ("--git-dir", str(git_dir), "rev-parse", "--path-format=absolute", "--git-common-dir", "HEAD^{commit}")
        lines = git.run(*words, timeout=60).stdout.splitlines()
        if lines and Path(lines[0]).is_dir():
            heads[directory] = Head(next((line for line in lines[1:] if is_commit(line)), ""), lines[0])
    return heads


def give_repositories(heads: Mapping[str, Head], target: Path, git: Git) -> tuple[str, ...]:
    """A repository of ours in each directory, at the same commit; returns notes about those that cannot be had whole.

    Objects are borrowed from the source (objects/info/alternates, gitrepository-layout(5)). Raises OSError.
    """
    notes = []
    for directory, head in heads.items():
        place = target / directory / ".git"
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
        git.run("init", "--quiet", "--template=", directory=place.parent)
        (place / "objects" / "info").mkdir(parents=True, exist_ok=True)
        (place / "objects" / "info" / "alternates").write_text(f"{head.common}/objects\n")
        if (Path(head.common) / "shallow").is_file():
            shutil.copyfile(Path(head.common) / "shallow", place / "shallow")
        steps = (("update-ref", "--no-deref", "HEAD", head.commit), ("read-tree", "HEAD")) if head.commit else ()
        if not all(git.run(*words, directory=place.parent).ok for words in steps):
            notes.append(
                f"the git objects of {clean(directory) or 'the source'} are incomplete; its history is not usable"
            )
    return tuple(notes)


def mismatch(source: Path, head: Head | None, ref: str | None, commit: str | None, git: Git) -> tuple[str, ...]:
    """Notes on how the directory differs from what the profile names."""
    if head is None:
        return (f"{source} is no git work tree: only its digest says what it is",)
    at = head.commit[:12] or "no commit"
    if commit:
        return () if head.commit == commit else (f"{source} is at {at}, not at the profile's commit {commit[:12]}",)
    if not ref or not head.commit or head.commit == ref:
        return ()
    for name in (f"refs/tags/{ref}", f"refs/heads/{ref}", f"refs/remotes/origin/{ref}"):
        words = ("--git-dir", str(source / ".git"), "rev-parse", "--verify", "--quiet", "--end-of-options")
        if git.run(*words, f"{name}^{{commit}}", timeout=60).stdout.strip() == head.commit:
            return ()
    return (f"{source} is at {at}, which is not {clean(ref)} there",)
