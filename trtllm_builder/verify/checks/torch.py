"""Check of what ties the wheel to one PyTorch: the C++ symbols it takes from libtorch, their ABI, and METADATA.

Sources: the Itanium C++ ABI's mangling (``NSt7__cxx1112basic_string`` is libstdc++'s string since GCC 5, ``Ss`` the one
before it); PyTorch's stable C interface, whose symbols begin with ``aoti_torch_`` and ``torch_``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from trtllm_builder.binary.wheel import Wheel
from trtllm_builder.verify.checks import Check, Evidence, Severity, judged, skipped
from trtllm_builder.verify.expect import Expectation
from trtllm_builder.verify.library import Library

_CPLUSPLUS = re.compile(r"_ZN?K?(?:T[VIS])?N?K?(?:3c10|2at|5torch|6caffe2)")
_NEW, _OLD = "NSt7__cxx11", re.compile(r"(?:RK?|P|_|E|[a-z])Ss(?:$|[A-Z_]|[a-z])")
_STABLE = "aoti_torch_"
_MINORS = [Version(f"{major}.{minor}.0") for major in (1, 2, 3) for minor in range(40)]


@dataclass(frozen=True)
class TorchUse:
    """``symbols``: C++ names taken from libtorch; ``new`` and ``old`` of them pass strings of that ABI."""

    symbols: int = 0
    new: int = 0
    old: int = 0
    stable: int = 0

    @property
    def abi(self) -> str:
        """``new``, ``old``, ``mixed`` or empty when no symbol tells."""
        return {(True, False): "new", (False, True): "old", (True, True): "mixed"}.get((self.new > 0, self.old > 0), "")


def torch_use(library: Library) -> TorchUse:
    """How a library uses libtorch, by its undefined symbols."""
    names = [symbol.name for symbol in library.undefined]
    ours = [name for name in names if _CPLUSPLUS.match(name)]
    return TorchUse(
        len(ours),
        sum(_NEW in name for name in ours),
        sum(_NEW not in name and bool(_OLD.search(name)) for name in ours),
        sum(name.startswith(_STABLE) for name in names),
    )


def torch_requirement(wheel: Wheel) -> Requirement | None:
    """What METADATA requires of torch, extras left out."""
    for text in wheel.header("Requires-Dist"):
        try:
            found = Requirement(text)
        except InvalidRequirement:
            continue
        if canonicalize_name(found.name) == "torch" and "extra" not in str(found.marker or ""):
            return found
    return None


def torch_check(wheel: Wheel, libraries: Sequence[Library], expectation: Expectation) -> Check:
    """torch. PyTorch keeps its C++ interface within one minor release at most; its C interface is stable."""
    title = "tied to the PyTorch it was built against"
    if wheel.name == "torch":
        return skipped("torch", title, "it is PyTorch itself", severity="info")
    uses = {library.path: torch_use(library) for library in libraries}
    linked = {path: use for path, use in uses.items() if use.symbols}
    required = torch_requirement(wheel)
    asks = f"METADATA requires {required.name}{required.specifier}" if required else "METADATA does not require torch"
    if not linked:
        stable = any(use.stable for use in uses.values())
        why = f"only its stable C interface is used; {asks}" if stable else f"no C++ symbol of libtorch is used; {asks}"
        return skipped("torch", title, why, severity="info")
    abis = {use.abi for use in linked.values()} - {""}
    severity: Severity = "error" if expectation.strict else "warning"
    problems: list[Evidence] = []
    if len(abis) > 1 or "mixed" in abis:
        problems = [
            Evidence(f"{use.new} symbols of the new and {use.old} of the old C++ string ABI", path)
            for path, use in linked.items()
            if use.abi
        ]
    elif minors := _minors(required.specifier if required else SpecifierSet()):
        problems = [
            Evidence(f"{asks}{' (' + minors + ')' if required else ''}, and it uses the C++ interface of just one")
        ]
        # Upstream itself asks for a range; whoever installs with its constraints gets the right one.
        severity = "warning"
    return judged(
        "torch",
        title,
        problems,
        severity=severity,
        seen=[
            f"{asks}; {abi_told(abis)}",
            *(Evidence(f"{use.symbols} C++ symbols of libtorch", path) for path, use in linked.items()),
        ],
        remedy="With another PyTorch it installs, and fails at import with `undefined symbol`: install the PyTorch it "
        "was built against, or require that one (torch==X.Y.*).",
    )


def abi_told(abis: set[str]) -> str:
    """In words."""
    named = {"new": "the new C++ ABI (PyTorch's own wheels have it from 2.6 on)", "old": "the old C++ ABI"}
    return named.get(next(iter(abis), ""), "no symbol tells which C++ ABI") if len(abis) < 2 else "both C++ ABIs"


def _minors(specifier: SpecifierSet) -> str:
    """Empty when at most one minor release fits, else which do: ``from 2.4 on`` or ``2.4 to 2.9``."""
    fitting = [one for one in _MINORS if any(specifier.contains(f"{one.major}.{one.minor}.{p}") for p in range(4))]
    if len(fitting) < 2:
        return ""
    first, last = fitting[0], fitting[-1]
    if last.major == 3:
        return f"{first.major}.{first.minor} and every later one" if last.minor == 39 else f"{len(fitting)} releases"
    return f"{first.major}.{first.minor} to {last.major}.{last.minor}"
