"""Wheels that lie in an index and that no page names: taken back as an older page or their records tell of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path

from trtllm_builder.errors import BuilderError, PublishError
from trtllm_builder.index.files import has, remove, settle, write
from trtllm_builder.index.model import Index, Wheel, identity
from trtllm_builder.index.salvage import wheels_on_disk, wheels_remembered
from trtllm_builder.publish.add import TIME, entry, refuse_impostor
from trtllm_builder.publish.rules import Allowed, judge

ANYTHING = Allowed(unimported=True, unverified=True)  # it was published once, and is shown as what it is


@dataclass(frozen=True)
class Readopted:
    """``shown``: of ``wheels``, by path, what is known of them again and what is not. ``refused``: by directory, why
    what lies there is shown no more. ``gone``: by path, wheels that pages remember and that are not there."""

    wheels: tuple[Wheel, ...]
    shown: Mapping[str, str]
    refused: Mapping[str, str]
    gone: Mapping[str, str]


def readopt(root: Path, found: Mapping[str, Wheel]) -> Readopted:
    """``found``: what pages name, by path. Raises OSError."""
    on_disk = wheels_on_disk(root)
    remembered = wheels_remembered(root)
    taken = {identity(wheel.filename): path for path, wheel in found.items()}
    wheels: list[Wheel] = []
    shown, refused = {}, {}
    # What pages tell of goes before what only files do.
    for path in sorted(set(on_disk) - set(found), key=lambda path: (path not in remembered, path)):
        try:
            wheel, told = _again(root, path, remembered.get(path))
            refuse_impostor(Index((*found.values(), *wheels)), wheel)
            if (other := taken.setdefault(identity(wheel.filename), path)) != path:
                raise PublishError(f"{other} has the same name, with other bytes", remedy="")
        except BuilderError as error:
            refused[path.rpartition("/")[0]] = f"is in no page: {error.what}; move it away if nobody misses it"
        else:
            wheels.append(wheel)
            shown[path] = told
    there = {*on_disk, *found}
    gone = {path: "on an older page, and not there: pruned, or lost" for path in remembered if path not in there}
    return Readopted(tuple(wheels), shown, refused, gone)


def _again(root: Path, path: str, known: Wheel | None) -> tuple[Wheel, str]:
    place = root / path
    if known and _as_said(root, known):
        return known, "shown again; yanked and kept as the newest page left says"
    try:
        candidate = judge(place, ANYTHING)
    except BuilderError:
        if known is None:
            raise
        return known, "shown again as the newest page left says, although it is damaged, or something beside it"
    when = known.uploaded if known else datetime.fromtimestamp(place.stat().st_mtime, timezone.utc).strftime(TIME)
    wheel = entry(candidate, when)
    if wheel.path != path:
        raise PublishError(f"it belongs into {wheel.directory}", remedy="")
    put_metadata(place, candidate.metadata)
    if known is None:
        return wheel, "shown again; published when its file says, and whether it was yanked or kept is not known"
    lock = wheel.lock and known.lock and replace(wheel.lock, kept=known.lock.kept)
    wheel = replace(wheel, yanked=known.yanked, keep=known.keep, lock=lock or wheel.lock)
    return wheel, "shown again with what lies beside it now; yanked and kept as the newest page left says"


def _as_said(root: Path, wheel: Wheel) -> bool:
    files = {"": wheel.sha256, ".metadata": wheel.metadata, **wheel.beside}
    return all(has(root / f"{wheel.path}{suffix}", digest) for suffix, digest in files.items())


def put_metadata(wheel: Path, metadata: bytes) -> None:
    """Beside it (PEP 658), by a rename, unless it is there. Raises OSError."""
    target = wheel.with_name(f"{wheel.name}.metadata")
    if has(target, sha256(metadata).hexdigest()):
        return
    fresh = target.with_name(f"{target.name}.new")
    remove(fresh)
    write(fresh, metadata)
    fresh.replace(target)
    settle(target.parent)
