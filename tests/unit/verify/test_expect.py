"""What a wheel is held against, and by which of the three: profile, record or label."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from trtllm_builder.cli import verify as command
from trtllm_builder.errors import UsageError
from trtllm_builder.verify.capability import order, runnable, runs_on
from trtllm_builder.verify.expect import Expectation, asked_for, expectation_for, from_label, required_groups
from trtllm_builder.verify.tried import Answer, Smoke

MakeWheel = Callable[..., Path]
PLAN: dict[str, Any] = {
    "verification": {
        "targets": {"required": [["sm_86", "sm_89"]], "allowed": ["sm_80", "sm_86", "sm_89"], "reason": "because"},
        "import_deadline": 33.0,
        "max_size": 10**6,
        "model": "canary",
        "prompt": "6 * 7",
        "expect": "42",
    },
    "options": [{"name": "ENABLE_MULTI_DEVICE", "value": "0", "origin": "x"}],
    "python_version": "3.10.13",
    "workspace": {"value": "/build/ws", "origin": "x"},
}


def test_which_code_runs_where() -> None:
    assert runnable(89) == {f"sm_{n}" for n in (*range(80, 87), 88, 89)}  # 87 is a Tegra
    assert runnable(90) == {"sm_90", "sm_90a"}
    assert runnable(121) == {"sm_120", "sm_120f", "sm_121", "sm_121a", "sm_121f"}
    assert runs_on("sm_100f", 103) and not runs_on("sm_103f", 100) and not runs_on("sm_100a", 103)
    assert runnable(87) == {"sm_87"} and not runs_on("sm_90", 100) and not runs_on("ada", 89)
    names = ["compute_80", "sm_100", "sm_90a", "sm_90"]
    assert sorted(names, key=order) == ["sm_90", "sm_90a", "sm_100", "compute_80"]


def test_a_label_is_a_promise() -> None:
    held = from_label("tensorrt_llm-1.2.0+sd.cu130.sm89.sm120-cp310-cp310-linux_x86_64.whl")
    assert held is not None and held.strict and held.single_device and not held.recorded
    assert held.required == (runnable(89), runnable(120)) and "sd.cu130.sm89.sm120" in held.origin
    multi = from_label("tensorrt_llm-1.2.0+nv1.md.cu130.sm90-cp310-cp310-linux_x86_64.whl")
    assert multi is not None and multi.strict and not multi.single_device
    for name in ("tensorrt_llm-1.2.0-cp310-cp310-linux_x86_64.whl", "torch-2+sd.cu130.sm89-py3-none-any.whl", "x.whl",
                 "tensorrt_llm-1.2.0+sd.cu130-cp310-cp310-linux_x86_64.whl"):  # fmt: skip
        assert from_label(name) is None, name


def record(wheel: Path, change: dict[str, object] | None = None) -> None:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    document = {"wheel": {"sha256": digest}, "plan": PLAN, "patches": {"version": "1.0"}, **(change or {})}
    wheel.with_name(f"{wheel.name}.record.json").write_text(json.dumps(document))


def test_the_record_beside_it_before_the_label(make_wheel: MakeWheel) -> None:
    wheel = make_wheel()
    assert "label" in expectation_for(wheel).origin
    record(wheel)
    held = expectation_for(wheel)
    assert held.recorded and held.strict and held.single_device and "record" in held.origin
    assert held.required == (frozenset({"sm_86", "sm_89"}),) and held.ptx == frozenset()
    assert held.python_tag == "cp310" and held.version == "1.0" and held.build_paths == ("/build/ws",)
    assert held.answer == Answer("canary", "6 * 7", "42") and held.import_deadline == 33.0


def test_a_record_of_another_wheel_or_a_damaged_one_says_nothing(make_wheel: MakeWheel) -> None:
    wheel = make_wheel()
    changes: list[dict[str, object]] = [{"wheel": {"sha256": "0" * 64}}, {"plan": {}}, {"plan": 0}, {"wheel": 1}]
    for change in changes:
        record(wheel, change)
        assert not expectation_for(wheel).recorded, change
    wheel.with_name(f"{wheel.name}.record.json").write_bytes(b"\xff{")
    assert not expectation_for(wheel).recorded
    stranger = wheel.rename(wheel.with_name("x-1-py3-none-any.whl"))
    assert expectation_for(stranger) == Expectation()


def test_architectures_of_the_command_line_come_first() -> None:
    held = asked_for(Expectation(required=(frozenset({"sm_80"}),), strict=True), ["sm_90a", "89"])
    assert held.required == (frozenset({"sm_90a"}), runnable(89)) and held.strict and "--arch" in held.reason
    assert asked_for(held, ()) is held
    with pytest.raises(UsageError, match="no GPU architecture"):
        required_groups(["turing"])


def run(*arguments: object) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(command.verify)
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join(result.stdout.split())


def test_only_ours_with_its_record_is_imported_unasked(make_wheel: MakeWheel, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[Path, Answer | None]] = []

    def attempt(_found: object, interpreter: Path, _environ: object, held: Expectation) -> Smoke:
        tried.append((interpreter, held.answer))
        return Smoke(("tensorrt_llm",), "ok", "exit", version="1.0", multi_device=0, import_seconds=1.0, python="3.10")

    monkeypatch.setattr("trtllm_builder.verify.verdict.try_wheel", attempt)
    wheel = make_wheel(version="1.0", tag="cp310-abi3-linux_x86_64")
    _, said = run(wheel)
    assert tried == [] and "not asked for: give --import" in said
    record(wheel)
    _, said = run(wheel)
    assert [answer for _, answer in tried] == [Answer("canary", "6 * 7", "42")] and "the record beside it" in said
    run(wheel, "--no-import")
    assert len(tried) == 1
    run(wheel, "--import", "--python", "/nowhere/python")
    assert tried[-1][0] == Path("/nowhere/python")
    other = make_wheel(version="1.0", tag="cp32-cp32-linux_x86_64")
    _, said = run(other, "--import")
    assert len(tried) == 2 and "FAILED import: not tried: no Python of its tag runs on this machine" in said


def test_the_page_is_written_beside_the_text(make_wheel: MakeWheel, tmp_path: Path) -> None:
    wheel, page = make_wheel(), tmp_path / "page.html"
    code, said = run(wheel, "--html", page)
    assert code == 7 and "FAILED gpu-targets" in said
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>") and "gpu-targets" in page.read_text()
    for bad in (tmp_path, tmp_path / "none" / "page.html"):
        with pytest.raises(UsageError, match="--html"):
            run(wheel, "--html", bad)


def test_a_profile_is_held_against_it(make_wheel: MakeWheel, monkeypatch: pytest.MonkeyPatch) -> None:
    # Surveying the host takes seconds; what comes of it is an integration test.
    plan = SimpleNamespace(profile="autodl-4090", to_json=lambda: PLAN)
    monkeypatch.setattr("trtllm_builder.plan.make.make_plan", lambda _: (plan, None))
    _, said = run(make_wheel(version="1.0"), "--profile", "autodl-4090")
    assert "held to the profile autodl-4090; because" in said
    assert "FAILED python-tag: made for py3, not cp310" in said
    assert "FAILED gpu-targets: the wheel holds no libtensorrt_llm.so" in said
    # Of another project's wheel it is only asked whether it runs there.
    other = make_wheel(version="1.0")
    _, said = run(other.rename(other.with_name("x-1.0-py3-none-any.whl")), "--profile", "autodl-4090")
    assert "FAILED gpu-targets: lacks sm_86 or sm_89: it holds no machine code" in said


def test_what_is_no_python_fails_and_loses_no_report(make_wheel: MakeWheel) -> None:
    code, said = run(make_wheel(), "--import", "--python", "/bin/true")
    assert code == 7 and "cannot be run as a Python interpreter: it is none" in said
    assert "passed: archive, record" in said


def test_a_record_that_is_not_of_the_wheel_fails_it(make_wheel: MakeWheel) -> None:
    wheel = make_wheel()
    path = wheel.with_name(f"{wheel.name}.record.json")
    for text, told in (
        (None, "is of other bytes: sha256 abc"),
        ("{", "cannot be read: it is no JSON"),
        ("[1]", "cannot be read: it is JSON, and no record of ours"),
        ("", "cannot be read: it is no JSON"),
    ):
        record(wheel, {"wheel": {"sha256": "abc"}}) if text is None else path.write_text(text)
        code, said = run(wheel, "--no-import")
        assert code == 7 and "FAILED build-record: the record beside it " + told in said
    path.unlink()
    os.mkfifo(path)
    assert "build-record: the record beside it cannot be read" in run(wheel, "--no-import")[1]
    path.unlink()
    record(wheel)
    assert "build-record" in run(wheel, "--no-import")[1].partition("passed:")[2]
