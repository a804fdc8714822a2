"""The MPI audit: the ways from ``import``, ``LLM(...)`` and ``trtllm-serve`` followed over a package's Python files.

Names, conditions and calls are followed with abstract values (:mod:`values`): a condition that ENABLE_MULTI_DEVICE, the
platform or a constant decides has one branch; any other has both, and what lies in them is possible, not certain. An
object that is not known may be of every class that was instantiated on the way. What cannot be followed (a computed
import, ``exec``, a file that is not Python) is told as unknown.
"""

from __future__ import annotations

import ast
import gc
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from trtllm_builder.upstream.audit.attributes import instance
from trtllm_builder.upstream.audit.calls import instantiate
from trtllm_builder.upstream.audit.frame import Facts, Frame
from trtllm_builder.upstream.audit.functions import any_method, arguments, parameters
from trtllm_builder.upstream.audit.machine import Machine
from trtllm_builder.upstream.audit.model import ENTRIES, Entry, EntryAudit, MpiAudit, Place, Standing, Touch, Verdict
from trtllm_builder.upstream.audit.overlooked import follow_overlooked
from trtllm_builder.upstream.audit.package import PACKAGE, Package
from trtllm_builder.upstream.audit.statements import execute
from trtllm_builder.upstream.audit.values import UNKNOWN, Anything, Class, Const, Function, Value, one

_ONE_GPU = {"world_size": 1, "model_world_size": 1, "tp_size": 1, "gpus_per_node": 1}
"""Parameters of the executor's factory on one GPU."""


def audit(package: Package, facts: Facts | None = None) -> MpiAudit:
    """Follow every entry that the package has."""
    facts = facts or Facts()
    with without_collection():
        return _audit(package, facts)


@contextmanager
def without_collection() -> Iterator[None]:
    """Looking again and again for cycles among syntax trees, which have none, takes two fifths of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _audit(package: Package, facts: Facts) -> MpiAudit:
    machine = Machine(package, facts)
    machine.execute = lambda body, frame: execute(machine, body, frame)
    seen: dict[Entry, _Seen] = {}
    for entry in ENTRIES:
        before = _Seen(set(machine.seen.touches), set(machine.seen.unknown))
        there = _enter(machine, entry)
        _settle(machine)
        seen[entry] = _Seen(
            set(machine.seen.touches) - before.touches, set(machine.seen.unknown) - before.unknown, there
        )
        seen[entry].modules = len(machine.modules)
    _overlooked(machine, seen["import"])
    entries: list[EntryAudit] = []
    worst: Verdict = "free of MPI"
    for entry, found in seen.items():
        touches = _sorted(machine.seen.touches[key] for key in found.touches)
        places = sorted(found.unknown, key=lambda place: (place.file, place.line))
        unknown = tuple(machine.seen.unknown[place] for place in places)
        worst = _worse(worst, _verdict(touches, bool(unknown)))
        verdict: Verdict = worst if found.there else "absent"
        entries.append(EntryAudit(entry, verdict, touches, unknown, found.modules))
    return MpiAudit(
        entries=tuple(entries),
        guarded=tuple(sorted(machine.seen.guarded.values(), key=lambda guard: (guard.place.file, guard.place.line))),
        assumptions=facts.assumptions(),
        notes=tuple(f"{path}: {why}" for path, why in sorted(package.notes.items())),
    )


@dataclass
class _Seen:
    """Keys of what an entry added."""

    touches: set[tuple[Place, str]]
    unknown: set[Place]
    there: bool = True
    modules: int = 0


def _settle(machine: Machine) -> None:
    machine.settle(lambda owner, name, trail: any_method(machine, owner, name, trail))


def _overlooked(machine: Machine, first: _Seen) -> None:
    """What nothing was seen to call counts for the first entry: nothing rules out that importing calls it."""
    touches, unknown = set(machine.seen.touches), set(machine.seen.unknown)
    machine.overlooking = True
    while follow_overlooked(machine):
        _settle(machine)
    if machine.doubts.moved:
        _moved(machine)
    first.touches |= set(machine.seen.touches) - touches
    first.unknown |= set(machine.seen.unknown) - unknown


def _moved(machine: Machine) -> None:
    """``sys.path`` was changed: what looks like another project's module may be a file of the package."""
    standard = sys.stdlib_module_names
    for name, place in machine.doubts.outside.items():
        ends = (f"/{name}.py", f"/{name}/__init__.py")
        if name not in standard and any(path.endswith(ends) for path in machine.package.paths):
            machine.seen.strange(place, f"imports {name}, which may be a file of the package: sys.path was changed")


def with_closings(found: MpiAudit, after: Mapping[str, MpiAudit]) -> MpiAudit:
    """The same answer, each place with the first patch set after which it no longer reaches MPI."""
    left = {name: _places(one_audit) for name, one_audit in after.items()}

    def closed(touch: Touch) -> Touch:
        name = next((name for name, places in left.items() if (touch.place.file, touch.what) not in places), None)
        return replace(touch, closed_by=name)

    entries = tuple(replace(entry, touches=tuple(closed(one) for one in entry.touches)) for entry in found.entries)
    return replace(found, entries=entries)


def _places(found: MpiAudit) -> set[tuple[str, str]]:
    return {(touch.place.file, touch.what) for entry in found.entries for touch in entry.touches}


def _sorted(touches: Iterator[Touch]) -> tuple[Touch, ...]:
    return tuple(sorted(touches, key=lambda touch: (touch.standing, touch.place.file, touch.place.line)))


_ORDER: tuple[Verdict, ...] = ("free of MPI", "unknown", "touches MPI where mpi4py is installed", "touches MPI")


def _verdict(touches: tuple[Touch, ...], unknown: bool) -> Verdict:
    standings = {touch.standing for touch in touches}
    if Standing.CERTAIN in standings:
        return "touches MPI"
    if Standing.INSTALLED in standings:
        return "touches MPI where mpi4py is installed"
    return "unknown" if unknown or standings else "free of MPI"


def _worse(first: Verdict, second: Verdict) -> Verdict:
    return max(first, second, key=_ORDER.index)


def _enter(machine: Machine, entry: Entry) -> bool:
    """Begin with an entry; False when the package has no such thing."""
    if entry == "import":
        return machine.want(PACKAGE, Standing.CERTAIN, ())
    if entry == "LLM":
        return _enter_llm(machine)
    return _enter_serve(machine)


def _enter_llm(machine: Machine) -> bool:
    """``LLM(model)``, ``generate`` on it, and the executor's factory as it is called for one GPU."""
    found = _enter_named(machine)
    for path in sorted(machine.package.paths):
        if path.startswith(f"{PACKAGE}/executor") or path == f"{PACKAGE}/llmapi/llm.py":
            for name, owner in _classes(machine, path):
                if name == "LLM" or (name.endswith("LLM") and path.endswith("llmapi/llm.py")):
                    found = True
                    _start(machine, owner)
                elif name == "GenerationExecutor":
                    found = True
                    _method(machine, owner, "create", one(owner))
    module = machine.modules.get(f"{PACKAGE}.llmapi.llm")
    for atom in module.names.get("LLM", ()) if module is not None else ():
        if module is not None and isinstance(atom, Function):
            found = True
            _run(machine, atom, {}, module)
    return found


def _enter_named(machine: Machine) -> bool:
    """What ``tensorrt_llm.LLM`` stands for, wherever it comes from: a class, or a function that makes one."""
    frame = machine.modules.get(PACKAGE)
    if frame is None or "LLM" not in frame.names:
        return False
    for atom in machine.resolved(frame.names["LLM"], frame):
        if isinstance(atom, Class):
            _start(machine, atom)
        elif isinstance(atom, Function):
            _run(machine, atom, {}, frame)
        elif isinstance(atom, Anything):
            machine.seen.strange(Place(frame.path, 1), "what LLM is could not be found")
    return True


def _start(machine: Machine, owner: Class) -> None:
    frame = owner.home
    instantiate(machine, owner, owner.node, [UNKNOWN], [], frame)
    for name in ("generate", "generate_async", "shutdown"):
        _method(machine, owner, name, one(instance(machine, owner, frame)))


def _enter_serve(machine: Machine) -> bool:
    """What the command is said to run, ``commands/serve.py``, and what stands there under the names that it has had."""
    default = f"{PACKAGE}.commands.serve"
    declared = [script for script in machine.package.serve if script.module != default]
    for script in declared:
        place = Place(script.path, script.line)
        if not _enter_module(machine, script.module, (script.function, "serve"), place):
            machine.seen.strange(place, f"trtllm-serve is {script.module}:{script.function}, which was not found here")
    return _enter_module(machine, default, ("main", "serve", "launch_server"), None) or bool(declared)


def _enter_module(machine: Machine, module: str, names: tuple[str, ...], place: Place | None) -> bool:
    path = machine.package.file_of(module)
    frame = None if path is None else _frame(machine, path, place)
    if frame is None:
        return False
    for name in names:
        for atom in machine.resolved(frame.names.get(name, frozenset()), frame):
            if isinstance(atom, Function):
                _run(machine, atom, {}, frame)
    if not frame.names.keys() & set(names):
        machine.seen.strange(Place(frame.path, 1), f"has none of {', '.join(names)}")
    return True


def _frame(machine: Machine, path: str, place: Place | None = None) -> Frame | None:
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    trail = (place or Place(path, 1),)
    return machine.frame_of(module, Standing.CERTAIN, trail) if machine.want(module, Standing.CERTAIN, trail) else None


def _classes(machine: Machine, path: str) -> list[tuple[str, Class]]:
    frame = _frame(machine, path)
    if frame is None:
        return []
    return [
        (name, atom)
        for name, value in list(frame.names.items())
        for atom in value
        if isinstance(atom, Class) and atom.home is frame
    ]


def _method(machine: Machine, owner: Class, name: str, receiver: Value) -> None:
    for atom in machine.class_names.get(owner.node, {}).get(name, ()):
        if isinstance(atom, Function) and not isinstance(atom.node, ast.Lambda):
            first = (
                {} if atom.kind == "static" else {atom.node.args.args[0].arg: receiver} if atom.node.args.args else {}
            )
            _run(machine, atom, first, owner.home)


def _run(machine: Machine, function: Function, given: dict[str, Value], frame: Frame) -> None:
    """With what a caller on one GPU gives: defaults, and sizes of one."""
    sizes = {name: one(Const(size)) for name, size in _ONE_GPU.items() if name in parameters(function)}
    machine.run(function, arguments(function, [], list({**sizes, **given}.items())), frame, function.node)
