from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.patching.document import decode


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40) | st.text(alphabet="a\r\n\ufeffé", max_size=12).map(lambda text: text.encode()))
def test_any_bytes_come_back(data: bytes) -> None:
    document = decode(data)
    assert document.encode(document.text) == data


def test_windows_line_ends_and_the_byte_order_mark_come_back() -> None:
    document = decode(b"\xef\xbb\xbfa\r\nb\r\n")
    assert document.text == "a\nb\n"
    assert document.encode("a\nc\n") == b"\xef\xbb\xbfa\r\nc\r\n"


def test_mixed_line_ends_stay_each_for_itself() -> None:
    document = decode(b"a\r\nb\nc\r")
    assert document.text == "a\r\nb\nc\r"


@pytest.mark.parametrize(
    "first", [b"# -*- coding: latin-1 -*-\n", b"#!/usr/bin/python\n# vim: set fileencoding=latin-1 :\n"]
)
def test_a_coding_comment_is_heeded(first: bytes) -> None:
    document = decode(first + b"x = '\xe9'\n")
    assert document.text.endswith("x = 'é'\n")
    with pytest.raises(ValueError, match="cannot be written in latin-1"):
        document.encode("→")


def test_what_is_no_utf8_is_a_character_a_byte() -> None:
    document = decode(b"\xff\xfe")
    assert document.encode(document.text + "x") == b"\xff\xfex"
