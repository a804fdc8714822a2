"""What was measured, weighed against what the log says: killed for memory or not, the disk full or not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from trtllm_builder.build.diagnosis.model import Cause, Diagnosis, Rank
from trtllm_builder.build.evidence import Evidence
from trtllm_builder.units import format_size

KILLED = "killed"
OUT_OF_MEMORY = "out-of-memory"
TOOL_ENDED = "build-tool-ended"
DISK_FULL = "disk-full"
_SOMEBODY = (
    "somebody, or a program that guards this machine (a job scheduler, a memory daemon), killed it: ask there; the "
    "same command goes on"
)
_AUTO = (
    "leave out --jobs, or set build.jobs: auto: then each compiler starts when there is memory for it; or run fewer at "
    "once, or give the machine more memory"
)


def weigh(found: Sequence[Cause], evidence: Evidence | None) -> Diagnosis | None:
    """The causes with the evidence applied, the root first; None when neither says why the build stopped."""
    causes = list(found)
    if evidence is None:
        causes = [_without_evidence(cause) if cause.id == KILLED else cause for cause in causes]
    else:
        causes = [_with_evidence(cause, evidence) if cause.id == KILLED else cause for cause in causes]
        causes = _beyond_the_log(causes, evidence)
        if evidence.alone:
            causes = [_too_large(evidence, causes), *(one for one in causes if one.id not in (KILLED, OUT_OF_MEMORY))]
    if not causes:
        return None
    first, *others = causes
    kept = tuple(other for other in others if other.rank != Rank.WRAPPER)[:5]
    return Diagnosis(first, kept, evidence.sentences if evidence else ())


def _who(cause: Cause) -> str:
    return f"The compiler of {cause.step}" if cause.step else "A process of the build"


def _without_evidence(cause: Cause) -> Cause:
    return replace(
        cause,
        sentence=f"{_who(cause)} was killed by signal 9, probably for lack of memory: in a build hardly anything else "
        "does that, but a log alone cannot prove it.",
        remedy=f"{_AUTO}; `dmesg`, or the cgroup's memory.events, tells for sure",
    )


def _bound(evidence: Evidence) -> str:
    limit = evidence.limit
    bound = format_size(evidence.most_memory)
    if limit is None or limit.limit > evidence.total:
        return f"{bound} (all of this machine)"
    lowered = f", lowered from {format_size(evidence.lowered)} since the build began" if evidence.lowered else ""
    return f"{bound} ({limit.source}{lowered})"


def _too_large(evidence: Evidence, causes: Sequence[Cause]) -> Cause:
    """One compiler does not fit by itself: fewer jobs change nothing."""
    one = evidence.alone[0]
    seen = next((cause for cause in causes if cause.id in (KILLED, OUT_OF_MEMORY)), None)
    others = [other.name for other in evidence.alone[1:]]
    more = f" (and {len(others)} more)" if len(others) > 3 else f" (and {', '.join(others)})" if others else ""
    needed = f", took {format_size(one.known)} in an earlier build" if one.known > one.peak else ""
    known = max(other.known for other in evidence.alone)
    # Of one that never ended well nobody knows how much more it wants.
    most = max(evidence.most_memory, *(other.peak for other in evidence.alone))
    wanted = math.ceil((1.2 * known if known > most else 1.5 * most) / 2**30)
    return Cause(
        OUT_OF_MEMORY,
        Rank.CAUSE,
        f"The compiler of {one.name}{more} was killed for lack of memory twice, the second time with nothing beside it:"
        f" it held {format_size(one.peak)} when it was killed{needed}, the build may have {_bound(evidence)}, and "
        f"{one.counter} rose.",
        f"take a machine, or a container, that gives the build {wanted} GiB, or add swap; fewer architectures "
        "(cuda.architectures) or --threads 1 for nvcc take less; then go on with the same command",
        seen.lines if seen else (),
        one.name,
    )


def _with_evidence(cause: Cause, evidence: Evidence) -> Cause:
    if evidence.killed:
        return replace(
            cause,
            id=OUT_OF_MEMORY,
            sentence=f"{_who(cause)} was killed for lack of memory: the build may have {_bound(evidence)}, and "
            f"{evidence.killed_source} rose by {evidence.killed}.",
            remedy=_fitting(evidence),
        )
    if any(Path(name).name == Path(cause.step).name for name in evidence.lost):
        return _client_killed(cause, evidence)
    if evidence.killed == 0:
        return replace(
            cause,
            sentence=f"{_who(cause)} was killed by signal 9, and not by the kernel for lack of memory: "
            f"{evidence.killed_source}.",
            remedy=_SOMEBODY,
        )
    return replace(
        cause,
        sentence=f"{_who(cause)} was killed by signal 9; whether for lack of memory could not be seen, because "
        f"{evidence.killed_source}.",
        remedy=f"if memory was short: {_fitting(evidence)}",
    )


def _client_killed(cause: Cause, evidence: Evidence) -> Cause:
    return replace(
        cause,
        sentence=f"The gate's client, which watched the compiler of {cause.step}, was killed by signal 9, and not "
        f"for lack of memory as far as can be seen ({evidence.killed_source}). Its compiler was ended then.",
        remedy=_SOMEBODY,
    )


def _fitting(evidence: Evidence) -> str:
    """So that all fit; first of all the gate, which needs no number."""
    jobs = evidence.jobs
    if jobs is None:
        return _AUTO
    if jobs.gate:
        return (
            "somebody else took memory meanwhile, or a compiler took more than was foreseen: give the same command "
            "again, since what was measured is known now; keep more free (build.reserve) or give the machine "
            "more memory if it happens again"
        )
    if jobs.count == 1:
        return (
            f"one compiler alone does not fit into {format_size(evidence.most_memory)}: take a machine with more "
            "memory, add swap, or build for fewer architectures (cuda.architectures)"
        )
    fewer = max(1, jobs.count // 2)
    if jobs.asked:
        auto = "leave out --jobs" if jobs.asked == "--jobs" else "set build.jobs: auto in the profile"
        return (
            f"{jobs.count} compilers at once did not fit; {auto}: then each starts when there is memory for it, and "
            f"one that is killed runs again by itself; or give --jobs {fewer}; what was compiled is kept"
        )
    return (
        f"{jobs.count} compilers at once did not fit; give --jobs {fewer}, or have ccache or CMake 3.24, with which "
        "each compiler starts when there is memory for it; what was compiled is kept"
    )


def _beyond_the_log(causes: list[Cause], evidence: Evidence) -> list[Cause]:
    """Add what the log is silent about: a killed leader prints nothing, and a full disk can swallow the message."""
    certain = bool(causes) and causes[0].rank >= Rank.PLAIN and causes[0].id != TOOL_ENDED
    known = {cause.id for cause in causes}
    if (evidence.killed or 0) > evidence.mended and OUT_OF_MEMORY not in known and evidence.returncode != 0:
        silent = _with_evidence(Cause(KILLED, Rank.CAUSE, "", "", ()), evidence)
        causes = [*causes, silent] if certain else [silent, *causes]
    elif evidence.lost and not known & {KILLED, OUT_OF_MEMORY} and not certain:
        # ccache makes of a signal an exit status that says nothing.
        causes = [_client_killed(Cause(KILLED, Rank.CAUSE, "", "", (), Path(evidence.lost[0]).name), evidence), *causes]
    elif evidence.returncode in (-9, 137) and not known & {KILLED, OUT_OF_MEMORY} and not certain:
        causes = [_with_evidence(Cause(KILLED, Rank.CAUSE, "", "", ()), evidence), *causes]
    if evidence.full and DISK_FULL not in known and not certain:
        name, disk = evidence.full[0]
        left = f"{format_size(disk.free)} are free" if disk.free < 16 * 2**20 else "no more files can be made"
        full = Cause(
            DISK_FULL,
            Rank.CAUSE,
            f"The disk is full: {left} in {name}.",
            "free some room and go on with the same command",
            (),
            host=True,
        )
        causes = [full, *causes]
    return causes
