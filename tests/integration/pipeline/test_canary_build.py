"""The main job on the canary: profile to verified wheel, with real tools."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.build.workspace import Workspace

pytestmark = pytest.mark.integration
LABEL = "0.0.0+canary.sd.cu130.sm89"


def test_the_whole_way_and_a_second_time(builder: Any, validate: Callable[[str, object], None]) -> None:
    events = builder.events()
    for event in events:
        validate("build-events", event)
    validate("record", builder.record)
    stages = [event["stage"] for event in events if event["event"] == "stage" and event["state"] != "begun"]
    assert stages == ["preflight", "tools", "fetch", "patch", "inputs", "compile", "normalise", "verify", "record"]
    finished = events[-1]
    assert finished["event"] == "finished" and finished["report"]["passed"] and not finished["kept"]
    assert Workspace(builder.workspace).strange() == [], "gc knows all that a build makes"
    wheel, record = builder.wheel, builder.record
    assert wheel.name.startswith(f"tensorrt_llm-{LABEL}-cp") and wheel.name.endswith("-linux_x86_64.whl")
    assert record["wheel"]["sha256"] == hashlib.sha256(wheel.read_bytes()).hexdigest() == finished["sha256"]
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"tensorrt_llm-{LABEL}.dist-info/METADATA").decode()
        version = archive.read("tensorrt_llm/version.py").decode()
        times = {info.date_time for info in archive.infolist()}
    assert f"Version: {LABEL}\n" in metadata and "mpi4py" not in metadata and f'"{LABEL}"' in version
    assert "Classifier: Private :: Do Not Upload" in metadata
    assert times == {(2026, 1, 1, 0, 0, 0)}, "the commit's time, in every member"
    checks = {check["id"]: check["status"] for check in record["report"]["checks"]}
    for needed in ("record", "gpu-targets", "cuobjdump", "forbidden-libraries", "single-device", "import", "answer"):
        assert checks[needed] == "passed", needed
    assert record["report"]["imports"]["answer"] == "42"
    assert record["measured"]["peak_memory"] > 10_000_000 and record["measured"]["cache"]["misses"] >= 0
    log = Path(record["log"]["path"])
    assert hashlib.sha256(log.read_bytes()).hexdigest() == record["log"]["sha256"]
    assert {one["name"] for one in record["patches"]["sets"]} == {"single-device", "ub-allocator", "optional-modules"}
    publish = [sys.executable, "-m", "trtllm_builder", "publish", str(wheel), "--index", str(builder.out / "index")]
    refused = subprocess.run(publish, env=builder.environ, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 8 and "it says so itself (Private :: Do Not Upload)" in refused.stderr

    before = wheel.stat().st_mtime_ns
    events = builder.events()
    assert set(builder.states(events).values()) == {"done", "kept"}
    assert [name for name, state in builder.states(events).items() if state == "done"] == ["preflight"]
    assert events[-1]["kept"] and wheel.stat().st_mtime_ns == before


def test_a_wheel_that_answers_wrongly_is_kept_aside_and_nothing_installs_it(builder: Any) -> None:
    done = builder.run("--set", "verify.answer.expect=43", expect=7)
    assert "answer: " in done.stderr and "42" in done.stderr and "Traceback" not in done.stderr
    assert list(builder.out.glob("*.whl")) == []
    (rejected,) = builder.out.glob("*.rejected")
    report = json.loads(rejected.with_name(f"{rejected.name}.report.json").read_text())
    assert not report["passed"]
    pip = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--target", builder.out / "t", rejected],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert pip.returncode != 0
    # Nothing is compiled again once the expectation is right.
    states = builder.states(builder.events())
    assert states["compile"] == states["normalise"] == "kept" and states["verify"] == "done"


def test_without_patches_upstreams_own_traps_stop_it(builder: Any) -> None:
    done = builder.run("--set", "patches=[]", expect=6)
    assert "Upstream's build insists on deep_ep, which is switched off" in done.stderr
    assert "log: " in done.stderr and list(builder.out.glob("*")) == []


def test_an_import_that_touches_mpi_is_found(builder: Any) -> None:
    # Only the modules' patches: the import still wants mpi4py, which is not there.
    done = builder.run("--set", "patches=[optional-modules]", "--set", "verify.import_deadline=30 s", expect=7)
    assert "import" in done.stderr and "requires-dist: " in done.stderr
    (report,) = builder.out.glob("*.report.json")
    failed = {check["id"] for check in json.loads(report.read_text())["checks"] if check["status"] == "failed"}
    assert "requires-dist" in failed


def test_an_option_nobody_declares_is_named_before_anything_is_made(builder: Any) -> None:
    done = builder.run("--set", "build.cmake.ENABLE_NOTHING=1", expect=2)
    assert "declares no CMake option ENABLE_NOTHING" in done.stderr
    assert not builder.workspace.exists()


def test_another_workspace_with_other_jobs_hits_the_cache_and_gives_the_same_bytes(
    builder: Any, tmp_path: Path
) -> None:
    builder.run("--jobs", "1")
    first = builder.wheel.read_bytes()
    shutil.rmtree(builder.out)
    builder.workspace = tmp_path / "a_much_longer_name" / "workspace"
    events = builder.events("--jobs", "2", "--rebuild")
    assert builder.wheel.read_bytes() == first
    compiled = builder.record["measured"]["cache"]
    assert compiled["hits"] > 0 and compiled["misses"] == 0
    assert builder.states(events)["compile"] == "done"


def test_a_source_directory_is_built_as_it_stands_and_never_written_to(builder: Any, tmp_path: Path) -> None:
    from trtllm_builder import canary
    from trtllm_builder.source.digest import tree_digest

    source = tmp_path / "mine"
    canary.materialise(source)
    version = source / "tensorrt_llm" / "version.py"
    version.write_text(version.read_text().replace("0.0.0+canary", "0.0.1+canary"))
    before = tree_digest(source)
    builder.run("--source", str(source))
    assert tree_digest(source) == before
    assert builder.wheel.name.startswith("tensorrt_llm-0.0.1+canary.sd.cu130.sm89-")
    source = builder.record["source"]
    assert source["state"] == "dirty" and list(source["uncommitted"]) == ["tensorrt_llm/version.py"]
    assert source["served_by"] == "directory" and not source["edited"]


def test_the_script_of_the_plan_builds_upstreams_wheel(builder: Any, tmp_path: Path) -> None:
    from trtllm_builder import canary

    source = tmp_path / "mine"
    canary.materialise(source)
    builder.run("--source", str(source))
    made = builder.record["patches"]["version"]
    # The tools and the toolkit are installed now; of the workspace nothing is left.
    shutil.rmtree(builder.workspace)
    words = ["plan", "--format", "sh", "--source", str(source)]
    done = subprocess.run(
        [*builder.argv()[:3], *words, *builder.argv()[3:]],
        env=builder.environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    script = tmp_path / "build.sh"
    script.write_text(done.stdout)
    subprocess.run(["sh", str(script)], env=builder.environ, cwd=tmp_path, check=True, timeout=240, capture_output=True)
    (wheel,) = (builder.workspace / "dist").glob("*.whl")
    assert wheel.name.startswith(f"tensorrt_llm-{made}-")


def test_an_option_that_upstream_overrules_stops_the_build_before_compiling(builder: Any, tmp_path: Path) -> None:
    from trtllm_builder import canary

    source = tmp_path / "mine"
    canary.materialise(source)
    lists = source / "cpp" / "CMakeLists.txt"
    text = lists.read_text()
    declared = next(line for line in text.splitlines() if line.startswith("option(ENABLE_MULTI_DEVICE"))
    lists.write_text(text.replace(declared, f"{declared}\nset(ENABLE_MULTI_DEVICE 1)"))
    done = builder.run("--source", str(source), expect=6)
    assert "compilers get ENABLE_MULTI_DEVICE=1 and not 0" in done.stderr


def test_a_flag_that_only_the_script_itself_knows_stops_the_build(builder: Any, tmp_path: Path) -> None:
    from trtllm_builder import canary

    source = tmp_path / "mine"
    canary.materialise(source)
    script = source / "scripts" / "build_wheel.py"
    text = script.read_text()
    declared = next(line for line in text.splitlines() if "add_argument" in line and "--skip_building_wheel" in line)
    indent = declared[: len(declared) - len(declared.lstrip())]
    # Spelled in a way that no reading of the text can follow.
    spelled = f"{indent}parser.add_argument(bytes(reversed(b'galf-wen--')).decode())"
    script.write_text(text.replace(declared, f"{spelled}\n{declared}", 1))
    done = builder.run("--source", str(source), expect=4)
    assert "disagrees with its source" in done.stderr and "--new-flag" in done.stderr


def test_a_half_written_copy_of_packaging_is_not_reused(builder: Any) -> None:
    builder.run("--set", "verify.answer.expect=43", expect=7)
    (copy,) = (builder.workspace / "source").glob("build/lib*/tensorrt_llm/version.py")
    copy.write_text("")  # newer than its source and empty, as a full disk leaves it
    builder.run("--set", "build.environment.ANOTHER=attempt")
    assert builder.wheel.is_file()


def test_another_python_in_the_same_workspace_is_refused(builder: Any) -> None:
    from trtllm_builder.host.interpreters import find_python

    ours = ".".join(map(str, sys.version_info[:2]))
    other = next((v for v in ("3.10", "3.12", "3.13", "3.11") if v != ours and find_python(v, builder.environ)), None)
    if other is None:
        pytest.skip("this machine has one Python only")
    builder.run("--set", "verify.answer.expect=43", expect=7)
    done = builder.run("--set", f"python={other}", expect=2)
    assert "was made for Python" in done.stderr and "--rebuild" in done.stderr
    builder.run("--set", f"python={other}", "--rebuild")
    assert f"-cp{other.replace('.', '')}-" in builder.wheel.name
