"""Wheels into an index on a disk: all of them, or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Literal

from trtllm_builder.errors import PublishError
from trtllm_builder.index.files import sha256_of
from trtllm_builder.index.model import Index, Lock, Needs, Standing, Wheel
from trtllm_builder.index.opening import PATIENCE, make_index, nobody_waits
from trtllm_builder.index.store import Turn, taking_turn
from trtllm_builder.publish.rules import Candidate

Outcome = Literal["published", "already there", "restored", "verified"]
_RANK: tuple[Standing, ...] = ("unverified", "unimported", "verified")


@dataclass(frozen=True)
class Added:
    """``outcome``: ``restored`` when the index had lost the file or held it damaged, ``verified`` when it was there
    and more is known of it now than then."""

    wheel: Wheel
    outcome: Outcome


def add(
    candidates: Sequence[Candidate],
    root: Path,
    *,
    patience: float = PATIENCE,
    waiting: Callable[[], None] = nobody_waits,
    now: datetime | None = None,
) -> tuple[Added, ...]:
    """Publishes into the index at ``root``, which is made when there is none.

    Raises PublishError when the index has one of these names with other bytes, or cannot be written; it is then as it
    was. ``patience``: seconds to wait for others that publish.
    """
    at = (now or datetime.now(timezone.utc)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    store = make_index(root, waiting=waiting)
    added: list[Added] = []
    with taking_turn(store, patience=patience, waiting=waiting) as turn:
        index = turn.index
        for candidate in candidates:
            one = _add(turn, index, candidate, at)
            others = tuple(wheel for wheel in index.wheels if wheel.filename != one.wheel.filename)
            if one.outcome != "already there":
                index = Index((*others, one.wheel))
            added.append(one)
        if index != turn.index:
            turn.show(index)
    return tuple(added)


def _add(turn: Turn, index: Index, candidate: Candidate, at: str) -> Added:
    there = index.named(candidate.filename)
    if there is None:
        wheel = entry(candidate, at)
        turn.place(wheel, candidate.path, _beside(candidate))
        return Added(wheel, "published")
    if there.sha256 != candidate.sha256 or there.filename != candidate.filename:
        raise PublishError(
            f"the index has {there.filename} with other bytes: sha256 {there.sha256}, yours has {candidate.sha256}",
            remedy="what was published stays as it is: build yours with another version or build tag "
            "(--locked gives one), or yank the other",
        )
    placed = turn.root / there.path
    told = replace(entry(candidate, there.uploaded), yanked=there.yanked)
    if not placed.is_file() or placed.is_symlink() or sha256_of(placed) != there.sha256:
        turn.place(told, candidate.path, _beside(candidate))
        return Added(told, "restored")
    if _RANK.index(told.standing) <= _RANK.index(there.standing):
        return Added(there, "already there")
    turn.put_beside(told, candidate.beside)
    return Added(told, "verified")


def entry(candidate: Candidate, at: str) -> Wheel:
    """What the index will say of it; ``at`` is the time as PEP 700 writes it."""
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
        lock=_lock(candidate),
        beside=tuple(sorted(candidate.beside)),
        provenance=candidate.provenance,
    )


def _lock(candidate: Candidate) -> Lock | None:
    lock = (candidate.evidence.record or {}).get("lock")
    if not lock:
        return None
    # A record that does not say whether somebody holds the lock is taken to mean that somebody does.
    return Lock(lock["sha256"], lock.get("locked") is not False)


def _beside(candidate: Candidate) -> dict[str, Path | bytes]:
    return {".metadata": candidate.metadata, **candidate.beside}
