"""What a run has against the lock that it is held to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trtllm_builder.errors import ProfileError
from trtllm_builder.plan.locking import locked_values
from trtllm_builder.plan.request import Request
from trtllm_builder.repro.inputs import Input, sorted_inputs
from trtllm_builder.repro.lock import Difference, Lock, differences, input_differences

_SHOWN = 12


def lock_of(request: Request, inputs: Iterable[Input], epoch: int | None = None) -> Lock:
    """The lock of a request with these inputs; ``epoch`` is the commit's time in seconds since 1970."""
    held, profile = request.locked, request.loaded.profile
    if held is not None:
        # The profile was compared when it was asked for, and has the lock's commit since.
        return Lock(held.name, held.profile, epoch, sorted_inputs(inputs))
    return Lock(profile.name, locked_values(profile), epoch, sorted_inputs(inputs))


def check(locked: Lock, found: Lock) -> None:
    """Raises ProfileError (exit 2) that says what differs."""
    _refuse(differences(_comparable(locked, found.inputs), found))


def check_inputs(locked: Lock, found: Sequence[Input], *kinds: str) -> None:
    """The same for inputs of these kinds, as soon as they are known."""
    _refuse(input_differences(_comparable(locked, found).of(*kinds), tuple(found)))


def _comparable(locked: Lock, found: Sequence[Input]) -> Lock:
    """Where this machine does not say from which image it was started, the compilers' own hashes have to do."""
    if any(one.kind == "image" for one in found):
        return locked
    return Lock(locked.name, locked.profile, locked.epoch, tuple(one for one in locked.inputs if one.kind != "image"))


def _refuse(differing: Sequence[Difference]) -> None:
    if not differing:
        return
    shown = "; ".join(map(str, differing[:_SHOWN]))
    more = f"; and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    raise ProfileError(
        f"this is not what was locked: {shown}{more}",
        remedy="bring the machine to what the lock names, or make a new lock: trtllm-build lock --profile NAME -o FILE",
    )
