"""What a profile says, typed. The text below each field is what editors show (profiles/*.yaml name the schema)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from trtllm_builder.profile.cache import Ccache
from trtllm_builder.profile.names import (
    CMakeName,
    CMakeText,
    Commit,
    FlagName,
    Ref,
    SetName,
    SourceUrl,
    Url,
    Variable,
)
from trtllm_builder.profile.part import Part
from trtllm_builder.profile.scalars import (
    Architecture,
    Bool,
    BuildType,
    Generator,
    Jobs,
    MaybeEmpty,
    PathText,
    Plain,
    Python,
    Root,
    RootOrNone,
    Schema,
    Seconds,
    Size,
    SmNames,
    Specifier,
    WorkspaceText,
    fault,
)
from trtllm_builder.profile.signing import Signing

UPSTREAM_URL = "https://github.com/NVIDIA/TensorRT-LLM.git"


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _some(values: tuple[object, ...]) -> tuple[object, ...]:
    # Not pydantic's min_length, which also speaks up when an item of the list is at fault.
    if not values:
        raise ValueError("expected at least one value in this list")
    return values


def _distinct(values: tuple[object, ...]) -> tuple[object, ...]:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise fault(f"`{value}` stands in this list twice", index)
    return values


class Source(Part):
    """Which upstream, and how it is obtained."""

    ref: Ref
    """Branch, tag or commit of upstream, such as release/0.20."""
    url: SourceUrl = UPSTREAM_URL
    """Where upstream is cloned from: https, ssh or file; `builtin:canary` is our own small upstream."""
    commit: Commit | None = None
    """The whole commit id that the ref must lead to; null when it is not known (such a wheel cannot be published)."""
    mirrors: Annotated[tuple[SetName, ...], BeforeValidator(_one_or_many), AfterValidator(_distinct)] = ()
    """Mirror sets (files in mirrors/), tried in this order before the URL itself."""
    lfs: Bool = True
    """Whether Git LFS objects are fetched; upstream's prebuilt kernels are such objects."""
    submodules: Bool = True
    """Whether submodules are fetched."""


class Cuda(Part):
    """GPUs that the wheel is for, and the toolkit that compiles it."""

    architectures: Annotated[tuple[Architecture, ...], AfterValidator(_some), AfterValidator(_distinct)]
    """Compute capabilities as plain digits: 80, 86, 89 (RTX 40), 90 (H100, H200), 100, 120 (RTX 50)."""
    toolkit: Specifier
    """Versions of the CUDA toolkit that will do, such as `>=12.9,<13`."""
    root: Root = "auto"
    """The toolkit's directory; auto looks in the usual places."""
    wheels: Bool = False
    """Whether nvcc and the CUDA 13 runtime may come from Python packages: enough for the canary, not for upstream."""
    archive: PathText | None = None
    """A runfile or tar archive of the toolkit that you downloaded."""


class TensorRT(Part):
    """TensorRT's headers and libraries."""

    root: RootOrNone = "auto"
    """TensorRT's directory; auto looks in the usual places; none for an upstream that needs no TensorRT."""
    version: Specifier | None = None
    """Versions that will do; null leaves it to the catalogue's row for the release."""
    archive: PathText | None = None
    """A tar archive of TensorRT that you downloaded."""


class CMakeValue(Part):
    """A value for a CMake option, or the value and whether the checkout must have the option."""

    value: CMakeText
    """The value as CMake gets it, letter by letter."""
    if_declared: Bool = False
    """Leave the option out, and do not fail, where the checkout does not declare it."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: object) -> object:
        return {"value": data} if isinstance(data, str) else data


class FlagValue(Part):
    """A value for a build_wheel.py flag (true for a flag without one), or that and whether it must exist."""

    value: Plain | None = None
    """The flag's value; nothing or true for a flag that takes none."""
    if_declared: Bool = False
    """Leave the flag out, and do not fail, where the checkout does not have it."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: object) -> object:
        values = {"value": data} if isinstance(data, str) else data
        if isinstance(values, dict) and isinstance(values.get("value"), str):
            word = values["value"].lower()
            if word in ("false", "no", "off"):
                raise ValueError("a flag is given or not; write null to take it back")
            if word in ("true", "yes", "on"):
                return {**values, "value": None}
        return values


# Before 0.19 the option's text becomes a C macro: OFF is then neither 0 nor a number. 0 is right in every version.
_NUMERIC = ("ENABLE_MULTI_DEVICE", "ENABLE_UCX")
# CMake takes any other word of an option for false where it is none of these, and says nothing.
_TRUTH = ("ON", "OFF", "1", "0", "TRUE", "FALSE", "YES", "NO", "Y", "N")
_SWITCHES = ("BUILD_", "ENABLE_")


def _truths(options: dict[str, CMakeValue]) -> dict[str, CMakeValue]:
    for name, option in options.items():
        if name in _NUMERIC and option.value not in ("0", "1"):
            raise fault(f"expected a literal 0 (or 1) for {name}, not `{option.value}`", name, "value")
        if name.startswith(_SWITCHES) and option.value.upper() not in (*_TRUTH, "AUTO"):
            raise fault(f"expected ON, OFF or auto for {name}, not `{option.value}`", name, "value")
    return options


class Build(Part):
    """How upstream's build script is run."""

    type: BuildType = "Release"
    """CMake's build type."""
    jobs: Jobs = "auto"
    """Compiler jobs at a time. auto starts each compiler when there is memory for it, retries one that is killed and
    learns what files take; a number gives all three up."""
    job_memory: Size = 6 * 2**30
    """Memory to count for each compiler where the gate of auto is not there: how many then run at once is memory
    divided by this."""
    reserve: Size | None = None
    """Memory left to the rest of the machine; null takes the larger of 2 GiB and a tenth."""
    generator: Generator = "Ninja"
    """CMake's generator."""
    ccache: Ccache = Ccache()
    """The compiler cache."""
    cmake: Annotated[dict[CMakeName, CMakeValue], AfterValidator(_truths)] = Field(default={})
    """CMake options: `NAME: value`, or `NAME: {value: ..., if_declared: true}`."""
    flags: dict[FlagName, FlagValue] = Field(default={})
    """Further build_wheel.py flags by their long spelling without dashes: `skip-stubs: true`."""
    environment: dict[Variable, MaybeEmpty] = Field(default={})
    """Further variables in the build's environment; no credentials."""


class VerifyArchitectures(Part):
    """GPU targets in the wheel's libraries."""

    required: SmNames = "auto"
    """Targets that must be there, such as sm_89; auto derives them from cuda.architectures as upstream maps them."""
    allowed: SmNames = "auto"
    """Targets that may be there besides; auto derives them likewise."""


class Answer(Part):
    """A question that the installed wheel must answer."""

    model: Plain
    """A model: `canary`, or the directory of a small model for a machine with a GPU."""
    prompt: Plain
    """What it is asked."""
    expect: Plain | None = None
    """Text that the answer must contain; null takes any answer."""


class Verify(Part):
    """What the finished wheel must show."""

    architectures: VerifyArchitectures = VerifyArchitectures()
    """GPU targets in the wheel's libraries."""
    import_deadline: Seconds = 120.0
    """The longest that `import tensorrt_llm` may take."""
    max_size: Size = 4 * 2**30
    """The largest wheel that is accepted."""
    answer: Answer | None = None
    """A question that the installed wheel must answer; null only imports it."""


class Tools(Part):
    """Overrides of the catalogue's tool versions."""

    cmake: Specifier | None = None
    """Versions of CMake that will do; null leaves it to the catalogue's row for the release."""


class ProfileFile(Part):
    """A whole profile, as the files that it is made of say it."""

    schema_: Schema = Field(alias="schema")
    """The version of this format: 1."""
    python: Python
    """The Python that the wheel is for, such as 3.10; `host` is the interpreter that runs trtllm-build."""
    source: Source
    """Which upstream, and how it is obtained."""
    cuda: Cuda
    """GPUs that the wheel is for, and the toolkit that compiles it."""
    description: MaybeEmpty = ""
    """What the profile is for."""
    tensorrt: TensorRT = TensorRT()
    """TensorRT's headers and libraries."""
    workspace: Annotated[tuple[WorkspaceText, ...], AfterValidator(_some), AfterValidator(_distinct)] = ("cache",)
    """Directories for the build, in order of preference; the first that exists and has room is taken.
    `cache` is our own directory under XDG_CACHE_HOME."""
    build: Build = Build()
    """How upstream's build script is run."""
    patches: Annotated[tuple[SetName, ...], AfterValidator(_distinct)] = ()
    """Patch sets, applied in this order."""
    verify: Verify = Verify()
    """What the finished wheel must show."""
    tools: Tools = Tools()
    """Overrides of the catalogue's tool versions."""
    signing: Signing = Signing()
    """Who signs the wheel's provenance; without a key nobody does."""
    index: Plain | None = None
    """An index of ours, a directory or a URL, that is asked for a wheel built from the same inputs."""


class Profile(ProfileFile):
    """A profile by its name, with the origin of each of its values.

    ``origins`` maps each dotted path (``build.cmake.ENABLE_UCX``) to ``path:line:column``, ``--set`` or ``default``.
    """

    name: str
    origins: Mapping[str, str]


class Rewrite(Part):
    """A prefix of git URLs, and what stands in its place."""

    prefix: Url
    """What a URL begins with, such as https://github.com/."""
    replacement: Url
    """What it begins with at the mirror."""


class MirrorFile(Part):
    """Where the same content may also be had; tried in order, and the commit's hash decides."""

    schema_: Schema = Field(alias="schema")
    """The version of this format: 1."""
    description: MaybeEmpty = ""
    """Whom these mirrors are for."""
    git: tuple[Rewrite, ...] = ()
    """Rewrites of git URLs, tried in this order before the URL itself."""
    github_mirror: Url | None = None
    """For upstream's own GITHUB_MIRROR variable, which serves DeepEP's archive."""
    pip_index: Url | None = None
    """A Python package index for the build's own environment."""
    lfs: Url | None = None
    """A Git LFS endpoint."""


class MirrorSet(MirrorFile):
    """A mirror set by its name, which is its file's."""

    name: str
