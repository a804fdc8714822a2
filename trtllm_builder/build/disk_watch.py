"""Whether a build will run out of disk: from what is free, how fast it goes, and how long the build still takes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.build.progress import Progress
from trtllm_builder.errors import HostError
from trtllm_builder.host.disk import probe_disk
from trtllm_builder.units import format_duration, format_size

# So much is kept for the journal, the log and the messages of whatever fails; of a small disk a fiftieth.
_KEPT = 64 * 2**20
_NOTE_WITHIN = 30 * 60.0
_LEAST_SEEN = 60.0
_WINDOW = 5 * 60.0


@dataclass(frozen=True)
class DiskVerdict:
    """``stop`` means now, while the journal can still be written; otherwise it is a note."""

    stop: bool
    text: str
    remedy: str


def judge_disk(free: int, pace: float, *, total: int, seen: float, left: float | None = None) -> DiskVerdict | None:
    """None while there is no reason to worry.

    ``free`` and ``total`` of the disk in bytes; ``pace`` is the growth in bytes per second over the last ``seen``
    seconds, which says nothing before a minute; ``left`` the seconds that the build is expected to take still, None
    when that is not known.
    """
    kept = min(_KEPT, total // 50)
    if free < kept:
        return DiskVerdict(
            True,
            f"the disk has {format_size(free)} left: stopped before it is full, so that nothing is lost",
            "free some room and give the same command again: what is compiled stays compiled",
        )
    if pace <= 0 or seen < _LEAST_SEEN:
        return None
    until = (free - kept) / pace
    if until > _NOTE_WITHIN if left is None else until > left:
        return None
    wanted = f"; about {format_size(pace * left - free + kept)} more are needed" if left is not None else ""
    return DiskVerdict(
        False,
        f"the disk will be full in about {format_duration(until)} at this pace "
        f"({format_size(pace * 60)} a minute, {format_size(free)} free){wanted}",
        "free some room now, or let it stop: the same command goes on from there",
    )


class DiskWatch:
    """Judges the disk of ``directory`` by the samples of the last minutes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._total = probe_disk(directory).total
        self._samples: deque[tuple[float, int]] = deque()
        self._noted = -_WINDOW

    def look(self, progress: Progress) -> str | None:
        """A note, at most one in five minutes; raises HostError when the build must stop now."""
        self._samples.append((progress.elapsed, progress.disk_free))
        while progress.elapsed - self._samples[0][0] > _WINDOW:
            self._samples.popleft()
        since, free = self._samples[0]
        seen = progress.elapsed - since
        pace = (free - progress.disk_free) / seen if seen else 0.0
        verdict = judge_disk(progress.disk_free, pace, total=self._total, seen=seen, left=progress.eta)
        if verdict is None:
            return None
        if verdict.stop:
            raise HostError(f"{self._directory}: {verdict.text}", remedy=verdict.remedy)
        if progress.elapsed - self._noted < _WINDOW:
            return None
        self._noted = progress.elapsed
        return f"{self._directory}: {verdict.text}; {verdict.remedy}"
