"""What goes and what stays: by kind, age and number, and never what is in use."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from trtllm_builder.build.gc.find import KINDS, Item, Kind, find_items, in_use
from trtllm_builder.build.gc.places import Known, look
from trtllm_builder.build.gc.remove import remove
from trtllm_builder.errors import BuilderError

_DAY = 86400.0


@dataclass(frozen=True)
class Wish:
    """What somebody wants gone: of these kinds, what was not used for ``older_than`` days, but for the ``keep`` of each
    kind that were used last. Workspaces of runs that can be resumed stay unless ``unfinished``."""

    kinds: frozenset[Kind]
    older_than: float = 0.0
    keep: int = 0
    unfinished: bool = False


@dataclass(frozen=True)
class Choice:
    """An item; ``stays`` is why it does, empty when it goes or is gone."""

    item: Item
    stays: str


def choose(wish: Wish, known: Known, now: float | None = None) -> tuple[Choice, ...]:
    """Everything there is, the largest first within a kind, with what would become of it. Reads only."""
    now = time.time() if now is None else now
    workspaces = _decide(wish, find_items(known, ("workspace",)), now)
    going = frozenset(choice.item.path for choice in workspaces if not choice.stays)
    others = (_decide(wish, find_items(known, (kind,), going), now) for kind in KINDS if kind != "workspace")
    return tuple(chain(workspaces, *others))


def carry_out(wish: Wish, environ: Mapping[str, str]) -> tuple[Choice, ...]:
    """Remove what goes, workspaces first: what only they used goes too. What could not be removed stays and says
    why."""
    done: list[Choice] = []
    for kind in KINDS:
        for choice in _decide(wish, find_items(look(environ), (kind,)), time.time()):
            stays = choice.stays
            if not stays:
                stays = _removed(choice.item, environ)
            done.append(replace(choice, stays=stays))
    return tuple(done)


def _removed(item: Item, environ: Mapping[str, str]) -> str:
    """Empty when it is gone, else why it stays."""
    # Measuring takes its time, and a build may have begun meanwhile.
    if user := in_use(item, look(environ).places):
        return user
    try:
        remove(item, environ)
    except BuilderError as error:
        return error.what
    return ""


def _decide(wish: Wish, items: Iterable[Item], now: float) -> list[Choice]:
    by_use = sorted(items, key=lambda item: item.used, reverse=True)
    choices = []
    for rank, item in enumerate(by_use):
        stays = ""
        if item.keep:
            stays = item.keep
        elif item.kind not in wish.kinds:
            stays = "not chosen"
        elif item.unfinished and not wish.unfinished:
            stays = "its run can be resumed (--unfinished)"
        elif rank < wish.keep:
            stays = f"one of the {wish.keep} used last"
        elif now - item.used < wish.older_than * _DAY:
            stays = f"used within {wish.older_than:g} days"
        choices.append(Choice(item, stays))
    return choices
