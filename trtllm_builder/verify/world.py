"""What the tested code found around it: how far it was shut in, and which GPU it had. Measured inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from trtllm_builder.units import format_size

_SHM = 64 << 20  # bytes, as restrict_child.py sets it


@dataclass(frozen=True)
class Restriction:
    """``seen`` is what was measured; ``why`` is empty when it held."""

    name: str
    held: bool
    seen: str
    why: str = ""

    def __str__(self) -> str:
        return self.seen if self.held else f"{self.seen} ({self.why})"


@dataclass(frozen=True)
class World:
    """``shm`` in bytes, None without /dev/shm; ``pmix``: /run/pmix is there; ``network``: something is routed
    elsewhere. ``refused``: what the host did not allow, and why."""

    shm: int | None
    pmix: bool
    network: bool
    capabilities: int
    no_new_privileges: bool
    user: int
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def restrictions(self) -> tuple[Restriction, ...]:
        """shm, pmix, network and privileges, each with whether it held."""
        unprivileged = self.capabilities == 0 and self.no_new_privileges
        size = "no /dev/shm" if self.shm is None else f"/dev/shm of {format_size(self.shm)}"  # noqa: S108
        return (
            self._judged("shm", self.shm is None or self.shm <= _SHM, size, size),
            self._judged("pmix", not self.pmix, "no /run/pmix", "/run/pmix is there"),
            self._judged("network", not self.network, "no network", "the network can be reached"),
            self._judged(
                "privileges",
                unprivileged,
                f"no privileges as user {self.user}",
                f"user {self.user} has capabilities {self.capabilities:#x}",
            ),
        )

    @property
    def restricted(self) -> bool:
        """Whether all of it held."""
        return all(one.held for one in self.restrictions)

    def _judged(self, name: str, held: bool, good: str, bad: str) -> Restriction:
        return Restriction(name, held, good if held else bad, "" if held else self.refused.get(name, "it did not hold"))


@dataclass(frozen=True)
class GpuUse:
    """``driver``: the machine's own, a toolkit's ``stubs``, or ``none``. ``launched`` is what a kernel of the wheel
    computed, None when none was launched, and ``why`` then says why. Time in seconds."""

    driver: Literal["real", "stubs", "none"]
    cuda: str | None = None
    devices: tuple[str, ...] = ()
    launched: str | None = None
    launch_seconds: float | None = None
    why: str = ""

    def to_json(self) -> dict[str, object]:
        return {
            "driver": self.driver,
            "cuda": self.cuda,
            "devices": list(self.devices),
            "launched": self.launched,
            "launch_seconds": None if self.launch_seconds is None else round(self.launch_seconds, 3),
            "why": self.why,
        }
