"""Wheels into an index on a disk: all of them, or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Literal

from trtllm_builder.errors import PublishError
from trtllm_builder.index.files import has, sha256_of
from trtllm_builder.index.model import Index, Lock, Needs, Standing, Wheel, identity
from trtllm_builder.index.opening import PATIENCE, make_index, nobody_waits
from trtllm_builder.index.store import Turn, taking_turn
from trtllm_builder.publish.evidence import RECORD
from trtllm_builder.publish.rules import Candidate

Outcome = Literal["published", "already there", "restored", "verified", "completed"]
TIME = "%Y-%m-%dT%H:%M:%S.%fZ"  # PEP 700's
_RANK: tuple[Standing, ...] = ("unverified", "unimported", "verified")


@dataclass(frozen=True)
class Added:
    """``outcome``: ``restored`` when the index had lost the wheel, or what lies beside it, or held it damaged;
    ``verified`` when more is known of it now than then; ``completed`` when more lies beside it now, or newer."""

    wheel: Wheel
    outcome: Outcome


def add(
    candidates: Sequence[Candidate],
    root: Path,
    *,
    patience: float = PATIENCE,
    waiting: Callable[[], None] = nobody_waits,
    now: datetime | None = None,
    nightly: bool = False,
) -> tuple[Added, ...]:
    """Publishes into the index at ``root``, which is made when there is none.

    Raises PublishError when the index has one of these names with other bytes, or cannot be written; it is then as it
    was. ``patience``: seconds to wait for others that publish. ``nightly``: nobody holds the locks that
    these were built from, so that they may be pruned.
    """
    _refuse_twins(candidates)
    at = (now or datetime.now(timezone.utc)).strftime(TIME)
    store = make_index(root, waiting=waiting)
    added: list[Added] = []
    with taking_turn(store, patience=patience, waiting=waiting) as turn:
        index = turn.index
        for candidate in candidates:
            one = _add(turn, index, candidate, entry(candidate, at, nightly=nightly))
            others = tuple(wheel for wheel in index.wheels if wheel.filename != one.wheel.filename)
            if one.outcome != "already there":
                index = Index((*others, one.wheel))
            added.append(one)
        if index != turn.index:
            turn.show(index)
    return tuple(added)


def _refuse_twins(candidates: Sequence[Candidate]) -> None:
    """Before there is an index: two that installers could not tell apart."""
    found: dict[object, Candidate] = {}
    for one in candidates:
        other = found.setdefault(identity(one.filename), one)
        if other.sha256 != one.sha256:
            raise PublishError(
                f"{other.path} and {one.path} are of one name, with other bytes: installers could not tell them apart",
                remedy="publish the one that is meant",
            )


def refuse_impostor(index: Index, one: Wheel) -> None:
    """Of a project that we build, a wheel without a record could outrank ours by its version alone: PublishError."""
    ours = next((w for w in index.wheels if w.project == one.project and RECORD in w.beside), None)
    if ours is not None and RECORD not in one.beside:
        raise PublishError(
            f"{one.filename} has no record of a build of ours, and {one.project} is what we build: {ours.filename} has",
            remedy="publish it into another index, or with its record beside it",
        )


def _add(turn: Turn, index: Index, candidate: Candidate, mine: Wheel) -> Added:
    there = index.named(candidate.filename)
    if there is None:
        refuse_impostor(index, mine)
        turn.place(mine, candidate.path, candidate.metadata, candidate.beside)
        return Added(mine, "published")
    if there.sha256 != mine.sha256 or there.filename != mine.filename:
        raise PublishError(
            f"the index has {there.filename} with other bytes: sha256 {there.sha256}, yours has {mine.sha256}",
            remedy="what was published stays as it is, also when it is yanked: build yours with another version or "
            "build tag (--locked gives one)",
        )
    lost = {s for s, sha256 in there.beside.items() if not has(turn.root / f"{there.path}{s}", sha256)}
    told = _told(there, mine, lost)
    sources = {suffix: turn.root / f"{there.path}{suffix}" for suffix in told.beside if suffix not in lost}
    sources |= {s: path for s, path in candidate.beside.items() if told.beside.get(s) == mine.beside[s]}
    if not (has(turn.root / there.path, there.sha256) and has(turn.root / f"{there.path}.metadata", there.metadata)):
        turn.place(told, candidate.path, candidate.metadata, sources)
        return Added(told, "restored")
    if told == there and not lost & set(sources):
        return Added(there, "already there")
    turn.put_beside(told, sources)
    if _rank(told) > _rank(there):
        return Added(told, "verified")
    return Added(told, "restored" if lost & set(sources) else "completed")


def _told(there: Wheel, mine: Wheel, lost: set[str]) -> Wheel:
    """What the index will say of a wheel that it has. What lies beside a wheel is of one build: another's, of the same
    bytes, replaces all of it, and only when that is more, or mends it, and nothing less is known then."""
    same = _held(replace(mine, uploaded=there.uploaded, yanked=there.yanked, keep=there.keep), there)
    if there.beside.get(RECORD) == mine.beside.get(RECORD):
        standing = max(there, mine, key=_rank).standing
        beside = dict(sorted({**there.beside, **mine.beside}.items()))
        return replace(same, standing=standing, beside=beside, provenance=there.provenance or mine.provenance)
    there = _held(there, mine)
    more = bool(lost) or set(mine.beside) > set(there.beside)
    return same if _rank(mine) > _rank(there) or (_rank(mine) == _rank(there) and more) else there


def _held(one: Wheel, other: Wheel) -> Wheel:
    """``one``, whose lock somebody holds when that is known of ``other``."""
    if one.lock and other.lock and other.lock.kept:
        return replace(one, lock=replace(one.lock, kept=True))
    return one


def _rank(wheel: Wheel) -> int:
    return _RANK.index(wheel.standing)


def entry(candidate: Candidate, at: str, *, nightly: bool = False) -> Wheel:
    """What the index will say of it; ``at`` is the time as PEP 700 writes it, ``nightly`` as for ``add``."""
    needs = candidate.needs
    return Wheel(
        project=candidate.project,
        version=candidate.version,
        filename=candidate.filename,
        sha256=candidate.sha256,
        size=candidate.size,
        uploaded=at,
        metadata=sha256(candidate.metadata).hexdigest(),
        requires_python=candidate.requires_python,
        standing=candidate.standing,
        summary=candidate.summary,
        needs=Needs(
            needs.python, needs.glibc or "", needs.cuda, needs.driver or "", needs.gpus, needs.ptx, needs.torch
        ),
        lock=_lock(candidate, nightly),
        beside={suffix: sha256_of(path) for suffix, path in sorted(candidate.beside.items())},
        provenance=candidate.provenance,
    )


def _lock(candidate: Candidate, nightly: bool) -> Lock | None:
    lock = (candidate.evidence.record or {}).get("lock")
    if not lock:
        return None
    # A record that does not say whether somebody holds the lock is taken to mean that somebody does.
    return Lock(lock["sha256"], not nightly and lock.get("locked") is not False)
