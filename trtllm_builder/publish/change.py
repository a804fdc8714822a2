"""Changes of an index that add nothing: yank, keep and their opposites, prune."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from packaging.utils import InvalidName, InvalidWheelFilename, canonicalize_name
from packaging.version import InvalidVersion, Version

from trtllm_builder.errors import PublishError, UsageError
from trtllm_builder.index.model import Index, Wheel
from trtllm_builder.index.opening import nobody_waits, open_index
from trtllm_builder.index.store import taking_turn
from trtllm_builder.publish.retention import Choice, choose, named_by, profiles_of
from trtllm_builder.text import clean

_REASON_LIMIT = 300  # characters


def yank(
    root: Path, what: str, reason: str | None, *, waiting: Callable[[], None] = nobody_waits
) -> tuple[tuple[Wheel, ...], bool]:
    """Withdraws a wheel (by its file name) or a version (``NAME==VERSION``), or with ``reason`` None puts it back.

    Installers then pass it over unless it is asked for exactly (PEP 592). Returns the wheels as they are now, and
    whether that is a change. Raises PublishError when there is none, UsageError for a name that cannot be.
    """
    told = None if reason is None else _one_line(reason)
    return _change(root, what, lambda wheel: replace(wheel, yanked=told), waiting)


def keep(
    root: Path, what: str, reason: str | None, *, waiting: Callable[[], None] = nobody_waits
) -> tuple[tuple[Wheel, ...], bool]:
    """Holds what ``what`` names against ``prune``, for ``reason``, such as a release. With ``reason`` None it may be
    pruned again, also when it was built --locked. Returns and raises as ``yank`` does."""
    told = None if reason is None else _one_line(reason)
    if told == "":
        raise UsageError("--for is empty", remedy="say what it is kept for, such as a release's name")

    def held(wheel: Wheel) -> Wheel:
        lock = replace(wheel.lock, kept=False) if wheel.lock and told is None else wheel.lock
        return replace(wheel, keep=told, lock=lock)

    return _change(root, what, held, waiting)


def _one_line(text: str) -> str:
    return " ".join(clean(text).split())[:_REASON_LIMIT]


def _change(
    root: Path, what: str, change: Callable[[Wheel], Wheel], waiting: Callable[[], None]
) -> tuple[tuple[Wheel, ...], bool]:
    with taking_turn(open_index(root), waiting=waiting) as turn:
        chosen = find(turn.index, what)
        names = {wheel.filename for wheel in chosen}
        wheels = tuple(change(w) if w.filename in names else w for w in turn.index.wheels)
        changed = wheels != turn.index.wheels
        if changed:
            turn.show(Index(wheels))
    return tuple(wheel for wheel in wheels if wheel.filename in names), changed


def find(index: Index, what: str) -> tuple[Wheel, ...]:
    """The wheels that ``what`` names. Raises PublishError and UsageError."""
    name, equal, version = what.partition("==")
    try:
        if equal:
            project, wanted = canonicalize_name(name, validate=True), Version(version)
            found = tuple(w for w in index.wheels if w.project == project and Version(w.version) == wanted)
        else:
            one = index.named(Path(what).name)
            found = (one,) if one else ()
    except (InvalidName, InvalidVersion, InvalidWheelFilename) as error:
        raise UsageError(
            f"{what} is neither a wheel's file name nor NAME==VERSION", remedy="`index list` shows both"
        ) from error
    if not found:
        raise PublishError(f"the index has no {what}", remedy="`index list` shows what it has")
    return found


def prune(
    root: Path, keep: int, locks: Sequence[Path], *, dry_run: bool = False, waiting: Callable[[], None] = nobody_waits
) -> Choice:
    """Removes what ``choose`` says, pages first. Raises PublishError; UsageError for ``locks``."""
    named = named_by(locks)
    store = open_index(root)
    if dry_run:
        index = store.read()
        return choose(index, keep, named, profiles_of(root, index))
    with taking_turn(store, waiting=waiting) as turn:
        choice = choose(turn.index, keep, named, profiles_of(root, turn.index))
        if choice.gone:
            turn.show(Index(tuple(wheel for wheel in turn.index.wheels if wheel not in choice.gone)))
    return choice
