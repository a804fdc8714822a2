from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import trtllm_builder
from trtllm_builder.attest.agreement import BUILD_TYPE
from trtllm_builder.attest.statement import read_statement
from trtllm_builder.repro import codec, provenance
from trtllm_builder.repro.inputs import Input
from trtllm_builder.repro.provenance import Build, Byproduct, publishable, statement_text

SHA = "ab" * 32
BUILD = Build(
    wheel="x-1-py3-none-any.whl",
    sha256=SHA,
    asked={
        "profile": "p",
        "values": {"build": {"environment": {"HF_TOKEN": "hf_abc", "A": "b"}}},
        "source": {"url": "https://me:secret@host/x.git", "ref": "main", "commit": "c" * 40, "directory": False},
    },
    decided={
        "command": ["/home/me/ws/venv/bin/python", "--build_dir", "/home/me/ws/build", "/home/me2/x"],
        "options": {"A": "1"},
        "environment": {"HOME": "/home/me/ws/home"},
        "jobs": 4,
        "lock": {"sha256": SHA, "locked": True},
        "codec": codec.CODEC.to_json(),
        "cache": {"hits": 1, "misses": 2, "remote": ["redis://u:p@h:1/0"], "trusted": False},
        "edited": {},
    },
    inputs=(
        Input("source", "TensorRT-LLM", "git+https://me:secret@host/x.git@" + "c" * 40, {"gitCommit": "c" * 40}),
        Input("tool", "ninja", digest={"sha256": SHA}, size=7, version="1.13"),
        Input("builder", "our own", version="1"),
    ),
    invocation="20260101-000000-abcd",
    started=1_767_225_600.9,
    finished=1_767_229_200.0,
    byproducts=(Byproduct("compile.log", SHA, "text/plain"),),
    places={"/home/me": "$HOME", "/home/me/ws": "$WORKSPACE"},
)


def test_it_is_what_the_published_shapes_want(validate: Callable[[str, object], None]) -> None:
    text = statement_text(BUILD)
    validate("provenance", json.loads(text))
    found = read_statement(text.encode())
    assert found.faults == () and found.is_of(SHA)
    run = found.predicate["runDetails"]
    assert run["metadata"] == {
        "invocationId": "20260101-000000-abcd",
        "startedOn": "2026-01-01T00:00:00Z",
        "finishedOn": "2026-01-01T01:00:00Z",
    }
    assert run["builder"]["id"] == "pkg:pypi/trtllm-builder"
    needed = found.predicate["buildDefinition"]["resolvedDependencies"]
    assert [one["name"] for one in needed] == ["TensorRT-LLM", "ninja", "our own"]
    assert needed[1]["annotations"] == {"kind": "tool", "version": "1.13", "size": 7}
    assert needed[2]["uri"] == "pkg:generic/our%20own"  # one of uri, digest and content must be there


def test_no_secret_and_no_path_of_this_machine_is_in_it() -> None:
    text = statement_text(BUILD)
    for secret in ("secret", "hf_abc", "u:p@", "/home/me/"):
        assert secret not in text, secret
    command = json.loads(text)["predicate"]["buildDefinition"]["internalParameters"]["command"]
    assert command == ["$WORKSPACE/venv/bin/python", "--build_dir", "$WORKSPACE/build", "/home/me2/x"]
    assert publishable({"password": "", "API_KEY": "x", "cmake": ["MONKEY=1"], "n": 3, "none": None}, {}) == {
        "password": "", "API_KEY": "***", "cmake": ["MONKEY=1"], "n": 3, "none": None,
    }  # fmt: skip
    assert publishable("/a/b and /a/bc", {"/a/b": r"\1$X"}) == r"\1$X and /a/bc"


def test_it_is_the_same_but_for_its_times() -> None:
    again = replace(BUILD, decided=dict(reversed(BUILD.decided.items())), places=dict(reversed(BUILD.places.items())))
    assert statement_text(again) == statement_text(BUILD)
    later = statement_text(replace(BUILD, started=1.0, finished=2.0, invocation="other"))
    lines = zip(later.splitlines(), statement_text(BUILD).splitlines(), strict=True)
    differing = {re.sub(r'[" ]|:.*', "", one) for one, other in lines if one != other}
    assert differing == {"finishedOn", "invocationId", "startedOn"}


def test_the_build_type_leads_to_its_description() -> None:
    path = Path(trtllm_builder.__file__).parents[1] / BUILD_TYPE.partition("#")[2]
    text = path.read_text()
    assert BUILD_TYPE in text and provenance.BUILDER in text
    for field in (*BUILD.asked, *BUILD.decided):
        assert f"| `{field}` |" in text, field
