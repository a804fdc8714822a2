"""Checks of GPU code: what must be there, what may be there, and PTX."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from trtllm_builder.verify.capability import order
from trtllm_builder.verify.checks import Check, Evidence, few, judged, noted, skipped
from trtllm_builder.verify.expect import Expectation
from trtllm_builder.verify.library import Library


def target_checks(libraries: Sequence[Library], expectation: Expectation) -> tuple[Check, ...]:
    """gpu-targets, gpu-targets-allowed and ptx. An unreadable library fails gpu-targets: its code is unknown."""
    return (_required(libraries, expectation), _allowed(libraries, expectation), _ptx(libraries, expectation))


def _required(libraries: Sequence[Library], expectation: Expectation) -> Check:
    title = "GPU code for every architecture asked for"
    if not expectation.required:
        return skipped("gpu-targets", title, "no architecture was asked for", severity="info", remedy="Give --arch.")
    problems = [Evidence(f"cannot be read: {lib.error}", lib.path) for lib in libraries if lib.error]
    if expectation.libraries:
        for pattern in expectation.libraries:
            found = [library for library in libraries if fnmatchcase(library.name, pattern)]
            if not found:
                problems.append(Evidence(f"the wheel holds no {pattern}"))
            for library in found:
                problems += _missing(library.path, library.cubins, library.ptx, expectation)
    else:
        cubins = frozenset(target for library in libraries for target in library.cubins)
        ptx = frozenset(target for library in libraries for target in library.ptx)
        problems += _missing("", cubins, ptx, expectation)
    return judged(
        "gpu-targets",
        title,
        problems,
        seen=[_met(group, libraries) for group in expectation.required],
        remedy=(
            "Build with these architectures in the profile's cuda.architectures, or take a wheel made for this GPU."
            if expectation.strict
            else "Take a wheel made for this GPU, or ask those who build this one."
        )
        + (f" ({expectation.reason})" if expectation.reason else ""),
    )


def _missing(where: str, cubins: frozenset[str], ptx: frozenset[str], expectation: Expectation) -> list[Evidence]:
    problems = []
    for group in expectation.required:
        if group & cubins:
            continue
        virtual = sorted(name for name in ptx if name.replace("compute_", "sm_") in group)
        also = f"; {virtual[0]} PTX is there, which the driver would have to compile" if virtual else ""
        problems.append(Evidence(f"lacks {_group(group)}: it holds {_names(cubins) or 'no machine code'}{also}", where))
    return problems


def _met(group: frozenset[str], libraries: Sequence[Library]) -> str:
    """Which libraries hold what of a group, and which hold other GPU code only."""
    with_code = [library for library in libraries if library.cubins]
    held = _names(target for library in with_code for target in library.cubins & group)
    without = [library.name for library in with_code if not library.cubins & group]
    told = f"for {_asked(group)}: {held} in {len(with_code) - len(without)} of {len(with_code)} libraries with GPU code"
    return told + (f", none in {few(dict.fromkeys(without), 3)}" if without else "")


def _allowed(libraries: Sequence[Library], expectation: Expectation) -> Check:
    title = "no GPU code beyond what was asked for"
    allowed = expectation.allowed
    if allowed is None:
        return skipped("gpu-targets-allowed", title, "every architecture is allowed", severity="info")
    return judged(
        "gpu-targets-allowed",
        title,
        [Evidence(f"holds {_names(lib.cubins - allowed)}", lib.path) for lib in libraries if lib.cubins - allowed],
        seen=f"only {_names(allowed)}",
        remedy="The build compiled for other architectures than the plan says; read the configure step in its log.",
    )


def _ptx(libraries: Sequence[Library], expectation: Expectation) -> Check:
    title = "PTX, which newer drivers can compile"
    held = [Evidence(_names(library.ptx), library.path) for library in libraries if library.ptx]
    if expectation.ptx is None:
        return noted("ptx", title, held or ["none: it runs on the GPUs it holds machine code for, and no later ones"])
    there = frozenset(target for library in libraries for target in library.ptx)
    if expectation.ptx:
        lacking = expectation.ptx - there
        return judged(
            "ptx",
            "PTX as wanted",
            [f"lacks {_names(lacking)}"] if lacking else [],
            seen=held,
            remedy="Compile with code=compute_NN as well: GPUs of later generations can use nothing else.",
        )
    return judged(
        "ptx",
        "no PTX where none was wanted",
        held,
        severity="warning",
        seen="none",
        remedy="It makes the wheel larger, and a driver older than the toolkit cannot translate it; the machine code "
        "beside it is not touched by that.",
    )


def _group(group: frozenset[str]) -> str:
    if len(group) > 3:
        return f"code that runs on {_asked(group)}"
    return " or ".join(sorted(group, key=order))


def _asked(group: frozenset[str]) -> str:
    """The newest plain name of a group is the one that was asked for."""
    return max(group, key=lambda name: (order(name)[1], -len(name)))


def _names(targets: Iterable[str]) -> str:
    return ", ".join(sorted(set(targets), key=order))
