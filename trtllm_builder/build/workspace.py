"""The one directory a build lives in: its layout, its lock, and what a dead run may have left running."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.build.journal import Journal
from trtllm_builder.build.lock import end_holders, is_owner_alive, note_owner, open_and_take, owner_of, take
from trtllm_builder.errors import HostError, UsageError
from trtllm_builder.plan.cmake_file import CMAKE_FILE
from trtllm_builder.process import end_group, group_members, read_stat

# https://bford.info/cachedir/: backup programs leave such a directory alone, and so does our own clean-up elsewhere.
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Made by trtllm-builder; it can be deleted and is made again.\n"
_TAG_FILE = "CACHEDIR.TAG"
# What a fresh file system has at its top.
_LOST_AND_FOUND = "lost+found"
_FRESH_TAG = ".CACHEDIR.TAG.new"
# Beside a file or a tree: what takes its name when it is whole, and where a tree came from (source/records.py).
_BESIDE = re.compile(r"\.(.+?)(?:\.source)?\.(?:new(?:\.[0-9]+)?|partial|json)")
_ELSEWHERE = "give a new or an empty directory with --workspace"


def tag_cache(directory: Path) -> None:
    """Make ``directory`` and mark it as one that we made and that can be made again. A directory that holds anything
    already is somebody's, and stays unmarked."""
    directory.mkdir(parents=True, exist_ok=True)
    if not _entries(directory):
        # Half a tag, left by a kill, would make the directory somebody else's; another build may be at it too.
        fresh = directory / f"{_FRESH_TAG}.{os.getpid()}"
        with fresh.open("w") as stream:
            stream.write(_TAG)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(directory / _TAG_FILE)


def _entries(directory: Path) -> set[str]:
    """What lies there and may be somebody's. Raises OSError."""
    names = {entry.name for entry in directory.iterdir()}
    return {name for name in names if name != _LOST_AND_FOUND and not name.startswith(_FRESH_TAG)}


def is_tagged(directory: Path) -> bool:
    """Whether ``tag_cache`` marked it."""
    tag = directory / _TAG_FILE
    try:
        return not tag.is_symlink() and tag.read_text() == _TAG
    except (OSError, UnicodeDecodeError):
        return False


@dataclass(frozen=True)
class Workspace:
    """Names inside a workspace. Everything a build writes, but for caches and the finished wheel, is in here."""

    root: Path

    @property
    def source(self) -> Path:
        return self.root / "source"

    @property
    def venv(self) -> Path:
        return self.root / "venv"

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    @property
    def build(self) -> Path:
        return self.root / "build"

    @property
    def dist(self) -> Path:
        return self.root / "dist"

    @property
    def normalised(self) -> Path:
        return self.root / "wheel"

    @property
    def reused(self) -> Path:
        """A wheel that an index had already (build/reuse.py)."""
        return self.root / "reused"

    @property
    def smoke(self) -> Path:
        return self.root / "smoke"

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def served(self) -> Path:
        """Repositories that the build clones from here instead of from the network."""
        return self.root / "served"

    @property
    def canary(self) -> Path:
        """Where the canary and its parts are served from."""
        return self.root / "canary"

    @property
    def git_config(self) -> Path:
        """Git's configuration for the build (source/redirect.py)."""
        return self.root / "gitconfig"

    @property
    def cmake_file(self) -> Path:
        """What CMake includes before anything else (plan/cmake_file.py)."""
        return self.root / CMAKE_FILE

    @property
    def gate(self) -> Path:
        """What stands before compilers, and where it asks (gate/launcher.py)."""
        return self.root / "gate"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def originals(self) -> Path:
        """Files of the source as they were before we patched them."""
        return self.root / "originals"

    @property
    def aside(self) -> Path:
        """Files of a checkout that no journal knew, by the run that found them."""
        return self.root / "aside"

    @property
    def configured_with(self) -> Path:
        """Says for which compilers the build directory was configured."""
        return self.root / "configured-with"

    @property
    def populated(self) -> Path:
        """Says how CMake left what it cloned and unpacked (build/populated.py)."""
        return self.root / "populated.json"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def journal_file(self) -> Path:
        return self.root / "journal.jsonl"

    @property
    def journal(self) -> Journal:
        return Journal(self.journal_file)

    def strange(self) -> list[str]:
        """What lies at the top and was made by no build, sorted. Raises OSError."""
        ours = {_TAG_FILE}
        for name, member in vars(Workspace).items():
            value = getattr(self, name) if isinstance(member, property) else None
            if isinstance(value, Path):
                ours.add(value.name)
        found = sorted(path.name for path in self.root.iterdir())
        return [name for name in found if name not in ours and not _is_beside(name, ours)]

    def check_ours(self) -> None:
        """Raises UsageError for a directory that is not empty and not a workspace of ours: a build deletes in it."""
        try:
            entries = _entries(self.root)
        except FileNotFoundError:
            return
        except NotADirectoryError:
            raise UsageError(f"the workspace {self.root} is not a directory", remedy=_ELSEWHERE) from None
        if entries and not is_tagged(self.root):
            raise UsageError(
                f"{self.root} has files in it that no build of ours made, and a workspace is emptied as builds go",
                remedy=f"give a new directory, such as --workspace {self.root / 'trtllm-build'}",
            )

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the workspace and end what a dead run left behind. Yields the lock's descriptor, for children to keep.

        Raises HostError (exit 3) when another run holds it.
        """
        self.check_ours()
        tag_cache(self.root)
        owner = self.lock
        descriptor, taken = open_and_take(owner)
        try:
            if not taken:
                # The supervisor may be dead while its build tree, which inherits the descriptor, still holds the lock.
                if not is_owner_alive(owner):
                    self._end_orphans()
                    end_holders(descriptor, owner)
                if not take(descriptor):
                    raise HostError(
                        f"the workspace {self.root} is in use by process {owner_of(owner) or 'unknown'}",
                        remedy="wait for that run, stop it with `trtllm-build stop`, or give another directory with "
                        "--workspace",
                    )
            self._end_orphans()
            note_owner(owner)
            yield descriptor
        finally:
            os.close(descriptor)

    def _end_orphans(self) -> None:
        """End the session that the last run recorded, when its members really are that session.

        A session's number can be used again, so the leader's start time, or, when the leader is gone, the members'
        working directory below this workspace decide.
        """
        last = next((event for event in reversed(self.journal.events()) if event["event"] == "child"), None)
        if last is None:
            return
        session, start = int(last.get("group", 0)), int(last.get("start", 0))
        leader = read_stat(session)
        if leader is not None and leader.start != start:
            return
        if leader is not None or any(self._belongs(pid) for pid in group_members(session)):
            end_group(session)

    def _belongs(self, pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(self.root)
        except OSError:
            return False


def _is_beside(name: str, ours: set[str]) -> bool:
    found = _BESIDE.fullmatch(name)
    return found is not None and found[1] in ours
