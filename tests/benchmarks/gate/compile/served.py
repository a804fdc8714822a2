"""The real gate around one run: the broker in this process, its client before every compiler."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.build.judge import BuildJudge
from trtllm_builder.gate.broker import Broker
from trtllm_builder.gate.budget import BudgetReader, reserve_of
from trtllm_builder.gate.launcher import CLIENT, install_client, set_slots
from trtllm_builder.gate.learned import Learned, from_json
from trtllm_builder.gate.policy import Policy
from trtllm_builder.host.memory import read_memory

_RULE = 6 * 2**30


@dataclass
class Served:
    """``launcher`` is what stands before a compiler's command."""

    launcher: list[str]
    logs: Path
    judge: BuildJudge

    def waits(self) -> dict[str, float]:
        """File to the seconds that its compiler waited."""
        found: dict[str, float] = {}
        for line in (self.logs / "gate.jsonl").read_text().splitlines():
            event = json.loads(line)
            if event["event"] == "ended":
                found[Path(event["source"]).stem] = event["waited"]
        return found


def read_learned(path: Path) -> Learned:
    return from_json(path.read_text())[0] if path.exists() else Learned()


@contextmanager
def gate(root: Path, directory: Path, cores: int, known: Learned, environ: Mapping[str, str]) -> Iterator[Served]:
    """``directory`` is the gate's own, ``root`` the sources'. Everything as a build does it (build/gate.py)."""
    memory = read_memory()
    reserve = reserve_of(memory)
    install_client(directory, environ)
    set_slots(directory, max(1, memory.allowed // _RULE))
    judge = BuildJudge(root, environ.get("PATH", os.defpath), known)
    with Broker(
        directory, directory, policy=Policy(slots=cores), judge=judge, read_budget=BudgetReader(reserve)
    ) as broker:
        yield Served([str(directory / CLIENT)], directory, judge)
        if broker.failure is not None:
            raise broker.failure
