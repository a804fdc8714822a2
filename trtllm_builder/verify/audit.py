"""The static half of verification: one pass over a wheel's members, then checks on what was seen."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from packaging.version import InvalidVersion, Version

from trtllm_builder.binary.stream import Stream
from trtllm_builder.binary.wheel import Limits, Wheel, WheelError, read_wheel
from trtllm_builder.errors import UsageError, VerifyError
from trtllm_builder.units import format_size
from trtllm_builder.verify.checks import Check, judged, skipped
from trtllm_builder.verify.cuobjdump import SecondOpinion, ask
from trtllm_builder.verify.expect import Expectation
from trtllm_builder.verify.library import KEPT, Library, read_library
from trtllm_builder.verify.links import link_checks, requirement_checks
from trtllm_builder.verify.targets import target_checks

_SYMBOLS = 64 << 20  # bytes, of all libraries together
_SECOND = "cuobjdump lists the same GPU code"


@dataclass(frozen=True)
class Audit:
    """What the wheel holds, and the static checks.

    All facts are gathered in one pass; checks are functions of them:
    ``wheel.members`` (size, packed size, sha256, mode), ``wheel.headers`` (METADATA), ``wheel.findings``,
    ``wheel.texts`` (every ``.dist-info`` file except RECORD, and every ``.py`` file; ``wheel.not_kept`` beyond 48 MB),
    and for each library: needed, rpath, runpath, soname, needed_versions, undefined and defined symbols, targets.
    What a compiled BuildInfo says only the smoke test can tell.
    """

    wheel: Wheel
    libraries: tuple[Library, ...]
    checks: tuple[Check, ...]


def require_file(wheel: Path) -> None:
    """Raises UsageError, before anything is read, for what cannot be a wheel: reading a pipe would never end."""
    remedy = "Give the path of a .whl file."
    try:
        mode = wheel.stat().st_mode
    except OSError as error:
        raise UsageError(f"{wheel} cannot be read: {(error.strerror or str(error)).lower()}", remedy=remedy) from error
    if not stat.S_ISREG(mode):
        kinds = ((stat.S_ISDIR, "directory"), (stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"))
        kind = next((name for test, name in kinds if test(mode)), "device")
        raise UsageError(f"{wheel} is a {kind}, not a file", remedy=remedy)
    if not os.access(wheel, os.R_OK):
        raise UsageError(f"{wheel} may not be read by this user", remedy="Change its permissions, or copy it.")


def audit(
    wheel: Path,
    expectation: Expectation,
    *,
    cuobjdump: Path | None = None,
    cross_check: bool = True,
    scratch: Path | None = None,
    environ: Mapping[str, str] | None = None,
    limits: Limits | None = None,
) -> Audit:
    """Reads the wheel once. ``scratch`` is where libraries are copied, one at a time, for cuobjdump.

    With ``cross_check`` and no ``cuobjdump`` the second opinion is skipped and says so. Raises VerifyError for a file
    that is no wheel at all.
    """
    libraries: list[Library] = []
    turn, room = Lock(), _SYMBOLS
    opinions: list[SecondOpinion] = []

    with tempfile.TemporaryDirectory(prefix="verify-", dir=scratch) as directory:

        def visit(name: str, stream: Stream) -> None:
            nonlocal room
            with turn:  # symbols of all libraries together have a limit, and one cuobjdump takes a gigabyte
                library = read_library(name, stream, expectation, keep=min(room, KEPT))
                room -= library.symbols_size
                libraries.append(library)
                if cross_check and cuobjdump and library.targets:
                    opinions.append(_asked(cuobjdump, Path(directory) / "library.so", stream, library, environ or {}))

        try:
            seen = read_wheel(wheel, visit=visit, keep=_worth_keeping, limits=limits)
        except (WheelError, OSError) as error:
            raise VerifyError(f"{wheel} cannot be verified: {error}", remedy="Give the path of a .whl file.") from error
    place = {member.name: number for number, member in enumerate(seen.members)}
    libraries.sort(key=lambda library: place[library.path])
    checks = (
        *_archive_checks(seen),
        *target_checks(libraries, expectation),
        _second_opinion(opinions, libraries, cuobjdump, cross_check),
        *link_checks(libraries, expectation),
        *requirement_checks(seen, expectation),
        _version(seen, expectation),
        _python_tag(seen, expectation),
        _size(seen, expectation),
    )
    return Audit(seen, tuple(libraries), checks)


def _asked(tool: Path, copy: Path, stream: Stream, library: Library, environ: Mapping[str, str]) -> SecondOpinion:
    """cuobjdump reads files only."""
    stream.seek(0)
    with copy.open("wb") as target:
        while piece := stream.read(1 << 20):
            target.write(piece)
    opinion = ask(tool, copy, library, environ)
    copy.unlink()
    return opinion


def _worth_keeping(name: str) -> bool:
    directory, _, rest = name.partition("/")
    return name.endswith(".py") or (directory.endswith(".dist-info") and rest != "RECORD")


def _archive_checks(wheel: Wheel) -> tuple[Check, ...]:
    def told(kinds: tuple[str, ...]) -> list[str]:
        found = [finding for finding in wheel.findings if (finding.kind in kinds) == (kinds == ("record",))]
        return [f"{f.member}: {f.what}" if f.member else f.what for f in found]

    return (
        judged(
            "archive",
            "the archive is sound",
            told(()),
            seen=f"{len(wheel.members)} files, {format_size(sum(m.size for m in wheel.members))} unpacked",
            remedy="Do not install it. Build again, or fetch it again from where it was published.",
        ),
        judged(
            "record",
            "RECORD names every file with its hash and size",
            [*_without_record(wheel), *told(("record",))],
            remedy="The wheel was changed after it was made, or is damaged. Do not install it.",
        ),
    )


def _without_record(wheel: Wheel) -> list[str]:
    """Why no file could be compared with RECORD at all."""
    records = {m.name for m in wheel.members if m.name.endswith(".dist-info/RECORD") and m.name.count("/") == 1}
    if not records:
        return ["there is no RECORD"]
    unread = [f for f in wheel.findings if f.member in records and f.kind in ("unreadable", "bomb")]
    return [f"{finding.member} cannot be read: {finding.what}" for finding in unread]


def _second_opinion(opinions: list[SecondOpinion], libraries: list[Library], tool: Path | None, wanted: bool) -> Check:
    if not wanted:
        return skipped("cuobjdump", _SECOND, "not asked for", severity="info", remedy="Give --cross-check.")
    if not any(library.targets for library in libraries):
        return skipped("cuobjdump", _SECOND, "no library holds GPU code", severity="info")
    if tool is None:
        return skipped(
            "cuobjdump",
            _SECOND,
            "cuobjdump was not found",
            remedy="pip install nvidia-cuda-cuobjdump",
            severity="warning",
        )
    unusable = [opinion.unusable for opinion in opinions if opinion.unusable]
    problems = [opinion.difference for opinion in opinions if opinion.difference]
    if unusable and not problems:
        agreed = len(opinions) - len(unusable)
        why = (*dict.fromkeys(unusable), *((f"the same in {agreed} of {len(opinions)} libraries",) if agreed else ()))
        return Check("cuobjdump", "warning", "skipped", _SECOND, why, "Our own reader's result stands alone there.")
    return judged(
        "cuobjdump",
        _SECOND,
        problems,
        seen=f"{len(opinions)} librar{'y' if len(opinions) == 1 else 'ies'}",
        remedy="Our reader and NVIDIA's tool disagree: please report it with this library.",
    )


def _version(wheel: Wheel, expectation: Expectation) -> Check:
    title = "one version in the file name, METADATA and the plan"
    stated = {"the file name": wheel.version, "METADATA": next(iter(wheel.header("Version")), "")}
    if expectation.version is not None:
        stated["the plan"] = expectation.version
    problems = []
    for where, text in stated.items():
        try:
            if Version(text) != Version(stated["METADATA"]):
                problems.append(f"{where} says {text}, METADATA {stated['METADATA']}")
        except InvalidVersion:
            problems.append(f"{where} has no valid version: {text!r}")
    return judged(
        "version", title, problems, seen=stated["METADATA"], remedy="Set the version before packaging, and build again."
    )


def _python_tag(wheel: Wheel, expectation: Expectation) -> Check:
    title = "made for the profile's Python"
    tags = sorted({tag.interpreter for tag in wheel.tags})
    if expectation.python_tag is None:
        return skipped("python-tag", title, f"no Python was asked for; the wheel is {', '.join(tags)}", severity="info")
    problems = [] if expectation.python_tag in tags else [f"made for {', '.join(tags)}, not {expectation.python_tag}"]
    return judged("python-tag", title, problems, seen=", ".join(tags), remedy="Build with the profile's interpreter.")


def _size(wheel: Wheel, expectation: Expectation) -> Check:
    largest = sorted(wheel.members, key=lambda member: -member.packed)[:5]
    told = [f"{format_size(m.packed)} {m.name} ({format_size(m.size)} unpacked)" for m in largest]
    title = "not larger than allowed"
    if expectation.max_size is None:
        return Check(
            "size", "info", "passed", "size", (f"{format_size(wheel.size)}; largest: {told[0] if told else '-'}",)
        )
    if wheel.size <= expectation.max_size:
        return judged("size", title, [], seen=f"{format_size(wheel.size)} of {format_size(expectation.max_size)}")
    over = f"{format_size(wheel.size)}, more than {format_size(expectation.max_size)}; the largest members:"
    return judged(
        "size", title, [over, *told], remedy="Build for fewer architectures, or raise verify.max_size in the profile."
    )
