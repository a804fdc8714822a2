"""The canary: a small upstream of our own, with upstream's command line and upstream's traps (tree/README.md)."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from trtllm_builder.canary.generated import kernel_files
from trtllm_builder.errors import SourceError
from trtllm_builder.process import run

TREE = Path(__file__).resolve().parent / "tree"
PARTS = Path(__file__).resolve().parent / "parts"
"""What upstream keeps in repositories of their own: a submodule and a library that CMake fetches."""
BRANCH = "canary"
BASE = "https://canary.invalid/"
"""Where the canary and its parts say that they come from. Nobody answers there: :func:`serve` stands in for it."""

# Names that git would read for itself if our own repository, or a package builder, met them inside it.
_RENAMED = {"gitignore": ".gitignore", "gitmodules": ".gitmodules", "gitattributes": ".gitattributes"}
_EXECUTABLE = frozenset({"scripts/build_wheel.py"})
_TAG = "v1.0"
_WHEN = "2026-01-01T00:00:00 +0000"
_WHO = "trtllm-builder"
_MAIL = "canary@trtllm-builder.invalid"


def url(size: int = 0) -> str:
    """Where the canary with ``size`` generated kernel files says that it comes from."""
    return f"{BASE}canary{f'-{size}' if size else ''}.git"


def builtin(address: str) -> str:
    """What a profile calls one of our own URLs; any other as it is."""
    return f"builtin:{address.removeprefix(BASE).removesuffix('.git')}" if address.startswith(BASE) else address


def serve(directory: Path, size: int = 0) -> str:
    """Makes ``directory`` a stand-in for BASE: the canary and its parts as repositories; returns the canary's commit.

    What was there is replaced. Raises SourceError as ``materialise`` does.
    """
    try:
        shutil.rmtree(directory, ignore_errors=True)
        for name in _part_names():
            part = directory / f"{name}.git"
            shutil.copytree(PARTS / name, part, ignore=shutil.ignore_patterns("__pycache__"))
            _open_modes(part)
            _commit(part, f"The canary's {name}")
            _git(part, "tag", _TAG)
    except OSError as error:
        raise SourceError(f"The canary could not be written to {directory}: {error.strerror}.") from error
    return materialise(directory / url(size).removeprefix(BASE), size)


def git_config(directory: Path) -> str:
    """git configuration that leads from BASE to a ``directory`` that ``serve`` made."""
    return f'[url "{directory.as_uri()}/"]\n\tinsteadOf = {BASE}\n'


def materialise(destination: Path, size: int = 0) -> str:
    """Write the canary as a git repository with one commit on the branch ``canary``; returns the commit id.

    Its submodule is filled and its file in LFS has its content, as after a clone that left nothing out.

    ``size`` kernel files are generated into it. The id depends on the tree alone: not on the machine, the user's git
    configuration, the umask or the time. A ``destination`` that already holds this commit is left as it is. Raises
    SourceError when it holds anything else, or when git is missing or fails.
    """
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{destination.name}-", dir=destination.parent) as scratch:
            fresh = Path(scratch) / "canary"
            write_tree(fresh, size)
            for path, part in _submodules().items():
                _commit(fresh / path, f"The canary's {part}")
            commit = _commit(fresh, "The canary", lfs_files())
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
    for root in (TREE, PARTS):
        for relative in _files(root):
            data = (root / relative).read_bytes()
            total.update(f"{relative}\0{len(data)}\0".encode() + data)
    return total.hexdigest()


def _files(root: Path) -> list[Path]:
    # An installer may have compiled the tree's Python files where it put them.
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(path for path in found if "__pycache__" not in path.parts)


def _part_names() -> list[str]:
    return sorted(path.name for path in PARTS.iterdir() if path.is_dir())


def _submodules() -> dict[str, str]:
    """Path to the name of the part that lies there, from the tree's own gitmodules."""
    try:
        text = (TREE / "gitmodules").read_text()
    except FileNotFoundError:
        return {}
    values = [line.partition("=")[2].strip() for line in text.splitlines() if "=" in line]
    return {
        path: url.removeprefix(BASE).removesuffix(".git") for path, url in zip(values[::2], values[1::2], strict=True)
    }


def lfs_files() -> tuple[str, ...]:
    """Files that the commit has as pointers only, from the tree's own gitattributes."""
    try:
        text = (TREE / "gitattributes").read_text()
    except FileNotFoundError:
        return ()
    return tuple(line.split()[0] for line in text.splitlines() if "filter=lfs" in line)


def write_tree(target: Path, size: int = 0) -> None:
    """The files alone, submodule and LFS content included, for reading them where there is no git."""
    for relative in _files(TREE):
        copy = target / relative.with_name(_RENAMED.get(relative.name, relative.name))
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(TREE / relative, copy)
        copy.chmod(0o755 if relative.as_posix() in _EXECUTABLE else 0o644)
    if size:
        # Another source is another version: two wheels of one name must not differ.
        version = target / "tensorrt_llm/version.py"
        version.write_text(version.read_text().replace("+canary", f"+canary.size{size}"))
    for name, text in kernel_files(size).items():
        (target / name).parent.mkdir(exist_ok=True)
        (target / name).write_text(text)
        (target / name).chmod(0o644)
    for path, part in _submodules().items():
        shutil.copytree(PARTS / part, target / path, ignore=shutil.ignore_patterns("__pycache__"))
        _open_modes(target / path)


def _open_modes(directory: Path) -> None:
    for path in directory.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _commit(repository: Path, message: str, lfs: tuple[str, ...] = ()) -> str:
    _git(repository, "init", "--quiet", "--template=", "--object-format=sha1", f"--initial-branch={BRANCH}")
    _git(repository, "config", "core.fileMode", "true")
    _git(repository, "add", "--all", "--force")
    for path in lfs:
        _keep_in_lfs(repository, path)
    _git(repository, "commit", "--quiet", "--no-gpg-sign", f"--message={message}")
    return _git(repository, "rev-parse", "HEAD")


def _keep_in_lfs(repository: Path, path: str) -> None:
    """What ``git lfs`` would do: a pointer in the commit, the content in the repository's store and in the tree."""
    data = (repository / path).read_bytes()
    oid = hashlib.sha256(data).hexdigest()
    store = repository / ".git" / "lfs" / "objects" / oid[:2] / oid[2:4] / oid
    store.parent.mkdir(parents=True)
    store.write_bytes(data)
    pointer = repository / ".git" / "pointer"
    pointer.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(data)}\n")
    blob = _git(repository, "hash-object", "-w", "--no-filters", str(pointer))
    pointer.unlink()
    _git(repository, "update-index", "--cacheinfo", f"100644,{blob},{path}")
    # Without git-lfs, git would call the content a change of the pointer.
    _git(repository, "update-index", "--assume-unchanged", path)


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
