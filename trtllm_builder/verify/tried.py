"""What a smoke test was asked and what came of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from trtllm_builder.verify.diagnose import Diagnosis
from trtllm_builder.verify.world import GpuUse, World

Outcome = Literal["ok", "not installed", "failed", "hang", "deadline"]


@dataclass(frozen=True)
class Answer:
    """What to ask: ``LLM(model).generate([prompt])``. ``expect`` None: any answer will do."""

    model: str
    prompt: str
    expect: str | None = None


@dataclass(frozen=True)
class Smoke:
    """Times in seconds; None where the test did not get that far. ``phase`` is the last one entered:
    install, import, answer, launch or exit. ``left_behind`` counts processes that outlived the test and were killed.
    """

    modules: tuple[str, ...]
    outcome: Outcome
    phase: str
    asked: Answer | None = None
    python: str = ""
    installer: str = ""
    install_seconds: float = 0.0
    import_seconds: float | None = None
    version: str | None = None
    multi_device: int | None = None
    answer: str | None = None
    answer_seconds: float | None = None
    world: World | None = None
    gpu: GpuUse | None = None
    left_behind: int = 0
    diagnosis: Diagnosis | None = None
    stack: str = ""
    output: str = ""

    def to_json(self) -> dict[str, object]:
        found = self.diagnosis
        return {
            "python": self.python,
            "modules": list(self.modules),
            "outcome": self.outcome,
            "phase": self.phase,
            "installer": self.installer,
            "install_seconds": round(self.install_seconds, 3),
            "import_seconds": None if self.import_seconds is None else round(self.import_seconds, 3),
            "version": self.version,
            "multi_device": self.multi_device,
            "prompt": self.asked.prompt if self.asked else None,
            "answer": self.answer,
            "answer_seconds": None if self.answer_seconds is None else round(self.answer_seconds, 3),
            "restrictions": [asdict(one) for one in self.world.restrictions] if self.world else None,
            "gpu": self.gpu.to_json() if self.gpu else None,
            "left_behind": self.left_behind,
            "diagnosis": {"id": found.id, "what": found.what, "remedy": found.remedy} if found else None,
            "stack": self.stack,
            "output": self.output,
        }
