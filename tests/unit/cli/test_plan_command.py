"""``plan`` as a user runs it: formats, exit codes, sentences."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trtllm_builder import canary
from trtllm_builder.cli import app

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> Run:
    """The console script's own entry point, in this process, on a machine without programs to look for."""
    monkeypatch.chdir(tmp_path)

    def main(*words: str) -> tuple[int, str, str]:
        monkeypatch.setenv("PATH", "/nowhere")
        monkeypatch.setattr(sys, "argv", ["trtllm-build", *words])
        with pytest.raises(SystemExit) as ended:
            app.main()
        shown = capfdbinary.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, shown.out.decode(), shown.err.decode()

    return main


@pytest.fixture
def profile(tmp_path: Path) -> str:
    """The canary's, without what depends on this machine, and with an absent toolkit."""
    path = tmp_path / "mine.yaml"
    path.write_text(
        "schema: 1\nextends: canary\npython: host\n"
        f"cuda: {{root: {tmp_path}/cuda}}\nworkspace: [{tmp_path}]\ntools: {{cmake: '>=3.27,<3.31'}}\n"
    )
    return str(path)


def test_lacks_are_listed_and_only_check_and_build_end_with_3(run: Run, profile: str, tmp_path: Path) -> None:
    status, out, err = run("plan", "--profile", profile)
    assert (status, err) == (0, "")
    assert "this host lacks\n  git is missing" in out
    assert f"  the CUDA toolkit at {tmp_path}/cuda is not fit: there is no bin/nvcc\n" in out
    assert f"--set cuda.root={tmp_path}/cuda" in out
    status, out, err = run("plan", "--profile", profile, "--check")
    assert status == 3 and "this host lacks" in out
    assert "error: git is missing" in err and f"error: the CUDA toolkit at {tmp_path}/cuda is not fit" in err
    assert "--toolkitpath=" in err and "Traceback" not in err
    status, out, err = run("--profile", profile, "--workspace", str(tmp_path / "w"))
    assert status == 3 and "error: git is missing" in err and not (tmp_path / "w").exists()


def test_json_and_dry_run_are_the_same_plan(run: Run, profile: str, validate: Callable[[str, object], None]) -> None:
    status, out, _ = run("plan", "--profile", profile, "--json")
    document = json.loads(out)
    validate("plan", document)
    assert status == 0 and document["disk"] == {**document["disk"], "low": 60_000_000, "high": 500_000_000}
    status, dry, _ = run("--profile", profile, "--dry-run", "--json")
    for one in (again := json.loads(dry), document):
        del one["jobs"], one["workspace"]  # they name what is free just now
    assert status == 0 and again == document


def test_a_profile_without_a_checkout(run: Run, validate: Callable[[str, object], None]) -> None:
    status, out, err = run("plan", "--profile", "autodl-4090", "--json", "--set", "python=host")
    assert (status, err) == (0, "")
    document = json.loads(out)
    validate("plan", document)
    assert document["assumed"] and document["lacks"]
    assert any("not pinned to a commit and comes through a mirror" in note for note in document["notes"])


@pytest.mark.parametrize(("ref", "wanted"), [("main", False), ("release/1.2", True)])
def test_tensorrt_is_wanted_where_the_release_needs_it(run: Run, ref: str, wanted: bool) -> None:
    status, out, err = run(
        "plan", "--profile", "h200-ci", "--set", f"source.ref={ref}", "--set", "python=host", "--check"
    )
    assert status == 3 and ("no TensorRT" in err) == wanted
    assert ("TensorRT       none" in out) == (not wanted) and ("has no --trt_root" in out) == (not wanted)


def test_runpod_s_plan_says_how_to_fill_its_volume(run: Run) -> None:
    status, out, _ = run("plan", "--profile", "runpod-4090", "--set", "python=host", "--set", "cuda.root=/no/cuda-12.9")
    assert status == 0
    assert "the CUDA toolkit at /no/cuda-12.9 is not fit: there is no bin/nvcc" in out
    assert "--toolkitpath=/no/cuda-12.9" in out and "CUDA           absent" in out


def test_validate_points_at_a_patch_set_that_is_none(run: Run, profile: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("schema: 1\nextends: canary\npatches: [single-devic]\n")
    status, _, err = run("profiles", "validate", str(bad), profile)
    assert status == 2 and f"{bad}:3:" in err and "did you mean `single-device`?" in err


def test_a_script_needs_a_checkout(run: Run, profile: str) -> None:
    status, out, err = run("plan", "--profile", profile, "--format", "sh", "--source", "https://host/x.git")
    assert (status, out) == (2, "")
    assert "error: a script needs a checkout" in err and "--source DIR" in err


def test_a_script_of_the_canary_needs_none_and_says_what_this_host_lacks(run: Run, profile: str) -> None:
    status, out, err = run("plan", "--profile", profile, "--format", "sh")
    assert (status, err) == (0, "")
    done = subprocess.run(["/bin/sh"], input=out, text=True, capture_output=True, env={"PATH": "/nowhere"})
    assert done.returncode == 3 and "missing: the CUDA toolkit" in done.stderr and "missing: git (git)" in done.stderr


def test_a_script_of_a_real_tree(run: Run, profile: str, tmp_path: Path) -> None:
    source = tmp_path / "it's $here"
    canary.materialise(source)
    status, out, err = run("plan", "--profile", profile, "--source", str(source), "--format", "sh")
    assert (status, err) == (0, "")
    assert subprocess.run(["/bin/sh", "-n"], input=out, text=True, capture_output=True).returncode == 0
    assert '+__version__ = "0.0.0+canary.sd.cu129.sm89"' in out and "+++ b/tensorrt_llm/_utils.py" in out
    assert "It ends at upstream's wheel" in out


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("--source", "/no/such/directory"), 2, "--source /no/such/directory is no directory"),
        (("--source", "ext::sh://x"), 2, "expected a URL with https, ssh or file"),
        (
            ("--source", "http://me:hunter2@host/x"),
            2,
            "expected a URL with https, ssh or file, not `http://***@host/x`",
        ),
        (("--source", "."), 4, "not a TensorRT-LLM checkout"),
        (("--set", "source.ref=release/0.15", "--source", "https://host/x.git"), 4, "prebuilt MPI-linked archives"),
        (("--jobs", "0"), 2, "expected 1 or more"),
        (("--jobs", "100000"), 2, "--jobs 100000: expected a number from 1 to 9999"),
        (("--profile-dir", "/nonexist"), 2, "--profile-dir /nonexist is no directory"),
        (("--set", "patches=[single-devic]"), 2, "there is no patch set `single-devic`; did you mean `single-device`?"),
        (("--workspace", "/a b"), 2, "/a b has characters"),
        (("--set", "cuda.toolkit=new"), 2, "new"),
        (("--format", "yaml"), 2, "yaml"),
    ],
)
def test_each_mistake_has_its_sentence(
    run: Run, profile: str, words: tuple[str, ...], status: int, sentence: str, validate: Callable[[str, object], None]
) -> None:
    ended, out, err = run("plan", "--profile", profile, *words)
    assert (ended, out) == (status, "")
    assert sentence in err and "Traceback" not in err and "hunter2" not in err
    ended, out, err = run("plan", "--profile", profile, *words, "--json")
    document = json.loads(out)
    validate("build-events", document)
    assert (ended, err) == (status, "") and sentence in document["error"]["what"]


def test_an_unknown_profile_is_not_a_traceback(run: Run) -> None:
    status, out, err = run("plan", "--profile", "canarry")
    assert (status, out) == (2, "") and "did you mean `canary`?" in err


@pytest.mark.parametrize("words", [("--dry-run",), ("--json",), ("--jobs", "2"), ("--rebuild",)])
def test_a_missing_profile_is_told(run: Run, words: tuple[str, ...]) -> None:
    status, out, err = run(*words)
    assert status == 2 and "--profile is missing" in out + err and "profiles list" in out + err
    assert "Usage" not in out


def test_without_any_word_help_is_shown(run: Run) -> None:
    status, out, err = run()
    assert status == 2 and "--profile" in out and err == ""


@pytest.mark.parametrize("words", [("--profile", "canary"), ("--json",), ("-j", "1"), ("--out", "x"), ("--dry-run",)])
def test_an_option_of_the_build_before_a_command_is_told(run: Run, words: tuple[str, ...]) -> None:
    status, out, err = run(*words, "plan", "--profile", "canary")
    told = "it is the build's own, and 'plan' has none" if words == ("--dry-run",) else "it belongs behind it"
    assert status == 2 and f"stands before 'plan'; {told}" in out + err
