"""What CMake cloned or unpacked for the build (FetchContent's ``_deps/NAME-src``), and what of it a person changed.

How each tree stood once CMake had configured, so with what a PATCH_COMMAND made of it, is kept in the workspace: what
differs from that was changed by hand. A tree of which that is not known, for a kill came before it was written down, is
believed when git calls it clean, and is fetched again when not.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.build.journal import Json
from trtllm_builder.build.run import Run
from trtllm_builder.build.workspace import Workspace
from trtllm_builder.errors import ProfileError
from trtllm_builder.source.digest import file_digest
from trtllm_builder.source.edits import GONE
from trtllm_builder.source.failures import os_errors
from trtllm_builder.source.git import Git, find_git
from trtllm_builder.source.sync import Item, Items, survey
from trtllm_builder.text import clean

_SCHEMA = 1
# Python leaves them wherever it runs, and some of upstream's CMake files run setup.py in such a tree.
_PRODUCTS = re.compile(r"(?:.*/)?(?:__pycache__|[^/]*\.egg-info)/.*|.*\.py[co]")
# What CMake knows of a tree that it populated, in a build of its own and without one (CMake 3.30, CMP0168).
_KNOWN_BY_CMAKE = ("_deps/{}-subbuild", "_deps/{}-tmp", "CMakeFiles/fc-stamp/{}", "CMakeFiles/fc-tmp/{}")


@dataclass(frozen=True)
class _Standing:
    """The commit that is checked out, empty where there is no git, and a digest of what CMake was told to fetch."""

    commit: str
    declared: str


@dataclass(frozen=True)
class _Tree:
    standing: _Standing
    items: Items


def populated_edits(workspace: Workspace, environ: Mapping[str, str]) -> dict[str, str]:
    """Files, relative to the workspace, that were changed, added or taken away since CMake put them there, with the
    sha256 of what they hold now; a tree in which something else was checked out, with that commit.

    Raises SourceError, or HostError when git is missing.
    """
    noted = _read(workspace)
    trees = [path for path in _trees(workspace) if path.name in noted]
    if not trees:
        return {}
    git, found = find_git(environ), {}
    fetched = workspace.journal.last_end("fetch")
    known = _commits(fetched["result"]) if fetched else set()
    for path in trees:
        before, now = noted[path.name], _standing(git, path)
        place = str(path.relative_to(workspace.root))
        if _is_of_a_person(before, now, known):
            found[place] = f"commit {now.commit}"
        elif now == before.standing:
            with os_errors(f"looking for changes in {path}"):
                items = survey(path, before.items, exclude=frozenset()).items
            found.update({f"{place}/{name}": held for name, held in _differing(before.items, items).items()})
    return {name: found[name] for name in sorted(found)}


def distrust_populated(run: Run) -> None:
    """Take away, before CMake is run, what a kill may have left half-fetched or half-patched."""
    workspace, noted = run.workspace, _read(run.workspace)
    git, known = find_git(run.material.request.environ), _commits(run.results["fetch"])
    held = {}
    for path in _trees(workspace):
        before, now = noted.get(path.name), _standing(git, path)
        if before is not None and (now == before.standing or _is_of_a_person(before, now, known)):
            held[path.name] = before
        elif not _is_pristine(git, path):
            told = clean(path.name.removesuffix("-src"))
            run.observer.note(f"{told} is fetched again: a build was ended before it was known how CMake had left it")
            _forget(workspace, path)
    if held.keys() != noted.keys():
        _write(workspace, held)


def note_populated(run: Run, *, configured: bool = False) -> None:
    """Write down how trees stand that CMake populated since this was called last; with ``configured``, which is just
    after it came to its end, those that were there too: it gives every PATCH_COMMAND again.

    Raises ProfileError for a commit that the lock does not have.
    """
    workspace, noted = run.workspace, _read(run.workspace)
    git, known = find_git(run.material.request.environ), _commits(run.results["fetch"])
    fresh = {}
    for path in _trees(workspace):
        before, now = noted.get(path.name), _standing(git, path)
        if before is not None and _is_of_a_person(before, now, known):
            continue
        if before is not None and now == before.standing:
            if not configured:
                continue
        else:
            _check_commit(run, path, now, known)
        known_items = before.items if before else {}
        with os_errors(f"looking at {path}"):
            items = dict(survey(path, known_items, exclude=frozenset()).items)
        # An edit stays one when CMake works around it.
        place = str(path.relative_to(workspace.root))
        for name in [name for name in {**items, **known_items} if f"{place}/{name}" in run.edits]:
            items.pop(name, None)
            if name in known_items:
                items[name] = known_items[name]
        if before is None or now != before.standing or _differing(known_items, items):
            fresh[path.name] = _Tree(now, items)
    if fresh:
        _write(workspace, {**noted, **fresh})


def _check_commit(run: Run, path: Path, now: _Standing, known: set[str]) -> None:
    if not now.commit or now.commit in known:
        return
    told = f"{clean(path.name.removesuffix('-src'))} at {now.commit}"
    if run.material.request.locked is not None:
        raise ProfileError(
            f"this is not what was locked: CMake cloned {told}, which the lock does not have",
            remedy="make a new lock: trtllm-build lock --profile NAME -o FILE",
        )
    run.observer.note(f"CMake cloned {told}, which is not in the lock")


def _trees(workspace: Workspace) -> list[Path]:
    return sorted(path for path in workspace.build.glob("_deps/*-src") if path.is_dir() and not path.is_symlink())


def _commits(fetched: Json) -> set[str]:
    return {one["commit"] for one in fetched.get("dependencies", ())}


def _standing(git: Git, path: Path) -> _Standing:
    commit = ""
    if (path / ".git").exists():
        commit = git.run("rev-parse", "--verify", "--quiet", "HEAD", directory=path).stdout.strip()
    declared = path.with_name(f"{path.name.removesuffix('-src')}-subbuild") / "CMakeLists.txt"
    return _Standing(commit, file_digest(declared) if declared.is_file() else "")


def _is_of_a_person(before: _Tree, now: _Standing, known: set[str]) -> bool:
    """Whether a commit was made or checked out there that no build asks for."""
    return bool(before.standing.commit and now.commit) and now.commit not in (before.standing.commit, *known)


def _is_pristine(git: Git, path: Path) -> bool:
    if not (path / ".git").exists():
        return False
    done = git.run("status", "--porcelain", "--ignore-submodules=none", directory=path)
    return done.ok and not done.stdout.strip()


def _forget(workspace: Workspace, path: Path) -> None:
    name = path.name.removesuffix("-src")
    for pattern in _KNOWN_BY_CMAKE:
        shutil.rmtree(workspace.build / pattern.format(name), ignore_errors=True)
    shutil.rmtree(path)


def _differing(before: Items, now: Items) -> dict[str, str]:
    names = (name for name in {**before, **now} if not _PRODUCTS.fullmatch(name))
    return {name: _content(now.get(name)) for name in names if _content(before.get(name)) != _content(now.get(name))}


def _content(item: Item | None) -> str:
    if item is None or item.kind == "directory":
        return GONE
    return f"link to {item.content}" if item.kind == "link" else item.content


def _read(workspace: Workspace) -> dict[str, _Tree]:
    """Nothing where there is no such file that we could have written."""
    try:
        loaded = json.loads(workspace.populated.read_text())
        if loaded["schema"] != _SCHEMA:
            return {}
        return {
            name: _Tree(_Standing(*one["standing"]), {path: Item.from_json(row) for path, row in one["items"].items()})
            for name, one in loaded["trees"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _write(workspace: Workspace, trees: Mapping[str, _Tree]) -> None:
    fresh = workspace.populated.with_name(f".{workspace.populated.name}.new")
    with fresh.open("w") as stream:
        rows = {
            name: {
                "standing": [one.standing.commit, one.standing.declared],
                "items": {path: item.to_json() for path, item in one.items.items()},
            }
            for name, one in trees.items()
        }
        json.dump({"schema": _SCHEMA, "trees": rows}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(workspace.populated)
