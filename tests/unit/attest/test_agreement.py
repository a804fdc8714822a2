"""Files beside a wheel that tell of two builds, one of them made up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trtllm_builder.attest.agreement import beside, contradictions
from trtllm_builder.attest.envelope import sign
from trtllm_builder.attest.keys import parse_private_key
from trtllm_builder.repro.inputs import Input
from trtllm_builder.repro.lock import Lock
from trtllm_builder.repro.provenance import Build, Byproduct, statement_text

SHA, COMMIT, FALSE = "ab" * 32, "c" * 40, "f" * 40
FORM = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
KEY = parse_private_key(Ed25519PrivateKey.generate().private_bytes(*FORM), "a test", {})
NAME = "tensorrt_llm-1.0-cp311-cp311-linux_x86_64.whl"
INPUTS = (
    Input("builder", "trtllm-builder", "pkg:pypi/trtllm-builder@1.0", {"sha256": SHA}, version="1.0"),
    Input("source", "TensorRT-LLM", f"git+https://example.org/x@{COMMIT}", {"gitCommit": COMMIT}, version="v1"),
    Input("submodule", "3rdparty/cutlass", "", {"gitCommit": COMMIT}),
    Input("image", "an image"),
    Input("requirement", "numpy", "https://me:secret@example.org/numpy.whl", {"sha256": SHA}, 7, "2.0"),
)


class Beside:
    """What a build of ours leaves beside a wheel of SHA."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wheel = root / NAME
        self.lock = Lock("mine", {"a": 1}, 1, INPUTS)
        self.place(".lock.json").write_text(self.lock.render())
        lock = {"sha256": self.lock.digest, "locked": False}
        source, cache = {"commit": COMMIT, "edited": {}}, {"trusted": True}
        record = {
            "wheel": {"sha256": SHA},
            "lock": lock,
            "run": "a-run",
            "source": source,
            "measured": {"cache": cache},
        }
        self.place(".record.json").write_text(json.dumps(record))
        digest = hashlib.sha256(self.place(".record.json").read_bytes()).hexdigest()
        monkeypatch.setattr("trtllm_builder.repro.provenance.__version__", "1.0")
        said = Build(
            NAME, SHA, {"profile": "mine", "source": {"commit": COMMIT}}, {"lock": lock, "edited": {}, "cache": cache},
            INPUTS, "a-run", 1.0, 2.0,
            [Byproduct(f"{NAME}.record.json", digest, "application/json")], {},
        )  # fmt: skip
        self.place(".intoto.json").write_text(statement_text(said))

    def place(self, suffix: str) -> Path:
        return self.wheel.with_name(f"{NAME}{suffix}")

    def sign(self) -> None:
        self.place(".intoto.jsonl").write_text(sign(self.place(".intoto.json").read_bytes(), KEY).line())

    def change(self, suffix: str, edit: Callable[[Any], object]) -> None:
        document = json.loads(self.place(suffix).read_text())
        edit(document)
        self.place(suffix).write_text(json.dumps(document))

    def found(self) -> list[str]:
        return [one.replace(NAME, "X") for one in contradictions(beside(self.wheel), SHA)]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Beside:
    return Beside(tmp_path, monkeypatch)


def definition(said: Any) -> Any:
    return said["predicate"]["buildDefinition"]


def dependencies(said: Any) -> Any:
    return definition(said)["resolvedDependencies"]


def false_commits(said: Any) -> None:
    for one in dependencies(said):
        if "gitCommit" in one.get("digest", {}):
            one["digest"] = {"gitCommit": FALSE}


def run_details(said: Any) -> Any:
    return said["predicate"]["runDetails"]


def test_what_a_build_leaves_agrees_signed_and_unsigned_whole_and_in_part(files: Beside) -> None:
    assert files.found() == []
    files.sign()
    assert files.found() == []
    for suffix in (".record.json", ".lock.json", ".intoto.json"):
        files.place(suffix).unlink()
        assert files.found() == []


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (false_commits, "X.intoto.json was not made from X.lock.json: they differ in source TensorRT-LLM, submodule"),
        (lambda said: dependencies(said).pop(), "they differ in requirement numpy"),
        (lambda said: dependencies(said).append(7), "they differ in something that is no input"),
        (
            lambda said: run_details(said)["builder"]["version"].update({"trtllm-builder": "9"}),
            "trtllm-builder 9 built it",
        ),
        (lambda said: run_details(said)["metadata"].update(invocationId="b"), "differ in the run"),
        (lambda said: run_details(said)["byproducts"].clear(), "does not name X.record.json"),
        (lambda said: definition(said)["externalParameters"]["source"].update(commit=FALSE), "differ in the commit"),
        (lambda said: definition(said)["externalParameters"].update(profile="evil"), "are of different profiles"),
        (lambda said: definition(said)["internalParameters"].update(edited={".": ["x"]}), "differ in what was edited"),
        (lambda said: definition(said)["internalParameters"]["cache"].update(trusted=False), "cache is trusted"),
        (
            lambda said: definition(said)["internalParameters"].update(lock={"sha256": "0"}),
            "differ in the lock",
        ),
        (lambda said: said.update(predicateType="https://example.org/other"), "X.intoto.json is no provenance"),
    ],
)
def test_a_provenance_that_contradicts(files: Beside, edit: Callable[[Any], object], told: str) -> None:
    files.sign()
    files.change(".intoto.json", edit)
    first, *others = files.found()
    assert first == "X.intoto.json is not the statement that was signed, in X.intoto.jsonl"
    assert any(told in one for one in others), others
    # So it is seen without a signature, and in a bundle without the plain file.
    files.place(".intoto.jsonl").unlink()
    assert files.found() == others
    files.sign()
    files.place(".intoto.json").unlink()
    if "no provenance" not in told:
        assert [one.replace("jsonl", "json") for one in files.found()] == others


def test_a_builder_that_nobody_signed_for(files: Beside) -> None:
    files.sign()
    files.change(".intoto.json", lambda said: run_details(said)["builder"].update(id="https://evil.example"))
    assert files.found() == ["X.intoto.json is not the statement that was signed, in X.intoto.jsonl"]


def test_a_record_or_a_lock_that_was_altered(files: Beside) -> None:
    files.change(".record.json", lambda record: record.update(source={"state": "clean"}))
    assert files.found() == ["X.record.json is not the one that X.intoto.json names"]
    files.place(".record.json").unlink()
    files.change(".lock.json", lambda lock: lock["inputs"].pop())
    assert "differ in" in files.found()[0]
    for text in (
        "",
        "[]",
        "{}",
        '{"inputs": [1]}',
        '{"inputs": [{"kind": 1}]}',
        '{"inputs": [{"kind": "a", "name": 1}]}',
    ):
        files.place(".lock.json").write_text(text)
        assert files.found() == ["X.lock.json is no lock"], text


def test_statements_of_others_are_left_alone(files: Beside) -> None:
    """Such as a CI system's own attestation of the same file, and one of another wheel."""
    own = files.place(".intoto.json").read_bytes()
    other = own.replace(b"pkg:pypi/trtllm-builder#", b"https://ci.example/build#").replace(COMMIT.encode(), b"")
    lines = [sign(data, KEY).line() for data in (own, other, own.replace(SHA.encode(), FALSE.encode()))]
    files.place(".intoto.jsonl").write_text("".join(lines))
    assert files.found() == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=JSON, at=st.sampled_from(["definition", "dependencies", "details", "lock", "inputs", "record"]))
def test_rubbish_is_told_or_passed_over(files: Beside, value: Any, at: str) -> None:
    kept = {suffix: files.place(suffix).read_bytes() for suffix in (".intoto.json", ".lock.json", ".record.json")}
    if at in ("lock", "record"):
        files.place(f".{at}.json").write_text(json.dumps(value))
    elif at == "inputs":
        files.change(".lock.json", lambda lock: lock.update(inputs=value))
    elif at == "dependencies":
        files.change(".intoto.json", lambda s: s["predicate"]["buildDefinition"].update(resolvedDependencies=value))
    else:
        key = {"definition": "buildDefinition", "details": "runDetails"}[at]
        files.change(".intoto.json", lambda said: said["predicate"].update({key: value}))
    assert all(isinstance(one, str) for one in files.found())
    for suffix, data in kept.items():
        files.place(suffix).write_bytes(data)
