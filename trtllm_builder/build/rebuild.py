"""A wheel built once more from its lock, in a fresh directory, and held against the first one byte by byte."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from trtllm_builder.build.diffoscope import diffoscope
from trtllm_builder.build.kept import kept_wheel
from trtllm_builder.build.observer import Observer
from trtllm_builder.build.pipeline import build
from trtllm_builder.errors import UsageError
from trtllm_builder.plan.make import make_plan
from trtllm_builder.plan.request import Asked, Request, make_request
from trtllm_builder.repro.lock import lock_path, read_lock
from trtllm_builder.repro.wheel_writer import sha256_of
from trtllm_builder.verify.compare import Comparison, compare

_SUFFIX = ".lock.json"


@dataclass(frozen=True)
class Rebuilt:
    """``original`` and ``wheel`` are the two, with their sha256; ``workspace`` is where the second was built, and still
    is. ``cached`` files were not compiled but came from a compile cache: of their compiling the comparison says
    nothing. ``comparison`` is None where the wheels are the same. ``second_opinion`` is diffoscope's, empty where it is
    not installed or was not needed."""

    original: Path
    original_sha256: str
    wheel: Path
    sha256: str
    lock: str
    workspace: Path
    cached: int
    comparison: Comparison | None
    second_opinion: str

    @property
    def same(self) -> bool:
        return self.sha256 == self.original_sha256

    def to_json(self) -> dict[str, object]:
        return {
            "schema": 1,
            "same": self.same,
            "lock": self.lock,
            "original": {"path": str(self.original), "sha256": self.original_sha256},
            "rebuilt": {"path": str(self.wheel), "sha256": self.sha256},
            "workspace": str(self.workspace),
            "cached": self.cached,
            "comparison": self.comparison.to_json() if self.comparison else None,
            "diffoscope": self.second_opinion or None,
        }


def rebuild(subject: Path, asked: Asked, observer: Observer, environ: Mapping[str, str], *, cache: bool) -> Rebuilt:
    """``subject`` is a wheel of ours with its lock beside it, or a lock whose wheel is known here; ``asked`` says where
    and how; without ``cache`` every file is compiled. Raises UsageError and ProfileError for a subject that is
    neither, and what a build raises."""
    path = subject if not subject.name.endswith(".whl") else lock_path(subject)
    if not subject.is_file():
        raise UsageError(f"{subject} is not there", remedy="name a wheel, or a lock")
    if not path.is_file():
        raise UsageError(
            f"{subject} has no lock beside it ({path.name})", remedy="name its lock, as `trtllm-build lock` wrote it"
        )
    digest = read_lock(path).digest
    request = make_request(replace(asked, locked=path.absolute()), environ)
    caches = Path(make_plan(request)[0].caches)
    original = _original(subject, path, digest, caches)
    original_sha256 = sha256_of(original)
    workspace = asked.workspace or caches / "workspaces" / f"rebuild-{digest[:16]}"
    if original.parent == asked.out:
        raise UsageError(f"--out {asked.out}: the first wheel is there", remedy="give another directory")
    request = _again(request, workspace, _build_tag(original), cache)
    done = build(request, observer, rebuild=True)
    comparison = None if done.sha256 == original_sha256 else compare(original, done.wheel)
    opinion = diffoscope(original, done.wheel, environ, workspace) if comparison else ""
    cached = json.loads(done.record.read_text("utf-8"))["measured"]["cache"]["hits"]
    return Rebuilt(original, original_sha256, done.wheel, done.sha256, digest, workspace, cached, comparison, opinion)


def _again(request: Request, workspace: Path, build_tag: str, cache: bool) -> Request:
    profile = request.loaded.profile
    if not cache:
        changed = profile.build.model_copy(
            update={"ccache": profile.build.ccache.model_copy(update={"enabled": False})}
        )
        profile = profile.model_copy(update={"build": changed})
    asked = replace(request.asked, workspace=workspace, build_tag=build_tag)
    return replace(request, asked=asked, loaded=replace(request.loaded, profile=profile))


def _original(subject: Path, lock: Path, digest: str, caches: Path) -> Path:
    if subject != lock:
        _same_lock(subject, digest)
        return subject.absolute()
    beside = lock.with_name(lock.name.removesuffix(_SUFFIX))
    if lock.name.endswith(f".whl{_SUFFIX}") and beside.is_file():
        _same_lock(beside, digest)
        return beside.absolute()
    kept = kept_wheel(caches, digest)
    if kept is None:
        raise UsageError(
            f"no wheel of the lock {lock} is known here, so that there is nothing to compare with",
            remedy=f"name the wheel itself, or build it first: trtllm-build --locked {lock}",
        )
    return kept


def _same_lock(wheel: Path, digest: str) -> None:
    """Where the wheel's record is, it has the last word on which lock the wheel is of."""
    said = None
    with suppress(OSError, ValueError, KeyError, TypeError):
        said = json.loads(wheel.with_name(f"{wheel.name}.record.json").read_text("utf-8"))["lock"]["sha256"]
    if said is not None and said != digest:
        raise UsageError(
            f"the lock beside {wheel} is not the one it was built from, says its record",
            remedy="name a wheel with its own lock",
        )


def _build_tag(wheel: Path) -> str:
    try:
        number = parse_wheel_filename(wheel.name)[2]
    except InvalidWheelFilename as error:
        raise UsageError(f"{wheel}: {error}", remedy="name a wheel that trtllm-build built") from None
    return "".join(map(str, number))
