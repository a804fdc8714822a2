from __future__ import annotations

import pytest

from trtllm_builder.patching import python_edits
from trtllm_builder.patching.edited import Edited, Misfit
from trtllm_builder.patching.model import PythonGuard, PythonInsert, PythonRemoveElements, PythonReplace

COMMON = {"id": "x", "why": "y", "file": "a.py"}


def replace(text: str, **fields: object) -> Edited:
    return python_edits.replace(text, PythonReplace.model_validate({**COMMON, "op": "python.replace", **fields}))


def guard(text: str, **fields: object) -> Edited:
    return python_edits.guard(text, PythonGuard.model_validate({**COMMON, "op": "python.guard", **fields}))


def insert(text: str, **fields: object) -> Edited:
    return python_edits.insert(text, PythonInsert.model_validate({**COMMON, "op": "python.insert", **fields}))


def remove(text: str, **fields: object) -> Edited:
    operation = PythonRemoveElements.model_validate({**COMMON, "op": "python.remove_elements", **fields})
    return python_edits.remove_elements(text, operation)


def test_an_expression_is_found_whatever_its_layout_and_quotes() -> None:
    text = "def f():\n    if not  g( ) == 'W':  # why\n        return 1\n"
    edited = replace(text, match='not g() == "W"', **{"with": 'ON and not g() == "W"'})
    assert edited == Edited('def f():\n    if ON and not g() == "W":  # why\n        return 1\n', 1, 0)


def test_the_second_time_an_expression_is_known_although_it_holds_the_first() -> None:
    text = "if ON and not g() == 'W':\n    pass\n"
    assert replace(text, match="not g() == 'W'", **{"with": "ON and not g() == 'W'"}) == Edited(text, 0, 1)


def test_a_looser_expression_gets_parentheses_in_a_tighter_place() -> None:
    edited = replace("x = 1 + a * 2\n", match="a", **{"with": "b or c"})
    assert edited.text == "x = 1 + (b or c) * 2\n"


def test_in_limits_the_search_to_one_function() -> None:
    text = "def f():\n    return a\n\n\nclass C:\n    def f(self):\n        return a\n"
    edited = replace(text, match="a", **{"with": "b", "in": "C.f"})
    assert edited == Edited("def f():\n    return a\n\n\nclass C:\n    def f(self):\n        return b\n", 1, 0)


def test_decorators_and_defaults_are_not_inside_their_function() -> None:
    text = "@a\ndef f(x=a):\n    return a\n"
    assert replace(text, match="a", **{"with": "b", "in": "f"}).text == "@a\ndef f(x=a):\n    return b\n"


@pytest.mark.parametrize("text", ["x = 1\n", "def f(): pass\ndef f(): pass\n"])
def test_a_function_that_is_missing_or_there_twice_is_a_misfit(text: str) -> None:
    with pytest.raises(Misfit, match=r"expected one function or class `f`, found (none|2)"):
        replace(text, match="a", **{"with": "b", "in": "f"})


def test_statements_with_wildcards_keep_what_is_around_them() -> None:
    text = (
        "def f():\n    # first\n    with (a /\n          'x').open() as g:\n"
        "        y = g.read().strip()\n    z = 1  # last\n"
    )
    edited = replace(text, match="with (a / 'x').open() as g:\n    y = ...\n", **{"with": "y = ''"})
    assert edited == Edited("def f():\n    # first\n    y = ''\n    z = 1  # last\n", 1, 0)
    assert replace(edited.text, match="with (a / 'x').open() as g:\n    y = ...\n", **{"with": "y = ''"}).todo == 0


def test_an_ellipsis_takes_the_rest_of_the_arguments_and_no_more() -> None:
    text = "f(1, x)\nf(1)\nf(1, 2, k=3)\nf(2)\n"
    assert replace(text, match="f(1, ...)", **{"with": "g()"}, count=3) == Edited("g()\ng()\ng()\nf(2)\n", 3, 0)


def test_a_function_is_replaced_with_its_body_whatever_it_is() -> None:
    text = (
        "class C:\n\n    def stop(self):\n        self.a.stop(wait=True)\n        self.b = 1\n"
        "\n    def go(self):\n        pass\n"
    )
    code = "def stop(self, wait=True):\n    self.a.stop(wait)\n\ndef abort(self):\n    pass\n"
    edited = replace(text, match="def stop(self):\n    ...\n", **{"with": code, "in": "C"})
    assert edited.text == (
        "class C:\n\n    def stop(self, wait=True):\n        self.a.stop(wait)\n\n    def abort(self):\n        pass\n"
        "\n    def go(self):\n        pass\n"
    )
    assert replace(edited.text, match="def stop(self):\n    ...\n", **{"with": code, "in": "C"}) == Edited(
        edited.text, 0, 1
    )


def test_containing_tells_calls_apart_that_no_pattern_can() -> None:
    text = "run(f'{p} -o . a', env=e)\nrun(\n    f'{p} '\n    '-o . b', env=e)\n"
    edited = replace(text, match="run(..., env=...)", containing="-o . b", **{"with": "print('off')"})
    assert edited == Edited("run(f'{p} -o . a', env=e)\nprint('off')\n", 1, 0)


def test_one_line_and_two_line_blocks_are_the_same() -> None:
    assert replace("if a: b()\n", match="if a:\n    b()\n", **{"with": "c()\n"}).text == "c()\n"


def test_what_is_done_already_is_not_searched_again_inside() -> None:
    text = "def f():\n    old()\n"
    code = "def f():\n    old()\n    new()\n"
    once = replace(text, match="def f():\n    old()\n", **{"with": code})
    assert (once.todo, once.done) == (1, 0)
    assert replace(once.text, match="def f():\n    old()\n", **{"with": code}) == Edited(once.text, 0, 1)


def test_guard_indents_and_gives_an_else() -> None:
    text = "# c\nimport a\nx = a.b(\n    1)\n"
    edited = guard(text, match="import a\nx = ...\n", condition="ON", otherwise="x = None")
    assert edited == Edited("# c\nif ON:\n    import a\n    x = a.b(\n        1)\nelse:\n    x = None\n", 1, 0)
    assert guard(edited.text, match="import a\nx = ...\n", condition="ON", otherwise="x = None").done == 1


def test_insert_before_and_after_know_themselves() -> None:
    text = "def f():\n    a()\n    b()\n"
    after = insert(text, after="a()", code="x()\ny()\n")
    assert after == Edited("def f():\n    a()\n    x()\n    y()\n    b()\n", 1, 0)
    assert insert(after.text, after="a()", code="x()\ny()\n") == Edited(after.text, 0, 1)
    before = insert(text, before="b()", code="x()\n")
    assert before.text == "def f():\n    a()\n    x()\n    b()\n"
    assert insert(before.text, before="b()", code="x()\n").done == 1


def test_insert_at_the_start_of_a_function_is_behind_its_docstring() -> None:
    text = 'def f():\n    """Doc."""\n    a()\n'
    edited = insert(text, at="start", code="return", **{"in": "f"})
    assert edited.text == 'def f():\n    """Doc."""\n    return\n    a()\n'
    assert insert(edited.text, at="start", code="return", **{"in": "f"}) == Edited(edited.text, 0, 1)
    assert (
        insert("def f():\n    a()\n", at="start", code="return", **{"in": "f"}).text
        == "def f():\n    return\n    a()\n"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("t = ['a', 'b', 'c']\n", "t = ['a', 'c']\n"),
        ("t = ['a', \"b\"]\n", "t = ['a']\n"),
        ("t.extend([\n    'a', 'b',\n    'c'\n])\n", "t.extend([\n    'a', 'c'\n])\n"),
        ("t = [\n    'a',\n    'b',\n]\n", "t = [\n    'a',\n]\n"),
        ("t = ['b']\n", "t = []\n"),
        ("t: list = ['a']\nt += ['b', 'd']\n", "t: list = ['a']\nt += ['d']\n"),
    ],
)
def test_elements_leave_a_list_and_nothing_else_changes(before: str, after: str) -> None:
    edited = remove(before, list="t", elements="b")
    assert edited == Edited(after, 1, 0)
    assert remove(after, list="t", elements="b") == Edited(after, 0, 1)


def test_a_list_that_is_not_there_is_a_misfit() -> None:
    with pytest.raises(Misfit, match="no list called `t`"):
        remove("u = ['b']\n", list="t", elements="b")


def test_what_is_not_python_is_a_misfit_with_its_line() -> None:
    with pytest.raises(Misfit, match="not valid Python") as error:
        replace("a\nb c\n", match="a", **{"with": "b"})
    assert error.value.line == 2
