"""What is known of upstream's releases without a checkout: packaged data, each cell with how sure it is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from trtllm_builder.errors import ProfileError, SourceError
from trtllm_builder.units import parse_duration, parse_size
from trtllm_builder.upstream.architectures import expected_targets
from trtllm_builder.upstream.components import option_of
from trtllm_builder.upstream.model import CMakeOption, Component, ExtraCMake, Flag, Probe, Trap

_REF = re.compile(r"(?:refs/(?:heads|tags|remotes/origin)/|origin/)?(?:release/|v)?(\d+\.\d+[.a-z0-9+-]*)\Z")
_MAIN = re.compile(r"(?:refs/heads/|refs/remotes/origin/|origin/)?main\Z")
_JUDGED = ("single_device", "version", "cuda", "toolkit", "tensorrt", "torch", "python", "gcc", "glibc", "cmake",
           "architectures", "probe")  # fmt: skip
# Family code (100f, 120f) begins with 12.9.
_TELLING_CUDA = ("12.8", "12.9")


@dataclass(frozen=True)
class Sure:
    """How sure a cell is: ``verified``, ``reported`` or ``inferred``, and where it comes from."""

    level: str
    source: str


@dataclass(frozen=True)
class Range:
    """An estimate from ``low`` to ``high``: bytes for disk, seconds for time."""

    low: int
    high: int
    source: str
    sure: str


@dataclass(frozen=True)
class Row:
    """One family of releases. Specifiers are PEP 440; ``tensorrt`` is None where upstream needs none.

    ``single_device`` is ``supported`` (someone built it), ``unproven`` or ``unsupported``; ``toolkit`` the CUDA release
    that upstream made it with. ``least_disk`` in bytes: with less there is no point in beginning. ``sureness`` has an
    entry for each cell; ``probe`` stands for flags, options, targets, traps and components together. ``varies`` names
    those among them in which the family's releases differ.
    """

    family: str
    versions: str
    single_device: str
    version: str
    cuda: str
    toolkit: str
    tensorrt: str | None
    torch: str
    python: tuple[str, ...]
    gcc: str
    glibc: str
    cmake: str
    architectures: tuple[int, ...]
    least_disk: int
    disk: Range
    time: Range
    flags: tuple[Flag, ...]
    options: tuple[CMakeOption, ...]
    targets: tuple[str, ...]
    traps: tuple[str, ...]
    components: tuple[Component, ...]
    extra_cmake: ExtraCMake
    cmake_minimum: str
    architecture_bases: tuple[int, ...]
    architecture_exact: tuple[int, ...]
    prebuilt_kernels: tuple[str, ...]
    prebuilt_mpi: tuple[str, ...]
    varies: tuple[str, ...]
    sureness: Mapping[str, Sure]

    def to_json(self) -> dict[str, object]:
        """Every judged cell with its value, how sure it is and its source; the GPU code by CUDA release."""
        values: dict[str, object] = {name: getattr(self, name) for name in _JUDGED if name != "probe"}
        values["probe"] = f"{len(self.flags)} flags, {len(self.options)} options, {len(self.traps)} traps"
        return {
            "family": self.family,
            "versions": self.versions,
            "cells": {
                name: {
                    "value": list(value) if isinstance(value, tuple) else value,
                    "sure": self.sureness[name].level,
                    "source": self.sureness[name].source,
                }
                for name, value in values.items()
            },
            "gpu_code": self.gpu_code(),
            # What upstream compiles a kernel for that none of the architectures asked for wants.
            "placeholder": "sm_80" if self.architecture_bases else None,
            "traps": list(self.traps),
        }

    def gpu_code(self) -> dict[str, dict[str, list[str]]]:
        """CUDA release -> architecture (``89``) -> the code that serves it, for releases that make a difference."""
        probe, allowed = self.assumed_probe(), SpecifierSet(self.cuda)
        code: dict[str, dict[str, list[str]]] = {}
        for cuda in sorted({self.toolkit, *_TELLING_CUDA}, key=Version):
            for number in self.architectures if allowed.contains(cuda) else ():
                try:
                    served = expected_targets((number,), Version(cuda), probe).required[0]
                except ProfileError:  # it needs a newer toolkit, or an older one
                    continue
                code.setdefault(cuda, {})[str(number)] = sorted(served)
        return code

    def assumed_probe(self) -> Probe:
        """What a probe of such a checkout is expected to say, marked as assumed; lines are 0."""
        sure = self.sureness["probe"]
        return Probe(
            root="",
            version=self.version,
            flags=self.flags,
            targets=self.targets,
            extra_cmake_handling=self.extra_cmake,
            options=self.options,
            lfs_pointers=self.prebuilt_mpi,
            traps=tuple(Trap(name, "", 0, f"assumed for {self.family} ({sure.level})") for name in self.traps),
            components=self.components,
            cmake_minimum=self.cmake_minimum,
            architecture_bases=self.architecture_bases,
            architecture_exact=self.architecture_exact,
            prebuilt_kernels=self.prebuilt_kernels,
            prebuilt_mpi=self.prebuilt_mpi,
            assumed=True,
            sureness={name: cell.level for name, cell in self.sureness.items()},
        )


@cache
def rows() -> tuple[Row, ...]:
    """All rows, oldest release first."""
    data, expected = _data("catalogue.yaml"), _data("expected.yaml")
    merged: dict[str, dict[str, Any]] = {}
    for raw in data["rows"]:
        merged[raw["family"]] = _merge(
            merged.get(raw.get("from"), {}), {"varies": [], **raw, **expected[raw["family"]]}
        )
    return tuple(_row(cells, data["estimates"]) for cells in merged.values())


def _data(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(resources.files(__package__).joinpath(name).read_text("utf-8"))
    return loaded


def _version(ref: str) -> Version | None:
    match = _REF.match(ref)
    try:
        return Version(match[1]) if match else None
    except InvalidVersion:
        return None


def refuse_older(ref: str) -> SourceError | None:
    """Why the release that ``ref`` names by its number cannot be built, where it is older than all rows."""
    version, oldest = _version(ref), rows()[0]
    first = min(Version(one.version) for one in SpecifierSet(oldest.versions) if one.operator == ">=")
    if version is None or version >= first:
        return None
    return SourceError(
        f"release {version} is older than all that the catalogue knows, and even {oldest.family} cannot be built "
        f"single-device ({oldest.sureness['single_device'].source})",
        remedy="choose release 0.19 or newer",
    )


def row_for(ref: str) -> Row | None:
    """The row for a branch or tag such as ``release/0.20``, ``v1.1.0rc3`` or ``main``; None for others and commits."""
    if _MAIN.match(ref):
        return rows()[-1]
    version = _version(ref)
    return next((row for row in rows() if version and SpecifierSet(row.versions).contains(version, True)), None)


def names_release(ref: str, version: str) -> bool | None:
    """Whether a branch or tag is of this ``__version__``: ``release/1.1`` of 1.1.0rc3, ``v1.1.0`` only of 1.1.0, and
    ``main`` of what its row is about. None where one of them does not say."""
    row = row_for(version)
    if _MAIN.match(ref):
        return None if row is None else row == rows()[-1]
    named, held = _version(ref), _version(version)
    if named is None or held is None:
        return None
    if len(named.release) == 2 and not named.is_prerelease:
        return held.release[:2] == named.release
    return held.public == named.public


def row_named(family: str) -> Row | None:
    """The row of this name (``0.20``, ``main``), or the one that a ref with it has."""
    return next((row for row in rows() if row.family == family), None) or row_for(family)


def _merge(base: dict[str, Any], raw: dict[str, Any]) -> dict[str, Any]:
    """``raw`` over ``base``; ``add`` and ``remove`` change flags, options, targets and traps by their names."""
    merged = {**base, **{key: value for key, value in raw.items() if key != "from"}}
    for key in ("flags", "options", "targets", "traps"):
        change = raw.get(key, {})
        added = change.get("add", [])
        entries = dict(base.get(key, {}))
        for name, value in added.items() if isinstance(added, dict) else ((one.split()[0], one) for one in added):
            entries[name] = value
        merged[key] = {name: value for name, value in entries.items() if name not in change.get("remove", [])}
    return merged


def _row(cells: dict[str, Any], estimates: dict[str, Any]) -> Row:
    disk, time = estimates["disk"], estimates["time"]
    return Row(
        family=cells["family"],
        versions=cells["versions"],
        single_device=cells["single_device"]["value"],
        version=cells["version"]["value"],
        cuda=cells["cuda"]["value"],
        toolkit=cells["toolkit"]["value"],
        tensorrt=cells["tensorrt"]["value"],
        torch=cells["torch"]["value"],
        python=tuple(cells["python"]["value"]),
        gcc=cells["gcc"]["value"],
        glibc=cells["glibc"]["value"],
        cmake=cells["cmake"]["value"],
        architectures=tuple(cells["architectures"]["value"]),
        least_disk=parse_size(disk["least"]),
        disk=Range(parse_size(disk["low"]), parse_size(disk["high"]), disk["source"], disk["sure"]),
        time=Range(
            round(parse_duration(time["low"])), round(parse_duration(time["high"])), time["source"], time["sure"]
        ),
        flags=tuple(_flag(text) for text in cells["flags"].values()),
        options=tuple(CMakeOption(name, value, "", 0) for name, value in cells["options"].items()),
        targets=tuple(cells["targets"]),
        traps=tuple(sorted(cells["traps"])),
        components=tuple(_component(name, **facts) for name, facts in cells["components"].items()),
        extra_cmake=cells["extra_cmake"],
        cmake_minimum=cells["cmake_minimum"],
        architecture_bases=tuple(cells["bases"]),
        architecture_exact=tuple(cells["exact"]),
        prebuilt_kernels=tuple(cells["prebuilt_kernels"]),
        prebuilt_mpi=tuple(cells["prebuilt_mpi"]),
        varies=tuple(cells["varies"]),
        sureness={name: Sure(cells[name]["sure"], cells[name]["source"]) for name in _JUDGED},
    )


def _component(
    name: str, minimum: int | None = None, only: Sequence[int] = (), one_file: bool = False, staged: bool = False
) -> Component:
    return Component(name, option_of(name), "", 0, minimum, tuple(only), one_file, staged)


def _flag(text: str) -> Flag:
    words = text.split()
    spellings = tuple(word for word in words if word.startswith("-"))
    arity = words[-1] if len(words) > len(spellings) else "0"
    action = "append" if "--extra-cmake-vars" in spellings else "store" if arity != "0" else "store_true"
    return Flag(spellings, arity, action)
