"""The profiles that come with us, and the schema that editors check them by."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from packaging.specifiers import SpecifierSet

from trtllm_builder import data
from trtllm_builder.profile.explain import render, resolved
from trtllm_builder.profile.load import LoadedProfile, check_file, list_profiles, load_profile
from trtllm_builder.profile.schema import schema_text

ROOT = data.shipped("profiles")
FILES = sorted(ROOT.rglob("*.yaml"))
NAMES = sorted(path.stem for path in ROOT.glob("*.yaml"))
SCHEMAS = Path(data.__file__).parent / "schemas"


def load(name: str, *overrides: str) -> LoadedProfile:
    return load_profile(name, profile_dirs=[ROOT], overrides=overrides)


def test_all_that_was_promised_is_there() -> None:
    listed = list_profiles([ROOT])
    assert [one.name for one in listed] == [
        "autodl-4090", "canary", "desktop-5060ti", "gpugeek-multi", "h200-ci", "runpod-4090", "wsl2-local",
    ]  # fmt: skip
    assert [one.fault for one in listed] == [None] * 7
    assert all(len(one.description) > 20 for one in listed)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_shipped_file_is_valid_for_us_and_for_editors(path: Path) -> None:
    _, kind = check_file(str(path), profile_dirs=[ROOT])
    text = path.read_text()
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named
    schema = (path.parent / named[1]).resolve()
    assert schema == SCHEMAS / ("mirrors.json" if kind == "mirrors" else "profile.json")
    # An editor reads plain YAML and gives scalars types of its own.
    jsonschema.validate(yaml.safe_load(text), json.loads(schema.read_text()))


@pytest.mark.parametrize("kind", ["profile", "mirrors"])
def test_the_committed_schemas_are_current(kind: str) -> None:
    assert (SCHEMAS / f"{kind}.json").read_text() == schema_text(kind), (
        "run: trtllm-build profiles schema > trtllm_builder/schemas/profile.json (and --mirrors > .../mirrors.json)"
    )


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("build: {jbos: 2}", "jbos"),
        ("build: {generator: Make}", "Make"),
        ("build: {jobs: 0}", "0"),
        ("cuda: {architectures: [75]}", "75"),
        ("cuda: {architectures: 89}", "89"),
        ("build: {cmake: {A: {vale: 1}}}", "vale"),
        ("python: 3.9", "3.9"),
    ],
)
def test_editors_see_the_usual_mistakes(text: str, word: str) -> None:
    schema = json.loads((SCHEMAS / "profile.json").read_text())
    with pytest.raises(jsonschema.ValidationError, match=word):
        jsonschema.validate({"schema": 1, **yaml.safe_load(text)}, schema)


def test_every_field_is_described_for_editors() -> None:
    schema = json.loads((SCHEMAS / "profile.json").read_text())
    for name, part in {"profile": schema, **schema["$defs"]}.items():
        for field, about in next((one for one in part.get("anyOf", []) if "properties" in one), part)[
            "properties"
        ].items():
            assert "description" in about or "$ref" in json.dumps(about), f"{name}.{field}"


@pytest.mark.parametrize("name", NAMES)
def test_the_resolved_form_loads_again_to_the_same_values(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.yaml"
    profile = load(
        name, "build.job_memory=1500 MB", "build.flags.skip-stubs=true", "verify.import_deadline=90.5"
    ).profile
    path.write_text(render(profile))
    again = load_profile(str(path), profile_dirs=[ROOT]).profile
    assert again.model_dump(exclude={"origins"}) == profile.model_dump(exclude={"origins"})


def test_every_value_of_a_profile_has_an_origin() -> None:
    for name in NAMES:
        profile = load(name, "build.jobs=2").profile
        assert {".".join(one.path) for one in resolved(profile)} == set(profile.origins)
        assert profile.origins["build.jobs"] == "--set"


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_profile_is_single_device(name: str) -> None:
    profile = load(name).profile
    assert profile.build.cmake["ENABLE_MULTI_DEVICE"].value == "0"
    assert profile.build.cmake["ENABLE_UCX"].value == "0"
    assert profile.patches[0] == "single-device"
    # An option that is off needs the patch set that lets packaging survive it.
    off = {"BUILD_DEEP_EP", "BUILD_DEEP_GEMM", "BUILD_FLASH_MLA"} & set(profile.build.cmake)
    assert ("optional-modules" in profile.patches) == bool(off)


def test_toolkits_fit_their_gpus_and_drivers() -> None:
    for name in NAMES:
        cuda = load(name).profile.cuda
        toolkit = SpecifierSet(cuda.toolkit)
        if 120 in cuda.architectures:
            assert "12.6" not in toolkit
    assert "13.0" not in SpecifierSet(load("runpod-4090").profile.cuda.toolkit)


def test_the_canary_wants_nothing_of_the_machine() -> None:
    profile = load("canary").profile
    assert profile.source.url == "builtin:canary"
    assert profile.cuda.wheels
    assert profile.tensorrt.root == "none"
    assert profile.python == "host"
    assert profile.workspace == ("cache",)
    assert profile.verify.answer is not None
    assert (profile.verify.answer.prompt, profile.verify.answer.expect) == ("6 * 7", "42")


def test_credentials_are_in_no_view() -> None:
    profile = load(
        "canary", "source.url=https://me:hunter2@host/x.git", "build.environment.http_proxy=http://me:hunter2@p:1"
    ).profile
    assert profile.source.url == "https://me:hunter2@host/x.git"
    shown = render(profile) + json.dumps([one.value for one in resolved(profile)])
    assert "hunter2" not in shown
    assert "https://***@host/x.git" in shown
