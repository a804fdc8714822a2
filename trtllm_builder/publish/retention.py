"""What may leave an index: all but the last good ones of each profile, and never what a lock or a release names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import parse_wheel_filename
from packaging.version import Version

from trtllm_builder.errors import ProfileError, UsageError
from trtllm_builder.index.model import Index, Wheel
from trtllm_builder.publish.evidence import RECORD
from trtllm_builder.repro.lock import read_lock

_LIMIT = 64 << 20  # bytes of a lock
_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass(frozen=True)
class Kept:
    """``why``: in words."""

    wheel: Wheel
    why: str


@dataclass(frozen=True)
class Choice:
    """``gone``: what goes; ``kept``: what would have gone for its age alone."""

    gone: tuple[Wheel, ...]
    kept: tuple[Kept, ...]


def named_by(locks: Iterable[Path]) -> dict[str, Path]:
    """Every sha256 that a lock file names, whoever made the file: we, pip or uv. Ours names what was built from it by
    its own digest. Raises UsageError for one that cannot be read, or names nothing."""
    named: dict[str, Path] = {}
    for path in locks:
        try:
            if path.stat().st_size > _LIMIT:
                raise UsageError(f"--lock {path} is too large for a lock", remedy="name a lock file")
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UsageError(f"--lock {path} cannot be read: {error}", remedy="name a lock file") from error
        digests = set(_DIGEST.findall(text.lower()))
        with suppress(ProfileError):
            digests.add(read_lock(path).digest)
        if not digests:
            raise UsageError(f"--lock {path} names no sha256", remedy="name a lock file, with hashes")
        named |= dict.fromkeys(digests, path)
    return named


def profiles_of(root: Path, index: Index) -> dict[str, str]:
    """The profile that each wheel of ours was built from, by file name, as its record in the index at ``root`` says;
    those whose record cannot be read are left out."""
    found = {}
    for wheel in index.wheels:
        if wheel.variant:
            path = root / f"{wheel.path}{RECORD}"
            with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
                if path.stat().st_size <= _LIMIT:
                    found[wheel.filename] = str(json.loads(path.read_bytes())["plan"]["profile"])
    return found


def choose(index: Index, keep: int, named: Mapping[str, Path], profiles: Mapping[str, str]) -> Choice:
    """Of each profile, and of each variant and set of tags that it built, the ``keep`` newest good ones stay, and all
    that is newer than those; newest by version, and just so by when they were published, since a profile may have gone
    back to an older branch. Good is what was imported and is not yanked; another counts for nothing. All that is no
    variant of ours stays, since ours may depend on it. ``profiles``: see ``profiles_of``.
    """
    gone: list[Wheel] = []
    kept: list[Kept] = []
    for wheels in _groups(index, profiles).values():
        late = _beyond(sorted(wheels, key=lambda wheel: (wheel.uploaded, _age(wheel)), reverse=True), keep)
        for wheel in _beyond(sorted(wheels, key=_age, reverse=True), keep):
            if wheel not in late:
                continue
            why = _held(wheel, named) or ("" if wheel.filename in profiles else "no record says what profile it is of")
            if why:
                kept.append(Kept(wheel, why))
            else:
                gone.append(wheel)
    return Choice(tuple(gone), tuple(kept))


def _groups(index: Index, profiles: Mapping[str, str]) -> dict[tuple[str, ...], list[Wheel]]:
    groups: dict[tuple[str, ...], list[Wheel]] = {}
    for wheel in index.wheels:
        if wheel.variant:
            tags = ".".join(sorted(map(str, parse_wheel_filename(wheel.filename)[3])))
            profile = profiles.get(wheel.filename, "")
            groups.setdefault((wheel.project, wheel.variant, tags, profile), []).append(wheel)
    return dict(sorted(groups.items()))


def _beyond(wheels: Sequence[Wheel], keep: int) -> list[Wheel]:
    """Those behind the first ``keep`` good ones."""
    left, beyond = keep, []
    for wheel in wheels:
        if not left:
            beyond.append(wheel)
        elif wheel.yanked is None and wheel.standing == "verified":
            left -= 1
    return beyond


def _age(wheel: Wheel) -> tuple[Version, tuple[int, ...], str, str]:
    """Smaller for an older one. Of a build tag the number alone counts, which is a day; behind it is a lock's hash."""
    _, version, build, _ = parse_wheel_filename(wheel.filename)
    return version, build[:1], wheel.uploaded, wheel.filename


def _held(wheel: Wheel, named: Mapping[str, Path]) -> str:
    if wheel.keep is not None:
        return f"it is kept for {wheel.keep}"
    if wheel.lock and wheel.lock.kept:
        return f"it was built --locked, from {wheel.lock.digest[:12]}"
    for digest in (wheel.sha256, wheel.lock.digest if wheel.lock else ""):
        if digest in named:
            return f"{named[digest]} names it"
    return ""
