"""The plan: everything a build will do, each value with where it came from. Data only, free of secrets when shown."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from trtllm_builder.text import redact

SCHEMA = 1


@dataclass(frozen=True)
class Value:
    """A decision and its origin: a place in a profile, ``probe FILE:LINE``, ``host``, ``catalogue``, ``default``."""

    value: str
    origin: str


@dataclass(frozen=True)
class Setting:
    """A named decision: an environment variable or a CMake definition."""

    name: str
    value: str
    origin: str


@dataclass(frozen=True)
class Argument:
    """Words that belong together on the command line of build_wheel.py."""

    words: tuple[str, ...]
    origin: str


@dataclass(frozen=True)
class Jobs:
    """How many compilers run at once at most, and the arithmetic behind it. Sizes in bytes."""

    count: int
    origin: str
    cores: int
    cores_source: str
    memory: int
    memory_source: str
    reserve: int
    per_job: int
    arithmetic: str


@dataclass(frozen=True)
class PlannedGate:
    """Whether each compiler starts only when there is memory for it, and why so or not. ``queue`` is how many jobs
    upstream's build is told to begin, of which most wait; ``slots`` how many compilers run at once when nobody answers
    them; ``links`` how many linkers do."""

    on: bool
    reason: str
    queue: int
    slots: int
    links: int


@dataclass(frozen=True)
class PlannedSource:
    """Where upstream comes from. ``url`` may carry credentials: it is redacted wherever a plan is shown or kept.

    ``origin`` is that of the URL or directory, ``ref_origin`` that of ref and commit.
    """

    url: str
    ref: str
    commit: str | None
    mirrors: tuple[str, ...]
    directory: str | None
    lfs: bool
    submodules: bool
    origin: str
    ref_origin: str
    edited: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlannedTool:
    """A tool and which one it will be. ``path`` is None until it is installed by us."""

    name: str
    version: str
    path: str | None
    origin: str
    reason: str


@dataclass(frozen=True)
class PlannedPatch:
    """A patch set and what it will do: applies, applied already, not needed, or unknown without a checkout."""

    name: str
    outcome: str
    reason: str
    digest: str


@dataclass(frozen=True)
class Estimate:
    """A range and where it was taken from; bytes or seconds."""

    low: int
    high: int
    source: str


@dataclass(frozen=True)
class Lack:
    """Something this host does not have and the build needs, with the exact steps that bring it."""

    what: str
    steps: tuple[str, ...]


@dataclass(frozen=True)
class PlannedTargets:
    """GPU code the wheel must and may hold: of each required group at least one member."""

    required: tuple[tuple[str, ...], ...]
    allowed: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class PlannedVerification:
    """What verification will ask for. Deadline in seconds, size in bytes."""

    targets: PlannedTargets
    import_deadline: float
    max_size: int
    model: str | None
    prompt: str | None
    expect: str | None


@dataclass(frozen=True)
class Plan:
    """One resolved build. ``assumed`` lists what was taken from the catalogue because no checkout was at hand;
    ``directories`` are made in the checkout before the build, ``left_out`` definitions are not passed, and of those
    in ``by_patch`` CMake knows nothing; ``warnings`` are those of the ``notes`` that nobody should miss."""

    profile: str
    description: str
    chain: tuple[str, ...]
    builder: str
    source: PlannedSource
    upstream: Value
    assumed: tuple[str, ...]
    workspace: Value
    caches: str
    out: str
    python: Value
    python_version: str
    toolkit: Value
    toolkit_version: str
    tensorrt: Value
    tools: tuple[PlannedTool, ...]
    architectures: Value
    label: str
    jobs: Jobs
    gate: PlannedGate
    command: tuple[Argument, ...]
    environment: tuple[Setting, ...]
    ccache: bool
    options: tuple[Setting, ...]
    left_out: tuple[Setting, ...]
    by_patch: tuple[Setting, ...]
    directories: tuple[Value, ...]
    patches: tuple[PlannedPatch, ...]
    verification: PlannedVerification
    disk: Estimate
    memory: Estimate
    time: Estimate
    lacks: tuple[Lack, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def switches(self) -> tuple[Setting, ...]:
        """All that says which parts are built: by CMake, and by patches."""
        return (*self.options, *self.by_patch)

    @property
    def argv(self) -> tuple[str, ...]:
        return tuple(word for argument in self.command for word in argument.words)

    def to_json(self) -> dict[str, Any]:
        """The plan as shown and recorded: credentials redacted."""
        shown = jsonable(self)
        return {"schema": SCHEMA, **shown, "argv": [redact(word) for word in self.argv]}


def jsonable(value: Any) -> Any:
    """Dataclasses, tuples and paths as plain JSON values, with credentials in every text redacted."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (tuple, list, frozenset, set)):
        return [jsonable(item) for item in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    if isinstance(value, (str, Path)):
        return redact(str(value))
    return value
