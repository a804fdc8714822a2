"""The plan as a person reads it: what will be done, and in brackets why."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from trtllm_builder.plan.environment import FROM_HOST
from trtllm_builder.plan.model import Estimate, Plan, PlannedTool
from trtllm_builder.profile.search import MIRRORS, PARTS
from trtllm_builder.text import clean, redact
from trtllm_builder.units import format_duration, format_size

_WIDTH = 120
_COLUMN = 44
Row = tuple[str, str, str]
"""Name, value, origin."""


def text_lines(plan: Plan) -> list[str]:
    """Lines without credentials or control characters.

    Files of the profile are named as the first lines introduce them, relative to the directory they were found in.
    """
    names = short_names(plan.chain)
    return [redact(clean(line)) for line in _lines(plan, names)]


def short_names(chain: Iterable[str]) -> dict[str, str]:
    """Path to name (``canary.yaml``, ``base/single-device.yaml``), for the paths whose name is no other's."""
    names = {}
    for text in chain:
        path = Path(text)
        names[text] = f"{path.parent.name}/{path.name}" if path.parent.name in (PARTS, MIRRORS) else path.name
    times = Counter(names.values())
    return {path: name for path, name in names.items() if times[name] == 1}


def _lines(plan: Plan, names: dict[str, str]) -> Iterator[str]:
    yield f"plan for {plan.profile}: {plan.description}"
    yield from (f"warning: {warning}" for warning in plan.warnings)
    yield from _table([*_profile(plan, names), *_decisions(plan)], names)
    for title, rows in (
        ("tools", [_tool(tool) for tool in plan.tools]),
        ("patches", [(patch.name, patch.outcome, patch.reason) for patch in plan.patches]),
        ("command", _command(plan)),
        ("environment", _environment(plan)),
    ):
        yield ""
        yield title
        yield from _table(rows, names)
    notes = [note for note in plan.notes if note not in plan.warnings]
    for title, items in (("assumed until the checkout is there", plan.assumed), ("notes", notes)):
        if items:
            yield ""
            yield title
            yield from (f"  {item}" for item in items)
    if plan.lacks:
        yield ""
        yield "this host lacks"
        for lack in plan.lacks:
            yield f"  {lack.what}"
            yield from (f"    {step}" for step in lack.steps)


def _table(rows: Iterable[Row], names: dict[str, str]) -> Iterator[str]:
    """Three columns; an origin that no longer fits beside its value stands below it."""
    rows = list(rows)
    first = max((len(name) for name, _, _ in rows), default=0)
    second = max((len(value) for _, value, _ in rows if len(value) <= _COLUMN), default=0)
    indent = " " * (first + 4 if first else 2)
    for name, value, origin in rows:
        head = f"{name:<{len(indent) - 2}}" if first else ""
        reason = f"[{_shortened(origin, names)}]" if origin else ""
        line = f"  {head}{value:<{second}}"
        if reason and len(value) > second and len(line) + len(reason) + 2 > _WIDTH:
            yield line
            line = f"{indent}{reason}"
        elif reason:
            line += f"  {reason}"
        yield line.rstrip()


def _shortened(origin: str, names: dict[str, str]) -> str:
    for path, name in names.items():
        if origin.startswith(f"{path}:"):
            return name + origin[len(path) :]
    return origin


def _profile(plan: Plan, names: dict[str, str]) -> Iterator[Row]:
    """A row for each directory that the profile's files come from; the profile's own is the first."""
    places: dict[str, list[str]] = {}
    for path in plan.chain:
        name = names.get(path, path)
        places.setdefault(path[: -len(name)].rstrip("/") or ".", []).append(name)
    for number, (directory, files) in enumerate(places.items()):
        yield "" if number else "profile", ", ".join(files), f"in {directory}"


def _decisions(plan: Plan) -> Iterator[Row]:
    source, targets, jobs = plan.source, plan.verification.targets, plan.jobs
    yield "source", source.directory or source.url, source.origin
    unused = "; not used: the directory is taken as it is" if source.directory else ""
    yield "ref", source.ref, f"{source.ref_origin}{unused}"
    dirty = f", dirty: {len(source.edited)} files were edited by hand" if source.edited else ""
    unnamed = "that of the directory" if source.directory else "whatever the ref names when it is fetched"
    yield "commit", (source.commit or unnamed) + dirty, ""
    if source.mirrors:
        yield "mirrors", ", then ".join(source.mirrors), ""
    yield "upstream", plan.upstream.value, plan.upstream.origin
    yield "workspace", plan.workspace.value, plan.workspace.origin
    yield "output", plan.out, ""
    yield "python", plan.python.value, plan.python.origin
    yield "CUDA", plan.toolkit.value, plan.toolkit.origin
    yield "TensorRT", plan.tensorrt.value, plan.tensorrt.origin
    yield "architectures", plan.architectures.value, plan.architectures.origin
    yield "GPU code", "must hold " + ", ".join("/".join(group) for group in targets.required), targets.reason
    yield "version label", f"+{plan.label}", "sd: single-device, md: multi-device; CUDA, architectures"
    yield "jobs", f"{jobs.count} at most, as memory allows" if plan.gate.on else str(jobs.count), jobs.origin
    yield "", jobs.arithmetic, ""
    yield "", f"cores: {jobs.cores_source}; memory: {jobs.memory_source}", ""
    yield "gate", "on" if plan.gate.on else "off", plan.gate.reason
    yield "disk", _range(plan.disk, format_size), plan.disk.source
    if plan.memory.high:
        yield "memory", _range(plan.memory, format_size), plan.memory.source
    yield "time", _range(plan.time, format_duration), plan.time.source


def _tool(tool: PlannedTool) -> Row:
    return tool.name, f"{tool.version}  {tool.path or 'to be installed'}", tool.reason


def _command(plan: Plan) -> Iterator[Row]:
    for argument in plan.command:
        yield "", shlex.join(redact(word) for word in argument.words), argument.origin
    for option in plan.left_out:
        yield "", f"(not passed: {option.name}={option.value})", option.origin
    for option in plan.by_patch:
        yield "", f"(left to patches: {option.name}={option.value})", option.origin
    for directory in plan.directories:
        yield "", f"(made in the checkout: {directory.value}/)", directory.origin


def _environment(plan: Plan) -> Iterator[Row]:
    """Ours one by one; then the host's, those of the same value together (certificates are named five times)."""
    shared: dict[str, list[str]] = {}
    for setting in plan.environment:
        if setting.origin == FROM_HOST:
            shared.setdefault(setting.value, []).append(setting.name)
        else:
            yield "", f"{setting.name}={shlex.quote(redact(setting.value))}", setting.origin
    for value, names in shared.items():
        yield "", f"{', '.join(names)}={shlex.quote(redact(value))}", FROM_HOST


def _range(estimate: Estimate, show: Callable[[float], str]) -> str:
    if not estimate.high:
        return "not known"
    low, high = show(estimate.low), show(estimate.high)
    return low if low == high else f"{low} to {high}"
