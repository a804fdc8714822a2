"""``probe DIR``: the view, the JSON document against its schema, the exit codes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

import trtllm_builder
from trtllm_builder.cli.app import app
from trtllm_builder.errors import UsageError
from trtllm_builder.upstream.catalogue import row_for

SCHEMA = json.loads((Path(trtllm_builder.__file__).parent / "schemas/probe.json").read_text())
ARCHIVE = "cpp/tensorrt_llm/batch_manager/x86_64-linux-gnu/libtensorrt_llm_batch_manager_static.a"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/build_wheel.py").write_text(
        'def main(extra_cmake_vars):\n    targets = ["tensorrt_llm", "deep_ep"]\n    set(extra_cmake_vars)\n'
        'p.add_argument("--job_count", "-j", nargs="?")\np.add_argument("--trt_root", default="/\x1b[31mtrt")\n'
    )
    (tmp_path / "tensorrt_llm").mkdir()
    (tmp_path / "tensorrt_llm/version.py").write_text('__version__ = "1.2.3\x1b[2J"\n')
    (tmp_path / "cpp").mkdir()
    (tmp_path / "cpp/CMakeLists.txt").write_text('option(ENABLE_UCX "" ON)\n')
    return tmp_path


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "trtllm_builder", "probe", *arguments], capture_output=True, text=True)


def test_the_view_says_what_was_found(checkout: Path) -> None:
    done = run(checkout)
    assert done.returncode == 0, done.stderr
    for part in (
        "TensorRT-LLM 1.2.3",
        "--job_count, -j [X]",
        "tensorrt_llm  deep_ep",
        "ENABLE_UCX=ON",
        "verdict: nothing",
    ):
        assert part in done.stdout
    assert "extra-cmake-set-order           scripts/build_wheel.py:3" in done.stdout
    assert "\x1b" not in done.stdout


def test_the_document_follows_its_schema(checkout: Path) -> None:
    done = run(checkout, "--json")
    document = json.loads(done.stdout)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert done.returncode == 0 and document["schema"] == 1 and document["refusal"] is None


def test_an_assumed_probe_follows_it_too() -> None:
    row = row_for("main")
    assert row is not None
    document = {"schema": 1, **row.assumed_probe().to_json()}
    jsonschema.Draft202012Validator(SCHEMA).validate(document)


def test_a_tree_that_cannot_be_built_is_shown_then_refused(checkout: Path) -> None:
    path = checkout / ARCHIVE
    path.parent.mkdir(parents=True)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 5\n" % 0)
    done = run(checkout)
    assert done.returncode == 4
    assert "LFS pointers: 1" in done.stdout and ARCHIVE in done.stdout and "verdict: cannot" in done.stdout
    assert "prebuilt MPI-linked archives" in done.stderr and "Git LFS pointers" in done.stderr
    as_json = run(checkout, "--json")
    assert as_json.returncode == 4
    assert "prebuilt MPI-linked archives" in json.loads(as_json.stdout)["refusal"]


def test_file_names_that_are_not_utf8_are_shown(checkout: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 5\n" % 0
    (checkout / os.fsdecode(b"caf\xe9.bin")).write_bytes(pointer)
    assert "caf?.bin" in run(checkout).stdout
    assert len(json.loads(run(checkout, "--json").stdout)["lfs_pointers"]) == 1


def test_a_script_without_flags_gets_no_verdict(checkout: Path) -> None:
    (checkout / "scripts/build_wheel.py").write_text("")
    done = run(checkout)
    assert "verdict: not known: scripts/build_wheel.py registers no flag" in done.stdout and done.returncode == 4


def test_no_checkout_is_one_sentence(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 4 and done.stdout == ""
    assert "this is not a TensorRT-LLM checkout: scripts/build_wheel.py is missing" in done.stderr
    assert "Traceback" not in done.stderr


def drift(*arguments: str | Path):  # type: ignore[no-untyped-def]
    return CliRunner().invoke(app, ["probe", *map(str, arguments)])


def test_drift_against_another_checkout(
    checkout: Path, tmp_path: Path, validate: Callable[[str, object], None]
) -> None:
    same = drift(checkout, "--against", checkout)
    assert same.exit_code == 0 and same.stdout.endswith("nothing that matters changed\n")
    other = tmp_path / "other"
    shutil.copytree(checkout, other, ignore=shutil.ignore_patterns("other"))
    script = other / "scripts/build_wheel.py"
    script.write_text(script.read_text().replace("--trt_root", "--trt-root\x1b[2J"))
    done = drift(other, "--against", checkout)
    assert done.exit_code == 1 and "\x1b" not in done.stdout
    assert "  gone     --trt_root: --trt_root X" in done.stdout and "2 changes that matter" in done.stdout
    document = json.loads(drift(other, "--against", checkout, "--json").stdout)
    validate("drift", document)
    assert [change["what"] for change in document["changes"]] == ["gone", "new"]


def test_drift_against_a_release_and_against_nothing(checkout: Path, validate: Callable[[str, object], None]) -> None:
    done = drift(checkout, "--against", "release/0.20", "--json")
    document = json.loads(done.stdout)
    validate("drift", document)
    assert done.exit_code == 1 and document["against"]["assumed"]
    error = drift(checkout, "--against", "nothing").exception
    assert isinstance(error, UsageError) and "neither a directory nor a release" in error.what
    assert "0.13-0.18" in str(error.remedy)


def test_what_the_releases_of_a_row_differ_in_is_said_and_not_counted(
    checkout: Path, validate: Callable[[str, object], None]
) -> None:
    document = json.loads(drift(checkout, "--against", "0.15", "--json").stdout)
    validate("drift", document)
    assert [(one["name"], one["before"], one["after"]) for one in document["varied"]] == [
        ("ENABLE_UCX", "0", "ON"),
        ("ucx-on-by-default", None, "present"),
    ]
    assert not {"ENABLE_UCX", "ucx-on-by-default"} & {one["name"] for one in document["changes"]}
    lines = drift(checkout, "--against", "0.15").stdout.splitlines()
    assert lines[-1].startswith("not counted, since the releases of 0.13-0.18 differ in it: ENABLE_UCX, ucx")
    # One explanation for all flags.
    assert sum("the command line is made of flags" in line for line in lines) == 1
    assert json.loads(drift(checkout, "--against", "0.20", "--json").stdout)["varied"] == []


def test_files_that_decide_and_are_none_give_no_verdict(checkout: Path) -> None:
    """A pipe, a link in a circle, and what is not Python; in both views, and not as a good verdict."""
    package = checkout / "tensorrt_llm"
    (package / "__init__.py").write_text("import this is not Python")
    os.mkfifo(package / "pipe.py")
    (package / "loop.py").symlink_to("loop.py")
    (package / "fine.py").symlink_to("version.py")
    done = run(checkout)
    assert done.returncode == 4 and "verdict: not known: 3 of the files that decide" in done.stdout
    assert "pipe.py is not a plain file" in done.stdout and "loop.py is not a plain file" in done.stdout
    told = run(checkout, "--json")
    document = json.loads(told.stdout)
    jsonschema.validate(document, SCHEMA)
    assert told.returncode == 4 and document["undecided"].startswith("3 of the files") and document["refusal"] is None
