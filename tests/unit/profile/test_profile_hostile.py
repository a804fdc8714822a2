"""Whatever stands in a file or after --set: a profile, or a ProfileError with its place. Never anything else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trtllm_builder import data
from trtllm_builder.errors import BuilderError, ProfileError
from trtllm_builder.profile.explain import render
from trtllm_builder.profile.load import load_profile
from trtllm_builder.profile.marks import parse_text, parse_value

EXAMPLES = int(os.environ.get("PROFILE_EXAMPLES", "60"))
few = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

SHIPPED = sorted(data.shipped("profiles").rglob("*.yaml"))
FRAGMENTS = [
    ": ", "- ", "? ", "&a ", "*a ", "!!int ", "!x ", "<<: ", "[", "]", "{", "}", "|\n", ">-\n",
    "'", '"', "#", "\n", "\t",
    "\n  ", "---\n", "...\n", "%YAML 1.1\n", "null", "~", "OFF", "0x10", "6:30", "-1", "9" * 40, "\x00", "\x1b[2J",
    "\ud800", "\u202e", "\ufeff", "\u2028", "\\U00110000", '"\\x9', "a", "base", "extends: canary\n", "@", "`", ",",
    "schema: 1\n", "cuda: ", "architectures: ", "75", "[89]", "build: ", "cmake: ", "value: ", "if_declared: ",
]  # fmt: skip
yaml_like = st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join)


def check(error: BuilderError, lines: int) -> None:
    for one in (error, *error.others):
        assert isinstance(one, ProfileError)
        assert one.what and "\n" not in one.what and "\x1b" not in one.what
        assert one.where is not None
        assert one.where.line >= 1 and one.where.column >= 1
        if one.where.path.endswith("hostile.yaml"):
            assert one.where.line <= lines + 1
        str(one).encode()
        one.to_json()


def try_file(directory: Path, content: bytes) -> None:
    path = directory / "hostile.yaml"
    path.write_bytes(content)
    # A lone carriage return and Unicode's separators are line breaks to YAML 1.1.
    lines = len(content.decode("utf-8", "replace").splitlines())
    try:
        render(load_profile(str(path), profile_dirs=[data.shipped("profiles")]).profile)
    except ProfileError as error:
        check(error, lines)


@few
@given(st.binary(max_size=200))
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    try_file(tmp_path, content)


@few
@given(yaml_like)
def test_any_text_that_looks_like_yaml(tmp_path: Path, text: str) -> None:
    try_file(tmp_path, text.encode("utf-8", "surrogatepass"))


@few
@given(st.sampled_from(["build", "source", "verify.answer", "cuda.architectures", "a", ""]), yaml_like)
def test_any_override(path: str, text: str) -> None:
    try:
        load_profile("canary", profile_dirs=[data.shipped("profiles")], overrides=[f"{path}={text}"])
    except ProfileError as error:
        check(error, 0)


@few
@given(st.data())
def test_shipped_profiles_with_damage(tmp_path: Path, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(SHIPPED)).read_text()
    # Comments take up most of the files and would take up most of the damage.
    text = "".join(line for line in text.splitlines(keepends=True) if not line.lstrip().startswith("#"))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 8)))
        text = text[:start] + data.draw(st.sampled_from(["", *FRAGMENTS])) + text[end:]
    try_file(tmp_path, text.encode("utf-8", "surrogatepass"))


@few
@given(st.binary(max_size=60) | yaml_like.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_the_reader_alone(content: bytes) -> None:
    try:
        parse_value(content, "hostile.yaml")
    except ProfileError as error:
        check(error, 10**6)


@few
@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"]), min_size=1, max_size=40))
def test_text_in_quotes_comes_back_as_it_was(text: str) -> None:
    value = parse_text("'" + text.replace("'", "''") + "'", "f.yaml")
    assert value == text


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_file_cut_anywhere_is_still_understood_or_refused(path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    for end in range(0, len(content), max(1, len(content) // 12)):
        try_file(tmp_path, content[:end])
