"""Shapes in which a package reaches MPI, or seems to and does not: each with the answer that a careful reader gives."""

from __future__ import annotations

from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.upstream.audit.audit import audit
from trtllm_builder.upstream.audit.frame import Facts
from trtllm_builder.upstream.audit.model import Entry, MpiAudit
from trtllm_builder.upstream.audit.package import Package

BUILD_INFO = "from tensorrt_llm.bindings.BuildInfo import ENABLE_MULTI_DEVICE\n"


def look(files: dict[str, str], *, multi_device: bool = False) -> MpiAudit:
    data = {f"tensorrt_llm/{name}": dedent(text).encode() for name, text in files.items()}
    data.setdefault("tensorrt_llm/__init__.py", b"")
    return audit(Package(data, data.get), Facts(multi_device=multi_device))


def verdict(text: str, *, entry: Entry = "import", **more: str) -> str:
    return look({"__init__.py": text, **{f"{name}.py": body for name, body in more.items()}}).entry(entry).verdict


CERTAIN = "touches MPI"
INSTALLED = "touches MPI where mpi4py is installed"
FREE = "free of MPI"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from mpi4py import MPI", CERTAIN),
        ("import mpi4py.MPI as m", CERTAIN),
        ("from mpi4py.util import pkl5", CERTAIN),
        ("import importlib\nimportlib.import_module('mpi4py.MPI')", CERTAIN),
        ("from importlib import import_module as get\nget('mpi4py')", CERTAIN),
        ("m = __import__('mpi4py')", CERTAIN),
        ("def f():\n    from mpi4py import MPI\nf()", CERTAIN),
        ("def f():\n    from mpi4py import MPI", FREE),
        ("def f():\n    from mpi4py import MPI\nx = [f() for _ in range(2)]", CERTAIN),
        ("g = lambda: __import__('mpi4py')\ng()", CERTAIN),
        ("class A:\n    from mpi4py import MPI", CERTAIN),
        ("class A:\n    def __init__(self):\n        import mpi4py.MPI\nA()", CERTAIN),
        ("class A:\n    def __init__(self):\n        import mpi4py.MPI", FREE),
        ("class A:\n    @property\n    def p(self):\n        import mpi4py.MPI\nA().p", CERTAIN),
        ("class A:\n    def __init__(self):\n        self.b = B()\nclass B:\n    def go(self):\n        import mpi4py\n"
         "A().b.go()", CERTAIN),
        ("class A:\n    def go(self):\n        import mpi4py\nclass B(A):\n    def go(self):\n        super().go()\n"
         "B().go()", CERTAIN),
        ("def deco(f):\n    import mpi4py\n    return f\n@deco\ndef g():\n    pass", CERTAIN),
        ("def f(x=__import__('mpi4py')):\n    pass", CERTAIN),
        ("import functools\ndef f():\n    import mpi4py\nfunctools.partial(f, 1)()", CERTAIN),
        ("with open('x') as f:\n    import mpi4py", CERTAIN),
        ("for i in range(3):\n    import mpi4py", CERTAIN),
        ("while True:\n    import mpi4py\n    break", CERTAIN),
        ("try:\n    pass\nfinally:\n    import mpi4py", CERTAIN),
        ("try:\n    from mpi4py import MPI\nexcept ImportError:\n    MPI = None", INSTALLED),
        ("try:\n    from mpi4py import MPI\nexcept:\n    MPI = None\nif MPI is not None:\n    MPI.COMM_WORLD.Split(1)",
         INSTALLED),
        ("import contextlib\nwith contextlib.suppress(ImportError):\n    import mpi4py.MPI", INSTALLED),
        ("try:\n    from mpi4py import MPI\nexcept ValueError:\n    MPI = None", CERTAIN),
        ("try:\n    import numpy\nexcept ImportError:\n    import mpi4py", "unknown"),
        ("if False:\n    import mpi4py", FREE),
        ("if 0 > 1:\n    import mpi4py", FREE),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mpi4py import MPI", FREE),
        ("import typing as t\nif t.TYPE_CHECKING:\n    from mpi4py import MPI", FREE),
        ("import platform\nif platform.system() == 'Windows':\n    import mpi4py", FREE),
        ("import platform\nif not platform.system() == 'Windows':\n    import mpi4py", CERTAIN),
        ("import sys\nif sys.platform.startswith('win'):\n    import mpi4py", FREE),
        ("import sys\nif sys.platform.startswith('lin'):\n    import mpi4py", CERTAIN),
        ("import sys\nif sys.version_info < (3,):\n    import mpi4py", "free of MPI"),
        (BUILD_INFO + "import os\nif os.sep and ENABLE_MULTI_DEVICE:\n    import mpi4py", FREE),
        ("try:\n    import x\nexcept ImportError:\n    pass\nelse:\n    import mpi4py", "unknown"),
        ("import ctypes\nctypes.CDLL('libmpi.so.40')", CERTAIN),
        ("import ctypes\ntry:\n    ctypes.CDLL('libmpi.so.40')\nexcept OSError:\n    pass", INSTALLED),
        ("import ctypes\ntry:\n    ctypes.CDLL('libmpi.so.40')\nexcept ImportError:\n    pass", CERTAIN),
        ("import mpi4py.rc", CERTAIN),
        ("import sys\nif sys.platform == 'win32':\n    import mpi4py", FREE),
        ("import os\nif os.getenv('TLLM_USE_MPI', '0') == '1':\n    import mpi4py", FREE),
        ("import os\nif os.environ.get('TLLM_DISABLE_MPI') != '1':\n    import mpi4py", CERTAIN),
        ("import os\nif 'OMPI_COMM_WORLD_SIZE' in os.environ:\n    import mpi4py", FREE),
        ("import os\nif os.environ.get('HOME'):\n    import mpi4py", "unknown"),
        (BUILD_INFO + "if ENABLE_MULTI_DEVICE:\n    from mpi4py import MPI", FREE),
        (BUILD_INFO + "if not ENABLE_MULTI_DEVICE:\n    pass\nelse:\n    from mpi4py import MPI", FREE),
        (BUILD_INFO + "if ENABLE_MULTI_DEVICE == 1 and True:\n    from mpi4py import MPI", FREE),
        (BUILD_INFO + "x = __import__('mpi4py') if ENABLE_MULTI_DEVICE else None", FREE),
        (BUILD_INFO + "ENABLE_MULTI_DEVICE and __import__('mpi4py')", FREE),
        (BUILD_INFO + "ENABLE_MULTI_DEVICE or __import__('mpi4py')", CERTAIN),
        (BUILD_INFO + "def f():\n    if not ENABLE_MULTI_DEVICE:\n        return None\n    import mpi4py\nf()", FREE),
        (BUILD_INFO + "def on():\n    return bool(ENABLE_MULTI_DEVICE)\nif on():\n    import mpi4py", FREE),
        ("from tensorrt_llm.bindings import BuildInfo\nif BuildInfo.ENABLE_MULTI_DEVICE:\n    import mpi4py", FREE),
        (BUILD_INFO + "if ENABLE_MULTI_DEVICE:\n    from mpi4py import MPI\nMPI.COMM_WORLD", CERTAIN),
        (BUILD_INFO + "if ENABLE_MULTI_DEVICE:\n    from mpi4py import MPI\ndef f():\n    MPI.COMM_WORLD", FREE),
        (BUILD_INFO + "if ENABLE_MULTI_DEVICE:\n    from mpi4py import MPI\nelse:\n    MPI = None\nMPI", FREE),
        ("import atexit\ndef f():\n    import mpi4py\natexit.register(f)", "unknown"),
        ("import threading\ndef f():\n    import mpi4py\nthreading.Thread(target=f).start()", "unknown"),
        ("import importlib, os\nimportlib.import_module(os.environ['X'])", "unknown"),
        ("exec(open('x').read())", "unknown"),
        ("from mpi4py.futures import *", CERTAIN),
        ("import mpi4pyfoo\nfrom mpi4py2 import x", FREE),
        ("match len('x'):\n    case 1:\n        import mpi4py", "unknown"),
    ],
)  # fmt: skip
def test_shapes_at_module_top(text: str, expected: str) -> None:
    assert verdict(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "from . import a",
        "from .a import x",
        "import tensorrt_llm.a",
        "from tensorrt_llm.a import *",
        "from .b import *\nhelp_me()",
        "from . import b\nb.help_me()",
        "import importlib\nimportlib.import_module('.a', __name__)",
        "import importlib\nimportlib.import_module('tensorrt_llm.a')",
        "import importlib\nimportlib.import_module(f'{__name__}.a')",
    ],
)
def test_ways_into_another_module(text: str) -> None:
    found = look(
        {"__init__.py": text, "a.py": "from mpi4py import MPI\nx = 1", "b.py": "def help_me():\n    from . import a"}
    )
    (touch,) = found.entry("import").touches
    assert found.entry("import").verdict == CERTAIN
    assert (touch.place.file, touch.place.line) == ("tensorrt_llm/a.py", 1)
    assert touch.trail[0].file == "tensorrt_llm/__init__.py"


def test_a_computed_import_inside_the_package_may_be_any_module_of_that_beginning() -> None:
    text = "import importlib\nfor name in __path__:\n    importlib.import_module(f'{__name__}.{name}')"
    assert verdict(text, a="from mpi4py import MPI") == "unknown"
    assert verdict(text, a="x = 1") == FREE


def test_a_module_that_nobody_imports_does_not_count() -> None:
    assert verdict("x = 1", a="from mpi4py import MPI") == FREE


def test_a_module_tried_and_missing_counts_only_where_mpi4py_is() -> None:
    text = "try:\n    from . import a\nexcept ImportError:\n    a = None"
    assert verdict(text, a="from mpi4py import MPI") == INSTALLED


def test_a_communicator_split_at_module_top_is_followed_through_names_and_functions() -> None:
    text = """\
    from mpi4py import MPI
    comm = MPI.COMM_WORLD
    def mpi_comm():
        return comm
    local = mpi_comm().Split_type(9)
    """
    places = {(touch.place.line, touch.what) for touch in look({"__init__.py": text}).entry("import").touches}
    assert (5, "calls MPI.COMM_WORLD.Split_type of mpi4py") in places


def test_what_is_not_python_or_too_deep_is_unknown_not_fine() -> None:
    assert verdict("from . import a", a="def broken(:\n") == "unknown"
    assert verdict("from . import a", a="x = " + "-" * 5000 + "1") == "unknown"
    assert verdict("from . import a", a="x = " + "+".join(["1"] * 3000)) == "unknown"


def test_guarded_places_are_told_with_their_guard() -> None:
    found = look({"__init__.py": BUILD_INFO + "if ENABLE_MULTI_DEVICE:\n    from mpi4py import MPI\n"})
    (guard,) = found.guarded
    assert (guard.place.line, guard.condition) == (3, "ENABLE_MULTI_DEVICE")
    assert found.free
    with_many = look({"__init__.py": BUILD_INFO + "if ENABLE_MULTI_DEVICE:\n    import mpi4py\n"}, multi_device=True)
    assert with_many.entry("import").verdict == CERTAIN


EXECUTOR = """\
import platform
from .proxy import Proxy
from .worker import Pool, Worker

class GenerationExecutor:
    @staticmethod
    def create(args=None, model_world_size=1, mpi_session=None, logits=False):
        if model_world_size > 1:
            return Proxy(mpi_session)
        if logits:
            return Worker()
        if {condition}:
            return Proxy(mpi_session=None)
        return Proxy(mpi_session=Pool())
"""
PARTS = {
    "llmapi/__init__.py": "from .llm import LLM",
    "llmapi/session.py": BUILD_INFO + """\
if ENABLE_MULTI_DEVICE:
    from mpi4py.futures import MPIPoolExecutor

class MpiPool:
    def __init__(self):
        self._start()

    def _start(self):
        self.pool = MPIPoolExecutor(1)

    def submit(self, task):
        return MPIPoolExecutor.submit(task)
""",
    "llmapi/llm.py": """\
from ..executor import GenerationExecutor

class LLM:
    def __init__(self, model, **kwargs):
        self._cls = kwargs.pop("executor_cls", GenerationExecutor)
        if self.args.parallel_config.is_multi_gpu:
            from .session import MpiPool
            self.session = MpiPool()
        self._executor = self._cls.create(model)

    def generate(self, prompt):
        return self._executor.submit(prompt)
""",
    "executor/__init__.py": "from .executor import GenerationExecutor",
    "executor/proxy.py": """\
from ..llmapi.session import MpiPool
from .worker import work

class Proxy:
    def __init__(self, mpi_session):
        self.session = MpiPool() if mpi_session is None else mpi_session

    def submit(self, prompt):
        return self.session.submit(work, prompt)
""",
    "executor/worker.py": """\
from concurrent.futures import ProcessPoolExecutor

class Worker:
    pass

class Pool:
    def __init__(self):
        self.pool = ProcessPoolExecutor(1)

    def submit(self, task, *words):
        return self.pool.submit(task, *words)

def work(prompt):
    return prompt
""",
    "commands/serve.py": """\
from tensorrt_llm.llmapi import LLM

def serve(model, log_level='info'):
    LLM(model)

def disaggregated(model):
    from mpi4py import MPI
""",
}  # fmt: skip


def package(condition: str, **changed: str) -> MpiAudit:
    return look({**PARTS, "executor/executor.py": EXECUTOR.format(condition=condition), **changed})


def test_the_one_gpu_executor_that_takes_an_mpi_pool() -> None:
    found = package("not platform.system() == 'Windows'")
    assert [one.verdict for one in found.entries] == [FREE, CERTAIN, CERTAIN]
    touch = found.entry("LLM").touches[0]
    assert touch.place.file == "tensorrt_llm/llmapi/session.py"
    assert touch.what == "uses MPIPoolExecutor, which is only there when mpi4py's MPIPoolExecutor was imported"
    assert [place.file.rpartition("/")[2] for place in touch.trail[-3:]] == ["executor.py", "proxy.py", "session.py"]


def test_the_one_gpu_executor_that_takes_a_process_pool_is_free_although_other_sessions_exist() -> None:
    found = package("False")
    assert [one.verdict for one in found.entries] == [FREE, FREE, FREE], found.entry("LLM").touches
    assert found.guarded


def test_an_undecided_executor_is_unknown_with_its_condition() -> None:
    found = package("platform.node()")
    assert found.entry("LLM").verdict == "unknown"
    assert not found.free


def test_a_worker_function_handed_to_a_pool_is_followed() -> None:
    work = PARTS["executor/worker.py"].replace("return prompt", "import mpi4py.MPI")
    found = package("False", **{"executor/worker.py": work})
    assert found.entry("LLM").verdict == "unknown"
    assert [touch.standing.word for touch in found.entry("LLM").touches] == ["possible"]


def test_entries_that_are_not_there_are_absent() -> None:
    found = look({"__init__.py": "x = 1"})
    assert [one.verdict for one in found.entries] == [FREE, "absent", "absent"]


def test_import_cycles_and_recursion_come_to_an_end() -> None:
    loop = "from . import b\ndef f(n):\n    return f(n + 1) if n else b.g(f)\nf(1)\n"
    assert verdict("from . import a", a=loop, b="from . import a\ndef g(h):\n    return h(2)\ng(a.f)\n") == FREE


def test_a_deep_chain_of_calls_is_followed_to_its_end() -> None:
    chain = "\n".join(f"def f{n}():\n    return f{n + 1}()" for n in range(100))
    assert verdict(f"{chain}\ndef f100():\n    import mpi4py\nf0()") == CERTAIN


def test_arguments_that_grow_without_end_are_widened() -> None:
    assert verdict("def f(n, s=''):\n    return f(n + 1, s + 'x') or f(n - 1, s)\nf(0)") == FREE


SNIPPETS = (
    "import mpi4py",
    "x = f(1)",
    "def f(a, *b, c=1, **d):\n    global x\n    x = a\n    return f(*b, **d)",
    "class A(B, metaclass=C):\n    y = 1\n    def __getattr__(self, n):\n        return getattr(self, n)\nA().q.r()",
    "if x:\n    y = 1\nelif y:\n    y = 2\nelse:\n    x = f",
    "try:\n    x()\nexcept Exception as e:\n    raise e\nelse:\n    y = 3\nfinally:\n    del x",
    "for i, j in x:\n    if i:\n        continue\n    break\nelse:\n    y = i",
    "with a as b, A() as (c, *d):\n    x[0].y = b",
    "from . import *",
    "from ..... import q",
    "x: int = 1\nx += 1",
    "f = lambda *a, b=(yield_ := 1): f(a)",
    "y = [i for i in {j: 1 for j in x if j} if i][0]",
    "(a, *b), c = 1, 2",
    "import_module = __import__\nimport_module(1)",
    "async def g():\n    await f()\n    yield super().f()\ng()",
    "x = {**y}\nprint(f'{x!r:>{y}}', *a, **b)",
    "@f\n@A.z(1)\ndef h():\n    nonlocal_ = h()\n    return h\nh()",
    "match x:\n    case [1, *r]:\n        y = r\n    case A(q=1) as z:\n        y = z\n    case _:\n        pass",
    "while f(y):\n    y = not y and (x or y)\n    assert x is None, y",
    "class P:\n    @property\n    def p(self):\n        return self.p\n    @p.setter\n    def p(self, v): 1\nP().p",
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(SNIPPETS), min_size=1, max_size=8))
def test_any_program_ends_in_a_verdict(parts: list[str]) -> None:
    text = "\n".join(parts)
    found = look({"__init__.py": text})
    assert (found.entry("import").verdict == CERTAIN) == ("import mpi4py" in parts), found
    assert not found.notes
