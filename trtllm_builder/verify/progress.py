"""How far the tested process says it got: JSON lines, written beside code that may write there too.

A line that smoke_child.py would not write is ignored. That keeps us whole, it does not make the lines true.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from trtllm_builder.verify.world import World

_TEXT_LIMIT = 20_000  # characters, the last of which are kept
_PHASES = ("import", "answer", "launch", "exit")


@dataclass(frozen=True)
class Progress:
    """``phase`` is the last one entered, ``traceback`` the first error's; times in seconds. None was not told.

    ``status``: the exit status of the tested process, as its parent saw it.
    """

    phase: str = ""
    import_seconds: float | None = None
    version: str | None = None
    multi_device: int | None = None
    answer: str | None = None
    answer_seconds: float | None = None
    launched: str | None = None
    launch_seconds: float | None = None
    traceback: str | None = None
    world: World | None = None
    status: int | None = None


def read_progress(text: str) -> Progress:
    """From the lines so far, of which the last may be half written."""
    got = Progress()
    for line in text.split("\n")[:-1]:
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(said, dict):
            take = _TAKE.get(str(said.get("event")))
            got = take(got, said) if take else got
    return got


def _phase(got: Progress, said: dict[str, object]) -> Progress:
    phase = said.get("phase")
    return replace(got, phase=phase) if isinstance(phase, str) and phase in _PHASES else got


def _imported(got: Progress, said: dict[str, object]) -> Progress:
    seconds = _seconds(said)
    return got if seconds is None else replace(got, import_seconds=seconds, version=_text(said.get("version")))


def _build_info(got: Progress, said: dict[str, object]) -> Progress:
    value = said.get("multi_device")
    return replace(got, multi_device=value) if type(value) is int and abs(value) < 2**31 else got


def _answered(got: Progress, said: dict[str, object]) -> Progress:
    seconds, text = _seconds(said), _text(said.get("text"))
    return got if seconds is None or text is None else replace(got, answer=text, answer_seconds=seconds)


def _launched(got: Progress, said: dict[str, object]) -> Progress:
    seconds, text = _seconds(said), _text(said.get("text"))
    return got if seconds is None or text is None else replace(got, launched=text, launch_seconds=seconds)


def _world(got: Progress, said: dict[str, object]) -> Progress:
    """Told before the wheel's code runs: only the first counts."""
    shm, capabilities, user, refused = (said.get(key) for key in ("shm", "capabilities", "user", "refused"))
    flags = [said.get(key) for key in ("pmix", "network", "no_new_privileges")]
    whole = (
        (shm is None or isinstance(shm, int))
        and isinstance(capabilities, int)
        and isinstance(user, int)
        and isinstance(refused, dict)
        and all(isinstance(flag, bool) for flag in flags)
    )
    if got.world is not None or got.phase or not whole:
        return got
    pmix, network, no_new = (flag is True for flag in flags)
    assert isinstance(capabilities, int) and isinstance(user, int) and isinstance(refused, dict)  # noqa: S101
    assert shm is None or isinstance(shm, int)  # noqa: S101
    told = {str(name): str(why) for name, why in refused.items()}
    return replace(got, world=World(shm, pmix, network, capabilities, no_new, user, told))


def _ended(got: Progress, said: dict[str, object]) -> Progress:
    status = said.get("status")
    return replace(got, status=status) if type(status) is int and -128 < status < 256 else got


def _error(got: Progress, said: dict[str, object]) -> Progress:
    trace = _text(said.get("traceback"))
    return got if trace is None or got.traceback is not None else replace(got, traceback=trace)


def _seconds(said: dict[str, object]) -> float | None:
    value = said.get("seconds")
    # The comparison is false for NaN.
    return (
        float(value) if type(value) in (int, float) and isinstance(value, (int, float)) and 0 <= value < 1e9 else None
    )


def _text(value: object) -> str | None:
    """Without lone surrogates, which JSON can spell and no file or terminal can take."""
    return value[-_TEXT_LIMIT:].encode("utf-8", "replace").decode() if isinstance(value, str) else None


_TAKE: dict[str, Callable[[Progress, dict[str, object]], Progress]] = {
    "phase": _phase,
    "imported": _imported,
    "build-info": _build_info,
    "answered": _answered,
    "launched": _launched,
    "world": _world,
    "error": _error,
    "ended": _ended,
}
