"""Orphans below us become our children, so that a daemon cannot leave the tree that is being watched."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

from trtllm_builder.errors import HostError

_SET, _GET = 36, 37  # PR_SET_CHILD_SUBREAPER and PR_GET_CHILD_SUBREAPER, prctl(2)


@contextmanager
def adopting() -> Iterator[None]:
    """Inside, this process is a "child subreaper" (prctl(2)). Raises HostError where the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = ctypes.c_int()
    if libc.prctl(_GET, ctypes.byref(before), 0, 0, 0) or libc.prctl(_SET, 1, 0, 0, 0):
        raise HostError(
            f"this system cannot keep a wheel's daemons in sight (prctl: {os.strerror(ctypes.get_errno())})",
            remedy="run it under Linux 3.4 or newer, outside of a sandbox that forbids prctl",
        )
    try:
        yield
    finally:
        libc.prctl(_SET, before.value, 0, 0, 0)
