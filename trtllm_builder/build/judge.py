"""What compilers of this build will take, from earlier builds and its own, and what they took."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from trtllm_builder.gate.compiles import Compile, read_compile
from trtllm_builder.gate.job import Task
from trtllm_builder.gate.learned import Learned, Measured, course_of, learn
from trtllm_builder.gate.policy import Weight
from trtllm_builder.gate.weights import Weights, kind_of


class BuildJudge:
    """``root`` is the checkout, ``path`` the build's PATH. ``learned`` is what this build measured."""

    def __init__(self, root: Path, path: str, known: Learned) -> None:
        self._root = root
        self._path = path
        self._weights = Weights(known)
        self._digests: dict[str, str] = {}
        self._measured: list[tuple[Compile, Measured]] = []

    @property
    def learned(self) -> Learned:
        return learn(list(self._measured))

    def read(self, argv: Sequence[str], directory: str) -> Task:
        found = read_compile(argv, directory, self._root)
        program = argv[0] if argv else ""
        compile = replace(found, compiler=self._digest(program, directory))
        output = next((argv[at + 1] for at, word in enumerate(argv[:-1]) if word == "-o"), "")
        if compile.work in ("link", "device link") and not compile.source:
            # A link has no source of its own: what it makes is what is the same again.
            compile = replace(compile, source=output.removeprefix(f"{self._root}/"))
        return Task(compile.source or output or program, kind_of(compile), compile)

    def weigh(self, task: Task) -> Weight:
        return self._weights.of(task.compile)

    def note(self, task: Task, peak: int, seconds: float, samples: Sequence[tuple[float, int]]) -> None:
        course = course_of(samples, seconds, peak)
        measured = Measured(int(time.time()), peak, round(seconds, 2), course, task.kind)
        self._weights.note(task.compile, measured)
        if task.compile.source:
            self._measured.append((task.compile, measured))

    def _digest(self, program: str, directory: str) -> str:
        """Of the compiler's own bytes: another version is another compiler, wherever it lies."""
        if program not in self._digests:
            found = Path(directory, program) if "/" in program else shutil.which(program, path=self._path)
            try:
                with open(found or os.devnull, "rb") as stream:  # noqa: PTH123
                    digest = hashlib.sha256(stream.read()).hexdigest()[:16]
            except OSError:
                digest = Path(program).name
            self._digests[program] = digest
        return self._digests[program]
