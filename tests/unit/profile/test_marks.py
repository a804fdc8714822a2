from __future__ import annotations

import os
from pathlib import Path

import pytest

from trtllm_builder.errors import ProfileError
from trtllm_builder.profile import marks
from trtllm_builder.profile.marks import List, Map, Text, parse_text, parse_value, read_map, read_value, shown


def fault(data: bytes) -> ProfileError:
    with pytest.raises(ProfileError) as caught:
        parse_value(data, "f.yaml")
    assert caught.value.where is not None
    return caught.value


@pytest.mark.parametrize(
    "text", ["1.10", "3.10", "OFF", "yes", "6:30", "0x10", "0o17", "1_000", "1e3", ".inf", "2026-11-01", "010"]
)
def test_scalars_keep_the_text_that_yaml_would_read_as_something_else(text: str) -> None:
    value = parse_text(f"key: {text}", "f.yaml")
    assert isinstance(value, Map)
    assert value["key"] == text


@pytest.mark.parametrize("text", ["null", "~", "", "NULL", "Null"])
def test_only_what_is_not_quoted_is_null(text: str) -> None:
    value = parse_text(f"plain: {text}\nquoted: '{text}'", "f.yaml")
    assert isinstance(value, Map)
    plain, quoted = value["plain"], value["quoted"]
    assert isinstance(plain, Text)
    assert isinstance(quoted, Text)
    assert plain.is_null
    assert not quoted.is_null


def test_every_value_and_key_knows_its_place() -> None:
    value = parse_text("a: 1\nb:\n  c: [x,  y]\n", "f.yaml")
    assert isinstance(value, Map)
    inner = value["b"]
    assert isinstance(inner, Map)
    items = inner["c"]
    assert isinstance(items, List)
    assert str(inner.key_where["c"]) == "f.yaml:3:3"
    assert [str(item.where) for item in items] == ["f.yaml:3:7", "f.yaml:3:11"]


def test_the_first_line_may_start_further_right() -> None:
    value = parse_text("[a,\n b]", "--set x", column=10)
    assert isinstance(value, List)
    assert [(item.where.line, item.where.column) for item in value] == [(1, 11), (2, 2)]


def test_an_alias_stands_for_the_anchored_value_where_that_stood() -> None:
    value = parse_text("a: &x {k: v}\nb: *x\n", "f.yaml")
    assert isinstance(value, Map)
    assert value["b"] == {"k": "v"}
    assert str(value["b"].where) == "f.yaml:1:4"


@pytest.mark.parametrize(
    ("data", "place", "words"),
    [
        (b"", "1:1", "empty"),
        (b"# only a comment\n\n", "1:1", "empty"),
        (b"a:\n\tb: 1\n", "2:1", "tab"),
        (b"a: 1\nb: 2\na: 3\n", "3:1", "`a` stands twice, first in line 1"),
        (b"a: 1\n'a': 3\n", "2:1", "stands twice"),
        (b"a: 1\n---\nb: 1\n", "2:1", "second document"),
        (b"ab: x\nk: \xe4\n", "2:4", "0xe4 is not UTF-8"),
        ("\ufeffa: 1".encode("utf-16"), "1:1", "not UTF-8"),
        (b"a: \x07", "1:4", "U+0007"),
        (b"a: \x00", "1:4", "U+0000"),
        (b'a: "\\x1b[31mred"', "1:4", "control character"),
        (b'a: "\\u202e"', "1:4", "control character"),
        (b'a: "\\ud800"', "1:4", "half of a character"),
        (b'a: "\\U7fffffff"', "1:7", "out of range"),
        (b"%YAML 1." + b"9" * 5000 + b"\n---\na: 1", "1:9", "out of range"),
        (b"a: &x [*x]", "1:8", "contains itself"),
        (b"a: *x", "1:4", "no anchor"),
        (b"a: !!python/object/apply:os.system [id]", "1:4", "tags"),
        (b"a: !mine 1", "1:4", "tags"),
        (b"a: ! 1", "1:4", "tags"),
        (b"a:\n  <<: {b: 1}", "2:3", "extends"),
        (b"? [a]\n: 1", "1:3", "key has to be text"),
        (b"'': 1", "1:1", "key has to be text"),
        (b"a: 'open", "1:9", "ends inside a quoted text"),
        (b"a: b: c", "1:5", "`:` where no key can stand"),
        (b"a: @b", "1:4", "quotes"),
        (b"a: >=12.9", "1:5", "quotes"),
        (b"a: [1, 2\nb: 1", "2:2", "not valid YAML"),
        (b"[" * 5000, "1:33", "32 levels"),
        (b"{a: " * 5000, "1:129", "32 levels"),
    ],
)
def test_every_fault_has_its_place_and_a_sentence(data: bytes, place: str, words: str) -> None:
    error = fault(data)
    assert f"{error.where}" == f"f.yaml:{place}"
    assert words in error.what


def test_exploding_anchors_are_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "aliases expanded" in fault("\n".join(lines).encode()).what


def test_many_values_without_aliases_are_refused_too() -> None:
    assert "10,000 values" in fault(b"[" + b"x," * 20_000 + b"]").what


def test_a_large_file_is_refused_without_parsing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.yaml"
    path.write_bytes(b"a: b\n" * 2_000_000)
    monkeypatch.setattr(marks, "parse_text", None)
    with pytest.raises(ProfileError, match=r"large\.yaml:1:1: .* larger than 1,000,000 bytes"):
        read_value(path)


def test_a_byte_order_mark_moves_no_column() -> None:
    value = parse_value(b"\xef\xbb\xbfa: 1", "f.yaml")
    assert isinstance(value, Map)
    assert str(value.key_where["a"]) == "f.yaml:1:1"


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (fifo, tmp_path, Path("/dev/zero")):
        with pytest.raises(ProfileError, match="not a regular file"):
            read_value(path)
    with pytest.raises(ProfileError, match="No such file"):
        read_value(tmp_path / "absent")


def test_a_document_that_is_no_map_is_refused_where_a_map_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text("\n- a\n")
    with pytest.raises(ProfileError, match=r"list\.yaml:2:1: expected keys and values"):
        read_map(path)


def test_shown_text_is_short_and_harmless() -> None:
    assert shown("a\x1b[31mb\nc") == "`ab c`"
    assert shown("https://me:secret@host/x") == "`https://***@host/x`"
    assert len(shown("x" * 500)) == 62
    assert shown("\udcff").isprintable()
