"""Patch sets against a tree: ``load_set``, ``check`` (nothing is written), ``apply``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from trtllm_builder.errors import PatchError, Where
from trtllm_builder.patching.closed import check_closed
from trtllm_builder.patching.conditions import unmet
from trtllm_builder.patching.diffs import make_diff
from trtllm_builder.patching.perform import perform
from trtllm_builder.patching.read import PatchSet, find_sets, load_set, set_dirs
from trtllm_builder.patching.results import OperationOutcome, PatchPlan, PatchResult, SetOutcome, Status
from trtllm_builder.patching.tree import Tree
from trtllm_builder.patching.write import write_all

__all__ = ["PatchPlan", "PatchResult", "PatchSet", "apply", "check", "find_sets", "load_set", "set_dirs"]


def check(sets: Sequence[PatchSet], tree: Path, facts: Mapping[str, str] | None = None) -> PatchPlan:
    """What the sets, in this order, would make of the checkout at ``tree``; nothing is written.

    ``facts`` are options of the build by name, such as ``{"BUILD_DEEP_EP": "OFF"}``. Raises PatchError, with all that
    does not fit, when an operation finds nothing or too much, when a result would not be recognised as done, and when a
    trap that a set is to close is still there.
    """
    known = dict(facts or {})
    files = Tree(tree)
    outcomes = _perform(sets, files, known)
    after = files.patched()
    _check_known(sets, after, known)
    check_closed(sets, files, after, known)
    changes = files.changes()
    return PatchPlan(
        sets=outcomes,
        changes=changes,
        diff=make_diff(changes),
        digest=_digest(outcomes, after),
        facts=known,
    )


def apply(plan: PatchPlan, tree: Path) -> PatchResult:
    """Write what :func:`check` planned for this tree: all of it or, with PatchError, none of it."""
    if plan.changes:
        write_all(tree, plan.changes)
    return PatchResult(plan, tuple(change.path for change in plan.changes))


def _perform(sets: Sequence[PatchSet], files: Tree, facts: Mapping[str, str]) -> tuple[SetOutcome, ...]:
    outcomes = []
    errors: list[PatchError] = []
    for patch in sets:
        found: list[OperationOutcome] = []
        words = unmet(patch.when, files, facts)
        for operation in patch.operations if words is None else ():
            try:
                found.append(perform(operation, patch, files, facts))
            except PatchError as error:
                errors.append(error)
        outcomes.append(_outcome(patch, found, words))
    if errors:
        first = errors[0]
        raise PatchError(first.what, where=first.where, remedy=first.remedy, others=tuple(errors[1:]))
    return tuple(outcomes)


def _check_known(sets: Sequence[PatchSet], after: Tree, facts: Mapping[str, str]) -> None:
    """Raises PatchError unless every operation finds its result in the tree that they all made."""
    try:
        outcomes = _perform(sets, after, facts)
    except PatchError as error:
        raise PatchError(
            f"once all operations are applied, one does not find its own result: {error.what}",
            where=error.where,
            remedy="two operations are after the same place; make one of them",
        ) from None
    for patch, outcome in zip(sets, outcomes, strict=True):
        again = [operation for operation in outcome.operations if operation.status == "applies"]
        if again:
            raise PatchError(
                f"{patch.name}/{again[0].id}: once it is applied it would be applied again",
                where=Where(str(patch.path / "patch.yaml")),
                remedy="make the operation leave something that it does not look for",
            )


def _outcome(patch: PatchSet, operations: Sequence[OperationOutcome], words: str | None) -> SetOutcome:
    states = {operation.status for operation in operations}
    status: Status
    if "applies" in states:
        status, reason = "applies", f"{sum(one.status == 'applies' for one in operations)} operations"
    elif "applied already" in states:
        status, reason = "applied already", "every operation finds its result"
    else:
        status, reason = "not needed", words or "no operation is wanted here"
    return SetOutcome(patch.name, patch.digest, status, reason, tuple(operations))


def _digest(outcomes: Sequence[SetOutcome], after: Tree) -> str:
    digest = hashlib.sha256()
    for path in sorted({path for one in outcomes for operation in one.operations for path in operation.files}):
        data = after.original(path).data or b""
        digest.update(f"{path}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()
