"""The state of one audit: modules that run, functions that were followed, and what was seen on the way."""

from __future__ import annotations

import ast
import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from trtllm_builder.upstream.audit.doubts import Doubts
from trtllm_builder.upstream.audit.frame import Facts, Frame
from trtllm_builder.upstream.audit.model import Place, Standing
from trtllm_builder.upstream.audit.package import Package
from trtllm_builder.upstream.audit.seen import TRAIL, Seen
from trtllm_builder.upstream.audit.survey import Mentions
from trtllm_builder.upstream.audit.values import (
    NONE,
    UNKNOWN,
    Absent,
    Class,
    Const,
    Function,
    Late,
    Module,
    Value,
    join,
    one,
)

_DEEPEST_CALL = 20
"""Calls inside calls that are followed at once; deeper ones are followed afterwards, their answer being unknown."""
_VARIANTS = 6
"""Different arguments that a function is followed with; from then on with unknown ones."""
_MOST_CALLS = 150_000


class Machine:
    """Runs nothing: it follows statements over abstract values. ``execute`` is set by whoever puts the parts together
    (statements need expressions, and calls in expressions need statements)."""

    def __init__(self, package: Package, facts: Facts) -> None:
        self.package = package
        self.facts = facts
        self.attributes: dict[tuple[ast.ClassDef, str], Value] = {}
        self.class_names: dict[ast.ClassDef, dict[str, Value]] = {}
        self.bases: dict[ast.ClassDef, tuple[Value, ...]] = {}
        """What each class is derived from, in order."""
        self.instantiated: dict[Class, None] = {}
        self.asked_for: dict[str, tuple[Place, ...]] = {}
        """Methods called on objects that are not known, by name, with the first trail."""
        self.seen = Seen()
        self.modules: dict[str, Frame] = {}
        self.execute: Callable[[list[ast.stmt], Frame], bool] = lambda body, frame: True
        self.followed: set[ast.AST] = set()
        """Functions whose bodies were followed at least once."""
        self.stores: Counter[str] = Counter()
        """How many places of the modules that have run give an attribute of this name a value."""
        self.mentions = Mentions()
        """What the modules that have run name, and how."""
        self.doubts = Doubts()
        self.overlooked: set[ast.AST] = set()
        """Functions that were followed although nothing was seen to call them."""
        self.overlooking = False
        """Whether functions are followed that nothing was seen to call."""
        self.work = 0
        self.depth = 0
        self.calls = 0
        self._waiting: list[tuple[int, int, str, tuple[Place, ...]]] = []
        self._postponed: list[Callable[[], object]] = []
        self._memory: dict[object, Value] = {}
        self._variants: dict[object, int] = {}
        self._tried_names: set[tuple[Class, str]] = set()
        self._order = 0

    # modules ----------------------------------------------------------------------------------------------------------

    def want(self, module: str, standing: Standing, trail: tuple[Place, ...]) -> bool:
        """The module and its parents will run; False when it is no Python file of the package."""
        parts = module.split(".")
        for count in range(1, len(parts) + 1):
            name = ".".join(parts[:count])
            if self.package.file_of(name) is not None:
                known = self.modules.get(name)
                if known is None or known.standing > standing:
                    self._order += 1
                    heapq.heappush(self._waiting, (int(standing), self._order, name, trail))
        return self.package.file_of(module) is not None

    def frame_of(self, module: str, standing: Standing, trail: tuple[Place, ...]) -> Frame | None:
        """The module's names, its statements followed; None when it cannot be read."""
        known = self.modules.get(module)
        if known is not None and known.standing <= standing:
            return known
        path = self.package.file_of(module)
        if path is None:
            return None
        frame = known or Frame(module, path, {}, None, standing, trail)
        frame.standing, frame.trail = standing, trail
        self.modules[module] = frame
        tree = self.package.parsed(path)
        if tree is not None and known is None:
            surveyed = self.package.survey(path)
            frame.changing, frame.rebound = surveyed.shared, surveyed.rebound
            self.stores.update(surveyed.stores)
            self.mentions.add(surveyed.mentions)
        if tree is None:
            self.seen.strange(Place(path, 1), self.package.notes[path])
            return frame
        try:
            self.execute(tree.body, frame)
        except RecursionError:
            self.seen.strange(Place(path, 1), "it is nested too deeply to be followed")
        return frame

    def look_up(self, module: str, name: str, frame: Frame) -> Value:
        """A name of a module of the package; what BuildInfo says is a fact, whatever file it stands in."""
        if name == "ENABLE_MULTI_DEVICE" and module.endswith("BuildInfo"):
            return one(Const(self.facts.multi_device))
        found = self.frame_of(module, frame.standing, frame.trail)
        if found is not None and name in found.names:
            return self.resolved(found.names[name], frame)
        inner = f"{module}.{name}"
        if self.package.file_of(inner) is not None:
            return one(Module(inner))
        return self._made_on_demand(found, name, frame)

    def _made_on_demand(self, found: Frame | None, name: str, frame: Frame) -> Value:
        """What a module's own ``__getattr__`` gives (PEP 562)."""
        results = [UNKNOWN]
        made = found.names.get("__getattr__", frozenset()) if found is not None else frozenset()
        for atom in self.resolved(made, frame):
            if isinstance(atom, Function):
                given = {argument.arg: one(Const(name)) for argument in atom.node.args.args[:1]}
                results.append(self.run(atom, given, frame, atom.node))
        return join(*results)

    def ask_on_demand(self, module: str, names: Sequence[str], frame: Frame) -> None:
        """The module's own ``__getattr__`` is asked for those of these names that it has not bound."""
        found = self.modules.get(module)
        if found is not None and "__getattr__" in found.names:
            for name in names:
                if name not in found.names:
                    self._made_on_demand(found, name, frame)

    def resolved(self, value: Value, frame: Frame) -> Value:
        """The value with every name that was taken from another module looked up there."""
        for _ in range(8):
            late = [atom for atom in value if isinstance(atom, Late)]
            if not late:
                return value
            rest = frozenset(atom for atom in value if not isinstance(atom, Late))
            value = join(rest, *(self._late(atom, frame) for atom in late))
        return frozenset(atom for atom in value if not isinstance(atom, Late)) | UNKNOWN

    def _late(self, atom: Late, frame: Frame) -> Value:
        found = self.modules.get(atom.module) or self.frame_of(atom.module, frame.standing, frame.trail)
        value = found.names.get(atom.name) if found is not None else None
        # "from . import b" in a package binds the package's own name b: to its module.
        inner = f"{atom.module}.{atom.name}"
        if value is not None and not (self.package.file_of(inner) and all(isinstance(each, Late) for each in value)):
            return value
        if self.package.file_of(inner) is not None:
            return one(Module(inner))
        return self._made_on_demand(found, atom.name, frame)

    def postpone(self, follow: Callable[[], object]) -> None:
        """Follow this once the modules that are waiting have run."""
        self._postponed.append(follow)

    # functions --------------------------------------------------------------------------------------------------------

    def run(self, function: Function, names: dict[str, Value], frame: Frame, node: ast.AST) -> Value:
        """Follow a function with these arguments. Recursion and very deep calls give an unknown value."""
        standing = Standing.POSSIBLE if frame.conditions else frame.standing
        variants = (function.node, standing)
        key: object = (*variants, tuple(sorted(names.items(), key=lambda item: item[0])))
        if key in self._memory:
            return self._memory[key]
        if self._variants.get(variants, 0) >= _VARIANTS:
            names = dict.fromkeys(names, UNKNOWN)
            key = (*variants, "any")
            if key in self._memory:
                return self._memory[key]
        trail = (*frame.trail, frame.place(node))
        if self.depth >= _DEEPEST_CALL:
            self.postpone(lambda: self._follow(key, function, names, standing, trail))
            return UNKNOWN
        self._variants[variants] = self._variants.get(variants, 0) + 1
        return self._follow(key, function, names, standing, trail)

    def _follow(
        self, key: object, function: Function, names: dict[str, Value], standing: Standing, trail: tuple[Place, ...]
    ) -> Value:
        if key in self._memory:
            return self._memory[key]
        self._memory[key] = UNKNOWN
        self.followed.add(function.node)
        self.calls += 1
        if self.calls > _MOST_CALLS:
            self.seen.strange(trail[-1], f"the audit gave up after {_MOST_CALLS:,} calls")
            return UNKNOWN
        home = function.home
        inner = Frame(home.module, home.path, dict(names), home, standing, trail[-2 * TRAIL :], function.owner)
        self.depth += 1
        try:
            if isinstance(function.node, ast.Lambda):
                body: list[ast.stmt] = [ast.copy_location(ast.Return(function.node.body), function.node.body)]
            else:
                body = function.node.body
            through = self.execute(body, inner)
        except RecursionError:
            self.seen.strange(inner.place(function.node), f"{function.name} is nested too deeply to be followed")
            return UNKNOWN
        finally:
            self.depth -= 1
        results = [*inner.results, NONE] if through or not inner.results else inner.results
        self._memory[key] = join(*results)
        return self._memory[key]

    # the loop ---------------------------------------------------------------------------------------------------------

    def settle(self, call_method: Callable[[Class, str, tuple[Place, ...]], None]) -> None:
        """Follow everything that is waiting, the surest first; ``call_method`` follows a method of a class that was
        instantiated somewhere, called by its name on an object that is not known."""
        while True:
            if self._waiting:
                standing, _order, module, trail = heapq.heappop(self._waiting)
                self.frame_of(module, Standing(standing), trail)
            elif self._postponed:
                self._postponed.pop()()
            else:
                pairs = list(self._untried())
                if not pairs:
                    return
                for owner, name in pairs:
                    self._tried_names.add((owner, name))
                    call_method(owner, name, self.asked_for[name])

    def _untried(self) -> Iterator[tuple[Class, str]]:
        for owner in list(self.instantiated):
            for name in self._methods(owner):
                if name in self.asked_for and (owner, name) not in self._tried_names:
                    yield owner, name

    def _methods(self, owner: Class) -> tuple[str, ...]:
        return tuple(node.name for node in owner.node.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def without_absent(value: Value) -> Value:
    """The value after its absence was told once."""
    return frozenset(atom for atom in value if not isinstance(atom, Absent)) or UNKNOWN
