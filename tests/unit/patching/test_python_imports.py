from __future__ import annotations

import pytest

from trtllm_builder.patching import python_imports
from trtllm_builder.patching.edited import Edited, Misfit
from trtllm_builder.patching.model import PythonAddImport, PythonRetargetImport, PythonTolerateImport

COMMON = {"id": "x", "why": "y"}


def retarget(text: str, path: str = "pkg/a.py") -> Edited:
    fields = {
        **COMMON,
        "op": "python.retarget_import",
        "files": "pkg/**/*.py",
        "modules": {"mpi4py": "MPI", "mpi4py.util": ["pkl5"]},
        "to": "pkg._mpi",
        "guarded_by": "MULTI",
    }
    return python_imports.retarget(text, path, PythonRetargetImport.model_validate(fields))


def tolerate(text: str, path: str = "pkg/sub/a.py") -> Edited:
    fields = {**COMMON, "op": "python.tolerate_import", "files": "pkg/**/*.py", "module": "pkg.gemm"}
    return python_imports.tolerate(text, path, PythonTolerateImport.model_validate(fields))


def add(text: str, statement: str = "from pkg.info import MULTI") -> Edited:
    fields = {**COMMON, "op": "python.add_import", "file": "pkg/a.py", "statement": statement}
    return python_imports.add(text, "pkg/a.py", PythonAddImport.model_validate(fields))


def test_imports_change_where_they_stand() -> None:
    text = (
        "import os\nfrom mpi4py import MPI  # here\nfrom mpi4py.util import pkl5 as p\n\n\n"
        "def f():\n    from mpi4py import MPI\n"
    )
    edited = retarget(text)
    assert edited.text == text.replace("mpi4py.util", "pkg._mpi").replace("mpi4py", "pkg._mpi")
    assert (edited.todo, edited.done) == (3, 0)
    assert retarget(edited.text) == Edited(edited.text, 0, 3)


@pytest.mark.parametrize("test", ["MULTI", "info.MULTI", "MULTI and x", "x and MULTI"])
def test_an_import_that_its_file_guards_stays(test: str) -> None:
    text = f"if {test}:\n    from mpi4py import MPI\n"
    assert retarget(text) == Edited(text, 0, 0)


@pytest.mark.parametrize("test", ["not MULTI", "MULTI or x", "other"])
def test_another_condition_guards_nothing(test: str) -> None:
    assert retarget(f"if {test}:\n    from mpi4py import MPI\n").todo == 1


def test_the_else_of_a_guard_is_not_guarded() -> None:
    edited = retarget("if MULTI:\n    from mpi4py import MPI\nelse:\n    from mpi4py import MPI\n")
    assert edited.text == "if MULTI:\n    from mpi4py import MPI\nelse:\n    from pkg._mpi import MPI\n"


def test_a_tried_import_changes_inside_its_try() -> None:
    text = "try:\n    from mpi4py import MPI\nexcept Exception:\n    MPI = None\n"
    assert retarget(text).text == text.replace("mpi4py", "pkg._mpi")


@pytest.mark.parametrize("names", ["MPI, futures", "*"])
def test_an_import_of_something_else_is_a_misfit_with_its_line(names: str) -> None:
    with pytest.raises(Misfit, match="not foreseen") as error:
        retarget(f"import os\n\nfrom mpi4py import {names}\n")
    assert error.value.line == 3


@pytest.mark.parametrize(
    ("statement", "instead"),
    [
        ("from pkg import gemm", "gemm = None"),
        ("from pkg import gemm as g", "g = None"),
        ("from .. import gemm", "gemm = None"),
        ("from ..gemm import a, b as c", "a = None\n    c = None"),
        ("from pkg.gemm.deep import a", "a = None"),
        ("import pkg.gemm as g", "g = None"),
        ("import pkg.gemm", "pass"),
    ],
)
def test_an_import_of_a_missing_module_gives_none(statement: str, instead: str) -> None:
    edited = tolerate(f"import os\n# why\n{statement}\nx = 1\n")
    wanted = f"import os\n# why\ntry:\n    {statement}\nexcept ImportError:\n    {instead}\nx = 1\n"
    assert edited == Edited(wanted, 1, 0)
    assert tolerate(wanted) == Edited(wanted, 0, 1)


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    from pkg import gemm\nexcept (ValueError, ImportError):\n    gemm = None\n",
        "try:\n    from pkg import gemm\nexcept:\n    gemm = None\n",
    ],
)
def test_an_import_that_may_fail_already_is_done(text: str) -> None:
    assert tolerate(text) == Edited(text, 0, 1)


@pytest.mark.parametrize(
    "text", ["def f():\n    from pkg import gemm\n", "from pkg import other\n", "from .gemm import a\n"]
)
def test_imports_on_call_and_of_other_modules_stay(text: str) -> None:
    assert tolerate(text) == Edited(text, 0, 0)


@pytest.mark.parametrize("text", ["from pkg import gemm, other\n", "from pkg.gemm import *\n", "import os, pkg.gemm\n"])
def test_an_import_that_would_lose_more_is_a_misfit(text: str) -> None:
    with pytest.raises(Misfit, match="not foreseen"):
        tolerate(text)


def test_an_import_is_added_behind_the_first_imports() -> None:
    text = '"""Doc."""\nimport os\nfrom x import (a,\n               b)\n\nif os:\n    import y\n'
    edited = add(text)
    assert edited.text == text.replace("               b)\n", "               b)\nfrom pkg.info import MULTI\n")
    assert add(edited.text) == Edited(edited.text, 0, 1)


def test_an_import_that_is_there_with_others_is_done() -> None:
    text = "from pkg.info import (A, MULTI)\n"
    assert add(text) == Edited(text, 0, 1)


def test_an_import_inside_a_function_does_not_count() -> None:
    assert add("import os\n\n\ndef f():\n    from pkg.info import MULTI\n").todo == 1


def test_a_module_without_imports_is_a_misfit() -> None:
    with pytest.raises(Misfit, match="does not begin with imports"):
        add("x = 1\nimport os\n")
