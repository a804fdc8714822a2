"""The shared libraries of a wheel in one pass: what each is, and search paths of the build's machine taken out.

Upstream packages libraries as the linker left them in the build tree, whose absolute paths CMake wrote into RUNPATH
(cmake.org, "BUILD_RPATH"). On another machine they are useless at best; at worst somebody else can create them.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.binary.elf import Elf, ElfError, Section, read_elf
from trtllm_builder.errors import VerifyError
from trtllm_builder.process import run
from trtllm_builder.repro.wheel_writer import sha256_of

# A note: sizes of name and of what it says, type, the name with its zero (System V ABI, "Note Section"; ld(1),
# --build-id: the type is 3).
_BUILD_ID = b"\x03\0\0\0GNU\0"
_LARGEST_NOTE = 4096  # bytes


@dataclass(frozen=True)
class Library:
    """One member that is an ELF file. ``sha256`` and ``size`` (bytes) are of what the wheel will have, ``packaged``
    is the SHA-256 of what upstream packaged. ``build_id`` is hexadecimal; it and ``soname`` are empty for none."""

    member: str
    sha256: str
    size: int
    packaged: str
    soname: str
    build_id: str


def read_libraries(
    wheel: Path, patchelf: Path, scratch: Path, environ: Mapping[str, str]
) -> tuple[tuple[Library, ...], dict[str, Path]]:
    """All of them by name; and those whose RPATH or RUNPATH named absolute directories, each as a file in ``scratch``
    without those. What is no ELF file is left alone.

    ``scratch`` must be empty. Raises VerifyError when patchelf fails.
    """
    found: list[Library] = []
    changed: dict[str, Path] = {}
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            name = info.filename
            if ".so" not in name.rpartition("/")[2]:
                continue
            copy = scratch / f"{len(changed)}.so"
            with archive.open(info) as source, copy.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            elf = _elf(copy)
            if elf is None:
                copy.unlink()
                continue
            packaged, build_id, wanted = sha256_of(copy), _build_id(copy, elf), _wanted(elf)
            if wanted is not None:
                edit = ["--set-rpath", ":".join(wanted)] if wanted else ["--remove-rpath"]
                done = run([patchelf, *edit, copy], env=environ, timeout=600)
                if not done.ok:
                    raise VerifyError(f"patchelf could not clean the search path of {name}: {done.last_line}")
                changed[name] = copy
            sha256 = packaged if wanted is None else sha256_of(copy)
            found.append(Library(name, sha256, copy.stat().st_size, packaged, elf.soname, build_id))
            if wanted is None:
                copy.unlink()
    return tuple(sorted(found, key=lambda one: one.member)), changed


def _elf(file: Path) -> Elf | None:
    try:
        with file.open("rb") as stream:
            return read_elf(stream)
    except ElfError:
        return None


def _wanted(elf: Elf) -> list[str] | None:
    """The search path without absolute directories; None when there are none."""
    paths = [*elf.rpath, *elf.runpath]
    kept = [path for path in paths if path.startswith(("$ORIGIN", "${ORIGIN}"))]
    return None if len(kept) == len(paths) else list(dict.fromkeys(kept))


def _build_id(file: Path, elf: Elf) -> str:
    """Where the linker was asked for one (gcc of most distributions does)."""
    for section in elf.named(".note.gnu.build-id"):
        note = _note(file, section)
        if note[8:16] == _BUILD_ID:
            return note[16 : 16 + int.from_bytes(note[4:8], "little")].hex()
    return ""


def _note(file: Path, section: Section) -> bytes:
    with file.open("rb") as stream:
        stream.seek(section.offset)
        return stream.read(min(section.size, _LARGEST_NOTE))
