from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.repro.inputs import KINDS, Input
from trtllm_builder.repro.sbom import bill_of_materials

SHA, COMMIT = "ab" * 32, "c" * 40
INPUTS = (
    Input(
        "source",
        "TensorRT-LLM",
        f"git+https://github.com/NVIDIA/TensorRT-LLM.git@{COMMIT}",
        {"gitCommit": COMMIT},
        version="v1.2",
    ),
    Input("submodule", "3rdparty/cutlass", f"git+https://me:secret@example.org/c.git@{COMMIT}", {"gitCommit": COMMIT}),
    Input("dependency", "json", f"git+https://github.com/nlohmann/json@{COMMIT}", {"gitCommit": COMMIT}, version="v3"),
    Input("lfs", "cpp/a.so", digest={"sha256": SHA}, size=5),
    Input("patch", "single-device", digest={"sha256": SHA}),
    Input("toolkit", "libcudart_static.a", digest={"sha256": SHA}, version="13.0.88"),
    Input("toolkit", "nvcc", digest={"sha256": SHA}, version="13.0.88"),
    Input("compiler", "g++", digest={"sha256": SHA}),
    Input("requirement", "torch", "pkg:pypi/torch@2.9.0", {"sha256": SHA}, version="2.9.0"),
    Input("requirement", "wheel", "pkg:pypi/wheel@1", {"sha256": SHA}, version="1"),
    Input("python", "python3.11", digest={"sha256": SHA}),
)


def bill(inputs: tuple[Input, ...] = INPUTS) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(bill_of_materials("tensorrt-llm", "1.2.0+sd.cu130.sm89", inputs))
    return document


def official(document: dict[str, Any]) -> object:
    """What CycloneDX's own schema has against it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator

        return JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document))


def test_it_follows_the_official_schema() -> None:
    assert official(bill()) is None
    assert official({**bill(), "components": [{"name": "x"}]}) is not None  # it can tell


def test_what_is_in_the_wheel_and_what_only_helped() -> None:
    document = bill()
    parts = {one["bom-ref"]: one for one in document["components"]}
    assert {name for name, one in parts.items() if one["scope"] == "excluded"} == {
        "requirement:torch",
        "requirement:wheel",
    }
    assert set(document["dependencies"][0]["dependsOn"]) == {
        "source:TensorRT-LLM", "submodule:3rdparty/cutlass", "dependency:json", "lfs:cpp/a.so",
        "toolkit:libcudart_static.a",
    } == {name for name, one in parts.items() if one["scope"] == "required"}  # fmt: skip
    source = parts["source:TensorRT-LLM"]
    assert source["purl"] == f"pkg:github/nvidia/tensorrt-llm@{COMMIT}"
    assert source["externalReferences"] == [{"type": "vcs", "url": "https://github.com/NVIDIA/TensorRT-LLM.git"}]
    assert {"name": "trtllm-builder:patch:single-device", "value": SHA} in source["properties"]
    assert parts["requirement:torch"]["purl"] == "pkg:pypi/torch@2.9.0"
    assert parts["lfs:cpp/a.so"]["hashes"] == [{"alg": "SHA-256", "content": SHA}]
    assert document["metadata"]["component"]["purl"] == "pkg:pypi/tensorrt-llm@1.2.0%2Bsd.cu130.sm89"
    assert "secret" not in json.dumps(document)


def test_the_same_inputs_are_the_same_bytes() -> None:
    one = bill_of_materials("a", "1", INPUTS)
    assert one == bill_of_materials("a", "1", tuple(reversed(INPUTS)))
    assert b"timestamp" not in one
    serials = {bill(INPUTS[:number])["serialNumber"] for number in range(3)} | {bill()["serialNumber"]}
    assert len(serials) == 4


def test_two_things_of_one_name_are_two() -> None:
    twice = (Input("dependency", "x", version="1"), Input("dependency", "x", version="2"))
    document = bill(twice)
    assert official(document) is None and len(document["dependencies"][0]["dependsOn"]) == 2


TEXT = st.text(max_size=12)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=15, deadline=None)
@given(st.lists(st.builds(Input, st.sampled_from(KINDS), TEXT.filter(bool), TEXT, version=TEXT), max_size=4))
def test_any_inputs_make_a_sound_document(inputs: list[Input]) -> None:
    assert official(bill(tuple(inputs))) is None
