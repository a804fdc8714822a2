"""A work tree from the cache, and what of it was changed since."""

from __future__ import annotations

from pathlib import Path

from trtllm_builder.source.cache import Cache
from trtllm_builder.source.failures import classify, os_errors
from trtllm_builder.source.git import Git


def check_out(cache: Cache, commit: str, directory: Path, *, timeout: float) -> None:
    """A repository of its own at ``directory`` (new or empty) with ``commit`` checked out, HEAD detached.

    Raises TransportError; what is there then is worthless.
    """
    git, lock = cache.git, cache.lock
    doing = f"checking out {commit[:12]} to {directory}"
    with os_errors(doing):
        directory.mkdir(parents=True, exist_ok=True)
        made = git.run("init", "--quiet", "--template=", directory=directory)
        if not made.ok:
            raise classify(made, doing)
        cache.lend_objects(directory / ".git")
    for words in (("update-ref", "--no-deref", "HEAD", commit), ("reset", "--quiet", "--hard")):
        done = git.run(*words, directory=directory, timeout=timeout, lock=lock)
        if not done.ok:
            raise classify(done, doing)


def changed_files(git: Git, directory: Path, commit: str = "HEAD") -> tuple[str, ...]:
    """Tracked files of this one repository that differ from ``commit``, with those that are gone.

    Raises TransportError.
    """
    words = ("diff", "--name-only", "--no-ext-diff", "--no-textconv", "--no-renames", "--ignore-submodules=all")
    done = git.run(*words, commit, "--", directory=directory)
    if not done.ok:
        raise classify(done, f"looking for changes in {directory}")
    return tuple(line for line in done.stdout.splitlines() if line)
