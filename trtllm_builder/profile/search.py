"""Finding profiles, their parts (base/) and mirror sets (mirrors/) by name or by path."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder import data
from trtllm_builder.errors import ProfileError, Where
from trtllm_builder.profile.marks import shown
from trtllm_builder.text import nearest

PARTS = "base"
MIRRORS = "mirrors"
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*(?:/[A-Za-z0-9][\w.+-]*){0,3}\Z", re.ASCII)


@dataclass(frozen=True)
class Found:
    """A file, and the files of the same name further down the search path that it hides."""

    path: Path
    hidden: tuple[Path, ...] = ()


def search_path(cli_dirs: Sequence[Path], environ: Mapping[str, str]) -> list[Path]:
    """``--profile-dir`` first, then the user's own directory, then ours; never the current directory."""
    return [*cli_dirs, *data.own_dirs("profiles", environ), data.shipped("profiles")]


def is_path(text: str) -> bool:
    """Whether ``text`` means a file and not a name: ``./x``, ``../x``, ``/x``, ``~/x`` or ``x.yaml``."""
    return text.startswith(("/", "./", "../", "~/")) or text.endswith((".yaml", ".yml"))


def kind_of(path: Path) -> str:
    """``profile``, ``part`` (in a directory base/) or ``mirrors`` (in a directory mirrors/)."""
    return {PARTS: "part", MIRRORS: "mirrors"}.get(path.absolute().parent.name, "profile")


def find(name: str, dirs: Sequence[Path], *, where: Where | None = None, besides: Path | None = None) -> Found:
    """The first file of that name on the search path, ``besides`` left out (a profile may extend what it hides).

    Raises ProfileError, at ``where``, for a name that is not one or that no directory has.
    """
    if not _NAME.match(name) or ".." in name or len(name) > 100:
        raise ProfileError(
            f"expected a profile's name or a path, not {shown(name)}",
            where=where,
            remedy="a path begins with / or ./ or ends with .yaml",
        )
    files = [path for path in (Path(directory, name + ".yaml") for directory in dirs) if path.is_file()]
    if besides is not None:
        files = [path for path in files if not path.samefile(besides)]
    if not files:
        kind = "mirror set" if name.startswith(f"{MIRRORS}/") else "profile"
        near = nearest(name, [known for known, _ in every(dirs, name.count("/"))])
        raise ProfileError(
            f"no {kind} named {shown(name)}" + (f"; did you mean `{near}`?" if near else ""),
            where=where,
            remedy=f"there is no file {name}.yaml in {', '.join(str(directory) for directory in dirs)}",
        )
    hidden = tuple(path for path in files[1:] if not path.samefile(files[0]))
    return Found(files[0], hidden)


def every(dirs: Sequence[Path], level: int = 0) -> Iterator[tuple[str, Path]]:
    """Names and files on the search path, hidden ones too, with ``level`` directories in the name."""
    for directory in dirs:
        try:
            files = sorted(Path(directory).glob("*/" * level + "*.yaml"))
        except OSError:
            continue
        for path in files:
            yield path.relative_to(directory).with_suffix("").as_posix(), path
