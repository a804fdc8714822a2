"""What each compiler held over its life, read from /proc four times a second."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path

from trtllm_builder.gate.held import unshared

_SOURCE = re.compile(rb"[/\0 ]([\w.-]+)\.cu[\0 ]")
_EVERY = 0.25
_POINTS = 10


class Watch:
    """``ninja`` is the process whose children are the compilers, or what stands before them."""

    def __init__(self, ninja: int) -> None:
        self._ninja = ninja
        self._names: dict[int, str] = {}
        self._seen: dict[str, list[tuple[float, int]]] = {}

    def look_until(self, ended: threading.Event) -> None:
        while not ended.wait(_EVERY):
            self._look(time.monotonic())

    def files(self) -> dict[str, dict[str, object]]:
        """The time from the first byte that a compiler held, so that waiting at the gate does not count."""
        found: dict[str, dict[str, object]] = {}
        for name, points in self._seen.items():
            held = [(at, size) for at, size in points if size > 20 << 20]
            if not held:
                continue
            first, last = held[0][0] - _EVERY / 2, held[-1][0] + _EVERY / 2
            seconds = last - first
            curve = []
            for step in range(1, _POINTS + 1):
                until = first + seconds * step / _POINTS
                curve.append([size for at, size in held if at <= until + 1e-9][-1] if held[0][0] <= until else 0)
            found[name] = {"seconds": round(seconds, 2), "peak": max(size for _, size in held), "curve": curve}
        return found

    def _look(self, now: float) -> None:
        parents: dict[int, list[int]] = {}
        for entry in os.listdir("/proc"):  # noqa: PTH208
            if entry.isdigit():
                try:
                    with open(f"/proc/{entry}/stat", "rb", 0) as stream:  # noqa: PTH123
                        rest = stream.read().rpartition(b")")[2].split()
                except OSError:
                    continue
                if len(rest) > 1:
                    parents.setdefault(int(rest[1]), []).append(int(entry))
        for child in parents.get(self._ninja, []):
            name = self._names.get(child) or self._name(child)
            if not name:
                continue
            self._names[child] = name
            total, line = 0, [child]
            while line:
                one = line.pop()
                total += unshared(one)
                line += parents.get(one, [])
            self._seen.setdefault(name, []).append((now, total))

    def _name(self, pid: int) -> str:
        try:
            match = _SOURCE.search(Path(f"/proc/{pid}/cmdline").read_bytes() + b"\0")
        except OSError:
            return ""
        return match[1].decode() if match else ""
