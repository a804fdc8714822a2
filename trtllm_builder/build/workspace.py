"""The one directory a build lives in: its layout, its lock, and what a dead run may have left running."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.build.journal import Journal
from trtllm_builder.errors import HostError, UsageError
from trtllm_builder.process import end_group, group_members, read_stat

# https://bford.info/cachedir/: backup programs leave such a directory alone, and so does our own clean-up elsewhere.
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Made by trtllm-builder; it can be deleted and is made again.\n"
_ELSEWHERE = "give a new or an empty directory with --workspace"


def tag_cache(directory: Path) -> None:
    """Make ``directory`` and mark it as one that we made and that can be made again."""
    directory.mkdir(parents=True, exist_ok=True)
    tag = directory / "CACHEDIR.TAG"
    if not tag.exists():
        tag.write_text(_TAG)


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
    def smoke(self) -> Path:
        return self.root / "smoke"

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def originals(self) -> Path:
        """Files of the source as they were before we patched them."""
        return self.root / "originals"

    @property
    def journal(self) -> Journal:
        return Journal(self.root / "journal.jsonl")

    def check_ours(self) -> None:
        """Raises UsageError for a directory that is not empty and not a workspace of ours: a build deletes in it."""
        try:
            entries = {entry.name for entry in self.root.iterdir()} - {"lost+found"}
            tag = (self.root / "CACHEDIR.TAG").read_text() if "CACHEDIR.TAG" in entries else ""
        except FileNotFoundError:
            return
        except NotADirectoryError:
            raise UsageError(f"the workspace {self.root} is not a directory", remedy=_ELSEWHERE) from None
        if entries and tag != _TAG:
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
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # The supervisor may be dead while its build tree, which inherits the descriptor, still holds the lock.
                self._end_orphans(owner_must_be_dead=True)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise HostError(
                        f"the workspace {self.root} is in use by process {self._holder()}",
                        remedy="wait for that run, stop it with Ctrl-C, or give another directory with --workspace",
                    ) from None
            self._end_orphans(owner_must_be_dead=False)
            os.ftruncate(descriptor, 0)
            stat = read_stat(os.getpid())
            os.pwrite(descriptor, f"{os.getpid()} {stat.start if stat else 0}\n".encode(), 0)
            yield descriptor
        finally:
            os.close(descriptor)

    def _holder(self) -> str:
        try:
            return (self.root / "lock").read_text().split()[0]
        except (OSError, IndexError):
            return "unknown"

    def _owner_alive(self) -> bool:
        try:
            pid, start = (self.root / "lock").read_text().split()
            stat = read_stat(int(pid))
        except (OSError, ValueError):
            return False
        return stat is not None and stat.start == int(start) and stat.state not in "ZX"

    def _end_orphans(self, *, owner_must_be_dead: bool) -> None:
        """End the process group that the last run recorded, when its members really are that group.

        A group's number can be used again, so the session leader's start time, or, when the leader is gone, the
        members' working directory or lock below this workspace decide.
        """
        if owner_must_be_dead and self._owner_alive():
            return
        last = next((event for event in reversed(self.journal.events()) if event["event"] == "child"), None)
        if last is None:
            return
        group, start = int(last.get("group", 0)), int(last.get("start", 0))
        leader = read_stat(group)
        if leader is not None and leader.start != start:
            return
        if leader is not None or any(self._belongs(pid) for pid in group_members(group)):
            end_group(group)

    def _belongs(self, pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(self.root)
        except OSError:
            return False
