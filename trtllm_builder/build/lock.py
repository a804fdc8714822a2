"""The lock of a workspace: an flock(2) on a file whose descriptor the build inherits, and who took it.

Where the file system has no such locks (some network and user-space ones), a file in the user's state directory stands
in for it: it then keeps apart the runs of one user on one machine.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from pathlib import Path

from trtllm_builder.data import state_dir
from trtllm_builder.process import end_group, is_alive, read_stat

_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


def open_and_take(path: Path) -> tuple[int, bool]:
    """A descriptor of the lock file, or of what stands in for it, and whether the lock is ours now. Raises OSError."""
    while True:
        descriptor = _open(path)
        try:
            taken = take(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno not in _UNSUPPORTED:
                raise
            break
        if not taken or os.fstat(descriptor).st_nlink:
            return descriptor, taken
        # gc cleared the workspace away between the two.
        os.close(descriptor)
    elsewhere = state_dir() / "locks" / hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
    elsewhere.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _open(elsewhere)
    return descriptor, take(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def take(descriptor: int) -> bool:
    """Whether the lock is ours now. Raises OSError where there are no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def note_owner(path: Path) -> None:
    """Write down that this process holds the workspace."""
    stat = read_stat(os.getpid())
    path.write_text(f"{os.getpid()} {stat.start if stat else 0}\n")


def owner_of(path: Path) -> int | None:
    """Who took the lock last, living or not."""
    owner = _owner(path)
    return owner[0] if owner else None


def is_owner_alive(path: Path) -> bool:
    """Whether the process that took the lock last still lives, and is not a later one of the same number."""
    owner = _owner(path)
    return owner is not None and is_alive(*owner)


def _owner(path: Path) -> tuple[int, int] | None:
    try:
        pid, start = map(int, path.read_text().split())
    except (OSError, ValueError):
        return None
    return pid, start


def end_holders(descriptor: int, owner: Path) -> None:
    """End the sessions of processes that hold the lock and inherited it: their supervisor died before it could write
    down that it had started them."""
    for pid, inherited in holders(descriptor).items():
        stat = read_stat(pid)
        if stat is not None and inherited and pid != os.getpid() and not is_owner_alive(owner):
            end_group(stat.session)


def holders(descriptor: int) -> dict[int, bool]:
    """The processes of this machine that hold the lock, as far as we may see; True for who inherited it.

    Whoever took the lock for himself has it under close-on-exec; whoever only waits for it does not hold it
    (/proc/PID/fdinfo, proc(5)).
    """
    target = os.fstat(descriptor)
    found = {}
    for entry in Path("/proc").iterdir():
        inherited = _inherited(entry, target) if entry.name.isdigit() else None
        if inherited is not None:
            found[int(entry.name)] = inherited
    return found


def _inherited(process: Path, target: os.stat_result) -> bool | None:
    """None when it does not hold the lock at all."""
    try:
        for handle in (process / "fd").iterdir():
            status = handle.stat()
            if (status.st_dev, status.st_ino) == (target.st_dev, target.st_ino):
                info = (process / "fdinfo" / handle.name).read_text()
                flags = next(int(line.split()[1], 8) for line in info.splitlines() if line.startswith("flags:"))
                if "FLOCK" in info:
                    return not flags & os.O_CLOEXEC
    except (OSError, StopIteration, ValueError):
        return None
    return None
