"""The canary: a small upstream of our own, with upstream's command line and upstream's traps (tree/README.md)."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from trtllm_builder.errors import SourceError
from trtllm_builder.process import run

TREE = Path(__file__).resolve().parent / "tree"
BRANCH = "canary"

# Names that git would read for itself if our own repository, or a package builder, met them inside it.
_RENAMED = {"gitignore": ".gitignore", "gitmodules": ".gitmodules", "gitattributes": ".gitattributes"}
_EXECUTABLE = frozenset({"scripts/build_wheel.py"})
_WHEN = "2026-01-01T00:00:00 +0000"
_WHO = "trtllm-builder"
_MAIL = "canary@trtllm-builder.invalid"


def materialise(destination: Path) -> str:
    """Write the canary as a git repository with one commit on the branch ``canary``; returns the commit id.

    The id depends on the tree alone: not on the machine, the user's git configuration, the umask or the time. A
    ``destination`` that already holds this commit is left as it is. Raises SourceError when it holds anything else,
    or when git is missing or fails.
    """
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{destination.name}-", dir=destination.parent) as scratch:
            fresh = Path(scratch) / "canary"
            write_tree(fresh)
            commit = _commit(fresh)
            if _put(fresh, destination):
                return commit
    except OSError as error:
        raise SourceError(f"The canary could not be written to {destination}: {error.strerror}.") from error
    if not destination.is_dir() or _git(destination, "rev-parse", "--verify", "--quiet", "HEAD", check=False) != commit:
        raise SourceError(
            f"{destination} exists and is not the canary of this version ({commit[:12]}).",
            remedy="Remove it, or name another directory.",
        )
    return commit


def _put(fresh: Path, destination: Path) -> bool:
    """Takes the place of nothing or of an empty directory, in one step; False when something else is there."""
    try:
        fresh.rename(destination)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            return False
        raise
    return True


def digest() -> str:
    """SHA-256 of the tree's paths and contents: what changes when the canary does. Needs no git and writes nothing."""
    total = hashlib.sha256()
    for relative in _files():
        data = (TREE / relative).read_bytes()
        total.update(f"{relative}\0{len(data)}\0".encode() + data)
    return total.hexdigest()


def _files() -> list[Path]:
    # An installer may have compiled the tree's Python files where it put them.
    found = (path.relative_to(TREE) for path in TREE.rglob("*") if path.is_file())
    return sorted(path for path in found if "__pycache__" not in path.parts)


def write_tree(target: Path) -> None:
    """The files alone, for reading them where there is no git."""
    for relative in _files():
        copy = target / relative.with_name(_RENAMED.get(relative.name, relative.name))
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(TREE / relative, copy)
        copy.chmod(0o755 if relative.as_posix() in _EXECUTABLE else 0o644)


def _commit(repository: Path) -> str:
    _git(repository, "init", "--quiet", "--template=", "--object-format=sha1", f"--initial-branch={BRANCH}")
    _git(repository, "config", "core.fileMode", "true")
    _git(repository, "add", "--all", "--force")
    _git(repository, "commit", "--quiet", "--no-gpg-sign", "--message=The canary")
    return _git(repository, "rev-parse", "HEAD")


def _git(repository: Path, *words: str, check: bool = True) -> str:
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.devnull,
        "LC_ALL": "C",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(repository.parent),
        "GIT_AUTHOR_NAME": _WHO,
        "GIT_AUTHOR_EMAIL": _MAIL,
        "GIT_AUTHOR_DATE": _WHEN,
        "GIT_COMMITTER_NAME": _WHO,
        "GIT_COMMITTER_EMAIL": _MAIL,
        "GIT_COMMITTER_DATE": _WHEN,
    }
    try:
        done = run(["git", *words], env=environment, cwd=repository)
    except FileNotFoundError as error:
        raise SourceError("git is needed to write the canary and was not found.", remedy="Install git.") from error
    if check and not done.ok:
        raise SourceError(f"The canary could not be written: git {words[0]}: {done.last_line}")
    return done.stdout.strip()
