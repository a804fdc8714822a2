"""Going on with a run after everything that may lie between: damage, edits, other patches, a second resume."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.build.journal import Journal

pytestmark = pytest.mark.integration
COMMAND = (sys.executable, "-m", "trtllm_builder")
KERNELS = "cpp/tensorrt_llm/kernels"


def call(builder: Any, *words: str, expect: int = 0, **environ: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *words], env={**builder.environ, **environ}, cwd="/", capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip
    assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def resume(builder: Any, *words: str, expect: int = 0, **environ: str) -> subprocess.CompletedProcess[str]:
    return call(builder, "resume", "--workspace", str(builder.workspace), *words, expect=expect, **environ)


def journal(builder: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (builder.workspace / "journal.jsonl").read_text().splitlines()]


def objects(builder: Any) -> dict[str, int]:
    build = builder.workspace / "build"
    return {str(path.relative_to(build)): path.stat().st_mtime_ns for path in build.rglob("*.dir/**/*.o")}


@pytest.fixture
def compiled(builder: Any) -> Any:
    """A run that stopped behind its compile stage, which has to be done again, for its wheel is gone."""
    builder.run()
    lose_wheels(builder)
    return builder


def lose_wheels(builder: Any) -> None:
    for wheel in [*builder.out.glob("*.whl"), *(builder.workspace / "dist").glob("*.whl")]:
        wheel.unlink()


def test_a_damaged_build_directory_is_configured_again_and_keeps_its_objects(compiled: Any) -> None:
    build = compiled.workspace / "build"
    before = objects(compiled)
    assert len(before) >= 20

    # As the seed report had it: CMakeFiles, and no build.ninja. And killed while its environment was made anew.
    (build / "build.ninja").unlink()
    (build / "CMakeCache.txt").unlink()
    (compiled.workspace / "venv/complete").unlink()
    shown = resume(compiled).stdout
    assert not [stage for stage in ("tools", "fetch", "patch") if f"{stage} is done again" in shown], shown
    assert objects(compiled) == before

    lose_wheels(compiled)
    for name in ("CMakeCache.txt", "build.ninja"):
        whole = (build / name).read_bytes()
        (build / name).write_bytes(whole[: len(whole) // 2])
    with (build / ".ninja_log").open("ab") as log, (build / ".ninja_deps").open("ab") as deps:
        log.write(b"17\t29\t3")
        deps.write(b"\x05\x00\x00")
    # The machine went down: the object is there, and nothing is in it.
    (broken,) = build.rglob("bindings.cpp.o")
    broken.write_bytes(b"")
    shown = resume(compiled).stdout
    assert "CMakeCache.txt was cut short" in shown and "bindings.cpp.o was cut short" in shown
    after = objects(compiled)
    assert {name for name in before if after[name] != before[name]} == {str(broken.relative_to(build))}

    # What ninja knows is gone: it compiles again rather than fail.
    lose_wheels(compiled)
    (build / ".ninja_log").write_bytes(b"\x00" * 100)
    (build / ".ninja_deps").write_bytes(b"garbage")
    assert ".ninja_deps is damaged" in resume(compiled).stdout
    assert compiled.record["source"]["state"] == "clean"


def test_edits_by_hand_survive_and_are_said(builder: Any, validate: Callable[[str, object], None]) -> None:
    builder.run()
    source, clean = builder.workspace / "source", builder.wheel.name
    patched, added, deleted = source / "tensorrt_llm/_utils.py", source / "tensorrt_llm/mine.py", source / "README.md"
    patched.write_text(patched.read_text() + "\nMINE = 1\n")
    added.write_text("MINE = 2\n")
    deleted.unlink()
    binding = next(source.rglob("bindings.cpp"))
    binding.write_text(binding.read_text() + "// mine\n")
    before = objects(builder)

    shown = resume(builder).stdout
    assert "changed since: files edited by hand" in shown and "marked dirty: README.md" in shown
    after = objects(builder)
    recompiled = {Path(name).name for name in before if after[name] != before[name]}
    assert "bindings.cpp.o" in recompiled and len(recompiled) <= 2, "what has the version may follow"
    (wheel,) = [path for path in builder.out.glob("*.whl") if path.name != clean]
    assert ".dirty-" in wheel.name
    record = json.loads(wheel.with_name(f"{wheel.name}.record.json").read_text())
    validate("record", record)
    edited = {str(path.relative_to(source)) for path in (patched, added, deleted, binding)}
    assert record["source"]["state"] == "dirty" and set(record["source"]["edited"]) == edited
    assert record["source"]["edited"]["README.md"] == "" and set(record["plan"]["source"]["edited"]) == edited
    assert "nothing was left to do" in resume(builder).stdout and added.exists() and not deleted.exists()

    # A patch that no longer finds its place says who changed it, and nothing is put back.
    whole = patched.read_text()
    patched.write_text("def broken(:\n")
    failed = resume(builder, expect=5)
    assert "edited by hand" in failed.stderr and patched.read_text() == "def broken(:\n"
    # A patched file as it was obtained is patched again, and no edit.
    subprocess.run(["git", "checkout", "-q", "tensorrt_llm/_utils.py", "README.md"], cwd=source, check=True)
    assert patched.read_text() != whole
    added.unlink()
    binding.write_text(binding.read_text().removesuffix("// mine\n"))
    resume(builder)
    assert builder.out.joinpath(clean).is_file() and patched.read_text() == whole.removesuffix("\nMINE = 1\n")

    # Another source would take an edit away: only --rebuild may.
    added.write_text("MINE = 3\n")
    refused = builder.run("--source", str(copied(builder, "upstream")), expect=4)
    assert "edited by hand: tensorrt_llm/mine.py" in refused.stderr and added.exists()
    builder.run("--rebuild")
    assert not added.exists()


def copied(builder: Any, name: str) -> Path:
    from trtllm_builder import canary

    place: Path = builder.workspace.parent / name
    canary.materialise(place)
    return place


def test_a_changed_patch_set_is_taken_back_and_applied_anew(builder: Any, tmp_path: Path) -> None:
    own = tmp_path / "config/trtllm-builder/patches/mine"
    own.mkdir(parents=True)
    builder.environ = {**builder.environ, "XDG_CONFIG_HOME": str(tmp_path / "config")}

    def write(text: str) -> None:
        (own / "new.py").write_text(text)
        (own / "patch.yaml").write_text(
            "schema: 1\ndescription: Adds a file.\noperations:\n"
            "  - {id: add, op: file.ensure, why: a test, file: tensorrt_llm/mine.py, from: new.py}\n"
        )

    write("MINE = 1\n")
    builder.words = ("--set", "patches=[single-device, optional-modules, mine]")
    builder.run()
    before = objects(builder)
    write("MINE = 2\n")
    shown = resume(builder).stdout
    assert "the patch set mine" in shown
    assert "patch is done again" in shown and "compile    kept" not in shown
    assert (builder.workspace / "source/tensorrt_llm/mine.py").read_text() == "MINE = 2\n"
    assert objects(builder) == before and builder.record["source"]["state"] == "clean"


def test_shell_and_retarget(builder: Any, validate: Callable[[str, object], None]) -> None:
    builder.run()
    run = journal(builder)[-1]["id"]
    shown = call(builder, "shell", run, "--", "sh", "-c", "pwd; command -v python; echo $HOME; exit 7", expect=7).stdout
    workspace = builder.workspace
    assert shown.split() == [str(workspace / "source"), str(workspace / "venv/bin/python"), str(workspace / "home")]
    document = json.loads(call(builder, "shell", run, "--json").stdout)
    validate("shell", document)
    with_plan = {one["name"]: one["value"] for one in builder.record["plan"]["environment"]}
    assert document["environment"] == with_plan

    wrong = call(builder, "retarget", run, "th_commn", expect=2)
    assert "th_common" in wrong.stderr and "no target 'th_commn'" in wrong.stderr
    binding = next((workspace / "source").rglob("bindings.cpp"))
    binding.write_text(binding.read_text() + "// mine\n")
    relative = str(binding.relative_to(workspace / "source"))
    done = json.loads(call(builder, "retarget", run, relative, "--json").stdout)
    validate("retarget", done)
    # From the compile cache it takes less than the tenth of a second that is shown.
    assert done["steps"] == 1 and done["seconds"] >= 0
    assert "nothing to do" in call(builder, "retarget", run, relative).stdout
    binding.write_text("no C++\n")
    broken = call(builder, "retarget", run, "bindings", expect=6)
    assert "bindings could not be built" in broken.stderr and "retarget.log" in broken.stderr
    binding.write_text(binding.read_text().replace("no C++\n", "// gone\n"))


def test_of_two_resumes_one_goes_on(builder: Any) -> None:
    builder.run("--set", "verify.answer.expect=43", expect=7)
    both = [
        subprocess.Popen(
            [*COMMAND, "resume", "--workspace", str(builder.workspace)], env=builder.environ, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    told = [child.communicate(timeout=120)[0] for child in both]
    assert sorted(child.returncode for child in both) == [3, 7], told
    refused = next(text for child, text in zip(both, told, strict=True) if child.returncode == 3)
    assert "in use by process" in refused or "still going on" in refused


@pytest.fixture
def few_tools(builder: Any, tmp_path: Path) -> Iterator[Path]:
    """A data directory that lacks two small tools."""
    theirs, ours = Path(builder.environ["XDG_DATA_HOME"]), tmp_path / "data"
    kept = shutil.ignore_patterns("ninja-*", "patchelf-*")
    shutil.copytree(
        theirs / "trtllm-builder", ours / "trtllm-builder", symlinks=True, ignore=kept, copy_function=os.link
    )
    builder.environ = {**builder.environ, "XDG_DATA_HOME": str(ours)}
    yield ours


def test_killed_while_tools_are_installed_and_while_it_cleans_up(
    builder: Any, few_tools: Path, left_running: Callable[[], list[str]]
) -> None:
    begun = lambda event: event.get("stage") == "tools" and event.get("state") == "begun"  # noqa: E731
    for delay in (0.05, 0.4, 0.9):
        child = subprocess.Popen(builder.argv("--json"), env=builder.environ, stdout=subprocess.PIPE, text=True)
        builder.started.append(child)
        assert child.stdout is not None
        with child.stdout as stream:
            next(line for line in stream if begun(json.loads(line)))
            time.sleep(delay)
            # Stopped, and killed in the middle of stopping.
            child.send_signal(signal.SIGTERM)
            time.sleep(0.05)
            child.kill()
            child.wait(60)
    resume(builder) if (builder.workspace / "journal.jsonl").exists() else builder.run()
    assert builder.record["source"]["state"] == "clean" and left_running() == []
    left = [path.name for path in few_tools.rglob(".*") if path.name.startswith(".ninja")]
    assert left == [], "nothing half installed stays"


def test_a_lost_journal_and_a_workspace_that_was_moved(compiled: Any) -> None:
    before, file = objects(compiled), compiled.workspace / "journal.jsonl"
    file.write_bytes(b"\x00\xff[{" * 99)
    assert "is damaged" in resume(compiled, expect=2).stderr
    compiled.run()
    again = [name for name, mtime in objects(compiled).items() if before[name] != mtime]
    assert ".dirty" not in compiled.wheel.name
    assert all("fmha_v2_cu" in name for name in again), "generated sources, of which only the journal knew if whole"
    assert not (compiled.workspace / "aside").exists()
    first = compiled.wheel.read_bytes()
    lose_wheels(compiled)
    last = Journal(file).last_run()
    assert last is not None
    compiled.workspace = compiled.workspace.rename(compiled.workspace.with_name("elsewhere"))
    # By its name: other tests of this session have unfinished runs too.
    assert "there is no workspace" in call(compiled, "resume", last["id"], expect=2).stderr
    shown = resume(compiled).stdout
    assert "was moved here from" in shown and compiled.wheel.read_bytes() == first
