"""How a finished run left things, in digests: by them it is known in a moment whether anything has to be done again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trtllm_builder import __version__
from trtllm_builder.build.journal import Json, digest
from trtllm_builder.patching.sets import load_set, set_dirs
from trtllm_builder.plan.request import Request
from trtllm_builder.source.digest import walk


def as_asked(request: Request) -> dict[str, str]:
    """What was asked for and where it comes from, under names that a person understands. Raises ProfileError for a
    patch set that is not sound, OSError for a source directory that cannot be read."""
    loaded = request.loaded
    directories = set_dirs((), request.environ)
    facts: dict[str, object] = {
        "the version of trtllm-builder": __version__,
        "the profile": loaded.profile.model_dump(mode="json", exclude={"origins"}),
        "the mirror sets": [mirrors.model_dump(mode="json") for mirrors in loaded.mirrors],
        **{f"the patch set {name}": load_set(name, directories).digest for name in loaded.profile.patches},
    }
    if request.directory is not None:
        facts["the source directory"] = [
            (found.name, found.status.st_size, found.status.st_mtime_ns, found.status.st_ctime_ns, found.status.st_ino)
            for found in walk(request.directory)
            if found.kind != "directory"
        ]
    return {name: digest(value)[:16] for name, value in facts.items()}


def as_left(recorded: Json, edits: Mapping[str, str]) -> dict[str, str]:
    """What became of it: ``recorded`` is the result of the record stage, ``edits`` the files changed by hand."""
    facts = {
        "files edited by hand": dict(edits),
        "the wheel": _mark(Path(recorded["wheel"])),
        **{
            f"the {name}": _mark(Path(recorded[name]))
            for name in ("record", "provenance", "bundle")
            if recorded.get(name)
        },
    }
    return {name: digest(value)[:16] for name, value in facts.items()}


def _mark(path: Path) -> list[int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ino]
