"""A plan from a request: with a checkout by probing it, without one from the catalogue."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from trtllm_builder import canary
from trtllm_builder.errors import ProfileError
from trtllm_builder.patching.results import PatchPlan
from trtllm_builder.patching.sets import check, find_sets, load_set, set_dirs
from trtllm_builder.plan.command import cmake_options
from trtllm_builder.plan.estimates import disk_estimate
from trtllm_builder.plan.model import Plan
from trtllm_builder.plan.origins import where
from trtllm_builder.plan.request import Request
from trtllm_builder.plan.resolve import resolve
from trtllm_builder.plan.survey import Survey, take_survey
from trtllm_builder.process import apart
from trtllm_builder.profile.model import Profile
from trtllm_builder.profile.names import canary_size
from trtllm_builder.text import nearest
from trtllm_builder.upstream.catalogue import Row, refuse_older, row_for
from trtllm_builder.upstream.model import Probe
from trtllm_builder.upstream.probe import probe
from trtllm_builder.upstream.requirements import overlap, tensorrt_wanted
from trtllm_builder.upstream.tree import Tree


@dataclass(frozen=True)
class Material:
    """What a plan was made from. ``patches`` is None while there is no checkout."""

    request: Request
    row: Row | None
    probe: Probe
    survey: Survey
    patches: PatchPlan | None = None


def make_plan(request: Request) -> tuple[Plan, Material]:
    """Before anything is fetched. A ``--source`` directory is probed where it is, the canary from our own package.

    Raises SourceError, ProfileError, PatchError and HostError as the parts do.
    """
    check_set_names(request.loaded.profile, request.environ)
    if request.directory is not None:
        return plan_checkout(request, request.directory)
    size = canary_size(request.url)
    if size is not None:
        with tempfile.TemporaryDirectory(prefix="canary-") as directory:
            tree, commit = Path(directory) / "canary", None
            # Without git there is a plan too: it is what says that git is missing, beside all else that is.
            if shutil.which("git"):
                commit = canary.materialise(tree, size)
            else:
                canary.write_tree(tree, size)
            return plan_checkout(request, tree, commit=commit)
    if refusal := refuse_older(request.loaded.profile.source.ref):
        raise refusal
    row = _row(request)
    assert row is not None  # noqa: S101 - there is always one for a URL
    assumed = row.assumed_probe()
    _refuse(assumed)
    survey = _survey(request, row, row.disk.low, assumed)
    return resolve(request, survey, assumed, row), Material(request, row, assumed, survey)


def plan_checkout(
    request: Request, checkout: Path, *, commit: str | None = None, epoch: int | None = None
) -> tuple[Plan, Material]:
    """The plan for what really lies in ``checkout``; ``epoch`` is its commit's time in seconds since 1970."""
    found = probe(checkout)
    _refuse(found)
    profile = request.loaded.profile
    row = _row_of(request, found, checkout)
    survey = _survey(request, row, disk_estimate(request, row).low, found)
    facts = cmake_options(profile, found).facts
    directories = set_dirs((), request.environ)
    sets = [load_set(name, directories) for name in profile.patches]
    patches = apart(lambda: check(sets, checkout, facts))
    about = {one.name: one.description.partition(". ")[0].rstrip(".") for one in sets}
    plan = resolve(request, survey, found, row, patches=patches, about=about, commit=commit, epoch=epoch)
    return plan, Material(request, row, found, survey, patches)


def check_set_names(profile: Profile, environ: Mapping[str, str]) -> None:
    """Raises ProfileError, at the profile's line, for a patch set that is nowhere."""
    known = find_sets(set_dirs((), environ))
    for name in profile.patches:
        if name not in known:
            near = nearest(name, list(known))
            raise ProfileError(
                f"there is no patch set `{name}`" + (f"; did you mean `{near}`?" if near else ""),
                where=where(profile, "patches"),
                remedy=f"the sets are: {', '.join(known) or 'none'}",
            )


def _row(request: Request) -> Row | None:
    """The catalogue's row. For a URL with a ref that it does not know, main's: whether there is such a ref, and what
    it holds, is for the server to say, so that the build may begin."""
    row = row_for(request.loaded.profile.source.ref)
    if row is None and request.directory is None and canary_size(request.url) is None:
        return row_for("main")
    return row


def _row_of(request: Request, found: Probe, checkout: Path) -> Row | None:
    """The row of the release that lies there, whatever the profile's ref; its own requirements.txt has the last word on
    TensorRT, where it asks for one that the row does not know."""
    row, asked = row_for(found.version) or _row(request), tensorrt_wanted(Tree(checkout))
    if row is None or asked is None or (row.tensorrt and overlap(row.tensorrt, asked)):
        return row
    return replace(row, tensorrt=asked)


def _survey(request: Request, row: Row | None, needed: int, found: Probe) -> Survey:
    return take_survey(request, row, needed, takes_tensorrt=found.flag("trt_root") is not None)


def _refuse(found: Probe) -> None:
    refusal = found.refusal()
    if refusal is not None:
        raise refusal
