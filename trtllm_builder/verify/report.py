"""What verification found, in three views: a truth value, JSON, and lines for a terminal."""

from __future__ import annotations

from dataclasses import dataclass

from trtllm_builder.text import clean
from trtllm_builder.units import format_duration, format_size
from trtllm_builder.verify.checks import Check
from trtllm_builder.verify.library import Library
from trtllm_builder.verify.smoke import Smoke

SCHEMA = 1


@dataclass(frozen=True)
class Report:
    """``wheel`` is the file's name, ``size`` bytes; ``imports`` is None when the smoke test was not run."""

    wheel: str
    sha256: str
    size: int
    libraries: tuple[Library, ...]
    imports: Smoke | None
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """No check of severity error failed. Skipped checks did not pass: see ``skipped``."""
        return not any(check.fatal for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """Failed checks, errors first."""
        order = {"error": 0, "warning": 1, "info": 2}
        return tuple(sorted((c for c in self.checks if c.status == "failed"), key=lambda c: order[c.severity]))

    @property
    def faults(self) -> tuple[str, ...]:
        """One line for each failed check of severity error."""
        return tuple(check.fault for check in self.checks if check.fatal)

    @property
    def skipped(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.status == "skipped")

    @property
    def verdict(self) -> str:
        """``passed``, ``failed``, or ``passed, 2 checks skipped``: what nobody asked for is not counted."""
        if not self.passed:
            return "failed"
        count = sum(check.severity != "info" for check in self.skipped)
        return "passed" + (f", {count} check{'s' * (count != 1)} skipped" if count else "")

    def to_json(self) -> dict[str, object]:
        """The document of schemas/report.json."""
        return {
            "schema": SCHEMA,
            "wheel": self.wheel,
            "sha256": self.sha256,
            "size": self.size,
            "passed": self.passed,
            "verdict": self.verdict,
            "targets": [_targets(library) for library in self.libraries if library.targets],
            "links": [_links(library) for library in self.libraries],
            "imports": self.imports.to_json() if self.imports else None,
            "checks": [check.to_json() for check in self.checks],
        }

    def lines(self, *, verbose: bool = False) -> list[str]:
        """For a terminal: verdict, table of libraries and targets, failed checks with remedies, skipped, passed."""
        lines = [f"{self.wheel}  {format_size(self.size)}  {self.verdict.upper()}", ""]
        lines += _table(self.libraries)
        if self.imports:
            lines += [f"  {line}" for line in _smoke(self.imports)]
        for check in self.failed:
            lines += ["", f"{'FAILED' if check.fatal else check.severity} {check.fault}"]
            lines += [
                f"    {item}"
                for item in (f"wanted: {check.title}", *_shortened(tuple(map(str, check.evidence[1:])), verbose))
            ]
            lines += [f"    -> {check.remedy}"] if check.remedy else []
        if self.skipped:
            lines += ["", *_skips(self.skipped)]
        done = [check for check in self.checks if check.status == "passed"]
        lines += ["", f"passed: {', '.join(check.id for check in done) or 'nothing'}"]
        if verbose:
            lines += [f"  {check.id}: {item}" for check in done for item in check.evidence]
        return [clean(line) for line in lines]


def _skips(checks: tuple[Check, ...]) -> list[str]:
    """Checks skipped for the same reason share a line."""
    reasons: dict[str, list[str]] = {}
    for check in checks:
        reasons.setdefault("; ".join(map(str, check.evidence)), []).append(check.id)
    return [f"SKIPPED {', '.join(ids)}: {reason}" for reason, ids in reasons.items()]


def _shortened(items: tuple[str, ...], verbose: bool, keep: int = 6) -> list[str]:
    if verbose or len(items) <= keep:
        return list(items)
    return [*items[:keep], f"and {len(items) - keep} more"]


def _smoke(smoke: Smoke) -> list[str]:
    told = [f"smoke test with Python {smoke.python}: {smoke.outcome}"]
    for what, seconds in (("import", smoke.import_seconds), ("answer", smoke.answer_seconds)):
        if seconds is not None:
            told.append(f"{what} took {format_duration(seconds)}")
    lines = [", ".join(told)]
    if smoke.world:
        held = ", ".join(one.seen for one in smoke.world.restrictions if one.held)
        loose = "; ".join(str(one) for one in smoke.world.restrictions if not one.held)
        lines.append(f"  tried with {held or 'no restriction'}{f'; not restricted: {loose}' if loose else ''}")
    if smoke.gpu:
        launched = smoke.gpu.launched
        lines.append(f"  GPU: {smoke.gpu.why if launched is None else f'{smoke.gpu.devices[0]}, its kernel ran'}")
    return lines


def _table(libraries: tuple[Library, ...]) -> list[str]:
    """One row a library with GPU code, one column a target; + for machine code, p for PTX, r for unlinked code."""
    rows = [library for library in libraries if library.targets]
    if not rows:
        return [f"  no GPU code in {len(libraries)} shared librar{'y' if len(libraries) == 1 else 'ies'}"]
    columns = list(dict.fromkeys(t.name for t in sorted((t for r in rows for t in r.targets), key=_order)))
    width = max(len(library.name) for library in rows)
    lines = ["  " + "library".ljust(width) + "".join(f"  {name.removeprefix('sm_')}" for name in columns)]
    for library in rows:
        cells = []
        for name in columns:
            marks = {
                ("+" if t.kind == "cubin" else "p") if t.linked else "r" for t in library.targets if t.name == name
            }
            mark = next((m for m in "+pr" if m in marks), ".")
            cells.append("  " + mark.rjust(len(name.removeprefix("sm_"))))
        lines.append("  " + library.name.ljust(width) + "".join(cells))
    return [*lines, "  (+ machine code, p PTX, r relocatable only)"]


def _order(target: object) -> tuple[bool, int, str]:
    name = str(getattr(target, "name", ""))
    return name.startswith("compute"), int("".join(filter(str.isdigit, name)) or 0), name


def _targets(library: Library) -> dict[str, object]:
    return {
        "library": library.path,
        "entries": [
            {
                "target": target.name,
                "kind": target.kind,
                "linked": target.linked,
                "compressed": target.compressed,
                "count": target.count,
                "bytes": target.size,
            }
            for target in library.targets
        ],
    }


def _links(library: Library) -> dict[str, object]:
    return {
        "library": library.path,
        "size": library.size,
        "machine": library.machine,
        "soname": library.soname,
        "needed": list(library.needed),
        "rpath": list(library.rpath),
        "runpath": list(library.runpath),
        "forbidden_libraries": list(library.forbidden_libraries),
        "forbidden_symbols": list(library.forbidden_symbols),
        "error": library.error,
    }
