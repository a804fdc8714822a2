"""The shared bare cache of one repository: commits come in by the network once and leave as hard links.

Refs are only ever added (``refs/pins/<commit>``, written by git after it checked that all of the commit is there), and
nothing is ever pruned, so no workspace can lose what another one dropped.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.source.failures import TransportError, classify, missing_commit, os_errors
from trtllm_builder.source.git import Git, words_for_fetch
from trtllm_builder.source.lock import locked
from trtllm_builder.source.model import Log
from trtllm_builder.source.refs import is_commit
from trtllm_builder.source.urls import Url
from trtllm_builder.source.watch import watched

_ALL_HISTORY = 2**31 - 1  # git's own word for "everything" (--unshallow)


@dataclass(frozen=True)
class Cache:
    """``path`` is a bare repository; whoever holds one of these holds its lock (``lock`` is the descriptor)."""

    path: Path
    git: Git
    lock: int
    log: Log

    def has(self, commit: str) -> bool:
        """Whether the whole commit is here; costs one small read."""
        try:
            return (self.path / "refs" / "pins" / commit).read_text() == f"{commit}\n"
        except OSError:
            return False

    def fetch(self, commit: str, name: str | None, url: Url, *, timeout: float) -> None:
        """Brings ``commit`` in, without history; ``name`` is its ref on servers that give no commit by id.

        Raises TransportError.
        """
        doing = f"fetching {commit[:12]} from {url.shown}"
        self._sweep()
        said = self._fetch(1, url, f"+{commit}:refs/pins/{commit}", timeout)
        if said and said.kind == "no-sha-fetch" and name:
            for depth in (1, _ALL_HISTORY):
                said = self._fetch(depth, url, f"+{name}:refs/lent/{_digest(name)}", timeout)
                if said:
                    raise said
                if self.git.run("cat-file", "-e", f"{commit}^{{commit}}", directory=self.path, lock=self.lock).ok:
                    break
            else:
                raise missing_commit(commit, f"{name} of {url.shown}")
            done = self.git.run("update-ref", f"refs/pins/{commit}", commit, directory=self.path, lock=self.lock)
            said = None if done.ok else classify(done, doing)
        if said:
            raise missing_commit(commit, url.shown) if said.kind == "missing-commit" else said

    def _fetch(self, depth: int, url: Url, refspec: str, timeout: float) -> TransportError | None:
        words = words_for_fetch(depth, url, [refspec])
        # git writes a pack under this name while it arrives.
        with watched(self.path / "objects" / "pack", "tmp_pack_*", f"fetching from {url.shown}", self.log):
            done = self.git.run(*words, directory=self.path, url=url, timeout=timeout, lock=self.lock)
        doing = f"fetching {refspec.partition(':')[0].lstrip('+')} from {url.shown}"
        return None if done.ok else classify(done, doing, secret=bool(url.secret))

    def remember(self, server: str, ref: str, commit: str) -> None:
        """Keeps what ``ref`` was on ``server``, for work without a network."""
        seen = self.path / "seen" / _digest(f"{server} {ref}")
        seen.parent.mkdir(exist_ok=True)
        fresh = seen.with_suffix(".new")
        fresh.write_text(f"{commit}\n")
        fresh.replace(seen)

    def recall(self, server: str, ref: str) -> str | None:
        """The commit that ``ref`` last was on ``server``, or None."""
        try:
            commit = (self.path / "seen" / _digest(f"{server} {ref}")).read_text().strip()
        except (OSError, ValueError):
            return None
        return commit if is_commit(commit) else None

    def lend_objects(self, git_dir: Path) -> None:
        """Gives a repository all objects of ours by hard links, or copies on another file system. May raise OSError.

        Packs never change once written, so neither side can harm the other, and either may be deleted.
        """
        target = git_dir / "objects" / "pack"
        target.mkdir(parents=True, exist_ok=True)
        for pack in sorted((self.path / "objects" / "pack").glob("pack-*")):
            if pack.suffix in (".pack", ".idx", ".rev"):
                _link_or_copy(pack, target / pack.name)
        shallow = self.path / "shallow"
        if shallow.is_file():
            shutil.copyfile(shallow, git_dir / "shallow")

    def renew(self) -> None:
        """Replaces the repository, found to be damaged, by an empty one."""
        _make(self.path, self.git)

    def _sweep(self) -> None:
        """Clears what a killed git left: as we hold the lock, and git would too, no git is at work here."""
        for pattern in (
            "*.lock",
            "refs/**/*.lock",
            "objects/info/*.lock",
            "objects/pack/tmp_*",
            "objects/pack/.tmp-*",
            "objects/tmp_*",
        ):
            for left in self.path.glob(pattern):
                if left.is_file():
                    left.unlink(missing_ok=True)


@contextmanager
def open_cache(root: Path, url: Url, git: Git, *, end: float, log: Log) -> Iterator[Cache]:
    """The cache of ``url`` under ``root``, made when absent, for as long as the block runs and nobody else in it."""
    path = root / "git" / url.cache_name
    with os_errors(f"opening the source cache {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(f"{path.name}.lock"), end=end, log=log) as lock:
        if not (path / "HEAD").is_file():
            _make(path, git)
        yield Cache(path, git, lock, log)


def _make(path: Path, git: Git) -> None:
    with os_errors(f"making the source cache {path}"):
        for left in path.parent.glob(f".{path.name}-*"):
            shutil.rmtree(left, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        done = git.run("init", "--quiet", "--bare", "--template=", str(fresh))
        if not done.ok:
            shutil.rmtree(fresh, ignore_errors=True)
            raise classify(done, f"making the source cache {path}")
        damaged = path.with_name(f".{path.name}-damaged")
        if path.exists():
            path.replace(damaged)
        fresh.replace(path)
        shutil.rmtree(damaged, ignore_errors=True)


def _link_or_copy(source: Path, target: Path) -> None:
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or one without hard links.
        shutil.copyfile(source, target)
        target.chmod(0o444)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
