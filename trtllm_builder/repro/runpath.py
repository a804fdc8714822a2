"""Search paths that only exist where a wheel was built are taken out of its libraries, with patchelf.

Upstream packages libraries as the linker left them in the build tree, whose absolute paths CMake wrote into RUNPATH
(cmake.org, "BUILD_RPATH"). On another machine they are useless at best; at worst somebody else can create them.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

from trtllm_builder.binary.elf import ElfError, read_elf
from trtllm_builder.errors import VerifyError
from trtllm_builder.process import run


def cleaned_libraries(wheel: Path, patchelf: Path, scratch: Path, environ: Mapping[str, str]) -> dict[str, Path]:
    """Members whose RPATH or RUNPATH names absolute directories, each as a file in ``scratch`` without those.

    ``scratch`` must be empty. Raises VerifyError when patchelf fails; files that are no ELF are left alone.
    """
    changed: dict[str, Path] = {}
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            name = info.filename
            if ".so" not in name.rpartition("/")[2]:
                continue
            copy = scratch / f"{len(changed)}.so"
            with archive.open(info) as source, copy.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            wanted = _wanted(copy)
            if wanted is None:
                copy.unlink()
                continue
            edit = ["--set-rpath", ":".join(wanted)] if wanted else ["--remove-rpath"]
            done = run([patchelf, *edit, copy], env=environ, timeout=600)
            if not done.ok:
                raise VerifyError(f"patchelf could not clean the search path of {name}: {done.last_line}")
            changed[name] = copy
    return changed


def _wanted(library: Path) -> list[str] | None:
    """The search path without absolute directories; None when there are none, or when it is no ELF file."""
    try:
        with library.open("rb") as stream:
            found = read_elf(stream)
    except ElfError:
        return None
    paths = [*found.rpath, *found.runpath]
    kept = [path for path in paths if path.startswith(("$ORIGIN", "${ORIGIN}"))]
    return None if len(kept) == len(paths) else list(dict.fromkeys(kept))
