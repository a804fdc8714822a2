"""Which tool a build will use, decided without network and without writing: what a plan shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.data import data_dir as default_data_dir
from trtllm_builder.errors import HostError, UsageError
from trtllm_builder.text import nearest
from trtllm_builder.tools.catalogue import TOOLS, Tool
from trtllm_builder.tools.install import installed
from trtllm_builder.tools.locate import Candidate, locate
from trtllm_builder.tools.ranges import parse_range


@dataclass(frozen=True)
class ToolWant:
    """``specifier`` is a PEP 440 version specifier; empty means the catalogue's range."""

    name: str
    specifier: str = ""


@dataclass(frozen=True)
class ToolChoice:
    """``path`` is None while ours is not installed. ``size`` is what is still to be installed, in bytes."""

    name: str
    version: str
    path: Path | None
    origin: str
    reason: str
    size: int = 0

    def to_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "version": self.version,
            "path": str(self.path) if self.path else None,
            "origin": self.origin,
            "reason": self.reason,
            "size": self.size,
        }


def choose(
    want: ToolWant,
    environ: Mapping[str, str],
    *,
    data_dir: Path | None = None,
    beside: Iterable[Path] = (),
) -> ToolChoice:
    """The machine's first fit tool, else ours from the lock.

    ``beside`` are directories to look in before PATH (a toolkit's bin, for cuobjdump). Raises UsageError for a name or
    a specifier that is none, HostError when neither the machine's nor ours is in the range.
    """
    tool = TOOLS.get(want.name)
    if tool is None:
        near = nearest(want.name, tuple(TOOLS))
        raise UsageError(
            f"{want.name!r} is no tool that we know", remedy=f"did you mean {near}?" if near else ", ".join(TOOLS)
        )
    wanted = parse_range(want.specifier or tool.specifier, want.name)
    candidates = locate(tool, wanted, environ, beside=beside)
    for candidate in candidates:
        if candidate.unfit is None and candidate.version:
            reason = f"{candidate.path} is {wanted}" + _passed_over(candidates)
            return ToolChoice(tool.name, candidate.version, candidate.path, "machine", reason)
    if not wanted.holds(tool.version):
        raise HostError(
            f"no {tool.name} {wanted} is on PATH{_passed_over(candidates)}, and the one we bring is {tool.version}",
            remedy=f"install a {tool.name} in that range and put it first on PATH, or widen the range in the profile",
        )
    return our_choice(tool, data_dir or default_data_dir(environ), _passed_over(candidates))


def our_choice(tool: Tool, data_dir: Path, passed_over: str = "") -> ToolChoice:
    """Ours, whatever the machine has."""
    path = installed(tool.name, data_dir)
    reason = f"ours by hashed lock{passed_over or f'; no {tool.name} on PATH'}"
    return ToolChoice(tool.name, tool.version, path, "ours", reason, 0 if path else tool.installed)


def _passed_over(candidates: Iterable[Candidate]) -> str:
    texts = [f"{candidate.path}: {candidate.unfit}" for candidate in candidates if candidate.unfit]
    return f"; passed over {'; '.join(texts)}" if texts else ""
