"""How a wheel's files were compiled, as far as its build tells: what the compile cache gave, and from where."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Compiled:
    """Compilations of one build: ``hits`` of the cache and ``misses``; ``remote_hits`` are the hits that a server gave.
    ``remote`` are the servers that anything may come from, ``trusted`` whether the profile trusts them all."""

    hits: int
    misses: int
    remote_hits: int = 0
    remote: tuple[str, ...] = ()
    trusted: bool = True

    @property
    def told(self) -> str:
        """One sentence; empty when nothing went through a cache."""
        calls = self.hits + self.misses
        if not calls and not self.remote:
            return ""
        told = f"{self.hits} of {calls} compilations came from the cache"
        told += f" ({self.hits / calls:.0%})" if calls else ""
        if self.remote:
            told += f", {self.remote_hits} of them from {', '.join(self.remote)}"
            told += "" if self.trusted else ", which the profile does not trust: not to be published"
        return told

    def to_json(self) -> dict[str, object]:
        return {
            "hits": self.hits,
            "misses": self.misses,
            "remote_hits": self.remote_hits,
            "remote": list(self.remote),
            "trusted": self.trusted,
        }
