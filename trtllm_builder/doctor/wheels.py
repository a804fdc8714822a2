"""What a wheel asks of a machine: facts of its audit, and what this machine has of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from packaging.tags import Tag

from trtllm_builder.doctor.program_facts import loader_knows
from trtllm_builder.host.interpreters import find_python
from trtllm_builder.verify.audit import Audit
from trtllm_builder.verify.checks.needed import projects
from trtllm_builder.verify.glibc import asked, dotted, promised, together
from trtllm_builder.verify.library import Library
from trtllm_builder.verify.sonames import brought, cuda_major, source_of

_LABEL = re.compile(r"\bcu(\d\d)\d\b")
# PEP 3149 and the stable ABI's suffix; a plain module.so can be imported as well, and libx.so is no module.
_EXTENSION = re.compile(r"\.(?:cpython-[\w-]+|abi3)\.so$|^(?!lib)[^.]+\.so$")
_PYTHON = re.compile(r"cp(\d)(\d+)")


@dataclass(frozen=True)
class GpuCode:
    """Targets whose code a launch can use, of one library: ``sm_90a``, and ``compute_90`` for PTX."""

    library: str
    machine_code: tuple[str, ...]
    ptx: tuple[str, ...] = ()


@dataclass(frozen=True)
class WheelFacts:
    """``pythons`` are series (``3.10``), empty when any will do. ``cuda``: the major version it links or says.
    ``mpi``: what of MPI it links or requires. ``missing``: libraries that nobody brings and this machine lacks.
    ``python``: an interpreter of this machine that it can be installed for. ``driver``: libraries of the driver that
    are linked by what an import loads; ``optional``: as ``missing``, linked only by what an import does not load."""

    name: str
    pythons: tuple[str, ...]
    machines: tuple[str, ...]
    cuda: int | None
    glibc: str | None
    code: tuple[GpuCode, ...]
    mpi: tuple[str, ...]
    missing: tuple[str, ...] = ()
    python: str | None = None
    driver: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        shown: dict[str, object] = json.loads(json.dumps(asdict(self)))
        return shown


def read_wheel_facts(found: Audit, environ: Mapping[str, str]) -> WheelFacts:
    """Asks this machine's loader and looks for an interpreter."""
    wheel, libraries = found.wheel, found.libraries
    required = projects(wheel)
    inside = {name for library in libraries for name in (library.name, library.soname) if name}
    outside = sorted({soname for library in libraries for soname in library.needed} - inside)
    links = {name for library in libraries for name in library.forbidden_libraries if name.startswith("libmpi")}
    early = {soname for library in _loaded_at_import(libraries) for soname in library.needed}
    missing = _missing(outside, required, environ)
    pythons = _series(wheel.tags)
    floor = together(asked(library) for library in libraries).floor or promised(wheel.tags)
    return WheelFacts(
        name=wheel.path.name,
        pythons=pythons,
        machines=tuple(sorted({_machine(tag) for tag in wheel.tags} - {""})),
        cuda=_cuda(outside, required, wheel.version),
        glibc=dotted(floor) if floor else None,
        code=tuple(
            GpuCode(library.path, tuple(sorted(library.cubins)), tuple(sorted(library.ptx)))
            for library in libraries
            if library.cubins or library.ptx
        ),
        mpi=(*sorted(links), *(name for name in required if name == "mpi4py")),
        missing=tuple(soname for soname in missing if soname in early),
        python=_interpreter(pythons, environ),
        driver=tuple(soname for soname in outside if soname in early and source_of(soname).kind == "driver"),
        optional=tuple(soname for soname in missing if soname not in early),
    )


def _loaded_at_import(libraries: Sequence[Library]) -> list[Library]:
    """Extension modules, and what they need of the wheel; of TensorRT-LLM everything, for it loads its own by hand."""
    if any(library.name.startswith("libtensorrt_llm") for library in libraries):
        return list(libraries)
    names = {name: library for library in libraries for name in (library.name, library.soname) if name}
    found = {library.path: library for library in libraries if _EXTENSION.search(library.name)}
    left = list(found.values())
    while left:
        for soname in left.pop().needed:
            if (one := names.get(soname)) and one.path not in found:
                found[one.path] = one
                left.append(one)
    return list(found.values())


def _series(tags: frozenset[Tag]) -> tuple[str, ...]:
    if any(tag.interpreter.startswith("py3") or tag.abi == "abi3" for tag in tags):
        return ()
    found = (_PYTHON.fullmatch(tag.interpreter) for tag in tags)
    return tuple(sorted({f"{match[1]}.{match[2]}" for match in found if match}))


def _machine(tag: Tag) -> str:
    return next((name for name in ("x86_64", "aarch64") if tag.platform.endswith(name)), "")


def _cuda(needed: Sequence[str], required: Sequence[str], version: str) -> int | None:
    """By the libraries it links, else by the packages it requires, else by what its version says (``+cu130``)."""
    linked = {major for soname in needed if (major := cuda_major(soname))}
    named = {int(name[-2:]) for name in required if name.startswith("nvidia-") and re.search(r"-cu\d\d$", name)}
    if linked or named:
        return max(linked or named)
    match = _LABEL.search(version)
    return int(match[1]) if match else None


def _missing(needed: Sequence[str], required: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """MPI's and the driver's libraries are judged for themselves."""
    sources = {soname: source_of(soname) for soname in needed}
    wanted = [
        soname
        for soname, source in sources.items()
        if source.kind in ("package", "unknown") and not brought(source, required) and "mpi" not in soname
    ]
    known = loader_knows(environ) if wanted else frozenset()
    return tuple(soname for soname in wanted if soname not in known)


def _interpreter(pythons: Sequence[str], environ: Mapping[str, str]) -> str | None:
    for series in pythons or ("host",):
        if found := find_python(series, environ):
            return str(found.path)
    return None
