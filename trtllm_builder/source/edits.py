"""What of a source in a workspace is no longer as it was obtained: by our patches, by hand, by upstream's build."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from trtllm_builder.source.checkout import changed_files
from trtllm_builder.source.digest import file_digest
from trtllm_builder.source.directory import copied_items
from trtllm_builder.source.failures import classify, os_errors
from trtllm_builder.source.git import Git, find_git
from trtllm_builder.source.lfs import parse_pointer
from trtllm_builder.source.records import GitTree, read_record, record_path
from trtllm_builder.source.sync import changed_items

GONE = ""
"""What stands in the place of a digest for a file that is not there any more."""


def tree_identity(destination: Path) -> str:
    """Names the tree as it was obtained: another one as soon as a file of it was put there anew, else the same."""
    try:
        status = record_path(destination).stat()
    except FileNotFoundError:
        return ""
    return f"{status.st_ino}-{status.st_mtime_ns}"


def changed(destination: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Files changed, taken away or added since they were obtained, with the sha256 of what they hold now.

    Files that the tree's own ``.gitignore`` names count only when they came with the source. Empty where nothing was
    obtained. Raises SourceError, or HostError when git is missing.
    """
    record = read_record(destination)
    if record is None or not record["complete"]:
        return {}
    git = find_git(environ)
    with os_errors(f"looking for changes in {destination}"):
        tree = GitTree.from_json(record)
        if tree is not None:
            placed = {one.path: one.oid for one in tree.objects}
            commits = {"": tree.commit, **dict(tree.submodules)}
            present = [base for base in commits if (destination / base / ".git").is_dir()]
            # Not from HEAD: a commit that a person made there is no less an edit.
            names = {
                _below(base, name) for base in present for name in changed_files(git, destination / base, commits[base])
            }
            # Without its repository nothing is known of what lies there.
            names |= {_below(base, ".git") for base in commits if base not in present}
        else:
            items = copied_items(record)
            placed = {}
            present = [path for path, item in items.items() if item.kind == "directory"]
            present = ["", *(path for path in present if (destination / path / ".git").is_dir())]
            names = set(changed_items(destination, items))
        added = {_below(base, name) for base in present for name in _added(git, destination / base)}
        if tree is None:
            added -= set(items)
        found = {name: digest_of(destination / name) for name in names | added}
    return {name: found[name] for name in sorted(found) if found[name] != placed.get(name)}


def uncommitted(destination: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Tracked files of a fresh copy that are not as its commit has them, with the sha256 of what they hold.

    Nothing when it is no git work tree. Raises as ``changed`` does.
    """
    if not (destination / ".git").is_dir():
        return {}
    git = find_git(environ)
    with os_errors(f"looking for changes in {destination}"):
        found = {name: digest_of(destination / name) for name in changed_files(git, destination)}
        return {name: digest for name, digest in found.items() if digest != _in_lfs(git, destination, name)}


def _in_lfs(git: Git, directory: Path, name: str) -> str | None:
    """The sha256 of the content that HEAD has as an LFS pointer: such a file is no change although git calls it one."""
    shown = git.run("show", f"HEAD:{name}", directory=directory)
    pointer = parse_pointer(name, shown.stdout.encode("utf-8", "surrogateescape")) if shown.ok else None
    return pointer.oid if pointer else None


def digest_of(path: Path) -> str:
    """sha256 of a file's content, or of where a link leads; GONE when there is neither. Raises OSError."""
    if path.is_symlink():
        return f"link to {path.readlink()}"
    try:
        return file_digest(path)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return GONE


def _added(git: Git, directory: Path) -> list[str]:
    words = ("-c", "core.quotePath=false", "ls-files", "--others", "--exclude-standard")
    if (directory / ".git").is_dir():
        done = git.run(*words, directory=directory)
    else:
        # A tree without a repository has a .gitignore all the same.
        with tempfile.TemporaryDirectory(prefix="no-repository-") as empty:
            git.run("init", "--quiet", "--template=", "--bare", empty)
            done = git.run(f"--git-dir={empty}", f"--work-tree={directory}", *words, directory=directory)
    if not done.ok:
        raise classify(done, f"looking for new files in {directory}")
    return [name for name in done.stdout.splitlines() if name and not name.endswith("/")]


def _below(base: str, name: str) -> str:
    return os.path.join(base, name)  # noqa: PTH118 - text only
