"""Ways to call a function that cannot be followed: never fine; and functions that nothing can call: fine."""

from __future__ import annotations

import pytest

from trtllm_builder.upstream.audit.audit import audit
from trtllm_builder.upstream.audit.package import Package

BUILD_INFO = "from tensorrt_llm.bindings.BuildInfo import ENABLE_MULTI_DEVICE\n"


def verdict(text: str, **more: str) -> str:
    files = {"tensorrt_llm/__init__.py": text, **{f"tensorrt_llm/{name}.py": body for name, body in more.items()}}
    data = {name: body.encode() for name, body in files.items()}
    return audit(Package(data, data.get)).entry("import").verdict


TOUCH = "def touch(*a, **k):\n    from mpi4py import MPI\n    return MPI\n"


@pytest.mark.parametrize(
    "text",
    [
        "TABLE = {'a': touch}\nTABLE['a']()",
        "for f in [touch]:\n    f()",
        "any(f() for f in (touch,))",
        "def call(*fs):\n    fs[0]()\ncall(touch)",
        "def pair():\n    return touch, 1\npair()[0]()",
        "def deco(f):\n    def wrapper():\n        touch()\n    return wrapper\n@deco\ndef g(): pass\ng()",
        "from functools import wraps\ndef d(f):\n    @wraps(f)\n    def w(): touch()\n    return w\n@d\ndef g(): 1",
        "class D:\n    def __init__(self, f): touch()\n@D\ndef g(): pass",
        "import threading\nclass T(threading.Thread):\n    def run(self): touch()\nT().start()",
        "class B:\n    def __init_subclass__(cls): touch()\nclass C(B): pass",
        "class M(type):\n    def __new__(m, *a): touch(); return super().__new__(m, *a)\nclass C(metaclass=M): pass",
        "class D:\n    def __get__(self, o, t): touch()\nclass C:\n    d = D()\nC().d",
        "class C:\n    def __add__(self, o): touch()\nC() + 1",
        "class C:\n    def __iter__(self): touch(); return iter(())\nlist(C())",
        "class C:\n    def __str__(self): touch(); return ''\nf'{C()}'",
        "class C:\n    def go(self): touch()\ngetattr(C(), 'g' + 'o')()",
        "globals()['touch']()",
        "from . import u\ngetattr(u, 'to' + 'uch')()",
        "import sys\n_F = False\nsetattr(sys.modules[__name__], '_F', True)\nif _F: touch()",
        "def f():\n    on = 0\n    def g():\n        nonlocal on\n        on = 1\n    g()\n    if on: touch()\nf()",
        "F = False\ndef on():\n    global F\n    F = True\ndef go():\n    if F: touch()\ngo()\non()\ngo()",
        "from .lazy import thing",
        "from importlib import import_module\nlist(map(import_module, ['tensorrt_llm.bad']))",
        "from importlib import import_module\nimport_module('.bad', 'tensorrt_llm')",
        "x = f'{len([])}{touch()}'",
        "def g(x: touch()): pass",
        "def call(f): return f()\n" + "\n".join(f"call(lambda: {n})" for n in range(8)) + "\ncall(touch)",
        "async def g(): touch()\nimport asyncio\nasyncio.run(g())",
    ],
)  # fmt: skip
def test_ways_to_call_a_function_that_cannot_be_followed_are_never_fine(text: str) -> None:
    lazy = "def __getattr__(name):\n    from mpi4py import MPI\n    return MPI\n"
    found = verdict("from .u import touch\n" + text, u=TOUCH, lazy=lazy, bad="from mpi4py import MPI")
    assert found in ("touches MPI", "unknown")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "def unused(): pass",
        BUILD_INFO + "def g():\n    if ENABLE_MULTI_DEVICE: touch()\ng()",
        BUILD_INFO + "class C:\n    def __init__(self):\n        if ENABLE_MULTI_DEVICE: touch()\nC()",
    ],
)
def test_a_function_that_is_only_called_where_nothing_runs_is_fine(text: str) -> None:
    assert verdict("from .u import touch\n" + text, u=TOUCH) == "free of MPI"
