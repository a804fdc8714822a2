"""What a wheel is made from, each thing by name and hash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "builder", "profile", "source", "submodule", "lfs", "dependency", "download", "patch", "requirement",
    "backend", "tool", "toolkit", "tensorrt", "compiler", "package", "python", "image", "codec",
]  # fmt: skip
KINDS: tuple[str, ...] = Kind.__args__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Input:
    """One thing that went into a wheel.

    ``name`` tells it from others of its kind; ``uri`` says what it is and where it can be had, never where it lies on
    this machine: a URL, ``git+https://...@commit`` or a package URL (``pkg:pypi/NAME@VERSION``); empty when there is
    none. ``digest`` maps algorithms, named as in-toto's DigestSet names them (``sha256``, ``gitCommit``), to
    hexadecimal; it is empty where no hash is known. ``size`` in bytes.
    """

    kind: str
    name: str
    uri: str = ""
    digest: Mapping[str, str] = field(default_factory=dict, hash=False)
    size: int | None = None
    version: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is not known is left out."""
        document = {"kind": self.kind, "name": self.name, "version": self.version, "uri": self.uri}
        return {
            **{key: value for key, value in document.items() if value},
            **({"digest": dict(sorted(self.digest.items()))} if self.digest else {}),
            **({"size": self.size} if self.size is not None else {}),
        }


def sorted_inputs(inputs: Iterable[Input]) -> tuple[Input, ...]:
    """In the order of kinds, and by name."""
    return tuple(sorted(inputs, key=lambda one: (KINDS.index(one.kind), one.name, one.uri, one.version)))
