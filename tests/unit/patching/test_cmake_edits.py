from __future__ import annotations

import pytest

from trtllm_builder.patching import cmake_edits
from trtllm_builder.patching.edited import Edited, Misfit
from trtllm_builder.patching.model import CMakeGuard, CMakeOption

COMMON = {"id": "x", "why": "y", "file": "CMakeLists.txt"}


def option(text: str, name: str, default: str) -> Edited:
    fields = {**COMMON, "op": "cmake.option", "name": name, "default": default}
    return cmake_edits.set_option(text, CMakeOption.model_validate(fields))


def guard(text: str, argument: str = "deep_ep", condition: str = "BUILD_DEEP_EP") -> Edited:
    fields = {
        **COMMON,
        "op": "cmake.guard",
        "command": "add_subdirectory",
        "argument": argument,
        "condition": condition,
    }
    return cmake_edits.guard(text, CMakeGuard.model_validate(fields))


TEXT = """\
# option(A "in a comment" ON)
#[[ option(A "in a bracket comment" ON) ]]
set(TEXT "option(A x ON)")
OPTION( A "Build \\"a\\" (really)"
        ON ) # trailing
option(AB [==[ a ]] b ]==] ON)
"""


def test_only_the_option_itself_changes() -> None:
    once = option(TEXT, "A", "OFF")
    assert once == Edited(TEXT.replace("        ON )", "        OFF )"), 1, 0)
    assert option(once.text, "A", "OFF") == Edited(once.text, 0, 1)
    assert option(TEXT, "AB", "OFF").text == TEXT.replace("]==] ON", "]==] OFF")


def test_an_option_without_a_default_is_a_misfit_with_its_line() -> None:
    with pytest.raises(Misfit, match="no default") as error:
        option('\noption(A "text")\n', "A", "OFF")
    assert error.value.line == 2


def test_a_command_is_guarded_once() -> None:
    text = "if(X)\n  add_subdirectory(deep_ep)  # c\n  add_subdirectory(deep_gemm)\nendif()\n"
    once = guard(text)
    assert once.text == (
        "if(X)\n  if(BUILD_DEEP_EP)\n    add_subdirectory(deep_ep)\n  endif()  # c\n"
        "  add_subdirectory(deep_gemm)\nendif()\n"
    )
    assert guard(once.text) == Edited(once.text, 0, 1)


def test_another_condition_around_it_is_not_ours() -> None:
    text = "if(OTHER)\nadd_subdirectory(deep_ep)\nendif()\n"
    assert guard(text).todo == 1


@pytest.mark.parametrize("text", ["set(A", "set A)", "(A)", 'set("A)', "if(A) B)"])
def test_what_is_not_cmake_is_a_misfit(text: str) -> None:
    with pytest.raises(Misfit):
        option(text, "A", "ON")
