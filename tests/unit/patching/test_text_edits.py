from __future__ import annotations

import pytest

from trtllm_builder.patching import text_edits
from trtllm_builder.patching.edited import Edited, Misfit
from trtllm_builder.patching.model import RequirementsRemove, TextInsert, TextReplace

COMMON = {"id": "x", "why": "y", "file": "a"}


def replace(text: str, match: str, new: str) -> Edited:
    fields = {**COMMON, "op": "text.replace", "match": match, "with": new}
    return text_edits.replace(text, TextReplace.model_validate(fields))


def insert(text: str, line: str, code: str, place: str = "after") -> Edited:
    fields = {**COMMON, "op": "text.insert", "line": line, "code": code, "place": place}
    return text_edits.insert(text, TextInsert.model_validate(fields))


def remove(text: str, *names: str) -> Edited:
    fields = {**COMMON, "op": "requirements.remove", "names": list(names)}
    return text_edits.remove_requirements(text, RequirementsRemove.model_validate(fields))


def test_text_is_replaced_once_even_when_it_is_part_of_what_replaces_it() -> None:
    once = replace("a = 1\nb = 1\n", "b = 1", "b = 1 + 1")
    assert once == Edited("a = 1\nb = 1 + 1\n", 1, 0)
    assert replace(once.text, "b = 1", "b = 1 + 1") == Edited(once.text, 0, 1)


def test_every_occurrence_is_counted() -> None:
    assert replace("x x y x", "x", "y") == Edited("y y y y", 3, 1)


@pytest.mark.parametrize(("place", "wanted"), [("after", "a\n  b\nX\nY\nc"), ("before", "a\nX\nY\n  b\nc")])
def test_lines_are_inserted_beside_a_line(place: str, wanted: str) -> None:
    once = insert("a\n  b\nc", "b", "X\nY\n", place)
    assert once == Edited(wanted, 1, 0)
    assert insert(once.text, "b", "X\nY\n", place) == Edited(wanted, 0, 1)


@pytest.mark.parametrize(
    "line",
    [
        "mpi4py",
        "mpi4py==4.0",
        "MPI4Py >= 3 ; python_version > '3'",
        "mpi4py[x]~=1",
        "mpi4py @ https://x/y",
        "mpi4py # c",
    ],
)
def test_a_requirement_goes_whatever_it_says(line: str) -> None:
    once = remove(f"numpy\n{line}\ntorch\n", "mpi4py")
    assert once == Edited("numpy\ntorch\n", 1, 0)
    assert remove(once.text, "mpi4py") == Edited(once.text, 0, 1)


def test_a_name_is_the_same_with_dots_and_underscores() -> None:
    assert remove("a_b.c>1\nd\n", "A-B-C").text == "d\n"


def test_joined_lines_go_together() -> None:
    assert remove("mpi4py==4 \\\n  --hash=sha256:00 \\\n  --hash=sha256:11\nnumpy\n", "mpi4py").text == "numpy\n"


def test_comments_options_and_longer_names_stay() -> None:
    text = "# mpi4py\n-r mpi4py\nmpi4py-fft\nx @ git+https://h/mpi4py\n"
    assert remove(text, "mpi4py") == Edited(text, 0, 1)


def test_a_file_without_requirements_is_a_misfit() -> None:
    with pytest.raises(Misfit, match="names no requirement"):
        remove("# nothing\n", "mpi4py")
