"""Recorded machines: hosts/*.json hold facts as ``doctor --json`` prints them, and the wheel that was to run there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from trtllm_builder.doctor.cure import Candidate, candidates, cure
from trtllm_builder.doctor.examine import Answer, examine
from trtllm_builder.doctor.facts import Facts, from_json
from trtllm_builder.doctor.wheels import WheelFacts

HOSTS = Path(__file__).with_name("hosts")


@dataclass(frozen=True)
class Recorded:
    facts: Facts
    wheel: WheelFacts | None
    known: tuple[Candidate, ...]

    def answer(self, *, wheel: bool = True) -> Answer:
        return examine(self.facts, cure(self.facts, self.known), wheel=self.wheel if wheel else None)


@pytest.fixture(scope="session")
def shipped() -> tuple[Candidate, ...]:
    return candidates({"HOME": "/nonexistent"})


@pytest.fixture
def recorded(shipped: tuple[Candidate, ...]) -> Callable[[str], Recorded]:
    def read(name: str) -> Recorded:
        document = json.loads((HOSTS / f"{name}.json").read_text())
        wheel = TypeAdapter(WheelFacts).validate_python(document["wheel"]) if document["wheel"] else None
        return Recorded(from_json(document["facts"]), wheel, shipped)

    return read
