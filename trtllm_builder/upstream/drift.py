"""What changed between two checkouts of upstream, or between a checkout and what the catalogue expects of its release.

Only what matters to a build is told: flags, options, targets, traps, components, GPU code, what happens to -D
values, and (between two checkouts) the ways on which MPI is reached.
Line numbers, versions and the order of things are no change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from trtllm_builder.upstream.audit.model import MpiAudit
from trtllm_builder.upstream.model import Component, Flag, Probe, Trap

Kind = Literal[
    "flag",
    "option",
    "target",
    "trap",
    "component",
    "-D values",
    "GPU code",
    "CMake",
    "submodule",
    "archive",
    "import path",
]


@dataclass(frozen=True)
class Change:
    """``before`` is None for what is new, ``after`` for what is gone; ``matters`` says what that means for a build."""

    kind: Kind
    name: str
    before: str | None
    after: str | None
    matters: str

    @property
    def what(self) -> str:
        return "new" if self.before is None else "gone" if self.after is None else "changed"

    def to_json(self) -> dict[str, object]:
        return {
            "kind": self.kind,
            "name": self.name,
            "what": self.what,
            "before": self.before,
            "after": self.after,
            "matters": self.matters,
        }


def compare(before: Probe, after: Probe) -> tuple[Change, ...]:
    """Changes from ``before`` to ``after``. Where ``before`` is assumed (the catalogue's), only what the catalogue
    lists can be gone or changed, and lines and files are not compared."""
    return (
        *_flags(before, after),
        *_options(before, after),
        *_named("target", before.targets, after.targets, "patches and packaging name targets"),
        *_traps(before, after),
        *_components(before, after),
        *_values(before, after),
        *_files(before, after),
    )


def compare_paths(before: MpiAudit, after: MpiAudit) -> tuple[Change, ...]:
    """Places that ``import``, ``LLM(...)`` or ``trtllm-serve`` newly reach MPI at, or no longer; those that the audit
    does not understand count too."""
    old, new = _paths(before), _paths(after)
    return tuple(
        Change("import path", name, old.get(name), new.get(name), "a patch has to close it, or has nothing to close")
        for name in _either(old, new)
        if old.get(name) != new.get(name)
    )


def _paths(found: MpiAudit) -> dict[str, str]:
    """``entry: file: what`` -> how sure it is. Lines move with every edit and are left out."""
    paths = {}
    for entry in found.entries:
        for one in entry.unknown:
            paths[f"{entry.entry}: {one.place.file}: {one.what}"] = "unknown shape"
        for touch in entry.touches:
            paths[f"{entry.entry}: {touch.place.file}: {touch.what}"] = touch.standing.word
    return paths


def _flags(before: Probe, after: Probe) -> Iterator[Change]:
    old, new = {flag.long: flag for flag in before.flags}, {flag.long: flag for flag in after.flags}
    for name in _either(old, new):
        ours, theirs = _flag(old.get(name), before), _flag(new.get(name), before)
        if ours != theirs:
            yield Change("flag", name, ours, theirs, "the command line is made of flags as they are spelled")


def _flag(flag: Flag | None, reference: Probe) -> str | None:
    """Spellings and arity; of a checkout also the default and the choices, which the catalogue does not list."""
    if flag is None:
        return None
    values = {"0": "", "1": " X", "?": " [X]", "+": " X..", "*": " [X..]"}.get(flag.arity, f" {flag.arity}")
    text = f"{', '.join(sorted(flag.spellings, key=len, reverse=True))}{values}"
    if reference.assumed:
        return text
    default = f" (default {flag.default})" if flag.default not in (None, "False", "[]", "") else ""
    choices = f" of {', '.join(flag.choices)}" if flag.choices else ""
    return f"{text}{default}{choices}"


def _options(before: Probe, after: Probe) -> Iterator[Change]:
    old = {option.name: option.default for option in before.options}
    new = {option.name: option.default for option in after.options}
    for name in _either(old, new):
        if old.get(name) != new.get(name) and not (before.assumed and name not in old):
            matters = "a default that is not overruled" if name in old and name in new else "profiles set options"
            yield Change("option", name, old.get(name), new.get(name), matters)


def _traps(before: Probe, after: Probe) -> Iterator[Change]:
    old, new = _where(before.traps, before), _where(after.traps, before)
    for name in _either(old, new):
        ours, theirs = old.get(name), new.get(name)
        if ours != theirs:
            trap = next(trap for trap in (*after.traps, *before.traps) if trap.id == name)
            matters = "a patch may have nothing left to do" if theirs is None else trap.what
            yield Change("trap", name, ours, theirs, matters)


def _where(traps: tuple[Trap, ...], reference: Probe) -> dict[str, str]:
    """Trap id -> the files it is in; the catalogue knows no files."""
    found: dict[str, list[str]] = {}
    for trap in traps:
        found.setdefault(trap.id, []).append("" if reference.assumed else trap.file)
    return {name: ", ".join(sorted(set(files))) or "present" for name, files in found.items()}


def _components(before: Probe, after: Probe) -> Iterator[Change]:
    old = {one.name: _component(one) for one in before.components}
    new = {one.name: _component(one) for one in after.components}
    for name in _either(old, new):
        if old.get(name) != new.get(name):
            yield Change("component", name, old.get(name), new.get(name), "auto decides by it what stays on")


def _component(one: Component) -> str:
    if one.minimum is not None:
        return f"from sm_{one.minimum} on"
    if one.only:
        return f"for {', '.join(f'sm_{number}' for number in one.only)}"
    return "one C++ file" if one.one_file else "for every GPU"


def _values(before: Probe, after: Probe) -> Iterator[Change]:
    values: tuple[tuple[Kind, str, str | None, str | None, str], ...] = (
        ("-D values", "order", before.extra_cmake_handling, after.extra_cmake_handling, "reproducible configuring"),
        ("CMake", "minimum", before.cmake_minimum, after.cmake_minimum, "which CMake is installed"),
        ("GPU code", "bases", _numbers(before.architecture_bases), _numbers(after.architecture_bases), _GPU),
        ("GPU code", "exact", _numbers(before.architecture_exact), _numbers(after.architecture_exact), _GPU),
    )
    yield from (Change(*value) for value in values if value[2] != value[3])


_GPU = "what a wheel must hold is computed from it"


def _numbers(numbers: tuple[int, ...]) -> str | None:
    return " ".join(str(number) for number in numbers) or None


def _files(before: Probe, after: Probe) -> Iterator[Change]:
    # The trap prebuilt-mpi-archives says whether there are any; which ones is news only beside another checkout.
    if not before.assumed:
        yield from _named("archive", before.prebuilt_mpi, after.prebuilt_mpi, "archives with MPI rule a build out")
        yield from _named("submodule", before.submodules, after.submodules, "sources are fetched by name")


def _named(kind: Kind, old: tuple[str, ...], new: tuple[str, ...], matters: str) -> Iterator[Change]:
    for name in _either(old, new):
        if (name in old) != (name in new):
            yield Change(kind, name, name if name in old else None, name if name in new else None, matters)


def _either(old: Iterable[str], new: Iterable[str]) -> list[str]:
    return list(dict.fromkeys((*old, *new)))
