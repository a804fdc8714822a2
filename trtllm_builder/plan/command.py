"""The command line of upstream's build_wheel.py, in the spelling this checkout has, each part with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.errors import ProfileError, SourceError
from trtllm_builder.plan.cmake_file import VARIABLE
from trtllm_builder.plan.components import AUTO, decide, is_off
from trtllm_builder.plan.model import Argument, Setting, Value
from trtllm_builder.plan.origins import origin, where
from trtllm_builder.profile.model import Profile
from trtllm_builder.upstream.model import Flag, Probe


@dataclass(frozen=True)
class Definitions:
    """``passed`` to CMake; ``left_out`` those of the profile that are not, each with why; ``by_patch`` switches off
    what CMake has no option for, which is for patches."""

    passed: tuple[Setting, ...]
    left_out: tuple[Setting, ...] = ()
    by_patch: tuple[Setting, ...] = ()

    @property
    def facts(self) -> dict[str, str]:
        """What patch sets may ask about."""
        return {option.name: option.value for option in (*self.passed, *self.by_patch)}


@dataclass(frozen=True)
class Command:
    """``arguments`` begin with the interpreter; ``options`` are the CMake definitions among them, ``left_out`` and
    ``by_patch`` as in Definitions; ``environment`` what stands in for missing flags; ``directories`` what has to be in
    the checkout and is not, relative to it."""

    arguments: tuple[Argument, ...]
    options: tuple[Setting, ...]
    left_out: tuple[Setting, ...]
    by_patch: tuple[Setting, ...]
    environment: tuple[Setting, ...]
    directories: tuple[Value, ...] = ()


def spelling(flag: Flag) -> str:
    """The long spelling, in full: prefix matching is on upstream, so anything shorter could match something else."""
    return max(flag.spellings, key=len)


def origin_of(flag: Flag) -> str:
    return f"probe scripts/build_wheel.py:{flag.line}" if flag.line else "catalogue"


def cmake_options(profile: Profile, probe: Probe) -> Definitions:
    """Left out are optional ones that this checkout does not declare, and components that the profile leaves to us
    (``auto``) and that upstream leaves out by itself or that cost nothing.

    Raises ProfileError naming the profile's line when a definition is neither declared nor optional, and for an
    ``auto`` that is no component's.
    """
    declared = {option.name: option for option in probe.options}
    passed: list[Setting] = []
    left_out: list[Setting] = []
    by_patch: list[Setting] = []
    for name, wanted in profile.build.cmake.items():
        said = origin(profile, f"build.cmake.{name}")
        if name == VARIABLE:
            raise ProfileError(
                f"{VARIABLE} is taken: a file of ours is handed to CMake by it",
                where=where(profile, f"build.cmake.{name}"),
                remedy="name the file in CMAKE_PROJECT_INCLUDE or CMAKE_PROJECT_INCLUDE_BEFORE",
            )
        if name in declared or name.startswith("CMAKE_"):
            option = declared.get(name)
            seen = f"; probe {option.file}:{option.line}" if option and option.line else ""
            setting = Setting(name, wanted.value, f"{said}{seen}")
            if wanted.value.lower() == AUTO:
                setting, stays = decide(profile, probe, setting)
                if stays:
                    left_out.append(setting)
                    continue
            passed.append(setting)
        elif (component := probe.component(name)) and component.staged:
            setting = Setting(name, wanted.value, f"{said}; CMake has no such option, a patch can leave it out")
            if wanted.value.lower() == AUTO:
                setting, _ = decide(profile, probe, setting)
            (by_patch if is_off(setting) else left_out).append(setting)
        elif wanted.if_declared:
            left_out.append(Setting(name, wanted.value, f"{said}; not declared by this checkout"))
        else:
            raise ProfileError(
                f"this upstream ({probe.version}) declares no CMake option {name}",
                where=where(profile, f"build.cmake.{name}"),
                remedy=f"write {{value: {wanted.value}, if_declared: true}} if the option may be absent, or remove it",
            )
    return Definitions(tuple(passed), tuple(left_out), tuple(by_patch))


def render_command(
    profile: Profile,
    probe: Probe,
    *,
    python: Path,
    build_dir: Path,
    dist_dir: Path,
    cmake_file: Path,
    architectures: str,
    jobs: int,
    jobs_origin: str,
    tensorrt_root: str | None,
) -> Command:
    """Raises SourceError for a missing flag that we cannot do without, ProfileError for one that the profile names."""
    arguments = [Argument((str(python), "scripts/build_wheel.py"), "upstream's own script in the workspace's venv")]
    environment: list[Setting] = []

    def add(name: str, *values: str, why: str) -> bool:
        flag = probe.flag(name)
        if flag is None:
            return False
        arguments.append(Argument((spelling(flag), *values), f"{why}; {origin_of(flag)}"))
        return True

    def need(name: str, *values: str, why: str) -> None:
        if not add(name, *values, why=why):
            raise SourceError(
                f"this upstream's scripts/build_wheel.py has no --{name}, which a build cannot do without",
                remedy="run 'trtllm-build probe DIR' to see its flags; this release may need a newer trtllm-builder",
            )

    need("build_type", profile.build.type, why=origin(profile, "build.type"))
    need("cuda_architectures", architectures, why=origin(profile, "cuda.architectures"))
    # Always explicit: upstream's default is every CPU it can see, whatever the memory.
    need("job_count", str(jobs), why=jobs_origin)
    generator, said = profile.build.generator, origin(profile, "build.generator")
    # Upstream puts -G and the name on a shell line without quotes.
    if " " in generator or not add("generator", generator, why=said):
        environment.append(
            Setting("CMAKE_GENERATOR", generator, f"{said}; not as --generator, which would not take it")
        )
    if profile.build.ccache.enabled:
        need("use_ccache", why=origin(profile, "build.ccache.enabled"))
    # A build directory with CMakeFiles but no build.ninja counts as configured there, and changed -D are ignored.
    need("configure_cmake", why="a half-configured build directory is trusted otherwise")
    need("build_dir", str(build_dir), why="workspace")
    need("dist_dir", str(dist_dir), why="workspace")
    if tensorrt_root is not None:
        add("trt_root", tensorrt_root, why=origin(profile, "tensorrt.root"))
    # Nothing may wait for an answer.
    add("yes", why="no prompt")
    for name, wanted in profile.build.flags.items():
        said = origin(profile, f"build.flags.{name}")
        values = () if wanted.value is None else (wanted.value,)
        if not add(name, *values, why=said) and not wanted.if_declared:
            raise ProfileError(
                f"this upstream's scripts/build_wheel.py ({probe.version}) has no --{name}",
                where=where(profile, f"build.flags.{name}"),
                remedy="remove the flag, or write {value: ..., if_declared: true} if it may be absent",
            )
    defined = cmake_options(profile, probe)
    for option in defined.passed:
        need("extra-cmake-vars", f"{option.name}={option.value}", why=option.origin)
    # Not among the options: it is ours, and whether it took is seen in what was built.
    need("extra-cmake-vars", f"{VARIABLE}={cmake_file}", why="the same source gives the same bytes")
    words = {word for argument in arguments for word in argument.words}
    return Command(
        tuple(arguments),
        options=defined.passed,
        left_out=defined.left_out,
        by_patch=defined.by_patch,
        environment=tuple(environment),
        directories=_directories(probe, words),
    )


def _directories(probe: Probe, words: set[str]) -> tuple[Value, ...]:
    """Packaging insists on the directory that the stub step makes, even an empty one; the binding itself is a file."""
    trap = next((trap for trap in probe.traps if trap.id == "stubs-directory"), None)
    if trap is None or "--skip-stubs" not in words:
        return ()
    return (Value("tensorrt_llm/bindings", f"{trap.file}:{trap.line} wants it and --skip-stubs does not make it"),)
