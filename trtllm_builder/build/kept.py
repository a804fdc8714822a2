"""Wheels of earlier builds, kept for later ones from the same lock: in the caches, by the lock's digest.

A copy of the wheel and of what stands beside it in ``wheels/LOCK-DIGEST`` (``-BUILD-TAG`` behind it for a wheel that
has one), put there by one rename; the wheel is a hard link where the disk can.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import parse_wheel_filename

from trtllm_builder.repro.wheel_writer import sha256_of

if TYPE_CHECKING:
    from trtllm_builder.build.run import Run

WHEELS = "wheels"
"""The directory of them in the caches."""
RECORD = ".record.json"
BESIDE = (RECORD, ".lock.json", ".intoto.json", ".intoto.jsonl", ".report.html")
"""What stands beside a wheel, by what is added to its name."""
UNSOUND = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What a wheel or record that is none of ours may raise."""
# Of one profile so many stay, those built last.
_KEPT = 3


@dataclass(frozen=True)
class Found:
    """A wheel and its record that say of each other what they should; ``origin`` is where they were, for a person."""

    wheel: Path
    record: dict[str, Any]
    origin: str


def directory_name(digest: str, build_tag: str) -> str:
    """Of a wheel with that build tag from that lock."""
    return f"{digest}-{build_tag}" if build_tag else digest


def tag_of(wheel: Path) -> str:
    """The wheel's build tag, empty for none. Raises ValueError for a name that is no wheel's."""
    return "".join(map(str, parse_wheel_filename(wheel.name)[2]))


def read_kept(directory: Path, digest: str, origin: str) -> Found:
    """The wheel in ``directory``. Raises one of UNSOUND when it is not that."""
    path = next(directory.glob(f"*.whl{RECORD}"), None)
    if path is None:
        raise ValueError("it has no record")
    record = json.loads(path.read_text("utf-8"))
    wheel = directory / path.name.removesuffix(RECORD)
    if record["wheel"]["name"] != wheel.name or record["lock"]["sha256"] != digest:
        raise ValueError("its record is of another wheel")
    if not wheel.is_file() or sha256_of(wheel) != record["wheel"]["sha256"]:
        raise ValueError("it has not the sha256 that its record says")
    return Found(wheel, record, origin)


def kept_wheel(caches: Path, digest: str) -> Path | None:
    """A wheel of that lock in the store of ``caches``, None when there is none that is sound."""
    for directory in sorted((caches / WHEELS).glob(f"{digest}*")):
        with suppress(*UNSOUND):
            return read_kept(directory, digest, "").wheel
    return None


def keep(run: Run) -> None:
    """A copy of the wheel that was built; one of edited sources is nobody else's."""
    if run.results["compile"]["edited"] or run.results["fetch"]["uncommitted"]:
        return
    # The workspace's own copy: the one in --out is for its owner to do with as they please.
    keep_wheel(run, Path(run.results["normalise"]["wheel"]), run.results["inputs"]["lock"]["sha256"])


def keep_wheel(run: Run, file: Path, digest: str) -> None:
    """A copy of the run's wheel, whose bytes ``file`` has, for later builds from the same lock, with what stands beside
    it in --out. That it could not be made is a note, and so is a wheel with other bytes that is there already."""
    store, name = Path(run.plan.caches) / WHEELS, directory_name(digest, run.build_tag)
    wheel, sha256 = Path(run.results["record"]["wheel"]), run.results["record"]["sha256"]
    try:
        store.mkdir(parents=True, exist_ok=True)
        first = _sha256_of_kept(store / name, digest)
        if first and first != sha256:
            # One lock, one wheel: which of the two is right no build can say.
            run.observer.note(
                f"an earlier build made another wheel of the same lock, {first[:16]} and not {sha256[:16]}, and that "
                f"one stays in {store / name} for later builds; `trtllm-build rebuild {wheel}` says what differs"
            )
        if first:
            return
        fresh = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=store))
        try:
            _link(file, fresh / wheel.name)
            for suffix in BESIDE:
                with suppress(FileNotFoundError):
                    shutil.copyfile(f"{wheel}{suffix}", fresh / f"{wheel.name}{suffix}")
            shutil.rmtree(store / name, ignore_errors=True)
            fresh.rename(store / name)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        _trim(store, run.plan.profile)
    except OSError as error:
        run.observer.note(f"the wheel is not kept for later builds from the same lock: {error}")


def _sha256_of_kept(directory: Path, digest: str) -> str:
    """Of the wheel there, empty where none is that is sound."""
    with suppress(*UNSOUND):
        return str(read_kept(directory, digest, "").record["wheel"]["sha256"])
    return ""


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _trim(store: Path, profile: str) -> None:
    """Only the last few of a profile stay."""
    ages = []
    for path in store.iterdir():
        with suppress(*UNSOUND):
            record = next(path.glob(f"*{RECORD}"), path)
            if not path.name.startswith(".") and json.loads(record.read_text("utf-8"))["plan"]["profile"] == profile:
                ages.append((record.stat().st_mtime, path))
    for _, path in sorted(ages, reverse=True)[_KEPT:]:
        shutil.rmtree(path, ignore_errors=True)
