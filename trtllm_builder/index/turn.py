"""One publisher at a time: an flock(2) on a file of the index.

The file is opened for writing, so that NFS takes part: since Linux 2.6.12 its client makes of flock a lock of all bytes
that the server keeps, for all machines (nfs(5), local_lock=none, which is the default). Where a file system has no
locks at all nothing is published, since nothing would keep two machines apart.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trtllm_builder.errors import PublishError

_LOOK = 0.05  # seconds between two tries
_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


@contextmanager
def my_turn(path: Path, *, patience: float, waiting: Callable[[], None]) -> Iterator[None]:
    """Inside, nobody else holds ``path``. ``waiting`` is called once when somebody does; ``patience`` is in seconds.

    Raises PublishError when it takes longer, or where there are no locks; OSError.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        _wait(descriptor, path, patience, waiting)
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int, path: Path, patience: float, waiting: Callable[[], None]) -> None:
    end = time.monotonic() + patience
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise PublishError(
                    f"somebody else has been publishing into {path.parent} for {patience:.0f} s",
                    remedy=f"try again later; `fuser {path}` names the process",
                ) from None
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            raise PublishError(
                f"the file system of {path.parent} has no locks, so two publishers could not be kept apart",
                remedy="publish on the machine that has the disk, or mount NFS without nolock",
            ) from error
        if not told:
            told = True
            waiting()
        time.sleep(_LOOK)
