"""What a checkout of upstream was found to offer: plain frozen values, no reading here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from trtllm_builder.errors import SourceError

ExtraCMake = Literal["set", "ordered", "unknown"]
"""How ``--extra-cmake-vars`` reach CMake: through a set (order changes with PYTHONHASHSEED), in the order given, or
in a way this probe does not know. In every known version each value is first split on ``;``."""

_NAMED = 3  # files spelled out in the refusal; the rest is a count


@dataclass(frozen=True)
class Flag:
    """One option of build_wheel.py. ``default`` is a string default as it is, any other as source text."""

    spellings: tuple[str, ...]
    arity: str
    """argparse's nargs: ``0``, ``1``, ``?``, ``+``, ``*`` or another number."""
    action: str = "store"
    default: str | None = None
    choices: tuple[str, ...] = ()
    type: str | None = None
    hidden: bool = False
    """True when ``--help`` does not show it."""
    line: int = 0

    @property
    def long(self) -> str:
        """The spelling to use: in full, since argparse's prefix matching would take a shorter one for another flag."""
        return max(self.spellings, key=len)

    def to_json(self) -> dict[str, object]:
        return {
            "spellings": list(self.spellings),
            "arity": self.arity,
            "action": self.action,
            "default": self.default,
            "choices": list(self.choices),
            "type": self.type,
            "hidden": self.hidden,
            "line": self.line,
        }


@dataclass(frozen=True)
class CMakeOption:
    """A switch that CMake code declares: ``option()``, a cache entry, or a plain variable set only when undefined."""

    name: str
    default: str
    file: str
    line: int
    kind: str = "option"
    """``option``, ``cache`` or ``variable``."""

    def to_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "default": self.default,
            "file": self.file,
            "line": self.line,
            "kind": self.kind,
        }


@dataclass(frozen=True)
class Trap:
    """Something in this checkout that would break, stall or spoil a build. Ids are listed in ``traps.py``."""

    id: str
    file: str
    line: int
    what: str

    def to_json(self) -> dict[str, object]:
        return {"id": self.id, "file": self.file, "line": self.line, "what": self.what}


@dataclass(frozen=True)
class Component:
    """An optional part of upstream with an option of its own, and for which GPUs its own CMake code compiles it.

    ``minimum`` is the first architecture it is for, ``only`` the architectures it is for; with neither it is for all.
    ``one_file`` is true when all that is compiled is a single C++ file; ``staged`` when nothing is, packaging copies
    Python and headers, and CMake has no such option. ``line`` is where the choice is made.
    """

    name: str
    option: str
    file: str
    line: int
    minimum: int | None = None
    only: tuple[int, ...] = ()
    one_file: bool = False
    staged: bool = False

    def wanted(self, architectures: Sequence[int]) -> tuple[int, ...]:
        """Those among ``architectures`` that it is compiled for."""
        if self.only:
            return tuple(number for number in architectures if number in self.only)
        return tuple(number for number in architectures if self.minimum is None or number >= self.minimum)

    def to_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "option": self.option,
            "file": self.file,
            "line": self.line,
            "minimum": self.minimum,
            "only": list(self.only),
            "one_file": self.one_file,
            "staged": self.staged,
        }


@dataclass(frozen=True)
class Probe:
    """All that was found in one checkout. Paths are relative to ``root``, with ``/``, sorted."""

    root: str
    version: str
    flags: tuple[Flag, ...] = ()
    targets: tuple[str, ...] = ()
    extra_cmake_handling: ExtraCMake = "unknown"
    options: tuple[CMakeOption, ...] = ()
    lfs_pointers: tuple[str, ...] = ()
    submodules: tuple[str, ...] = ()
    missing_submodules: tuple[str, ...] = ()
    traps: tuple[Trap, ...] = ()
    components: tuple[Component, ...] = ()
    cmake_minimum: str | None = None
    architecture_bases: tuple[int, ...] = ()
    """Architectures upstream compiles for (others of the same major run on them); empty until 0.18: taken as given."""
    architecture_exact: tuple[int, ...] = ()
    """Architectures that run only their own code (Tegra), whatever the bases."""
    prebuilt_kernels: tuple[str, ...] = ()
    """Prebuilt GPU kernels that are linked in; they bring code for architectures that nobody asked for."""
    prebuilt_mpi: tuple[str, ...] = ()
    """Archives compiled with MPI that the build would link: their presence rules a single-device build out."""
    notes: tuple[str, ...] = ()
    """What could not be read and was left out: an unreadable CMake file, a flag whose name is computed."""
    assumed: bool = False
    """True when this comes from the catalogue, not from files."""
    sureness: Mapping[str, str] = field(default_factory=dict)
    """For an assumed probe: field name -> ``verified``, ``reported`` or ``inferred``."""

    def flag(self, name: str) -> Flag | None:
        """The flag with this exact spelling, with or without dashes (``job_count``, ``--job_count``, ``-j``).

        A prefix such as ``--job`` is not known here, although argparse would take it.
        """
        wanted = {name} if name.startswith("-") else {f"--{name}", f"-{name}"}
        for flag in self.flags:
            if wanted & set(flag.spellings):
                return flag
        return None

    def option(self, name: str) -> CMakeOption | None:
        """The first declaration of a CMake option by its exact name."""
        return next((option for option in self.options if option.name == name), None)

    def component(self, option: str) -> Component | None:
        """The component that this option switches, where its CMake code says for which GPUs it is."""
        return next((component for component in self.components if component.option == option), None)

    def has_trap(self, identifier: str) -> bool:
        return any(trap.id == identifier for trap in self.traps)

    def refusal(self) -> SourceError | None:
        """Why this tree cannot be built single-device, in one sentence; None when nothing speaks against it."""
        if not self.prebuilt_mpi:
            return None
        pointers = [path for path in self.prebuilt_mpi if path in self.lfs_pointers]
        named = pointers or list(self.prebuilt_mpi)
        shown = ", ".join(named[:_NAMED])
        more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        place = "in it" if self.assumed else "here"
        kind = f"Git LFS pointers {place}" if pointers else f"present {place}"
        return SourceError(
            f"TensorRT-LLM {self.version} cannot be built single-device on x86_64: its batch manager and executor are "
            f"prebuilt MPI-linked archives ({kind}: {shown}{more})",
            remedy="choose release 0.19 or newer, where these sources are open",
        )

    def undecided(self) -> str | None:
        """Why nothing can be said of this tree; None when all that decides was read."""
        unread = [note for note in self.notes if "not looked into" in note]
        if unread:
            return f"{len(unread)} of the files that decide could not be read (see the notes)"
        return None if self.flags else "scripts/build_wheel.py registers no flag that is understood"

    def to_json(self) -> dict[str, object]:
        refusal = self.refusal()
        return {
            "root": self.root,
            "version": self.version,
            "assumed": self.assumed,
            "sureness": dict(self.sureness),
            "flags": [flag.to_json() for flag in self.flags],
            "targets": list(self.targets),
            "extra_cmake_handling": self.extra_cmake_handling,
            "options": [option.to_json() for option in self.options],
            "components": [component.to_json() for component in self.components],
            "cmake_minimum": self.cmake_minimum,
            "architecture_bases": list(self.architecture_bases),
            "architecture_exact": list(self.architecture_exact),
            "lfs_pointers": list(self.lfs_pointers),
            "submodules": list(self.submodules),
            "missing_submodules": list(self.missing_submodules),
            "prebuilt_kernels": list(self.prebuilt_kernels),
            "prebuilt_mpi": list(self.prebuilt_mpi),
            "traps": [trap.to_json() for trap in self.traps],
            "notes": list(self.notes),
            "refusal": refusal.what if refusal else None,
            "undecided": self.undecided(),
        }
