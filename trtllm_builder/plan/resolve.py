"""Profile, probe and host resolved into one plan. No network, no writing; what is not known is said to be assumed."""

from __future__ import annotations

from collections.abc import Mapping

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from trtllm_builder import __version__
from trtllm_builder.patching.results import PatchPlan
from trtllm_builder.patching.version_label import VERSION_FILE
from trtllm_builder.plan.cmake_file import CMAKE_FILE
from trtllm_builder.plan.command import render_command
from trtllm_builder.plan.components import cheaper_on
from trtllm_builder.plan.environment import build_environment
from trtllm_builder.plan.estimates import disk_estimate, memory_estimate, time_estimate
from trtllm_builder.plan.expected import expected_of_one, too_large
from trtllm_builder.plan.jobs import count_jobs, plan_gate
from trtllm_builder.plan.known import mismatches, other_release, own_tensorrt, unknown_ref
from trtllm_builder.plan.lacks import find_lacks, scarce_room
from trtllm_builder.plan.model import (
    Lack,
    Plan,
    PlannedPatch,
    PlannedSource,
    PlannedTargets,
    PlannedTool,
    PlannedVerification,
    Value,
)
from trtllm_builder.plan.origins import origin
from trtllm_builder.plan.peaks import peaks_path, read_peaks
from trtllm_builder.plan.request import Request
from trtllm_builder.plan.survey import Survey
from trtllm_builder.profile.load import unpinned
from trtllm_builder.profile.model import Profile
from trtllm_builder.units import format_size
from trtllm_builder.upstream.architectures import cmake_architectures, expected_targets
from trtllm_builder.upstream.catalogue import Row, row_for
from trtllm_builder.upstream.model import Probe

_UNKNOWN_CUDA = "13.0"


def variant_label(profile: Profile, cuda: str) -> str:
    """The local version label: single- or multi-device, which CUDA, which GPUs. ``sd.cu130.sm89``."""
    version = Version(cuda)
    kind = "sd" if is_single_device(profile) else "md"
    return ".".join(
        [kind, f"cu{version.major}{version.minor}", *(f"sm{sm}" for sm in sorted(profile.cuda.architectures))]
    )


def is_single_device(profile: Profile) -> bool:
    """Whether CMake is told to leave multi-device code out; what upstream does without that word is with it."""
    told = profile.build.cmake.get("ENABLE_MULTI_DEVICE")
    return told is not None and told.value == "0"


def resolve(
    request: Request,
    survey: Survey,
    probe: Probe,
    row: Row | None,
    *,
    patches: PatchPlan | None = None,
    about: Mapping[str, str] | None = None,
    commit: str | None = None,
    epoch: int | None = None,
) -> Plan:
    """The plan. ``patches`` are the checked sets when there is a checkout, ``about`` a sentence
    for each; ``commit`` and ``epoch`` (its time, seconds
    since 1970) are known after fetching. Raises SourceError for an upstream without a flag that we need, and
    ProfileError where profile and checkout do not fit."""
    profile = request.loaded.profile
    root = survey.place.root
    cuda = survey.toolkit.version or _likely(str(profile.cuda.toolkit), row)
    wanted = request.asked.jobs or (None if profile.build.jobs == "auto" else int(profile.build.jobs))
    jobs = count_jobs(
        survey.host.cpu,
        survey.host.memory,
        wanted=wanted,
        per_job=profile.build.job_memory,
        reserve=profile.build.reserve,
        origin="--jobs" if request.asked.jobs else origin(profile, "build.jobs"),
    )
    ccache = profile.build.ccache.enabled
    cmake = next((tool.version for tool in survey.tools if tool.name == "cmake"), "")
    jobs, gate = plan_gate(jobs, wanted=wanted, ccache=ccache, cmake=cmake)
    tensorrt = survey.tensorrt.tensorrt
    command = render_command(
        profile,
        probe,
        python=root / "venv" / "bin" / "python",
        build_dir=root / "build",
        dist_dir=root / "dist",
        cmake_file=root / CMAKE_FILE,
        architectures=cmake_architectures(profile.cuda.architectures, probe),
        jobs=gate.queue if gate.on else jobs.count,
        jobs_origin=f"{jobs.origin}; most of them wait at the gate" if gate.on else jobs.origin,
        tensorrt_root=str(tensorrt.root) if tensorrt else None,
    )
    interpreter = survey.host.interpreter
    disk = disk_estimate(request, row)
    release = row_for(profile.source.ref if probe.assumed else probe.version)
    unlike = mismatches(profile, survey, release) if release else ()
    learned, _ = read_peaks(peaks_path(profile.name, request.environ))
    must_die = too_large(learned, survey.host.memory, tuple(profile.cuda.architectures))
    warnings = (
        *([must_die] if must_die else []),
        *unknown_ref(profile.source.ref, probe, row),
        *other_release(request, probe, row),
        *(one.what for one in unlike),
    )
    return Plan(
        profile=profile.name,
        description=profile.description,
        chain=tuple(str(path) for path in reversed(request.loaded.chain)),
        builder=__version__,
        source=_source(request, commit),
        upstream=Value(probe.version, "catalogue, assumed" if probe.assumed else f"probe {VERSION_FILE}"),
        assumed=_assumed(probe, row, survey, cuda),
        workspace=Value(str(root), survey.place.why),
        caches=str(survey.place.caches),
        out=str(request.asked.out),
        python=Value(str(interpreter.path) if interpreter else f"python{profile.python}", origin(profile, "python")),
        python_version=interpreter.version if interpreter else profile.python,
        toolkit=Value(_toolkit(survey), f"{origin(profile, 'cuda.toolkit')}; {survey.toolkit.reason}"),
        toolkit_version=cuda,
        tensorrt=Value(
            f"{tensorrt.version} in {tensorrt.root}" if tensorrt else survey.tensorrt.origin,
            f"{origin(profile, 'tensorrt.root')}; {survey.tensorrt.reason}",
        ),
        tools=tuple(
            PlannedTool(tool.name, tool.version, str(tool.path) if tool.path else None, tool.origin, tool.reason)
            for tool in survey.tools
        ),
        architectures=Value(
            ", ".join(str(number) for number in profile.cuda.architectures), origin(profile, "cuda.architectures")
        ),
        label=variant_label(profile, cuda),
        jobs=jobs,
        gate=gate,
        command=command.arguments,
        environment=(*build_environment(request, survey, probe, cuda, epoch), *command.environment),
        ccache=profile.build.ccache.enabled,
        options=command.options,
        left_out=command.left_out,
        by_patch=command.by_patch,
        directories=command.directories,
        patches=_patches(profile, patches, about or {}),
        verification=_verification(profile, probe, cuda),
        disk=disk,
        memory=memory_estimate(request),
        time=time_estimate(request, row),
        lacks=(
            *(Lack(one.what, (one.remedy,)) for one in unlike if one.remedy),
            *find_lacks(request, survey, disk, row.least_disk if row else 0),
        ),
        warnings=warnings,
        notes=(
            *warnings,
            *([expected_of_one(learned)] if gate.on else []),
            *_notes(request, survey, probe),
            *own_tensorrt(row),
            *probe.notes,
            *cheaper_on(profile, probe, (*command.options, *command.by_patch)),
            *scarce_room(survey, row, disk),
        ),
    )


def _likely(specifier: str, row: Row | None) -> str:
    """A version to plan with while no toolkit is here: the release's own where the profile's range has it, else the
    lowest one that the range names."""
    if row is not None and SpecifierSet(specifier).contains(row.toolkit):
        return row.toolkit
    named = [part.lstrip("<>=!~ ") for part in specifier.split(",") if part.strip().startswith((">=", "==", "~="))]
    return named[0].rstrip(".*") if named else _UNKNOWN_CUDA


def _source(request: Request, commit: str | None) -> PlannedSource:
    profile, source = request.loaded.profile, request.loaded.profile.source
    return PlannedSource(
        url=request.url,
        ref=source.ref,
        commit=commit or source.commit,
        mirrors=tuple(mirror.name for mirror in request.loaded.mirrors),
        directory=str(request.directory) if request.directory else None,
        lfs=source.lfs,
        submodules=source.submodules,
        origin="--source" if request.asked.source else origin(profile, "source.url"),
        ref_origin=origin(profile, "source.commit" if source.commit else "source.ref"),
    )


def _toolkit(survey: Survey) -> str:
    choice = survey.toolkit
    if choice.toolkit:
        return f"{choice.version} in {choice.toolkit.root}"
    return f"{choice.version} (to be installed)" if choice.version else "absent"


def _assumed(probe: Probe, row: Row | None, survey: Survey, cuda: str) -> tuple[str, ...]:
    assumed = []
    if probe.assumed and row is not None:
        assumed.append(
            f"flags, options and targets of {row.family} are the catalogue's; the build checks them after fetch"
        )
    if survey.toolkit.version is None:
        assumed.append(f"the CUDA toolkit's version, {cuda}: none is here yet")
    return tuple(assumed)


def _patches(profile: Profile, checked: PatchPlan | None, about: Mapping[str, str]) -> tuple[PlannedPatch, ...]:
    if checked is None:
        return tuple(
            PlannedPatch(name, "decided after fetch", f"{origin(profile, 'patches')}; needs a checkout", "")
            for name in profile.patches
        )
    return tuple(
        PlannedPatch(one.name, one.status, "; ".join(filter(None, (about.get(one.name), one.reason))), one.digest)
        for one in checked.sets
    )


def _verification(profile: Profile, probe: Probe, cuda: str) -> PlannedVerification:
    expected = expected_targets(profile.cuda.architectures, Version(cuda), probe)
    wanted = profile.verify.architectures
    required = expected.required if wanted.required == "auto" else tuple(frozenset([sm]) for sm in wanted.required)
    allowed = expected.allowed if wanted.allowed == "auto" else frozenset(wanted.allowed)
    answer = profile.verify.answer
    return PlannedVerification(
        targets=PlannedTargets(
            tuple(tuple(sorted(group)) for group in required),
            tuple(sorted(allowed.union(*required))),
            expected.reason,
        ),
        import_deadline=profile.verify.import_deadline,
        max_size=profile.verify.max_size,
        model=answer.model if answer else None,
        prompt=answer.prompt if answer else None,
        expect=answer.expect if answer else None,
    )


def _notes(request: Request, survey: Survey, probe: Probe) -> list[str]:
    notes = []
    profile = request.loaded.profile
    told = request.loaded.notes
    notes += [one for one in told if request.directory is None or one not in unpinned(profile)]
    if not is_single_device(profile):
        notes.append("this is not a single-device build: ENABLE_MULTI_DEVICE is not off, and it needs MPI and NCCL")
    elif "single-device" not in profile.patches:
        notes.append("the patch set single-device is not applied: import and first use still want MPI")
    wanted = profile.build.jobs if request.asked.jobs is None else request.asked.jobs
    memory = survey.host.memory.allowed
    if wanted != "auto" and int(wanted) * profile.build.job_memory > memory:
        total = format_size(int(wanted) * profile.build.job_memory)
        notes.append(
            f"{wanted} job{'s' * (int(wanted) > 1)} of {format_size(profile.build.job_memory)}: {total}, "
            f"more memory than the {format_size(memory)} that are free"
        )
    if probe.missing_submodules:
        notes.append(f"submodules that are not there yet: {', '.join(probe.missing_submodules)}")
    return notes
