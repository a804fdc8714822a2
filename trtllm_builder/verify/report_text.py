"""A report as lines for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trtllm_builder.text import clean
from trtllm_builder.units import format_duration, format_size
from trtllm_builder.verify.checks import Check
from trtllm_builder.verify.matrix import Matrix, Row, matrix
from trtllm_builder.verify.tried import Smoke

if TYPE_CHECKING:
    from trtllm_builder.verify.report import Report

_WIDTH = 80
_NAME = 32  # columns for a library's name
_MARKS = {"code": "+", "ptx": "p", "relocatable": "r"}


def text_lines(report: Report, *, verbose: bool = False) -> list[str]:
    """Verdict, what it needs, GPU code by library, failed checks with remedies, skipped, passed."""
    lines = [report.wheel, f"{report.verdict.upper()}  ({format_size(report.size)}, sha256 {report.sha256[:16]})", ""]
    for name, value in (*report.needs.rows(), *report.origins):
        lines += wrapped(value, f"  {name:<9} ", " " * 12)
    lines += ["", *_matrix(matrix(report.libraries), len(report.libraries))]
    if report.imports:
        lines += [f"  {line}" for line in _smoke(report.imports)]
    for check in report.failed:
        lines += ["", *wrapped(f"{'FAILED' if check.fatal else check.severity} {check.fault}", "", "    ")]
        lines += wrapped(f"wanted: {check.title}", "    ", "      ")
        for item in _shortened(tuple(map(str, check.evidence[1:])), verbose):
            lines += wrapped(item, "    ", "      ")
        lines += wrapped(f"-> {check.remedy}", "    ", "       ") if check.remedy else []
    told = [check for check in report.skipped if verbose or check.severity != "info"]
    untold = [check.id for check in report.skipped if check not in told]
    if told or untold:
        lines += [""]
    for line in _skips(told):
        lines += wrapped(line, "", "    ")
    lines += wrapped(f"not asked, or no such thing: {', '.join(untold)}", "", "    ") if untold else []
    done = [check for check in report.checks if check.status == "passed"]
    lines += ["", *wrapped(f"passed: {', '.join(check.id for check in done) or 'nothing'}", "", "    ")]
    if verbose:
        lines += [
            line for check in done for item in check.evidence for line in wrapped(f"{check.id}: {item}", "  ", "      ")
        ]
    return [clean(line) for line in lines]


def wrapped(text: str, first: str, later: str) -> list[str]:
    """Words are kept whole, so that paths can be copied; line breaks in the text stay."""
    lines = []
    for number, part in enumerate(text.splitlines() or [""]):
        lines += textwrap.wrap(
            part,
            _WIDTH,
            initial_indent=later if number else first,
            subsequent_indent=later,
            break_long_words=False,
            break_on_hyphens=False,
            drop_whitespace=True,
        ) or [""]
    return lines


def _skips(checks: Sequence[Check]) -> list[str]:
    """Checks skipped for the same reason share a line."""
    reasons: dict[str, list[str]] = {}
    for check in checks:
        reasons.setdefault("; ".join(map(str, check.evidence)), []).append(check.id)
    return [f"SKIPPED {', '.join(ids)}: {reason}" for reason, ids in reasons.items()]


def _shortened(items: tuple[str, ...], verbose: bool, keep: int = 6) -> list[str]:
    if verbose or len(items) <= keep:
        return list(items)
    return [*items[:keep], f"and {len(items) - keep} more (--verbose shows them)"]


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


def _matrix(table: Matrix, libraries: int) -> list[str]:
    """One row for libraries of a kind, one column a target; where that is too wide, a list for each row."""
    if not table.rows:
        return [f"  no GPU code in {libraries} shared librar{'y' if libraries == 1 else 'ies'}"]
    heads = [name.removeprefix("sm_").replace("compute_", "c") for name in table.columns]
    width = max(len(_short(row.name)) for row in table.rows)
    if 2 + width + sum(len(head) + 1 for head in heads) > _WIDTH:
        return [line for row in table.rows for line in _listed(row, table.columns)]
    lines = ["  " + "library".ljust(width) + "".join(f" {head}" for head in heads)]
    for row in table.rows:
        marks = (_MARKS[cell.mark] if cell else "." for cell in row.cells)
        cells = "".join(f" {mark:>{len(head)}}" for mark, head in zip(marks, heads, strict=True))
        lines.append("  " + _short(row.name).ljust(width) + cells)
    virtual = next((name for name in table.columns if name.startswith("compute_")), "")
    example = f" ({virtual.replace('compute_', 'c')}: {virtual})" if virtual else ""
    means = {"code": "+ machine code", "ptx": f"p PTX{example}", "relocatable": "r relocatable only"}
    return [*lines, f"  ({', '.join(means[mark] for mark in means if mark in table.marks)})"]


def _listed(row: Row, columns: Sequence[str]) -> list[str]:
    kinds = []
    for mark, what in (("code", ""), ("ptx", "PTX "), ("relocatable", "relocatable ")):
        names = [name for name, cell in zip(columns, row.cells, strict=True) if cell and cell.mark == mark]
        kinds += [what + " ".join(name.partition("_")[2] for name in names)] if names else []
    return wrapped(f"{row.name}: {'; '.join(kinds)}", "  ", "      ")


def _short(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 14]}...{name[-11:]}"
