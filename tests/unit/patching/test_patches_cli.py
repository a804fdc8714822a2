from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

import trtllm_builder
from trtllm_builder.cli.patches import app
from trtllm_builder.errors import Interrupted, PatchError, SourceError, UsageError

SCHEMA = json.loads((Path(trtllm_builder.__file__).parent / "schemas/patches.json").read_text())
OPERATION = "- {id: one, why: w, op: text.replace, file: a.txt, match: old, with: new, when: {fact: X, is: OFF}}\n"


def run(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def mine(make_tree: Any, make_set: Any) -> tuple[Path, list[str]]:
    sets = make_set(OPERATION).path.parent
    return make_tree({"a.txt": "old\n"}), ["--patch-dir", str(sets), "--patch", "mine", "--fact", "X=OFF"]


def test_json_of_every_command_fits_its_schema(mine: tuple[Path, list[str]]) -> None:
    tree, options = mine
    listed = json.loads(run("list", "--json", *options[:2]))
    assert [one["name"] for one in listed["sets"]] == ["mine", "optional-modules", "single-device", "ub-allocator"]
    checked = json.loads(run("check", tree, "--json", *options))
    applied = json.loads(run("apply", tree, "--json", *options))
    for document in (listed, checked, applied):
        jsonschema.validate(document, SCHEMA)
    assert checked["changes"] == applied["changes"] == ["a.txt"]
    assert checked["digest"] == json.loads(run("check", tree, "--json", *options))["digest"]
    assert (tree / "a.txt").read_text() == "new\n"


def test_text_says_what_and_why(mine: tuple[Path, list[str]]) -> None:
    tree, options = mine
    assert "not needed (X is not known to be OFF)" in run("check", tree, *options[:-2])
    assert run("check", tree, *options) == (
        "mine: applies (1 operations)\n    one: applies (one place in a.txt)\n1 files to change\n    a.txt\n"
    )
    assert run("apply", tree, *options).endswith("1 files changed\n    a.txt\n")
    assert "one: applied already" in run("check", tree, *options)


def test_the_diff_is_raw(mine: tuple[Path, list[str]]) -> None:
    tree, options = mine
    (tree / "a.txt").write_bytes(b"\x1b[31m\xff\nold\r\n")
    result = CliRunner().invoke(app, ["check", str(tree), "--diff", *options], catch_exceptions=False)
    assert b"\n \x1b[31m\xff\n-old\r\n+new\r\n" in result.stdout_bytes


@pytest.mark.parametrize("fact", ["X", "=1", "a b=1"])
def test_a_fact_without_a_name_or_value_is_a_usage_error(tmp_path: Path, fact: str) -> None:
    with pytest.raises(UsageError, match="NAME=VALUE"):
        run("check", tmp_path, "--fact", fact)


def test_a_fact_that_is_given_twice_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="given twice"):
        run("check", tmp_path, "--fact", "X=1", "--fact", "X=0")


@pytest.mark.parametrize("command", ["check", "apply"])
def test_what_is_no_checkout_is_not_blamed_on_the_sets(tmp_path: Path, command: str) -> None:
    words = [command, str(tmp_path), "--patch", "single-device"]
    with pytest.raises(UsageError, match="is not a TensorRT-LLM checkout: it has neither") as error:
        CliRunner().invoke(app, words, catch_exceptions=False)
    assert "this one is empty" in str(error.value.remedy)
    (tmp_path / "tensorrt_llm").mkdir()
    with pytest.raises(PatchError, match=r"from mpi4py or mpi4py.util in tensorrt_llm"):
        CliRunner().invoke(app, words, catch_exceptions=False)


def test_an_audit_does_not_wait_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="neither a directory nor a file"):
        CliRunner().invoke(app, ["audit", str(tmp_path / "pipe")], catch_exceptions=False)


def test_without_a_name_all_shipped_sets_are_checked(tmp_path: Path) -> None:
    (tmp_path / "tensorrt_llm").mkdir()
    with pytest.raises(PatchError, match="single-device/imports"):
        run("check", tmp_path)


def test_a_tree_with_prebuilt_mpi_archives_is_refused_before_any_patch(make_tree: Any) -> None:
    folder = "cpp/tensorrt_llm/{}/x86_64-linux-gnu/libtensorrt_llm_{}_static.a"
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 5000000\n"
    tree = make_tree(
        {
            "scripts/build_wheel.py": "parser = ArgumentParser()\nparser.add_argument('--clean')\n",
            "tensorrt_llm/version.py": "__version__ = '0.15.0'\n",
            folder.format("batch_manager", "batch_manager"): pointer,
            folder.format("executor", "executor"): pointer,
        }
    )
    with pytest.raises(SourceError, match="cannot be built single-device"):
        run("check", tree)


def test_sigterm_while_applying_puts_every_file_back(
    mine: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trtllm_builder.patching import write

    def stage(path: Path, data: bytes, mode: int) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    tree, options = mine
    monkeypatch.setattr(write, "_stage", stage)
    with pytest.raises(Interrupted):
        run("apply", tree, *options)
    assert [(path.name, path.read_text()) for path in tree.iterdir()] == [("a.txt", "old\n")]


def test_operations_that_are_not_needed_for_one_reason_share_a_line(make_tree: Any, make_set: Any) -> None:
    more = OPERATION.replace("one", "two") + OPERATION.replace("one", "three").replace("fact: X", "fact: Y")
    sets = make_set(OPERATION + more).path.parent
    lines = run("check", make_tree({"a.txt": "old\n"}), "--patch-dir", sets, "--patch", "mine").splitlines()
    assert lines[1:3] == [
        "    one, two: not needed (X is not known to be OFF)",
        "    three: not needed (Y is not known to be OFF)",
    ]
