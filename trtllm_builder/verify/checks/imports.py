"""Check of the Python side: whether importing, a first answer or the server reach MPI, found without running it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from trtllm_builder.binary.wheel import Wheel
from trtllm_builder.upstream.audit.audit import audit
from trtllm_builder.upstream.audit.frame import Facts
from trtllm_builder.upstream.audit.model import EntryAudit, MpiAudit, Standing
from trtllm_builder.upstream.audit.package import PACKAGE, Package
from trtllm_builder.verify.checks import Check, Evidence, Severity, few, judged, skipped
from trtllm_builder.verify.expect import Expectation
from trtllm_builder.verify.library import Library

_SINGLE = "The patch set single-device closes these ways; `trtllm-build patches audit` shows how each is reached."
_MULTI = "It is made for several devices and starts MPI for one as well: where that hangs, take a single-device build."
_NAMED = "Whether that runs was not followed: --import tries it where there is no MPI."
_MPI = re.compile(r"""^[ \t]*(?:import|from)[ \t]+(mpi4py)\b|["'/](libmpi\w*\.so[.\d]*)""", re.MULTILINE)
_WAYS = {"import": "import", "LLM": "LLM(...)", "serve": "trtllm-serve"}


def import_check(wheel: Wheel, libraries: Sequence[Library], expectation: Expectation) -> Check:
    """mpi-imports. What surely runs is judged; what may run, or was not understood, is a warning."""
    title = "neither import nor a first answer nor the server reach MPI"
    if wheel.name != PACKAGE.replace("_", "-") or f"{PACKAGE}/__init__.py" not in wheel.texts:
        named = list(_named(wheel))
        if not named:
            return skipped("mpi-imports", title, "it is no TensorRT-LLM", severity="info")
        return judged("mpi-imports", "its Python names no MPI", named, severity="info", remedy=_NAMED)
    # A wheel without a plan says by what it links for how many devices it was made.
    multi = not expectation.single_device and any(lib.forbidden_libraries or lib.forbidden_symbols for lib in libraries)
    package = Package(wheel.texts, lambda path: wheel.texts[path].encode())
    try:
        found = audit(package, Facts(multi_device=multi))
    except RecursionError:
        return skipped("mpi-imports", title, "its Python is nested too deeply to follow", severity="warning")
    sure = list(_touches(found, {Standing.CERTAIN}))
    unsure = [*_touches(found, {Standing.INSTALLED, Standing.POSSIBLE}), *_unknown(found)]
    unread = [Evidence("was too large to be looked into", name) for name in wheel.not_kept if name.endswith(".py")]
    severity: Severity = "error" if sure and expectation.single_device else "warning"
    ways = [one.entry for one in found.entries if one.verdict != "absent"]
    return judged(
        "mpi-imports",
        title,
        [*sure, *unsure, *unread],
        severity=severity,
        seen=f"{few([_WAYS[way] for way in ways])} followed over {found.entries[-1].modules} modules",
        remedy=_MULTI if multi else _SINGLE,
    )


def _named(wheel: Wheel) -> Iterator[Evidence]:
    """The first line of each module of another project's that imports mpi4py or opens MPI's library by its name."""
    for member, text in wheel.texts.items():
        # Two searches for a plain word are cheap; nearly every module ends here.
        if not member.endswith(".py") or ("mpi4py" not in text and "libmpi" not in text):
            continue
        if match := _MPI.search(text):
            yield Evidence(f"names {match[1] or match[2]}", member, text.count("\n", 0, match.start()) + 1)


def _touches(found: MpiAudit, standings: set[Standing]) -> Iterator[Evidence]:
    for entry in found.entries:
        for touch in entry.touches:
            if touch.standing in standings:
                when = {
                    Standing.CERTAIN: "",
                    Standing.INSTALLED: " where mpi4py is installed",
                    Standing.POSSIBLE: f" if {touch.condition}" if touch.condition else " perhaps",
                }[touch.standing]
                yield Evidence(f"{_by(entry)} {touch.what}{when}", touch.place.file, touch.place.line)


def _unknown(found: MpiAudit) -> Iterator[Evidence]:
    for entry in found.entries:
        for one in entry.unknown:
            yield Evidence(f"{_by(entry)} what cannot be followed: {one.what}", one.place.file, one.place.line)


def _by(entry: EntryAudit) -> str:
    return f"{_WAYS[entry.entry]} reaches it:"
