"""``releases``: the table, a machine from a file, this machine, and the documents against their schemas."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import trtllm_builder
from trtllm_builder.cli.app import app
from trtllm_builder.errors import UsageError

HOST = {"driver": "570.195.03", "gpus": ["8.9"], "cuda": "12.4", "disk_free": "50 GB", "place": "/workspace"}


@pytest.fixture
def host(tmp_path: Path) -> Path:
    path = tmp_path / "host.json"
    path.write_text(json.dumps(HOST))
    return path


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["releases", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_the_table_says_how_sure_each_cell_is() -> None:
    shown = run()
    line = next(line for line in shown.splitlines() if line.startswith("0.20 "))
    assert line.split()[1:3] == [">=12.8,<13~", "~=10.10.0~"] and line.endswith("supported~")
    assert "~ reported by upstream's documents" in shown and max(map(len, shown.splitlines())) < 130


def test_a_machine_ends_in_one_recommendation(host: Path) -> None:
    lines = run("--host", str(host)).splitlines()
    assert lines[0].startswith("machine: x86_64; driver 570.195.03; GPUs sm_89; CUDA here 12.4; glibc not known")
    assert sum(line.startswith("recommended:") for line in lines) == 1
    assert any(line.startswith("recommended: 0.20 with CUDA 12.9: ") for line in lines)


def test_where_nothing_fits_the_steps_are_told(host: Path) -> None:
    host.write_text(json.dumps({**HOST, "pythons": ["3.13"]}))
    reason, step = run("--host", str(host)).splitlines()[-2:]
    assert reason.startswith(
        "recommended: none: no release fits this machine; nearest is 0.20: needs Python 3.10 or 3.12"
    )
    assert step.startswith("  - install Python 3.10 or 3.12 (")


def test_help_names_the_keys_of_a_host_file() -> None:
    shown = " ".join(CliRunner().invoke(app, ["releases", "--help"], env={"COLUMNS": "200"}).output.split())
    schema = Path(trtllm_builder.__file__).parent / "schemas/releases-host.json"
    assert all(f"{key} (" in shown for key in json.loads(schema.read_text())["properties"])


def test_the_documents_follow_the_schema(host: Path, validate: Callable[[str, object], None]) -> None:
    validate("releases-host", HOST)
    plain = json.loads(run("--json"))
    validate("releases", plain)
    main = plain["releases"][-1]
    assert main["gpu_code"] == {
        "13.2": {
            "80": ["sm_80"], "86": ["sm_86"], "87": ["sm_87"], "89": ["sm_86", "sm_89"], "90": ["sm_90a"],
            "100": ["sm_100f"], "103": ["sm_100f"], "120": ["sm_120f"], "121": ["sm_120f"],
        }
    }  # fmt: skip
    middle, oldest = plain["releases"][4]["gpu_code"], plain["releases"][0]["gpu_code"]
    assert middle["12.8"]["120"] == ["sm_120a"] and middle["12.9"]["120"] == ["sm_120f"]
    assert "121" not in middle["12.8"] and middle["12.9"]["121"] == ["sm_120f"]
    assert oldest["12.6"]["89"] == ["sm_89"]
    judged = json.loads(run("--json", "--host", str(host)))
    validate("releases", judged)
    assert judged["recommendation"]["release"] == "0.20" and judged["host"]["disk_free"] == 50 * 10**9


def test_this_machine(validate: Callable[[str, object], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    validate("releases", json.loads(run("--for-host", "--json")))


def test_a_file_that_describes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        run("--host", str(tmp_path / "absent.json"))
