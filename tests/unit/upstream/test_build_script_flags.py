"""Flags read from syntax: spellings, values, defaults, loops and helpers, and what must not be known."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.errors import SourceError
from trtllm_builder.upstream.build_script import parse_python, read_flags
from trtllm_builder.upstream.model import Flag, Probe


def flags(text: str) -> dict[str, Flag]:
    found, notes = read_flags(ast.parse(text))
    assert notes == ()
    return {flag.long: flag for flag in found}


@pytest.mark.parametrize(
    ("arguments", "arity", "action"),
    [
        ('"--x"', "1", "store"),
        ('"--x", action="store_true"', "0", "store_true"),
        ('"--x", action="store_const", const=1', "0", "store_const"),
        ('"--x", action="append"', "1", "append"),
        ('"--x", action="count"', "0", "count"),
        ('"--x", nargs="?"', "?", "store"),
        ('"--x", nargs="+"', "+", "store"),
        ('"--x", nargs="*"', "*", "store"),
        ('"--x", nargs=2', "2", "store"),
        ('"--x", nargs=argparse.REMAINDER', "REMAINDER", "store"),
        ('"--x", action=MyAction', "1", "MyAction"),
    ],
)
def test_how_many_values_a_flag_takes(arguments: str, arity: str, action: str) -> None:
    flag = flags(f"parser.add_argument({arguments})")["--x"]
    assert (flag.arity, flag.action) == (arity, action)


def test_defaults_choices_types_and_lines() -> None:
    text = (
        'p.add_argument("--a", "-b", default="Release", choices=["Release", "Debug"])\n'
        'p.add_argument("--c", default=[], type=Path)\n'
        'p.add_argument("--d", default=os.cpu_count(), help=argparse.SUPPRESS)\n'
        'p.add_argument("--e")\n'
        'p.add_argument("--f", default="")\n'
    )
    found = flags(text)
    assert found["--a"] == Flag(("--a", "-b"), "1", default="Release", choices=("Release", "Debug"), line=1)
    assert (found["--c"].default, found["--c"].type, found["--c"].line) == ("[]", "Path", 2)
    assert (found["--d"].default, found["--d"].hidden) == ("os.cpu_count()", True)
    assert found["--e"].default is None
    assert found["--f"].default == ""


def test_boolean_optional_action_has_both_spellings() -> None:
    flag = flags('p.add_argument("--stubs", action=argparse.BooleanOptionalAction)')["--no-stubs"]
    assert (flag.spellings, flag.arity) == (("--stubs", "--no-stubs"), "0")


def test_flags_in_literal_loops() -> None:
    text = """
ROOTS = ["trt", "nccl"]
def add(parser):
    for name in ROOTS + ["nixl"]:
        parser.add_argument(f"--{name}_root")
    for long, short in (("clean", "c"), ("install", "i")):
        parser.add_argument("--" + long, "-" + short, action="store_true")
    for name in ("skip_stubs",):
        parser.add_argument("--" + name.replace("_", "-"), action="store_true")
"""
    found = flags(text)
    assert list(found) == ["--trt_root", "--nccl_root", "--nixl_root", "--clean", "--install", "--skip-stubs"]
    assert found["--clean"].spellings == ("--clean", "-c")
    assert found["--skip-stubs"].arity == "0"


def test_flags_by_helper_functions_groups_and_aliases() -> None:
    text = """
def switch(parser, name, *more, help=None):
    parser.add_argument(f"--{name}", *more, action="store_true", help=help)

def option(parser, *names, **rest):
    parser.add_argument(*names, **rest)

def add(parser):
    switch(parser, "clean", "-c")
    switch(parser, name="nvtx")
    group = parser.add_argument_group("paths")
    option(group, "--build_dir", "-o", default="build", nargs="?")
    plain = parser.add_argument
    plain("--install")
    if True:
        with group:
            try:
                group.add_argument("--deep")
            except ValueError:
                group.add_argument("--instead")
"""
    found = flags(text)
    assert list(found) == ["--clean", "--nvtx", "--build_dir", "--install", "--deep", "--instead"]
    assert found["--clean"].spellings == ("--clean", "-c")
    assert (found["--build_dir"].default, found["--build_dir"].arity) == ("build", "?")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("for name in names():\n    p.add_argument(name)\n", "2: a flag's name is computed"),
        ('p.add_argument("--" + input())\n', "1: a flag's name is computed"),
        ('p.add_argument("directory")\n', "positional argument 'directory'"),
    ],
)
def test_a_name_that_is_not_written_down_is_a_note(text: str, part: str) -> None:
    found, notes = read_flags(ast.parse(text))
    assert found == ()
    assert len(notes) == 1 and part in notes[0]


def test_a_loop_without_end_is_cut() -> None:
    text = "A = [" + "'x'," * 100 + "]\nfor a in A:\n for b in A:\n  for c in A:\n   p.add_argument(f'--{a}{b}')\n"
    _, notes = read_flags(ast.parse(text))
    assert any("too many loop values" in note for note in notes)


def test_helpers_that_call_themselves_end() -> None:
    found, _ = read_flags(ast.parse("def f(p, n):\n    p.add_argument(n)\n    f(p, n)\nf(None, '--x')\n"))
    assert [flag.long for flag in found] == ["--x"]


@pytest.mark.parametrize("name", ["job_count", "--job_count", "-j", "j"])
def test_a_flag_is_known_by_any_exact_spelling(name: str) -> None:
    flag = Flag(("--job_count", "-j"), "?")
    assert Probe("", "", flags=(flag,)).flag(name) is flag


@pytest.mark.parametrize("name", ["job", "--job", "--job_", "-job_count", "--j", "job-count", "--job_count2", ""])
def test_a_prefix_or_a_likeness_is_never_known(name: str) -> None:
    assert Probe("", "", flags=(Flag(("--job_count", "-j"), "?"),)).flag(name) is None


@pytest.mark.parametrize(
    "data",
    [
        b"def main(:\n    pass\n",
        b"x = 1\n  y = 2\n",
        b"\xff\xfe\x00broken",
        b"# -*- coding: nonsense -*-\n",
        b"print 'Python 2'\n",
        b"x = " + b"(" * 5000 + b")" * 5000,
        b"a\0b",
    ],
)
def test_what_is_not_python_is_an_error_with_its_place(data: bytes) -> None:
    with pytest.raises(SourceError) as raised:
        parse_python(data, "scripts/build_wheel.py")
    assert str(raised.value).startswith("scripts/build_wheel.py:")
    assert raised.value.exit_code == 4


def test_the_line_of_a_syntax_error() -> None:
    with pytest.raises(SourceError, match=r"scripts/build_wheel\.py:2:"):
        parse_python(b"x = 1\ndef main(:\n", "scripts/build_wheel.py")


_EXPRESSIONS = st.recursive(
    st.sampled_from(["'--a'", "name", "1", "('--b', '-c')", "f'--{name}'", "None", "*names", "f(x)"]),
    lambda inner: st.builds("({}, {})".format, inner, inner) | st.builds("[{}]".format, inner),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(loop=_EXPRESSIONS, names=_EXPRESSIONS)
def test_no_source_makes_the_reader_fail(loop: str, names: str) -> None:
    text = (
        f"def h(p, *names, name=1):\n    p.add_argument({names})\nfor name in {loop.lstrip('*')}:\n    h(p, {names})\n"
    )
    try:
        module = ast.parse(text)
    except SyntaxError:
        return
    found, _ = read_flags(module)
    assert all(spelling.startswith("-") for flag in found for spelling in flag.spellings[:1])
