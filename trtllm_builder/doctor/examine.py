"""Everything the doctor has to say, of a machine and of what somebody wants from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trtllm_builder.doctor.facts import Facts
from trtllm_builder.doctor.finding import Finding, fail, ok, softened, warn
from trtllm_builder.doctor.graphics import graphics_findings, toolkit_findings
from trtllm_builder.doctor.machine import machine_findings, privilege_findings, system_findings
from trtllm_builder.doctor.mpi import mpi_findings
from trtllm_builder.doctor.program_facts import PROGRAMS
from trtllm_builder.doctor.programs import (
    cache_finding,
    command_findings,
    interpreter_findings,
    network_findings,
    prerequisite_findings,
    program_findings,
)
from trtllm_builder.doctor.serving import wheel_findings
from trtllm_builder.doctor.wheels import WheelFacts
from trtllm_builder.errors import BuilderError
from trtllm_builder.plan.model import Plan
from trtllm_builder.text import clean, redact

SCHEMA = 1


@dataclass(frozen=True)
class Answer:
    """``groups``: title to findings, in the order in which they are shown."""

    facts: Facts
    groups: tuple[tuple[str, tuple[Finding, ...]], ...]
    wheel: WheelFacts | None = None
    profile: str | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(finding for _, findings in self.groups for finding in findings)

    @property
    def failed(self) -> bool:
        return any(finding.level == "fail" for finding in self.findings)

    @property
    def verdict(self) -> str:
        """``2 failures, 1 warning``."""
        counts = {level: sum(one.level == level for one in self.findings) for level in ("fail", "warn")}
        return ", ".join(
            f"{count or 'no'} {word}{'s' * (count != 1)}"
            for count, word in ((counts["fail"], "failure"), (counts["warn"], "warning"))
        )

    def to_json(self) -> dict[str, object]:
        """The document of schemas/doctor.json."""
        return {
            "schema": SCHEMA,
            "failed": self.failed,
            "verdict": self.verdict,
            "profile": self.profile,
            "groups": [
                {"title": title, "findings": [finding.to_json() for finding in findings]}
                for title, findings in self.groups
            ],
            "wheel": self.wheel.to_json() if self.wheel else None,
            "facts": self.facts.to_json(),
        }

    def lines(self) -> list[str]:
        """For a terminal."""
        lines = []
        for title, findings in self.groups:
            lines += [title]
            for one in findings:
                lines.append(f"  {one.level:<7}  {one.id}: {one.what}")
                lines += [f"           -> {one.remedy}"] if one.remedy else []
            lines.append("")
        return [redact(clean(line)) for line in (*lines, self.verdict)]


def examine(
    facts: Facts,
    cure: str,
    *,
    python: str = "host",
    profile: str | None = None,
    plan: Plan | BuilderError | None = None,
    wheel: WheelFacts | BuilderError | None = None,
) -> Answer:
    """Judges. What only a build needs is no failure where a wheel alone was asked about."""
    building = _building(facts, python)
    if wheel is not None and profile is None:
        building = [softened(finding) for finding in building]
    groups: list[tuple[str, Sequence[Finding]]] = [
        ("machine", _machine(facts)),
        ("GPU and MPI", _running(facts, cure)),
        ("building", building),
    ]
    if profile is not None:
        groups.append((f"profile {profile}", _plan(plan, facts.failed.get("plan", ""))))
    if isinstance(wheel, WheelFacts):
        groups.append((f"wheel {wheel.name}", wheel_findings(wheel, facts, cure)))
    elif wheel is not None:
        groups.append(("wheel", [fail("wheel", str(wheel), wheel.remedy)]))
    return Answer(
        facts,
        tuple((title, tuple(findings)) for title, findings in groups if findings),
        wheel if isinstance(wheel, WheelFacts) else None,
        profile,
    )


def _machine(facts: Facts) -> list[Finding]:
    found: list[Finding] = []
    machine, system = facts.machine, facts.system
    if machine is not None:
        found += machine_findings(machine)
    if system is not None:
        found += system_findings(system, machine.kernel if machine else "")
    if facts.privileges is not None:
        found += privilege_findings(facts.privileges, system, machine.provider if machine else None)
    found += command_findings(facts.commands or ())
    found += _unknown(facts, machine="machine", system="system", privileges="container", commands="command")
    if facts.late:
        waited = f"; waited for {', '.join(facts.hung)}" if facts.hung else ""
        found.append(
            warn(
                "late",
                f"no answer in time about {', '.join(facts.late)}{waited}",
                "a disk, a driver or a program here hangs: try these by hand",
            )
        )
    return found


def _running(facts: Facts, cure: str) -> list[Finding]:
    found = graphics_findings(facts.graphics) if facts.graphics is not None else []
    if facts.mpi is not None:
        container = facts.system.container not in (None, "wsl2") if facts.system is not None else None
        found += mpi_findings(facts.mpi, container=container, cure=f"take a single-device wheel: {cure}")
    return found + _unknown(facts, graphics="gpu", mpi="mpi")


def _unknown(facts: Facts, **ids: str) -> list[Finding]:
    """For each fact without an answer, under the id of the finding that would have told it."""
    return [warn(id, f"not known: {why}", "") for fact, id in ids.items() if (why := facts.unknown(fact))]


def _building(facts: Facts, python: str) -> list[Finding]:
    found: list[Finding] = []
    if facts.system is not None:
        found += prerequisite_findings(facts.system)
    if not facts.unknown("interpreter"):
        found += interpreter_findings(facts.interpreter, python)
    found += program_findings(facts.programs or ())
    if facts.toolkits is not None:
        found += toolkit_findings(facts.toolkits, facts.graphics)
    if facts.cache is not None:
        found.append(cache_finding(facts.cache))
    found += network_findings(facts.network or ())
    tools = {name: name for name in PROGRAMS}
    return found + _unknown(
        facts, interpreter="python", **tools, toolkits="toolkit", cache="ccache-works", network="network"
    )


def _plan(plan: Plan | BuilderError | None, why: str) -> list[Finding]:
    if why:
        return [warn("plan", f"not known: {why}", "trtllm-build plan --check --profile NAME")]
    if plan is None:
        told = "whether it can be built was not found out in time"
        return [warn("plan", told, "trtllm-build plan --check --profile NAME takes its time")]
    if isinstance(plan, BuilderError):
        return [fail("plan", str(plan), plan.remedy)]
    if plan.lacks:
        return [fail("plan", lack.what, "; ".join(lack.steps)) for lack in plan.lacks]
    jobs = f"{plan.jobs.count} job{'s' * (plan.jobs.count > 1)}"
    where = f"CUDA {plan.toolkit_version}, in {plan.workspace.value}"
    return [ok("plan", f"it can be built here: {jobs}, {where}")]
