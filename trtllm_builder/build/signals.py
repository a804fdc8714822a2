"""Ctrl-C, SIGTERM and a closed terminal become one exception, so that every ``finally`` on the way out runs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from trtllm_builder.errors import Interrupted

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, the first of these signals raises Interrupted in the main thread; later ones wait for the clean-up. A
    closed terminal is nothing to a build that was started with nohup."""

    def handle(number: int, _frame: FrameType | None) -> None:
        for each in _NUMBERS:
            signal.signal(each, signal.SIG_IGN)
        name = signal.Signals(number).name
        raise Interrupted(f"stopped by {name}", signal=number, remedy="the same command goes on where this run stopped")

    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    heard = [number for number in _NUMBERS if number != signal.SIGHUP or not nohup]
    before = {number: signal.signal(number, handle) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
