from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from trtllm_builder import data
from trtllm_builder.cli.profiles import app
from trtllm_builder.errors import ProfileError

SCHEMAS = Path(data.__file__).parent / "schemas"


def output(*words: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == status, result.output
    return result.output


def document(schema: str, *words: str, status: int = 0) -> dict[str, object]:
    parsed: dict[str, object] = json.loads(output(*words, status=status))
    jsonschema.validate(parsed, json.loads((SCHEMAS / schema).read_text()))
    return parsed


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.yaml"
    path.write_text("schema: 1\nextends: canary\nbuild: {jbos: 2}\npyton: 3.10\n")
    return path


def test_list(broken: Path) -> None:
    lines = output("list", "--profile-dir", str(broken.parent)).splitlines()
    assert lines[0].startswith("autodl-4090     AutoDL RTX 4090")
    assert lines[1].startswith(f"broken          NOT VALID: {broken}:3:9: unknown key `jbos`")
    assert len(lines) == 8


def test_list_as_json(broken: Path) -> None:
    listed = document("profiles-list.json", "list", "--json", "--profile-dir", str(broken.parent))["profiles"]
    assert isinstance(listed, list)
    faulty = [one for one in listed if one["fault"]]
    assert [one["name"] for one in faulty] == ["broken"]
    assert faulty[0]["fault"]["where"] == {"path": str(broken), "line": 3, "column": 9}


def test_show_prints_the_file_with_nothing_secret_or_harmful_in_it(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"# https://me:hunter2@host/ \x1b[31m \xff\nschema: 1\n")
    assert output("show", str(path)) == f"# {path}\n# https://***@host/  \ufffd\nschema: 1\n"


def test_show_resolved_names_origins() -> None:
    lines = output("show", "canary", "--resolved", "--set", "build.jobs=3").splitlines()
    assert any(line.split() == ["jobs:", "3", "#", "--set"] for line in lines)
    assert any(line.startswith("  toolkit: ") and "canary.yaml:" in line for line in lines)
    assert any(line.startswith("    ENABLE_UCX: 0") and "base/single-device.yaml:" in line for line in lines)


def test_show_as_json() -> None:
    shown = document("profiles-show.json", "show", "canary", "--json", "--set", "build.jobs=3")
    values = shown["values"]
    assert isinstance(values, list)
    assert {"path": "build.jobs", "value": 3, "origin": "--set"} in values


def test_validate_takes_profiles_parts_and_mirror_sets() -> None:
    lines = output("validate", "canary", "base/single-device", "mirrors/china").splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == ["valid (profile)", "valid (part)", "valid (mirrors)"]


def test_validate_names_every_fault_of_every_file(broken: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(ProfileError) as caught:
        output("validate", "canary", str(broken), str(tmp_path / "empty.yaml"))
    found = [str(one).partition(": ")[0] for one in (caught.value, *caught.value.others)]
    assert found == [f"{broken}:3:9", f"{broken}:4:1", f"{tmp_path}/empty.yaml:1:1"]


def test_validate_as_json(broken: Path) -> None:
    files = document("profiles-validate.json", "validate", "canary", str(broken), "--json", status=2)["files"]
    assert isinstance(files, list)
    assert [one["valid"] for one in files] == [True, False]
    assert len(files[1]["fault"]["others"]) == 1


def test_schema_is_the_committed_one() -> None:
    assert output("schema") == (SCHEMAS / "profile.json").read_text()
    assert output("schema", "--mirrors") == (SCHEMAS / "mirrors.json").read_text()
