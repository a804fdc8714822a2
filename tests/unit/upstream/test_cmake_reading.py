"""CMake text: the lexer by the language's rules, and what is declared in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.upstream.cmake_options import CMakeFacts, read_cmake
from trtllm_builder.upstream.cmake_syntax import CMakeSyntaxError, Command, commands
from trtllm_builder.upstream.tree import Tree


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("f(a b c)", ("a", "b", "c")),
        ("f(\n  a\n  b # c\n)", ("a", "b")),
        ('f("a b" c)', ("a b", "c")),
        ('f("a \\"b\\" c")', ('a "b" c',)),
        ('f("a # no comment")', ("a # no comment",)),
        ('f("(")', ("(",)),
        ('f("two\nlines")', ("two\nlines",)),
        ('f("joined \\\nline")', ("joined line",)),
        ('f([[a ) # " b]])', ('a ) # " b',)),
        ("f([==[a ]] ]=] b]==])", ("a ]] ]=] b",)),
        ("f([[\nfirst newline goes]])", ("first newline goes",)),
        ("f(#[[ a\n b ]] c)", ("c",)),
        ("f(a(b c) d)", ("a", "(", "b", "c", ")", "d")),
        ("f(${VAR} $<BOOL:x> a;b)", ("${VAR}", "$<BOOL:x>", "a;b")),
        ('f(-Da="b c")', ('-Da="b c"',)),
        ("f(a\\ b \\#)", ("a b", "#")),
        ("f()", ()),
    ],
)
def test_arguments(text: str, arguments: tuple[str, ...]) -> None:
    assert commands(text) == (Command("f", arguments, 1),)


def test_names_lines_and_comments() -> None:
    text = '\ufeff# option(COMMENTED "" ON)\n#[=[\noption(ALSO)\n]=]\nOPTION (A)\n\nset(B)set(C)\n'
    assert commands(text) == (Command("option", ("A",), 5), Command("set", ("B",), 7), Command("set", ("C",), 7))


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("f(a\nb", 2, "not closed"),
        ('f(\n"a', 2, "quoted"),
        ("f(\n[[a", 2, "bracket"),
        ("a\n#[[ b", 2, "bracket"),
        ("\n)", 2, "expected a command"),
        ("f g()", 1, "expected ( after f"),
        ("f(\\", 1, "unexpected"),
    ],
)
def test_text_that_is_not_cmake(text: str, line: int, part: str) -> None:
    with pytest.raises(CMakeSyntaxError, match=part.replace("(", r"\(")) as raised:
        commands(text)
    assert raised.value.line == line


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from('ab()[]="\\#;$ \n'), max_size=40))
def test_the_lexer_ends_and_raises_nothing_else(text: str) -> None:
    try:
        commands(text)
    except CMakeSyntaxError as error:
        assert 1 <= error.line <= text.count("\n") + 1


def facts(tree: Callable[..., Path], files: dict[str, str]) -> tuple[CMakeFacts, Tree]:
    reader = Tree(tree(files))
    return read_cmake(reader), reader


def test_the_three_ways_to_declare(tree: Callable[..., Path]) -> None:
    text = """cmake_minimum_required(VERSION 3.18...3.29 FATAL_ERROR)
option(BUILD_DEEP_EP
       "Build it" ON)
option(FAST_BUILD "help")
set(BINDING_TYPE "nanobind" CACHE STRING "kind")
set(EMPTY "" CACHE PATH "")
set(HIDDEN 1 CACHE INTERNAL "")
set(ENABLE_FP4 OFF CACHE BOOL "" FORCE)
set_ifndef(ENABLE_MULTI_DEVICE 1)
if(NOT DEFINED ENABLE_UCX)
  if(TRUE)
    set(ENABLE_UCX 0)
  endif()
  set(OTHER 1)
else()
  set(ENABLE_UCX 2)
endif()
set(ENABLE_UCX 3)
# option(NO "" ON)
message("option(NEITHER \\"\\" ON)")
function(set_ifndef variable value)
  if(NOT DEFINED ${variable})
    set(${variable} ${value} PARENT_SCOPE)
  endif()
endfunction()
"""
    found, _ = facts(tree, {"cpp/CMakeLists.txt": text})
    assert {option.name: (option.default, option.kind, option.line) for option in found.options} == {
        "BUILD_DEEP_EP": ("ON", "option", 2),
        "FAST_BUILD": ("OFF", "option", 4),
        "BINDING_TYPE": ("nanobind", "cache", 5),
        "EMPTY": ("", "cache", 6),
        "ENABLE_MULTI_DEVICE": ("1", "variable", 9),
        "ENABLE_UCX": ("0", "variable", 12),
    }
    assert found.minimum == "3.18"


def test_the_top_file_wins_and_others_count(tree: Callable[..., Path]) -> None:
    found, _ = facts(
        tree,
        {
            "cpp/CMakeLists.txt": 'cmake_minimum_required(VERSION 3.27)\noption(A "" ON)\n',
            "cpp/aaa/CMakeLists.txt": 'option(A "" OFF)\noption(B "" OFF)\ncmake_minimum_required(VERSION 3.5)\n',
            "cpp/cmake/modules/cuda_configuration.cmake": (
                "set(ARCHITECTURES_COMPATIBILITY_BASE 80 86 90 100 120)\nset(ARCHITECTURES_NO_COMPATIBILITY 87 101)\n"
            ),
            "3rdparty/CMakeLists.txt": 'set(TRTLLM_FETCHCONTENT_CACHE "" CACHE PATH "where")\n',
            "3rdparty/cutlass/CMakeLists.txt": 'option(CUTLASS_ENABLE "" ON)\n',
            "cpp/build/_deps/json-src/CMakeLists.txt": 'option(JSON_BuildTests "" ON)\n',
            "cpp/build_Debug/CMakeLists.txt": 'option(FROM_A_BUILD "" ON)\n',
        },
    )
    assert [(option.name, option.default, option.file) for option in found.options] == [
        ("A", "ON", "cpp/CMakeLists.txt"),
        ("TRTLLM_FETCHCONTENT_CACHE", "", "3rdparty/CMakeLists.txt"),
        ("B", "OFF", "cpp/aaa/CMakeLists.txt"),
    ]
    assert (found.minimum, found.bases, found.exact) == ("3.27", (80, 86, 90, 100, 120), (87, 101))


def test_a_broken_file_is_a_note_and_the_rest_is_read(tree: Callable[..., Path]) -> None:
    found, reader = facts(
        tree, {"cpp/CMakeLists.txt": 'option(A "" ON)\n', "cpp/b/CMakeLists.txt": 'f()\noption(B "open\n'}
    )
    assert [option.name for option in found.options] == ["A"]
    assert reader.notes == ("cpp/b/CMakeLists.txt:2: a quoted argument is not closed; its options are not known",)


def test_a_tree_without_cmake(tree: Callable[..., Path]) -> None:
    assert facts(tree, {})[0] == CMakeFacts()
