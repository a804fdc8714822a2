"""PyPA's auditwheel as second opinion on symbol versions, by its ``show --json`` (version 1 of that document)."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.process import run
from trtllm_builder.verify.checks import Check, judged, skipped
from trtllm_builder.verify.library import Library

_TIMEOUT = 600.0  # seconds; 444 MB take about 4
_TITLE = "auditwheel sees the same symbol versions"
_KINDS = ("GLIBC_", "GLIBCXX_", "CXXABI_")


@dataclass(frozen=True)
class Opinion:
    """``versions`` are pairs of library and version; ``unusable`` says why there are none."""

    tag: str = ""
    versions: frozenset[tuple[str, str]] = frozenset()
    unusable: str = ""


def find_auditwheel(environ: Mapping[str, str]) -> Path | None:
    """Beside our own interpreter, or on PATH."""
    beside = Path(sys.executable).with_name("auditwheel")
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which("auditwheel", path=environ.get("PATH", ""))
    return Path(found) if found else None


def ask_auditwheel(tool: Path, wheel: Path, environ: Mapping[str, str]) -> Opinion:
    """Never raises for what the tool does: it is only a second opinion. It unpacks the wheel below TMPDIR."""
    try:
        shown = run([tool, "show", "--json", "--allow-pure-python-wheel", wheel], env=dict(environ), timeout=_TIMEOUT)
        document = json.loads(shown.stdout)
        pairs = {(library, one) for library, each in document["versioned_symbols"].items() for one in each}
        return Opinion(str(document["sym_tag"]), frozenset(pairs))
    except OSError as error:
        return Opinion(unusable=f"auditwheel cannot be run: {error}")
    except (ValueError, KeyError, TypeError, AttributeError):
        return Opinion(unusable=f"auditwheel gave no answer: {shown.last_line}; `show --json` came with version 6.5")


def auditwheel_check(opinion: Opinion | None, libraries: Sequence[Library]) -> Check:
    """auditwheel. It also counts what needed libraries of this very host ask for, so it may well see more than we."""
    if opinion is None:
        return skipped("auditwheel", _TITLE, "not asked for, or not installed here", severity="info")
    if opinion.unusable:
        return skipped("auditwheel", _TITLE, opinion.unusable, severity="info")
    ours = {pair for library in libraries for pair in library.needed_versions}
    alone = sorted(_told(ours - opinion.versions))
    more = sorted(_told(opinion.versions - ours))
    seen = [f"by symbols it is {opinion.tag}"]
    if more:
        seen.append(f"it counts {', '.join(more)} too, which needed libraries of this host ask for")
    return judged(
        "auditwheel",
        _TITLE,
        [f"only we see {', '.join(alone)}"] if alone else [],
        severity="warning",
        seen=seen,
        remedy="Our reader and auditwheel disagree: please report it with this wheel.",
    )


def _told(pairs: frozenset[tuple[str, str]] | set[tuple[str, str]]) -> set[str]:
    told = {(library, version) for library, version in pairs if version.startswith(_KINDS)}
    # The loader itself is no library to auditwheel.
    return {f"{version} of {library}" for library, version in told if not library.startswith("ld-linux")}
