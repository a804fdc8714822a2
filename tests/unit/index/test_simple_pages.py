"""Our pages, read by simple-repository's parser: somebody else's reading of the same PEPs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from simple_repository import parser

from trtllm_builder.index.model import Lock, Needs, Wheel
from trtllm_builder.index.simple import list_html, list_json, project_html, project_json, read_list, read_project

Entry = Callable[..., Wheel]
HOSTILE = "\"'><script>alert(1)</script>&amp;\n"


@pytest.fixture
def wheels(entry: Entry) -> tuple[Wheel, ...]:
    held = Lock("a" * 64, True)
    return (
        entry(version="1.1.0+sd.cu130.sm89", yanked=HOSTILE),
        entry(version="1.1.1+sd.cu130.sm89", yanked=""),
        entry(lock=held, beside={".record.json": "a" * 64}, provenance=True),
        entry(version="1.3.0", requires_python="", standing="unverified", needs=Needs()),
    )


def test_what_is_written_is_read_back(wheels: tuple[Wheel, ...]) -> None:
    assert read_project(project_json("tensorrt-llm", wheels, "../../")) == wheels
    assert read_list(list_json(["a", "b"])) == (("a", "b"), 1)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"name": "a", "files": [{}]}', '{"name": 1, "files": 3}', "[" * 99_999]
)
def test_anything_else_is_a_value_error(text: str) -> None:
    for read in (read_project, read_list):
        with pytest.raises(ValueError):
            read(text)


def test_the_json_is_what_the_peps_say(wheels: tuple[Wheel, ...], validate: Callable[[str, object], None]) -> None:
    text = project_json("tensorrt-llm", wheels, "../../")
    validate("simple-project", json.loads(text))
    page = parser.parse_json_project_page(text)
    assert page.name == "tensorrt-llm" and page.meta.api_version == "1.3"
    assert page.versions == {"1.1.0+sd.cu130.sm89", "1.1.1+sd.cu130.sm89", "1.2.0+sd.cu130.sm89", "1.3.0"}
    for wheel, file in zip(wheels, page.files, strict=True):
        assert (file.filename, file.size, file.hashes) == (wheel.filename, wheel.size, {"sha256": wheel.sha256})
        assert file.dist_info_metadata == {"sha256": wheel.metadata}
        assert file.upload_time is not None and file.upload_time.isoformat() == wheel.uploaded[:19]
        assert file.requires_python == (wheel.requires_python or None)
    assert [file.yanked for file in page.files] == [HOSTILE, True, False, False]
    assert [file.get("provenance") for file in json.loads(text)["files"]] == [
        None, None, f"{json.loads(text)['files'][2]['url']}.provenance", None,
    ]  # fmt: skip
    assert "%2Bsd.cu130" in json.loads(text)["files"][2]["url"]


def test_the_html_says_the_same(wheels: tuple[Wheel, ...]) -> None:
    text = project_html("tensorrt-llm", wheels, "../../")
    assert "<script" not in text and "&lt;4" in text
    page = parser.parse_html_project_page(text, "tensorrt-llm")
    spoken = parser.parse_json_project_page(project_json("tensorrt-llm", wheels, "../../"))
    for ours, theirs in zip(page.files, spoken.files, strict=True):
        assert ours.filename == theirs.filename and ours.hashes == theirs.hashes
        assert unquote(unquote(ours.url)) == unquote(unquote(theirs.url))
        assert ours.requires_python == theirs.requires_python
        assert ours.dist_info_metadata == theirs.dist_info_metadata
        assert (ours.yanked or False) == theirs.yanked
    assert text.count("data-provenance=") == 1
    assert "taken as it is" in text and text.count("taken as it is") == 1


def test_the_list_of_projects_is_the_same_in_both() -> None:
    names = {"torch", "tensorrt-llm"}
    assert {one.name for one in parser.parse_json_project_list(list_json(sorted(names))).projects} == names
    assert {one.name for one in parser.parse_html_project_list(list_html(sorted(names))).projects} == names


@settings(max_examples=60, deadline=None)
@given(some.text(max_size=60), some.text(max_size=60))
def test_no_text_gets_out_of_its_place(reason: str, requires: str) -> None:
    wheel = Wheel(
        "a", "1", "a-1-py3-none-any.whl", "0" * 64, 1, "2026-01-01T00:00:00.000000Z", "1" * 64, requires, "verified"
    )
    wheel = replace(wheel, yanked=reason)
    assert read_project(project_json("a", (wheel,), "")) == (wheel,)
    html = project_html("a", (wheel,), "")
    assert html.count("<a ") == 1 and html.count("<") == project_html(
        "a", (replace(wheel, requires_python="", yanked=None),), ""
    ).count("<")
