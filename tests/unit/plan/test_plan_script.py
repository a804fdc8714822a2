"""The script: what it embeds is what the build would apply, and no value is ever read as shell text."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from trtllm_builder import canary
from trtllm_builder.patching.results import PatchPlan
from trtllm_builder.patching.sets import apply, check, load_set, set_dirs
from trtllm_builder.patching.version_label import set_version_label
from trtllm_builder.plan.model import Argument, Plan, PlannedTool, Setting, Value
from trtllm_builder.plan.request import Request
from trtllm_builder.plan.resolve import resolve
from trtllm_builder.plan.script import render_script
from trtllm_builder.plan.survey import Place, Survey
from trtllm_builder.source.digest import tree_digest
from trtllm_builder.upstream.model import Probe

FACTS = {"ENABLE_MULTI_DEVICE": "0", "BUILD_DEEP_EP": "OFF", "BUILD_DEEP_GEMM": "OFF", "BUILD_FLASH_MLA": "OFF"}
HOSTILE = [
    "a b",
    "$(touch {})",
    "`touch {}`",
    "'; touch {}; '",
    '"; touch {}; "',
    "\\",
    "*",
    "~",
    "a\nb",
    "-n",
    "#",
    "!x",
]
END = "test -x "


@pytest.fixture
def plan(
    make_request: Callable[..., Request], make_survey: Callable[..., Survey], assumed: Probe, tmp_path: Path
) -> Plan:
    """On a machine that has all of it: two tools, and a toolkit that never has to run."""
    survey = make_survey()
    place = Place(tmp_path / "w", tmp_path / "c", survey.place.disk, "a test")
    plan = resolve(make_request(), replace(survey, place=place), assumed, None)
    programs = {name: tmp_path / f"it's {name}" for name in ("cmake", "ninja", "nvcc")}
    for name, program in programs.items():
        program.write_text(f"#!/bin/sh\necho {name}\n")
        program.chmod(0o755)
    tools = tuple(PlannedTool(name, "1", str(programs[name]), "machine", "") for name in ("cmake", "ninja"))
    rest = [setting for setting in plan.environment if setting.name != "CUDACXX"]
    toolkit = Setting("CUDACXX", str(programs["nvcc"]), "a test")
    return replace(plan, tools=tools, python=Value(sys.executable, "a test"), environment=(*rest, toolkit))


def checkout(path: Path, text: str = "", version: str = "1.2.0") -> Path:
    (path / "tensorrt_llm").mkdir(parents=True)
    (path / "tensorrt_llm/version.py").write_text(f'{text}__version__ = "{version}"\n')
    return path


def nothing() -> PatchPlan:
    return PatchPlan(sets=(), changes=(), diff="", digest="", facts={})


def run(script: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh"], input=script, env={"PATH": "/usr/bin:/bin", **environ}, capture_output=True, text=True, timeout=60
    )


def preparing(script: str) -> str:
    """The script up to where it makes the venv and builds."""
    return script[: script.index(f"\n{END}") + 1]


def test_the_embedded_diff_makes_the_tree_that_the_build_makes(plan: Plan, tmp_path: Path) -> None:
    ours, source = tmp_path / "ours", tmp_path / "given"
    canary.materialise(source)
    canary.materialise(ours)
    sets = [load_set(name, set_dirs((), {})) for name in ("single-device", "optional-modules")]
    patches = check(sets, source, FACTS)
    script = render_script(plan, patches, source)
    before = tree_digest(source)
    done = run(preparing(script))
    assert done.returncode == 0, done.stderr

    apply(check(sets, ours, FACTS), ours)
    assert set_version_label(ours, plan.label) == "0.0.0+canary.sd.cu130.sm89.sm90"
    theirs = tmp_path / "w/source"
    compared = subprocess.run(["diff", "-r", "--exclude=.git", ours, theirs], capture_output=True, text=True)
    assert compared.stdout == "" and compared.returncode == 0
    assert tree_digest(source) == before

    again = run(preparing(script))
    assert again.returncode == 1 and "is there already" in again.stderr


def test_a_tree_that_is_patched_already_needs_no_diff(plan: Plan, tmp_path: Path) -> None:
    source = checkout(tmp_path / "given", version=f"1.2.0+{plan.label}")
    assert "git apply" not in render_script(plan, nothing(), source)


def test_the_workspace_s_own_source_is_used_where_it_is(plan: Plan, tmp_path: Path) -> None:
    source = checkout(tmp_path / "w/source")
    script = render_script(plan, nothing(), source)
    assert "cp -a" not in script
    assert run(preparing(script)).returncode == 0
    assert plan.label in (source / "tensorrt_llm/version.py").read_text()


def test_the_here_document_s_mark_is_no_line_of_the_diff(plan: Plan, tmp_path: Path) -> None:
    text = 'x = """\nEND_OF_PATCH\nEND_OF_PATCH_\n"""\n'
    source = checkout(tmp_path / "given", text=text)
    # Lines of context begin with a space; a hostile file name stands at the beginning of none either.
    script = render_script(plan, nothing(), source)
    assert script.count("\nEND_OF_PATCH\n") == 1
    odd = replace(plan, profile="x\nEND_OF_PATCH\nrm -rf /")
    assert render_script(odd, nothing(), source).count("\nEND_OF_PATCH\n") == 1
    assert run(preparing(script)).returncode == 0
    assert (tmp_path / "w/source/tensorrt_llm/version.py").read_text().startswith(text)


def test_lines_that_look_like_credentials_stay_whole_in_the_diff(plan: Plan, tmp_path: Path) -> None:
    source = checkout(tmp_path / "given", text="# https://user:word@host/x?token=abc\n")
    script = render_script(plan, nothing(), source)
    assert run(preparing(script)).returncode == 0
    assert "https://user:word@host" in (tmp_path / "w/source/tensorrt_llm/version.py").read_text()


def test_the_plan_s_tools_are_linked_into_an_empty_workspace(plan: Plan, tmp_path: Path) -> None:
    finds = tmp_path / "python"
    finds.write_text("#!/bin/sh\ncmake\nninja\n")
    finds.chmod(0o755)
    script = render_script(
        replace(plan, command=(Argument((str(finds),), "x"),)), nothing(), checkout(tmp_path / "given")
    )
    done = run(script)
    assert (done.returncode, done.stdout) == (0, "cmake\nninja\n"), done.stderr


def test_what_is_missing_ends_it_before_anything_is_written(plan: Plan, tmp_path: Path) -> None:
    tools = (replace(plan.tools[0], path=str(tmp_path / "gone")), replace(plan.tools[1], path=None))
    world = tuple(setting for setting in plan.environment if setting.name != "CUDACXX")
    lacking = replace(plan, tools=tools, environment=world, tensorrt=Value("absent", "x"))
    done = run(render_script(lacking, nothing(), checkout(tmp_path / "given")))
    assert done.returncode == 3 and not (tmp_path / "w").exists()
    assert f"missing: cmake ({tmp_path}/gone)\n" in done.stderr
    for name in ("ninja", "the CUDA toolkit", "TensorRT"):
        assert f"missing: {name}, which was not installed" in done.stderr
    assert "run 'trtllm-build --profile mine' once" in done.stderr


def test_the_canary_needs_no_source_directory(plan: Plan, tmp_path: Path) -> None:
    done = run(preparing(render_script(plan, nothing(), None)))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "w/source/.gitmodules").is_file()
    assert f"+canary.{plan.label}" in (tmp_path / "w/source/tensorrt_llm/version.py").read_text()


@pytest.mark.parametrize("value", HOSTILE)
def test_values_are_words_and_never_shell(plan: Plan, tmp_path: Path, value: str) -> None:
    """Runs the whole script, with an interpreter that only shows what reached it."""
    trap = tmp_path / "trap"
    value = value.format(trap)
    shows = tmp_path / "python"
    shows.write_text('#!/bin/sh\nprintf "%s\\0" "$X" "$@"\n')
    shows.chmod(0o755)
    odd = replace(
        plan,
        profile=value,
        command=(Argument((str(shows), value), "x"), Argument(("--flag", value), "y")),
        environment=(*plan.environment, Setting("X", value, "z")),
        source=replace(plan.source, ref=value),
    )
    script = render_script(odd, nothing(), checkout(tmp_path / f"given {len(value)}' $x"))
    assert subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True).returncode == 0
    done = run(script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\0")[:-1] == [value, value, "--flag", value]
    assert not trap.exists()


def test_the_build_gets_the_plan_s_environment_and_no_other(plan: Plan, tmp_path: Path) -> None:
    shows = tmp_path / "python"
    shows.write_text("#!/bin/sh\nenv -0\n")
    shows.chmod(0o755)
    odd = replace(plan, command=(Argument((str(shows),), "x"),))
    done = run(render_script(odd, nothing(), checkout(tmp_path / "given")), HF_TOKEN="secret")
    seen = dict(line.split("=", 1) for line in done.stdout.split("\0")[:-1])
    # sh itself adds these three.
    wanted = {setting.name: setting.value for setting in plan.environment}
    assert {name: value for name, value in seen.items() if name not in ("PWD", "_", "SHLVL")} == wanted


def test_credentials_are_left_out_and_it_is_said(plan: Plan, tmp_path: Path) -> None:
    secret = Setting("PIP_INDEX_URL", "https://me:hunter2@host/simple", "host environment")
    source = checkout(tmp_path / "given")
    script = render_script(replace(plan, environment=(*plan.environment, secret)), nothing(), source)
    assert "hunter2" not in script and shlex.quote("PIP_INDEX_URL=https://***@host/simple") in script
    assert "# Credentials were left out" in script
    assert "# Credentials were left out" not in render_script(plan, nothing(), source)
