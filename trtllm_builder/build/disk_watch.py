"""Whether a build will run out of disk: from what is free, how fast it goes, and how long the build still takes."""

from __future__ import annotations

from dataclasses import dataclass

from trtllm_builder.units import format_duration, format_size

# So much is kept for the journal, the log and the messages of whatever fails.
STOP_BELOW = 64 * 2**20
_NOTE_WITHIN = 30 * 60.0
_LEAST_SEEN = 60.0


@dataclass(frozen=True)
class DiskVerdict:
    """``stop`` means now, while the journal can still be written; otherwise it is a note."""

    stop: bool
    text: str
    remedy: str


def judge_disk(free: int, pace: float, *, seen: float, left: float | None = None) -> DiskVerdict | None:
    """None while there is no reason to worry.

    ``free`` in bytes; ``pace`` is the growth in bytes per second over the last ``seen`` seconds, which says nothing
    before a minute; ``left`` the seconds that the build is expected to take still, None when that is not known.
    """
    if free < STOP_BELOW:
        return DiskVerdict(
            True,
            f"the disk has {format_size(free)} left: stopped before it is full, so that nothing is lost",
            "free some room and give the same command again: what is compiled stays compiled",
        )
    if pace <= 0 or seen < _LEAST_SEEN:
        return None
    until = (free - STOP_BELOW) / pace
    if until > _NOTE_WITHIN if left is None else until > left:
        return None
    wanted = f"; about {format_size(pace * left)} more are needed" if left is not None else ""
    return DiskVerdict(
        False,
        f"the disk will be full in about {format_duration(until)} at this pace "
        f"({format_size(pace * 60)} a minute, {format_size(free)} free){wanted}",
        "free some room now, or let it stop: the same command goes on from there",
    )
