"""The commands in this process: what they print, as text and as JSON, and how they end."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from trtllm_builder.cli.index import app as index_app
from trtllm_builder.cli.publish import publish
from trtllm_builder.errors import BuilderError, PublishError, UsageError

Make = Callable[..., Path]
Validate = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def no_waiting_for_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


def run(*words: object) -> Result:
    """``publish ...`` or ``index ...``."""
    first, *rest = map(str, words)
    if first == "index":
        return CliRunner().invoke(index_app, rest)
    app = typer.Typer()
    app.command()(publish)
    return CliRunner().invoke(app, rest)


def good(*words: object) -> str:
    done = run(*words)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def bad(*words: object) -> BuilderError:
    done = run(*words)
    assert isinstance(done.exception, BuilderError), (done.output, done.exception)
    return done.exception


def test_a_life_of_an_index(make_build: Make, make_wheel: Make, tmp_path: Path, validate: Validate) -> None:
    index = tmp_path / "index"
    build, other = make_build(), make_wheel()
    first = json.loads(good("publish", build, "--index", index, "--json"))
    validate("publish", first)
    assert first["wheels"][0]["variant"] == "cu130-sm89" and Path(first["wheels"][0]["location"]).is_file()
    text = good("publish", build, other, "--index", index, "--allow-unverified")
    assert "already there" in text and "another project's wheel, taken as it is, and the index shows it" in text
    documents: dict[str, Any] = {}
    for name, words in {
        "list": ("list", index),
        "yank": ("yank", index, "small==1.0", "--reason", "broken"),
        "unyank": ("unyank", index, other.name),
        "prune": ("prune", index, "--keep", 1, "--dry-run"),
        "check": ("check", index),
    }.items():
        documents[name] = json.loads(good("index", *words, "--json"))
        validate(f"index-{'yank' if name == 'unyank' else name}", documents[name])
    assert [one["project"] for one in documents["list"]["wheels"]] == ["small", "tensorrt-llm"]
    assert documents["yank"]["changed"] and documents["yank"]["wheels"][0]["yanked"] == "broken"
    assert documents["prune"] == {
        "schema": 1, "command": "prune", "index": str(index), "removed": False, "gone": [], "kept": [],
    }  # fmt: skip
    assert documents["check"]["problems"] == []
    assert "another project's wheel" in good("index", "list", index)
    assert good("index", "yank", index, other.name).startswith("yanked  small-1.0")
    assert "yanked" in good("index", "list", index)
    assert good("index", "yank", index, other.name).startswith("yanked already")
    assert good("index", "unyank", index, other.name).startswith("unyanked  small-1.0")
    assert good("index", "unyank", index, other.name).startswith("is not yanked  small-1.0")
    assert good("index", "prune", index, "--keep", 3) == "nothing goes\n"
    documents["keep"] = json.loads(good("index", "keep", index, build.name, "--for", "release \x1b[31m1.2\n", "--json"))
    validate("index-yank", documents["keep"])
    assert documents["keep"]["changed"] and documents["keep"]["wheels"][0]["keep"] == "release 1.2"
    assert good("index", "keep", index, build.name, "--for", "release 1.2").startswith("kept already  tensorrt_llm")
    assert "kept for release 1.2" in good("index", "list", index)
    assert "already there" in good("publish", build, "--index", index)
    assert "kept for release 1.2" in good("index", "list", index)
    assert good("index", "unkeep", index, build.name).startswith("may be pruned  tensorrt_llm")
    assert good("index", "unkeep", index, build.name).startswith("is not kept  tensorrt_llm")
    assert "--for is empty" in str(bad("index", "keep", index, build.name, "--for", " "))
    assert good("index", "check", index) == "2 wheels, all as it should be\n"


def test_what_goes_and_what_stays_is_said(make_build: Make, tmp_path: Path, validate: Validate) -> None:
    index = tmp_path / "index"
    for day in (1, 2, 3):
        lock = {"sha256": f"{day}" * 64, "locked": day == 1}
        good("publish", make_build(f"1.{day}.0+sd.cu130.sm89", lock=lock), "--index", index)
    document = json.loads(good("index", "prune", index, "--keep", 1, "--dry-run", "--json"))
    validate("index-prune", document)
    assert [one["version"] for one in document["gone"]] == ["1.2.0+sd.cu130.sm89"]
    text = good("index", "prune", index, "--keep", 1)
    assert "removed  tensorrt_llm-1.2.0" in text and "--locked, from 111111111111" in text and "1 wheel, " in text
    assert len(json.loads(good("index", "list", index, "--json"))["wheels"]) == 2


def test_nightlies_may_go_although_they_are_built_from_locks(make_build: Make, tmp_path: Path) -> None:
    index = tmp_path / "index"
    builds = []
    for day in (1, 2, 3, 4):
        builds.append(make_build(f"1.{day}.0+sd.cu130.sm89", lock={"sha256": f"{day}" * 64, "locked": True}))
        good("publish", builds[-1], "--index", index, "--nightly")
    # Somebody builds the second one from a lock of their own; that it comes again as a nightly takes nothing away.
    assert good("publish", builds[1], "--index", index).startswith("completed")
    assert good("publish", builds[1], "--index", index, "--nightly").startswith("already there")
    good("index", "keep", index, "tensorrt-llm==1.1.0+sd.cu130.sm89", "--for", "release 1.1")
    text = good("index", "prune", index, "--keep", 1)
    assert "removed  tensorrt_llm-1.3.0" in text and text.count("removed") == 1
    assert "it is kept for release 1.1" in text and "--locked, from 222222222222" in text
    good("index", "unkeep", index, builds[0].name)
    good("index", "unkeep", index, builds[1].name)
    assert good("index", "prune", index, "--keep", 1).count("removed") == 2
    assert good("index", "check", index) == "1 wheel, all as it should be\n"


def test_a_damaged_index_ends_with_8(make_build: Make, tmp_path: Path, validate: Validate) -> None:
    index = tmp_path / "index"
    good("publish", make_build(), "--index", index)
    (wheel,) = (index / "files").rglob("*.whl")
    wheel.write_bytes(b"")
    (index / "index.html").resolve().unlink()
    done = run("index", "check", index)
    assert done.exit_code == 8 and "2 problems; --repair mends what it can" in done.output
    assert "is restored by publishing the same files again" in done.output
    done = run("index", "check", index, "--repair", "--json")
    document = json.loads(done.stdout)
    validate("index-check", document)
    assert done.exit_code == 8 and [one["repairable"] for one in document["problems"]] == [False]
    good("publish", make_build(), "--index", index)
    assert good("index", "check", index) == "1 wheel, all as it should be\n"


def test_a_repair_says_what_it_did_in_few_lines(make_wheel: Make, tmp_path: Path, validate: Validate) -> None:
    index = tmp_path / "index"
    wheels = [make_wheel(name) for name in ("one", "two", "three")]
    good("publish", *wheels, "--index", index, "--allow-unverified")
    for name in (".generations", ".pages"):
        shutil.rmtree(index / name)
    shutil.copytree(index, tmp_path / "other", symlinks=True)
    told = bad("index", "list", index)
    assert told.remedy == f"trtllm-build index check {index} --repair makes it anew from what is there"
    lines = good("index", "check", index, "--repair").splitlines()
    assert lines[0].startswith("mended: .current: all pages made anew, since ") and "no such file" in lines[0]
    assert lines[1].startswith("mended: files/one/") and " and 2 more: shown again; published when its " in lines[1]
    assert lines[2:] == ["3 wheels, all as it should be"]
    document = json.loads(good("index", "check", tmp_path / "other", "--repair", "--json"))
    validate("index-check", document)
    assert len(document["mended"]) == 4 and document["problems"] == []


def test_refusals_come_through(make_wheel: Make, tmp_path: Path) -> None:
    assert isinstance(bad("publish", make_wheel(), "--index", tmp_path / "index"), PublishError)
    assert not (tmp_path / "index").exists()
    assert isinstance(bad("publish", tmp_path / "none.whl", "--index", tmp_path / "index"), UsageError)
    for words in (("list",), ("check",), ("yank", "a==1"), ("prune", "--keep", "1")):
        name, *rest = words
        told = bad("index", name, tmp_path, *rest)
        assert isinstance(told, UsageError) and "is no index of ours" in str(told)


def test_an_address_is_looked_at_before_the_wheels_are(tmp_path: Path) -> None:
    told = bad("publish", tmp_path / "none.whl", "--index", "https://user:word@host/")
    assert "command lines are seen by others" in str(told) and "word@" not in str(told)
    assert isinstance(bad("publish", tmp_path / "none.whl", "--index", "s3://bucket/"), UsageError)
    for empty in ("", " "):
        assert "--index is empty" in str(bad("publish", tmp_path / "none.whl", "--index", empty))


def test_a_path_of_the_builder_is_noted(make_build: Make, tmp_path: Path) -> None:
    wheel = make_build()
    places = ["git+file:///home/me/src", "file:///home/me/lfs", "file:///home/me/more"]
    record = wheel.with_name(f"{wheel.name}.record.json")
    product = {"name": record.name, "digest": {"sha256": hashlib.sha256(record.read_bytes()).hexdigest()}}
    said = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": wheel.name, "digest": {"sha256": hashlib.sha256(wheel.read_bytes()).hexdigest()}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {"buildType": "a:b", "externalParameters": {"from": places}},
            "runDetails": {"builder": {"id": "a:b"}, "byproducts": [product]},
        },
    }
    wheel.with_name(f"{wheel.name}.intoto.json").write_text(json.dumps(said))
    done = run("publish", wheel, "--index", tmp_path / "index", "--json")
    assert done.exit_code == 0 and json.loads(done.stdout)["wheels"]
    assert (
        done.stderr
        == f"note: what is published with {wheel.name} tells of file:///home/me/src and 2 more such addresses\n"
    )
    assert run("publish", wheel, "--index", tmp_path / "index").stderr == ""  # it is there already
