"""The static half of verification: one pass over a wheel's members, then checks on what was seen."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from trtllm_builder.attest.keys import PublicKey
from trtllm_builder.binary.stream import Stream
from trtllm_builder.binary.unpack import UnpackError
from trtllm_builder.binary.wheel import Limits, Wheel, WheelError, read_wheel, unpack_member
from trtllm_builder.errors import UsageError, VerifyError
from trtllm_builder.verify.auditwheel import ask_auditwheel
from trtllm_builder.verify.checks import Check
from trtllm_builder.verify.checks.every import static_checks
from trtllm_builder.verify.cuobjdump import SecondOpinion, ask
from trtllm_builder.verify.expect import Expectation
from trtllm_builder.verify.library import KEPT, Library, read_library

_SYMBOLS = 48 << 20  # bytes, of all libraries together


@dataclass(frozen=True)
class Audit:
    """What the wheel holds, and the static checks.

    All facts are gathered in one pass; checks are functions of them:
    ``wheel.members`` (size, packed size, sha256, mode), ``wheel.headers`` (METADATA), ``wheel.findings``,
    ``wheel.texts`` (every ``.dist-info`` file except RECORD, and every ``.py`` file; ``wheel.not_kept`` beyond 40 MB),
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
    auditwheel: Path | None = None,
    cross_check: bool = True,
    scratch: Path | None = None,
    environ: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    trusted: Sequence[PublicKey] = (),
    beside: bool = True,
) -> Audit:
    """Reads the wheel once, and unpacks nothing. For cuobjdump, libraries are copied to ``scratch``, one at a time.

    ``trusted`` are keys of which one must have signed the provenance; without any, no signature is asked for. With
    ``cross_check`` and no ``cuobjdump`` the second opinion is skipped and says so. Without ``beside`` nothing is asked
    of record, lock and provenance: a build has still to write them. Raises VerifyError for a file
    that is no wheel at all.
    """
    libraries: list[Library] = []
    turn, room = Lock(), _SYMBOLS

    def visit(name: str, stream: Stream) -> None:
        nonlocal room
        with turn:  # symbols of all libraries together have a limit
            library = read_library(name, stream, expectation, keep=min(room, KEPT))
            room -= library.symbols_size
            libraries.append(library)

    try:
        seen = read_wheel(wheel, visit=visit, keep=_worth_keeping, limits=limits)
    except (WheelError, OSError) as error:
        raise VerifyError(f"{wheel} cannot be verified: {error}", remedy="Give the path of a .whl file.") from error
    place = {member.name: number for number, member in enumerate(seen.members)}
    libraries.sort(key=lambda library: place[library.path])
    opinions: list[SecondOpinion] = []
    if cross_check and cuobjdump:
        held = [library for library in libraries if library.targets]
        opinions = [_opinion(cuobjdump, wheel, library, scratch, environ or {}) for library in held]
    checks = static_checks(
        seen,
        libraries,
        expectation,
        opinions=opinions,
        cuobjdump=cuobjdump,
        cross_check=cross_check,
        auditwheel=ask_auditwheel(auditwheel, wheel, environ or {}) if cross_check and auditwheel else None,
        trusted=trusted,
        beside=beside,
    )
    return Audit(seen, tuple(libraries), checks)


def _opinion(
    tool: Path, wheel: Path, library: Library, scratch: Path | None, environ: Mapping[str, str]
) -> SecondOpinion:
    """cuobjdump reads files only."""
    with tempfile.TemporaryDirectory(prefix="verify-", dir=scratch) as directory:
        copy = Path(directory) / "library.so"
        try:
            with copy.open("wb") as target:
                for piece in unpack_member(wheel, library.path):
                    target.write(piece)
        except (OSError, UnpackError, WheelError) as error:  # no room on the disk, or the wheel was replaced meanwhile
            return SecondOpinion(unusable=f"{library.path} cannot be unpacked for cuobjdump: {error}")
        return ask(tool, copy, library, environ)


def _worth_keeping(name: str) -> bool:
    directory, _, rest = name.partition("/")
    return name.endswith(".py") or (directory.endswith(".dist-info") and rest != "RECORD")
