from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.utils import parse_wheel_filename

from trtllm_builder.errors import ProfileError
from trtllm_builder.repro.inputs import Input
from trtllm_builder.repro.lock import Lock, build_tag, differences, parse_lock, read_lock

LOCK = Lock(
    "mine",
    {"python": "3.11", "build": {"type": "Release"}},
    1767225600,
    (
        Input("tool", "ninja", "", {"sha256": "a" * 64}, 370448, "1.13.2"),
        Input("source", "TensorRT-LLM", "git+https://host/x.git@" + "1" * 40, {"gitCommit": "1" * 40}, version="main"),
        Input("requirement", "build", "pkg:pypi/build@1.3.0", {"sha256": "b" * 64}, version="1.3.0"),
        Input("codec", "deflate", version="level 6"),
    ),
)


def test_a_file_has_one_input_a_line_in_order_and_comes_back_the_same(tmp_path: Path) -> None:
    text = LOCK.render()
    lines = [line for line in text.splitlines() if line.startswith('  {"kind"')]
    assert [json.loads(line.rstrip(","))["kind"] for line in lines] == ["source", "requirement", "tool", "codec"]
    path = tmp_path / "lock.json"
    path.write_text(text)
    again = read_lock(path)
    assert again.to_json() == LOCK.to_json() and again.digest == LOCK.digest and again.render() == text


def test_the_digest_is_of_what_is_said_and_not_of_how(tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    document = LOCK.to_json()
    path.write_text(json.dumps({**dict(reversed(document.items())), "inputs": document["inputs"][::-1]}))
    assert read_lock(path).digest == LOCK.digest
    for other in (
        replace(LOCK, epoch=None),
        replace(LOCK, profile={**LOCK.profile, "python": "3.10"}),
        replace(LOCK, inputs=LOCK.inputs[1:]),
        replace(LOCK, inputs=(replace(LOCK.inputs[0], digest={"sha256": "c" * 64}), *LOCK.inputs[1:])),
    ):
        assert other.digest != LOCK.digest and differences(LOCK, other)


def test_what_differs_is_said_once_with_both_sides() -> None:
    moved = replace(LOCK.inputs[1], uri="git+https://host/x.git@" + "2" * 40, digest={"gitCommit": "2" * 40})
    other = replace(
        LOCK,
        profile={"python": "3.11", "build": {"type": "Debug"}},
        inputs=(moved, LOCK.inputs[2], Input("patch", "mine", "", {"sha256": "d" * 64})),
    )
    assert [str(one) for one in differences(LOCK, other)] == [
        'profile build.type: "Debug", and the lock has "Release"',
        f"source TensorRT-LLM: main {'2' * 16}, and the lock has main {'1' * 16}",
        f"patch mine: {'d' * 16}, which the lock does not have",
        f"tool ninja: 1.13.2 {'a' * 16} is missing",
        "codec deflate: level 6 is missing",
    ]
    assert differences(LOCK, LOCK) == ()


def test_of_what_looks_alike_the_rest_is_shown() -> None:
    source, tool = LOCK.inputs[1], LOCK.inputs[0]
    elsewhere = replace(source, uri="git+https://evil/x.git@" + "1" * 40)
    nowhere = replace(source, uri="")
    larger = replace(tool, size=1)
    alike = replace(tool, digest={"sha256": "a" * 63 + "b"})
    for before, after, told in (
        (source, elsewhere, f"{elsewhere.uri}, and the lock has {source.uri}"),
        (source, nowhere, f"no address, and the lock has {source.uri}"),
        (tool, larger, f"sha256 {'a' * 64} 1 bytes, and the lock has 1.13.2 sha256 {'a' * 64} 370448 bytes"),
        (tool, alike, f"sha256 {alike.digest['sha256']} 370448 bytes, and the lock has"),
    ):
        (found,) = differences(replace(LOCK, inputs=(before,)), replace(LOCK, inputs=(after,)))
        assert told in str(found)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no JSON"),
        ("[]", "no object"),
        ('{"schema": 2}', "schema"),
        ('{"schema": true}', "schema"),
        ("{\n  nonsense", "no JSON"),
        ("\xff\xfe", "no JSON"),
        ("[" * 100_000, "no JSON"),
        (json.dumps({**LOCK.to_json(), "more": 1}), "'more'"),
        (json.dumps({**LOCK.to_json(), "epoch": True}), "epoch"),
        (json.dumps({**LOCK.to_json(), "epoch": 1e300}), "epoch"),
        (json.dumps({**LOCK.to_json(), "name": "../x"}), "name"),
        (json.dumps({**LOCK.to_json(), "inputs": [{"kind": "magic", "name": "x"}]}), "input 1"),
        (json.dumps({**LOCK.to_json(), "inputs": [{"kind": "tool", "name": "x", "digest": {"a": "xyz"}}]}), "digest"),
        (json.dumps({**LOCK.to_json(), "inputs": [{"kind": "tool", "name": "x", "size": -1}]}), "size"),
        (json.dumps({**LOCK.to_json(), "inputs": [None]}), "input 1"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_lock_is_refused_in_a_sentence(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "lock.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ProfileError) as error:
        read_lock(path)
    assert says in error.value.what and error.value.remedy and str(path) in str(error.value)


def test_a_lock_that_is_not_there_or_is_a_directory(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(ProfileError, match="cannot be read"):
            read_lock(path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*LOCK.to_json(), "kind", "x"]), inner),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(VALUES, st.sampled_from([*LOCK.to_json()]))
def test_any_document_is_a_lock_or_is_refused(value: object, member: str) -> None:
    for document in (value, {**LOCK.to_json(), member: value}):
        try:
            lock = parse_lock(document, Path("lock.json"))
        except ProfileError:
            continue
        assert parse_lock(json.loads(lock.render()), Path("again")).digest == lock.digest


def test_a_build_tag_is_one_that_wheel_names_may_have() -> None:
    tag = build_tag(1767225600, "1a2b3c4d" + "0" * 56)
    assert tag == "20260101_1a2b3c4d"
    name = parse_wheel_filename(f"tensorrt_llm-1.2.0+sd.cu130.sm89-{tag}-cp311-cp311-linux_x86_64.whl")
    assert name[2] == (20260101, "_1a2b3c4d")
    later = parse_wheel_filename(f"x-1-{build_tag(1767398400, '0' * 64)}-py3-none-any.whl")
    assert later[2] > name[2]
