from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer
from typer.testing import CliRunner

from trtllm_builder.build import inputs, make_lock
from trtllm_builder.build import rebuild as rebuilding
from trtllm_builder.build.locked import check, check_inputs
from trtllm_builder.build.rebuild import Rebuilt, rebuild
from trtllm_builder.cli import lock as lock_command
from trtllm_builder.cli import rebuild as command
from trtllm_builder.errors import ProfileError, UsageError, VerifyError
from trtllm_builder.plan.locking import locked_values
from trtllm_builder.plan.request import Asked, Request, make_request
from trtllm_builder.repro.inputs import Input
from trtllm_builder.repro.lock import Lock

ENVIRON = {"HOME": "/home/me", "PATH": "/usr/bin:/bin"}
NAME = "tensorrt_llm-1.0-20260101_1a2b3c4d-cp311-cp311-linux_x86_64.whl"
SOURCE = Input("source", "TensorRT-LLM", f"git+https://host/x.git@{'1' * 40}", {"gitCommit": "1" * 40})


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    profile = make_request(Asked("canary", tmp_path / "out"), ENVIRON).loaded.profile
    wheel = tmp_path / NAME
    wheel.write_bytes(b"a wheel")
    Path(f"{wheel}.lock.json").write_text(Lock("canary", locked_values(profile), 1, (SOURCE,)).render())
    return wheel


@pytest.fixture
def again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Rebuilt]:
    """``rebuild`` with a build that gives these bytes; the request it was given is in ``asked``."""
    monkeypatch.setattr(rebuilding, "make_plan", lambda _: (SimpleNamespace(caches=str(tmp_path / "caches")), None))

    def call(subject: Path, data: bytes, cache: bool = False, **more: Any) -> Rebuilt:
        def build(request: Request, observer: object, *, rebuild: bool) -> Any:
            assert rebuild and request.locked is not None
            asked.append(request)
            result = request.asked.out / NAME
            result.parent.mkdir(exist_ok=True)
            result.write_bytes(data)
            hits = 3 if request.loaded.profile.build.ccache.enabled else 0
            record = result.with_name("record.json")
            record.write_text(json.dumps({"measured": {"cache": {"hits": hits}}}))
            return SimpleNamespace(wheel=result, record=record, sha256=hashlib.sha256(data).hexdigest())

        monkeypatch.setattr(rebuilding, "build", build)
        words = Asked("", tmp_path / "again", **more)
        return rebuild(subject, words, SimpleNamespace(), ENVIRON, cache=cache)  # type: ignore[arg-type]

    asked: list[Request] = []
    call.asked = asked  # type: ignore[attr-defined]
    return call


def test_the_same_bytes_with_the_wheels_own_tag_in_a_place_of_its_own(
    wheel: Path, again: Any, tmp_path: Path, validate: Callable[[str, object], None]
) -> None:
    for subject in (wheel, Path(f"{wheel}.lock.json")):
        found = again(subject, b"a wheel")
        assert found.same and found.comparison is None and found.original == wheel
        validate("rebuild", found.to_json())
    request = again.asked[-1]
    assert request.asked.workspace.parent == tmp_path / "caches" / "workspaces"
    assert request.build_tag == "20260101_1a2b3c4d"
    assert not request.loaded.profile.build.ccache.enabled


@pytest.mark.parametrize("words", [(), ("--with-cache",)])
def test_the_verdict_says_for_what_no_compiler_ran(
    wheel: Path, again: Any, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    def build_again(subject: Path, *_: object, cache: bool) -> Rebuilt:
        return cast(Rebuilt, again(subject, b"a wheel", cache=cache))

    monkeypatch.setattr(rebuilding, "rebuild", build_again)
    app = typer.Typer()
    app.command()(command.rebuild)
    done = CliRunner().invoke(app, [str(wheel), *words], catch_exceptions=False)
    said = " ".join(done.output.split())
    assert done.exit_code == 0 and f"built in {again.asked[0].asked.workspace}" in said and "gc" in said
    if words:
        assert "3 files came from the compile cache: no compiler ran" in said
        assert "the same, byte for byte, but for what was not compiled" in said
    else:
        assert "cache" not in said.rpartition("second")[2].replace(str(again.asked[0].asked.workspace), "")
        assert said.endswith("the same, byte for byte")


def archive(text: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as made:
        made.writestr(zipfile.ZipInfo("x/a.py", (2026, 1, 1, 0, 0, 0)), text)
    return data.getvalue()


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (None, ""),
        ("#!/bin/sh\necho another report\nexit 1\n", "another report\n"),
        ("#!/bin/sh\nexit 0\n", "diffoscope gave no report (exit status 0)"),
        ("#!/nowhere/python\n", "diffoscope cannot be run"),
    ],
)
def test_whatever_diffoscope_says_the_verdict_is_ours(
    wheel: Path, again: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str | None, told: str
) -> None:
    wheel.write_bytes(archive("a = 1\n"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "work").mkdir()
    if script is not None:
        (tmp_path / "bin" / "diffoscope").write_text(script)
        (tmp_path / "bin" / "diffoscope").chmod(0o755)
    monkeypatch.setitem(ENVIRON, "PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    found = again(wheel, archive("a = 2\n"), workspace=tmp_path / "work")
    assert not found.same and found.second_opinion.startswith(told) and bool(found.second_opinion) == bool(told)
    monkeypatch.setattr(rebuilding, "rebuild", lambda *_, **__: found)
    app = typer.Typer()
    app.command()(command.rebuild)
    done = CliRunner().invoke(app, [str(wheel)])
    assert isinstance(done.exception, VerifyError) and done.exception.exit_code == 7
    assert "x/a.py" in done.output and ("diffoscope says:" in done.output) == bool(told)


def test_a_wheel_without_a_tag_is_made_again_without_one(wheel: Path, again: Any) -> None:
    plain = wheel.with_name(NAME.replace("-20260101_1a2b3c4d", ""))
    wheel.rename(plain)
    shutil.move(f"{wheel}.lock.json", f"{plain}.lock.json")
    again(plain, b"a wheel")
    assert again.asked[-1].build_tag == ""


@pytest.mark.parametrize("fault", ["no wheel", "no lock", "only a lock", "its own out", "another lock", "odd name"])
def test_what_cannot_be_compared_is_said_before_anything_is_built(
    wheel: Path, again: Any, tmp_path: Path, fault: str
) -> None:
    subject, lock = wheel, Path(f"{wheel}.lock.json")
    if fault == "no wheel":
        wheel.unlink()
    elif fault == "no lock":
        lock.unlink()
    elif fault == "only a lock":
        subject = shutil.move(lock, tmp_path / "canary.lock.json")
    elif fault == "its own out":
        (tmp_path / "again").mkdir()
        subject = tmp_path / "again" / NAME
        shutil.move(wheel, subject)
        shutil.move(lock, f"{subject}.lock.json")
    elif fault == "another lock":
        record = {"lock": {"sha256": "f" * 64}}
        Path(f"{wheel}.record.json").write_text(json.dumps(record))
    else:
        subject = tmp_path / "wheel.whl"
        shutil.move(wheel, subject)
        shutil.move(lock, f"{subject}.lock.json")
    with pytest.raises(UsageError) as error:
        again(subject, b"a wheel")
    assert error.value.remedy and not again.asked


def test_what_differs_from_a_lock_is_said_by_kind() -> None:
    python = Input("python", "python", "", {"sha256": "a" * 64}, 1, "3.11.7")
    image = Input("image", "container", "", {"sha256": "b" * 64}, None, "podman")
    locked = Lock("mine", {}, 1, (SOURCE, python, image))
    found = Lock("mine", {}, 1, (SOURCE, python))
    # A machine that does not say which image it is from is judged by its compilers.
    check(locked, found)
    check_inputs(locked, (python,), "python")
    other = Input("python", "python", "", {"sha256": "c" * 64}, 1, "3.11.9")
    with pytest.raises(ProfileError, match=r"python python: 3\.11\.9 c+, and the lock has 3\.11\.7 a+"):
        check_inputs(locked, (other,), "python", "compiler")
    with pytest.raises(ProfileError, match="image container"):
        check(locked, Lock("mine", {}, 1, (SOURCE, python, Input("image", "container", "", {"sha256": "d" * 64}))))
    with pytest.raises(ProfileError, match="commit's time"):
        check(locked, Lock("mine", {}, 2, (SOURCE, python)))


def test_all_that_differs_before_anything_is_made_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    builder, codec = inputs.our_inputs()
    python = Input("python", "python", "", {"sha256": "a" * 64}, 1, "3.11.7")
    image = Input("image", "container", "", {"sha256": "b" * 64}, None, "TRTLLM_BUILDER_IMAGE")
    monkeypatch.setattr(inputs, "host_inputs", lambda *_: [python])
    loaded = SimpleNamespace(profile=SimpleNamespace(patches=()))
    run: Any = SimpleNamespace(
        environment={},
        plan=SimpleNamespace(python=SimpleNamespace(value="/usr/bin/python3"), python_version="3.11.7"),
        material=SimpleNamespace(request=SimpleNamespace(locked=None, environ={}, loaded=loaded)),
    )
    request = run.material.request
    # A machine that does not say which image it is from is not asked.
    request.locked = Lock("mine", {}, 1, (builder, codec, python, image))
    inputs.check_early(run, tools=False)
    request.environ = {image.version: f"x@sha256:{'c' * 64}"}
    others = [replace(one, digest={"sha256": "d" * 64}) for one in (builder, python)]
    request.locked = Lock("mine", {}, 1, (*others, codec, image))
    with pytest.raises(ProfileError) as error:
        inputs.check_early(run, tools=False)
    assert all(f"{one.kind} {one.name}: " in error.value.what for one in (builder, python, image))


def test_a_lock_is_checked_with_the_profile_that_is_in_it(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(f"{wheel}.lock.json")

    def make_now(request: Request, observer: object) -> Lock:
        assert request.locked is None and request.asked.locked is None
        profile = request.loaded.profile
        assert (profile.name, profile.source.commit) == ("canary", "1" * 40)
        return Lock(profile.name, locked_values(profile), 1, now)

    monkeypatch.setattr(make_lock, "make_lock", make_now)
    app = typer.Typer()
    app.command()(lock_command.lock)
    now: tuple[Input, ...] = (SOURCE,)
    same = CliRunner().invoke(app, ["--check", str(path)], catch_exceptions=False)
    assert same.exit_code == 0 and "nothing differs" in same.output
    now = ()
    gone = CliRunner().invoke(app, ["--check", str(path)], catch_exceptions=False)
    assert gone.exit_code == 2 and "source TensorRT-LLM: " in gone.output
