from __future__ import annotations

from typing import Any

import pytest

from trtllm_builder.errors import PatchError
from trtllm_builder.patching import sets
from trtllm_builder.patching.edited import Misfit
from trtllm_builder.patching.python_tree import parse
from trtllm_builder.patching.snippets import parse_expression, parse_statements

# Each of these overflows the stack of libcst's parser when it is not refused before.
CHAINS = {
    "unary": "x=" + "-" * 60_000 + "1\n",
    "short unary": "x=" + "-" * 20_000 + "1\n",
    "binary": "x=1" + "\\\n+1" * 60_000 + "\n",
    "boolean": "x=(1" + "\n and 1" * 20_000 + ")\n",
    "parentheses": "x=" + "(" * 3000 + "1" + ")" * 3000 + "\n",
    "attributes": "x=a" + ".b" * 20_000 + "\n",
    "module": "import a" + ".b" * 20_000 + "\n",
    "comprehension": "x=[a " + "for a in b\n" * 20_000 + "]\n",
    "elif": "if a:\n  pass\n" + "elif a:\n  pass\n" * 20_000,
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_that_overflows_the_parser_is_refused(name: str) -> None:
    with pytest.raises(Misfit, match=r"nested|longer than"):
        parse(CHAINS[name])


def test_a_patch_sets_own_code_is_refused_as_well() -> None:
    with pytest.raises(ValueError, match="longer than"):
        parse_statements(CHAINS["unary"])
    assert parse_expression("-" * 20_000 + "1") is None


def test_what_is_refused_is_named_with_line_and_column(make_tree: Any, make_set: Any) -> None:
    patch = make_set("- {id: one, why: w, op: python.replace, file: a.py, match: f(), with: g()}\n")
    tree = make_tree({"a.py": "f()\nx = 1 + (\n"})
    with pytest.raises(PatchError, match="not valid Python") as caught:
        sets.check([patch], tree)
    assert str(caught.value.where) == f"{tree}/a.py:2:9"


def test_invalid_escapes_warn_nobody(recwarn: pytest.WarningsRecorder) -> None:
    assert parse('x = "\\d"\n').text() == 'x = "\\d"\n'
    assert not recwarn.list


def test_common_code_is_not_refused() -> None:
    text = "x = [\n" + '    "a",\n' * 3000 + "]\ny = " + " + ".join(["1"] * 150) + "\n"
    assert parse(text).text() == text
