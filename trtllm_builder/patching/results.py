"""What a check of patch sets found, and what applying them did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Status = Literal["applies", "applied already", "not needed"]


@dataclass(frozen=True)
class Change:
    """One file as it stands and as it shall be. ``before`` is None for a new one; ``mode`` is its permissions."""

    path: str
    before: bytes | None
    after: bytes
    mode: int


@dataclass(frozen=True)
class OperationOutcome:
    """One operation of a set. ``files`` it changes or has changed before; ``why`` is the set's word on it."""

    id: str
    op: str
    status: Status
    reason: str
    why: str
    files: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "op": self.op,
            "status": self.status,
            "reason": self.reason,
            "why": self.why,
            "files": list(self.files),
        }


@dataclass(frozen=True)
class SetOutcome:
    """One patch set against one tree. ``digest`` is that of the set's own files."""

    name: str
    digest: str
    status: Status
    reason: str
    operations: tuple[OperationOutcome, ...]

    def to_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "digest": self.digest,
            "status": self.status,
            "reason": self.reason,
            "operations": [operation.to_json() for operation in self.operations],
        }


@dataclass(frozen=True)
class PatchPlan:
    """The outcome of every set, all fitting, and the bytes to write.

    ``diff`` is unified, with a/ and b/ before paths relative to the tree: input for ``git apply`` or ``patch -p1``.
    ``digest`` is sha256 over path and content of every file that the sets change or changed before; it is the same
    before and after applying.
    """

    sets: tuple[SetOutcome, ...]
    changes: tuple[Change, ...]
    diff: str
    digest: str
    facts: Mapping[str, str]

    @property
    def needed(self) -> bool:
        """Whether anything is left to write."""
        return bool(self.changes)

    def to_json(self) -> dict[str, object]:
        return {
            "sets": [one.to_json() for one in self.sets],
            "changes": [change.path for change in self.changes],
            "diff": self.diff,
            "digest": self.digest,
            "facts": dict(self.facts),
        }


@dataclass(frozen=True)
class PatchResult:
    """A plan that was carried out, and the files it wrote (none the second time)."""

    plan: PatchPlan
    written: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        return {**self.plan.to_json(), "written": list(self.written)}
