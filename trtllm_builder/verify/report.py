"""What verification found, in four views: a truth value, JSON, lines for a terminal, and a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trtllm_builder.binary.wheel import Member
from trtllm_builder.verify.checks import Check
from trtllm_builder.verify.compiled import Compiled
from trtllm_builder.verify.library import Library
from trtllm_builder.verify.needs import Needs
from trtllm_builder.verify.report_text import text_lines
from trtllm_builder.verify.tried import Smoke

SCHEMA = 1
_LARGEST = 12  # members in the document


@dataclass(frozen=True)
class Contents:
    """Bytes, unpacked: of GPU code, of the rest of the ELF files, of Python, and of everything else."""

    gpu: int
    host: int
    python: int
    other: int


@dataclass(frozen=True)
class Report:
    """``wheel`` is the file's name, ``size`` bytes; ``imports`` is None when the smoke test was not run.

    ``held_to``: what it was held against, in words. ``compiled``: how, known to its own build alone.
    """

    wheel: str
    sha256: str
    size: int
    held_to: str
    needs: Needs
    members: tuple[Member, ...]
    libraries: tuple[Library, ...]
    imports: Smoke | None
    checks: tuple[Check, ...]
    compiled: Compiled | None = None

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
        """``failed``, ``passed``, or ``passed, 1 warning, 2 checks skipped``: what nobody asked for is not counted."""
        if not self.passed:
            return "failed"
        counts = (
            ("warning", sum(check.level == "warn" for check in self.checks), ""),
            ("check", sum(check.severity != "info" for check in self.skipped), " skipped"),
        )
        return ", ".join(
            ["passed", *(f"{count} {what}{'s' * (count != 1)}{end}" for what, count, end in counts if count)]
        )

    @property
    def origins(self) -> tuple[tuple[str, str], ...]:
        """What it was held against and how it was compiled, by name."""
        told = self.compiled.told if self.compiled else ""
        return (("held to", self.held_to), *([("compiled", told)] if told else []))

    @property
    def contents(self) -> Contents:
        """Where the bytes are. GPU code that is linked and relocatable counts twice, as it stands there twice."""
        binary = sum(member.size for member in self.members if member.elf)
        gpu = sum(target.size for library in self.libraries for target in library.targets)
        python = sum(member.size for member in self.members if member.name.endswith(".py"))
        total = sum(member.size for member in self.members)
        return Contents(gpu, max(0, binary - gpu), python, total - binary - python)

    def largest(self, count: int = _LARGEST) -> Sequence[Member]:
        """The members that take most of the file."""
        return sorted(self.members, key=lambda member: -member.packed)[:count]

    def to_json(self) -> dict[str, object]:
        """The document of schemas/report.json."""
        contents = self.contents
        return {
            "schema": SCHEMA,
            "wheel": self.wheel,
            "sha256": self.sha256,
            "size": self.size,
            "passed": self.passed,
            "verdict": self.verdict,
            "held_to": self.held_to,
            "compiled": self.compiled.to_json() if self.compiled else None,
            "needs": self.needs.to_json(),
            "contents": {
                "files": len(self.members),
                "gpu": contents.gpu,
                "host": contents.host,
                "python": contents.python,
                "other": contents.other,
                "largest": [{"name": m.name, "size": m.size, "packed": m.packed} for m in self.largest()],
            },
            "targets": [_targets(library) for library in self.libraries if library.targets],
            "links": [_links(library) for library in self.libraries],
            "imports": self.imports.to_json() if self.imports else None,
            "checks": [check.to_json() for check in self.checks],
        }

    def lines(self, *, verbose: bool = False) -> list[str]:
        """For a terminal of 80 columns."""
        return text_lines(self, verbose=verbose)

    def html(self) -> str:
        """One page that needs nothing else."""
        from trtllm_builder.verify.report_html import html_page  # Jinja2 is not loaded for a text

        return html_page(self)


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
