"""How a fleet fares at one moment, as values and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trtllm_builder.ci.fleet import Fleet
from trtllm_builder.ci.result import Result

Phase = Literal["waiting", "running", "over"]


@dataclass(frozen=True)
class Seen:
    """How one member fares. ``doing`` is in a few words; ``attempts`` counts its jobs; ``result`` is there when it is
    over. ``next`` is what to do about one that is over without a wheel."""

    profile: str
    phase: Phase
    job: str | None
    node: str
    attempts: int
    doing: str
    seconds: float
    result: Result | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "profile": self.profile,
            "phase": self.phase,
            "job": self.job,
            "node": self.node,
            "attempts": self.attempts,
            "doing": self.doing,
            "seconds": round(self.seconds, 1),
            "result": None if self.result is None else self.result.to_json(),
        }


def fleet_json(fleet: Fleet, seen: Sequence[Seen]) -> str:
    """All that is known of a fleet, as one line."""
    about = {"schema": 1, "event": "fleet", "fleet": fleet.identifier, "cluster": fleet.kind, "root": str(fleet.root)}
    return json.dumps({**about, "jobs": [one.to_json() for one in seen]})
