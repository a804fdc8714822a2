from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.ci.result import Result, from_json, read_result

Make = Callable[..., Result]


def test_a_result_survives_json_and_follows_its_schema(make_result: Make, validate: Callable[..., None]) -> None:
    failed = make_result(
        result="failed", exit_code=6, wheel=None, sha256=None, drift=3, failed_checks=("gpu-code", "links"), fault="no"
    )
    for one in (make_result(), failed):
        document = json.loads(json.dumps(one.to_json()))
        validate("result", document)
        assert from_json(document) == one


def test_no_credential_and_no_escape_leaves(make_result: Make) -> None:
    one = make_result(
        fault="\x1b[31mcannot clone https://me:secret@host/x?token=hush\x1b[0m", failed_checks=("a\x1b[1m",)
    )
    text = json.dumps(one.to_json())
    assert "secret" not in text
    assert "hush" not in text
    assert "\\u001b" not in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("profile", None), ("profile", 5), ("result", "great"), ("seconds", -1), ("seconds", float("nan")),
        ("exit_code", True), ("size", "12"), ("size", 2**70), ("failed_checks", "all"), ("failed_checks", [1]),
        ("schema", 2), ("fault", "x" * 5000),
    ],
)  # fmt: skip
def test_what_is_no_result_is_refused(make_result: Make, name: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"^it"):
        from_json({**make_result().to_json(), name: value})


_PLAIN = st.none() | st.booleans() | st.integers() | st.text()


@settings(max_examples=60)
@given(st.recursive(_PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_rubbish_is_refused_with_a_sentence(document: object) -> None:
    with pytest.raises(ValueError, match=r"^it"):
        from_json(document)


def test_a_file_too_large_or_too_deep_is_no_result(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(b"[" * 100_000)
    with pytest.raises(ValueError):
        read_result(path)
    path.write_bytes(b" " * (2**20 + 1))
    with pytest.raises(ValueError, match="too large"):
        read_result(path)
