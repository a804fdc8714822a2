"""The plan as a person reads it: what will be done, and in brackets why."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from trtllm_builder.plan.model import Estimate, Plan
from trtllm_builder.text import clean, redact
from trtllm_builder.units import format_duration, format_size


def text_lines(plan: Plan) -> list[str]:
    """Lines without credentials or control characters."""
    return [redact(clean(line)) for line in _lines(plan)]


def _row(name: str, value: str, origin: str = "") -> str:
    return f"  {name:<14} {value}" + (f"  [{origin}]" if origin else "")


def _range(estimate: Estimate, sizes: bool) -> str:
    if not estimate.high:
        return "not known"
    show = format_size if sizes else format_duration
    return f"{show(estimate.low)} to {show(estimate.high)}"


def _lines(plan: Plan) -> Iterator[str]:
    yield f"plan for {plan.profile}: {plan.description}"
    yield _row("profile", plan.chain[0], "then " + ", ".join(plan.chain[1:]) if plan.chain[1:] else "")
    source = plan.source
    yield _row("source", source.directory or source.url, source.origin)
    yield _row("ref", f"{source.ref} at {source.commit or 'whatever it names when fetched'}", source.origin)
    if source.mirrors:
        yield _row("mirrors", ", then ".join(source.mirrors))
    yield _row("upstream", plan.upstream.value, plan.upstream.origin)
    yield _row("workspace", plan.workspace.value, plan.workspace.origin)
    yield _row("python", plan.python.value, plan.python.origin)
    yield _row("CUDA", plan.toolkit.value, plan.toolkit.origin)
    yield _row("TensorRT", plan.tensorrt.value, plan.tensorrt.origin)
    for tool in plan.tools:
        yield _row(tool.name, f"{tool.version} {tool.path or '(to be installed)'}", f"{tool.origin}: {tool.reason}")
    targets = plan.verification.targets
    yield _row("architectures", plan.architectures.value, plan.architectures.origin)
    yield _row("GPU code", "must hold " + ", ".join("/".join(group) for group in targets.required), targets.reason)
    yield _row("label", f"+{plan.label}")
    yield _row("jobs", plan.jobs.arithmetic, plan.jobs.origin)
    yield _row("", f"cores: {plan.jobs.cores_source}; memory: {plan.jobs.memory_source}")
    yield _row("disk", _range(plan.disk, True), plan.disk.source)
    yield _row("time", _range(plan.time, False), plan.time.source)
    yield "patches"
    for patch in plan.patches:
        yield _row(patch.name, patch.outcome, patch.reason)
    yield "command"
    for argument in plan.command:
        yield f"  {shlex.join(argument.words)}  [{argument.origin}]"
    for option in plan.left_out:
        yield f"  (left out: {option.name}={option.value})  [{option.origin}]"
    yield "environment"
    for setting in plan.environment:
        yield f"  {setting.name}={shlex.quote(setting.value)}  [{setting.origin}]"
    for title, items in (("assumed until the checkout is there", plan.assumed), ("notes", plan.notes)):
        if items:
            yield title
            yield from (f"  {item}" for item in items)
    if plan.lacks:
        yield "this host lacks"
        for lack in plan.lacks:
            yield f"  {lack.what}"
            yield from (f"    {step}" for step in lack.steps)
