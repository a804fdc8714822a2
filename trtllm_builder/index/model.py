"""What an index holds: wheels, with what installers ask about them and what people ask about ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal
from urllib.parse import quote

from packaging.utils import BuildTag, NormalizedName, parse_wheel_filename
from packaging.version import Version

Standing = Literal["verified", "unimported", "unverified"]
"""What is known of a wheel: audited and imported; audited only; another project's, taken as it is."""
STANDINGS: Mapping[Standing, str] = {
    "verified": "audited and imported",
    "unimported": "audited, never imported",
    "unverified": "another project's wheel, taken as it is",
}
_VARIANT = re.compile(r"(?:.*\.)?(sd|md)\.(cu\d+)((?:\.sm\d{2,3})+)", re.DOTALL)
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.!+-]{0,199}\.whl")


@dataclass(frozen=True)
class Needs:
    """What a wheel asks of a machine, as ``schemas/report.json`` says it. ``gpus`` are targets of machine code, ``ptx``
    those of PTX; ``cuda`` major versions; ``driver`` and ``glibc`` the oldest that will do, empty when nothing is
    asked; ``python`` and ``torch`` in words."""

    python: str = ""
    glibc: str = ""
    cuda: tuple[int, ...] = ()
    driver: str = ""
    gpus: tuple[str, ...] = ()
    ptx: tuple[str, ...] = ()
    torch: str = ""


@dataclass(frozen=True)
class Lock:
    """The lock that a wheel was built from. ``kept``: somebody holds it, so that the wheel must stay."""

    digest: str
    kept: bool


@dataclass(frozen=True)
class Wheel:
    """One file of the index. ``project`` and ``version`` are normalised (PEP 503, PEP 440), ``size`` is bytes.

    ``uploaded``: when it was published, as PEP 700 writes it. ``metadata``: sha256 of its METADATA (PEP 658).
    ``yanked``: why (PEP 592), empty when no reason was given, None when it is not. ``keep``: what for it is never
    pruned, such as a release; None when it may be. ``beside``: what lies beside it,
    suffix (``.record.json``) to sha256. ``provenance``: there are attestations (PEP 740).
    """

    project: str
    version: str
    filename: str
    sha256: str
    size: int
    uploaded: str
    metadata: str
    requires_python: str
    standing: Standing
    summary: str = ""
    needs: Needs = Needs()
    lock: Lock | None = None
    beside: Mapping[str, str] = field(default_factory=dict)
    provenance: bool = False
    yanked: str | None = None
    keep: str | None = None

    @cached_property
    def variant(self) -> str:
        """``cu129-sm89`` for a wheel of ours that carries the label ``+sd.cu129.sm89``; empty for any other."""
        return variant_of(self.version)

    @cached_property
    def age(self) -> tuple[Version, str]:
        """Smaller for an older version."""
        return Version(self.version), self.filename

    @property
    def directory(self) -> str:
        """Where it lies, relative to the index; it alone, and what belongs to it."""
        return f"files/{self.project}/{self.sha256[:16]}"

    @property
    def path(self) -> str:
        return f"{self.directory}/{self.filename}"

    @cached_property
    def url(self) -> str:
        """``path`` as a URL; a plus sign is quoted, since object stores take a bare one for a space."""
        return quote(self.path)


@dataclass(frozen=True)
class Index:
    """All wheels of an index, in no order."""

    wheels: tuple[Wheel, ...] = ()

    @property
    def projects(self) -> dict[str, tuple[Wheel, ...]]:
        """Project to its wheels, both in order: by name, and by version and file name."""
        found: dict[str, list[Wheel]] = {}
        for wheel in self.wheels:
            found.setdefault(wheel.project, []).append(wheel)
        return {name: in_order(found[name]) for name in sorted(found)}

    @property
    def variants(self) -> tuple[str, ...]:
        return tuple(sorted({wheel.variant for wheel in self.wheels} - {""}))

    def of_variant(self, variant: str) -> Index:
        """What a machine of this variant is to choose from: of projects that we build, this variant's wheels alone;
        everything of the others."""
        ours = {wheel.project for wheel in self.wheels if wheel.variant}
        return Index(tuple(w for w in self.wheels if w.variant == variant or w.project not in ours))

    def named(self, filename: str) -> Wheel | None:
        """The wheel that an installer could not tell from one of this file name, whose spelling may differ."""
        wanted = identity(filename)
        project = wanted[0]
        return next((w for w in self.wheels if w.project == project and identity(w.filename) == wanted), None)


def variant_of(version: str) -> str:
    """``1.2.0+sd.cu129.sm89`` is of the variant ``cu129-sm89``; a multi-device one of ``md-cu129-sm89``."""
    match = _VARIANT.fullmatch(version.partition("+")[2])
    if match is None:
        return ""
    kind, cuda, architectures = match.groups()
    return ("md-" if kind == "md" else "") + cuda + architectures.replace(".", "-")


def is_safe_name(filename: str) -> bool:
    """Whether it can be a file, a URL's last part and a link's text without any quoting, and leads nowhere else."""
    return _SAFE_NAME.fullmatch(filename) is not None


def identity(filename: str) -> tuple[NormalizedName, Version, BuildTag, frozenset[str]]:
    """Equal for names that installers take for the same file. Raises packaging's InvalidWheelFilename."""
    name, version, build, tags = parse_wheel_filename(filename)
    return name, version, build, frozenset(map(str, tags))


def in_order(wheels: Iterable[Wheel]) -> tuple[Wheel, ...]:
    """The oldest version first."""
    return tuple(sorted(wheels, key=lambda wheel: wheel.age))
