"""A plan beside what its release is known with: where they differ the profile stays master, and is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet

from trtllm_builder.plan.origins import origin
from trtllm_builder.plan.request import Request
from trtllm_builder.plan.survey import Survey
from trtllm_builder.profile.model import Profile
from trtllm_builder.upstream.catalogue import Row, names_release, row_for, row_named
from trtllm_builder.upstream.model import Probe

# CUDA releases that a range may mean; it need not be known which of them exist.
_RELEASES = tuple(f"{major}.{minor}" for major in range(11, 16) for minor in range(10))


@dataclass(frozen=True)
class Mismatch:
    """``what`` is a sentence; ``remedy`` is there where the build cannot work, and says how to go on."""

    what: str
    remedy: str | None = None


def mismatches(profile: Profile, survey: Survey, row: Row) -> tuple[Mismatch, ...]:
    """The profile beside the CUDA, Python and architecture cells of its release's row."""
    return (*_cuda(profile, survey, row), *_python(profile, survey, row), *_architectures(profile, row))


def _cuda(profile: Profile, survey: Survey, row: Row) -> Iterator[Mismatch]:
    known, version = SpecifierSet(row.cuda), survey.toolkit.version
    wanted = SpecifierSet(profile.cuda.toolkit)
    if known.contains(version, True) if version else any(map(known.contains, wanted.filter(_RELEASES))):
        return
    taken = f"{version} here" if version else str(profile.cuda.toolkit)
    what = _sentence(row, "cuda", f"CUDA {row.cuda}", f"{taken} ({origin(profile, 'cuda.toolkit')})")
    # Who names a toolkit's directory means that very one.
    forced = profile.cuda.root != "auto"
    hopeless = row.sureness["cuda"].level == "verified" and not forced
    remedy = f"set cuda.toolkit to a range in {row.cuda}, or name the toolkit in cuda.root to try it all the same"
    yield Mismatch(what, remedy if hopeless else None)


def _python(profile: Profile, survey: Survey, row: Row) -> Iterator[Mismatch]:
    interpreter = survey.host.interpreter
    series = profile.python if profile.python != "host" else interpreter.series if interpreter else None
    if series is not None and series not in row.python:
        # Wheels of torch and upstream's own code may do with another one: nobody has said so.
        taken = f"{series} ({origin(profile, 'python')})"
        yield Mismatch(_sentence(row, "python", f"Python {' or '.join(row.python)}", taken))


def _architectures(profile: Profile, row: Row) -> Iterator[Mismatch]:
    unknown = [str(number) for number in profile.cuda.architectures if number not in row.architectures]
    if unknown:
        listed = ", ".join(map(str, row.architectures))
        taken = f"{', '.join(unknown)} ({origin(profile, 'cuda.architectures')})"
        yield Mismatch(_sentence(row, "architectures", f"architectures {listed}", taken))


def _sentence(row: Row, cell: str, known: str, taken: str) -> str:
    sure = row.sureness[cell]
    name = row.family if row.family == "main" else f"release {row.family}"
    return f"{name} is known with {known} ({sure.level}: {sure.source}); the profile takes {taken}"


def unknown_ref(ref: str, probe: Probe, row: Row | None) -> list[str]:
    """That the row, which stands in for the checkout, is not the ref's own."""
    if not probe.assumed or row is None or row_for(ref) is not None:
        return []
    return [f"the catalogue has no row for {ref}; that of {row.family} is used until the checkout is there"]


def other_release(request: Request, probe: Probe, row: Row | None) -> list[str]:
    """A directory is taken as it is, whatever the profile's ref says: its own release says what it needs."""
    profile = request.loaded.profile
    ref = profile.source.ref
    if request.directory is None or names_release(ref, probe.version) is not False:
        return []
    needs = f"it is planned with what {row.family} needs" if row else "the catalogue does not know what it needs"
    return [
        f"{request.directory} holds {probe.version}, not the {ref} of the profile ({origin(profile, 'source.ref')}): "
        f"{needs}"
    ]


def own_tensorrt(row: Row | None) -> list[str]:
    """That the checkout's requirements.txt, not the catalogue, says which TensorRT."""
    known = row_named(row.family) if row else None
    if row is None or known is None or row.tensorrt == known.tensorrt:
        return []
    return [
        f"TensorRT {row.tensorrt} is what the checkout's requirements.txt asks for; the catalogue knows {row.family} "
        f"with {known.tensorrt or 'none'}"
    ]
