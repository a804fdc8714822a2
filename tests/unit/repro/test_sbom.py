from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.repro.inputs import KINDS, Input
from trtllm_builder.repro.libraries import Library
from trtllm_builder.repro.sbom import Contained, bill_of_materials

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


def member(
    name: str, made: bool = False, brought: Input | None = None, soname: str = "", build_id: str = ""
) -> Contained:
    return Contained(Library(f"tensorrt_llm/libs/{name}", SHA, 7, SHA, soname, build_id), made, brought)


def test_every_library_is_named_with_who_brought_it() -> None:
    nccl = Input("requirement", "nvidia-nccl", "pkg:pypi/nvidia-nccl@2.27", version="2.27")
    libraries = (
        member("libtensorrt_llm.so", True, None, "libtensorrt_llm.so", "0011"),
        member("libnccl.so", False, nccl, "libnccl.so.2"),
        member("liba.so", False, INPUTS[3]),
        member("libucp.so"),
    )
    text = bill_of_materials("a", "1", INPUTS, libraries)
    assert text == bill_of_materials("a", "1", INPUTS, tuple(reversed(libraries)))
    document = json.loads(text)
    assert official(document) is None
    parts = {one["bom-ref"]: one for one in document["components"]}
    ours, theirs, kept, unknown = (parts[f"member:{one.library.member}"] for one in libraries)
    assert {one["bom-ref"] for one in (ours, theirs, kept, unknown)} < set(document["dependencies"][0]["dependsOn"])
    assert ours["hashes"] == unknown["hashes"] == [{"alg": "SHA-256", "content": SHA}]
    assert ours["evidence"] == {"occurrences": [{"location": "tensorrt_llm/libs/libtensorrt_llm.so"}]}
    told = [{one["name"].partition(":")[2]: one["value"] for one in each["properties"]} for each in parts.values()]
    said = {one["origin"]: one for one in told if one["kind"] == "member"}
    assert said == {
        "build": {"kind": "member", "origin": "build", "size": "7", "soname": "libtensorrt_llm.so", "build-id": "0011"},
        "requirement:nvidia-nccl": {
            "kind": "member", "origin": "requirement:nvidia-nccl", "size": "7", "soname": "libnccl.so.2",
        },
        "lfs:cpp/a.so": {"kind": "member", "origin": "lfs:cpp/a.so", "size": "7"},
        "unknown": {"kind": "member", "origin": "unknown", "size": "7"},
    }  # fmt: skip
    assert (theirs["version"], theirs["purl"]) == ("2.27", "pkg:pypi/nvidia-nccl@2.27")
    assert not {"version", "purl"} & unknown.keys()


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
