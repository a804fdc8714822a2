from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from trtllm_builder.build import kept, reuse
from trtllm_builder.build.journal import Journal
from trtllm_builder.build.run import Run
from trtllm_builder.build.workspace import Workspace
from trtllm_builder.index.published import Published

DIGEST = "1a2b3c4d" + "0" * 56
NAME = "tensorrt_llm-1.0-cp311-cp311-linux_x86_64.whl"
TAGGED = "tensorrt_llm-1.0-20260101_1a2b3c4d-cp311-cp311-linux_x86_64.whl"


def put(directory: Path, name: str = NAME, lock: str = DIGEST, profile: str = "mine") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    wheel = directory / name
    wheel.write_bytes(b"a wheel")
    record = {
        "wheel": {"name": name, "sha256": hashlib.sha256(b"a wheel").hexdigest()},
        "lock": {"sha256": lock},
        "plan": {"profile": profile},
        "run": "20260101-000000-0000",
    }
    (directory / f"{name}.record.json").write_text(json.dumps(record))
    return wheel


@pytest.fixture
def run(tmp_path: Path) -> Any:
    notes: list[str] = []
    (tmp_path / "workspace").mkdir()
    return SimpleNamespace(
        plan=SimpleNamespace(caches=str(tmp_path / "caches"), profile="mine", out=str(tmp_path / "out")),
        workspace=Workspace(tmp_path / "workspace"),
        journal=Journal(tmp_path / "journal.jsonl"),
        observer=SimpleNamespace(note=notes.append, notes=notes),
        material=SimpleNamespace(request=SimpleNamespace(index=None)),
        build_tag="",
        edits={},
        redo=False,
        results={
            "compile": {"edited": {}},
            "fetch": {"uncommitted": {}},
            "inputs": {"lock": {"sha256": DIGEST}},
        },
    )


def look(run: Any) -> kept.Found | None:
    return reuse.look(cast(Run, run), DIGEST)


def finish(run: Any, tmp_path: Path, name: str = NAME) -> None:
    wheel = put(tmp_path / "out", name)
    same = put(tmp_path / "wheel", name)
    run.results["normalise"] = {"wheel": str(same)}
    run.results["record"] = {"wheel": str(wheel), "sha256": hashlib.sha256(b"a wheel").hexdigest()}
    kept.keep(cast(Run, run))


def test_what_was_kept_is_found_and_only_by_its_lock_and_tag(run: Any, tmp_path: Path) -> None:
    assert look(run) is None
    finish(run, tmp_path)
    found = look(run)
    assert found is not None and found.wheel.read_bytes() == b"a wheel" and not run.observer.notes
    assert found.wheel.samefile(tmp_path / "wheel" / NAME)
    assert reuse.look(cast(Run, run), "f" * 64) is None
    run.build_tag = "20260101_1a2b3c4d"
    assert look(run) is None
    finish(run, tmp_path, TAGGED)
    found = look(run)
    assert found is not None and found.wheel.name == TAGGED and kept.kept_wheel(tmp_path / "caches", DIGEST) is not None


def test_sources_that_were_edited_are_nobody_elses(run: Any, tmp_path: Path) -> None:
    run.results["compile"]["edited"] = {"setup.py": "f" * 64}
    finish(run, tmp_path)
    assert look(run) is None and not run.observer.notes


@pytest.mark.parametrize("damage", ["bytes", "gone", "no record", "another lock", "rubbish", "list", "deep"])
def test_what_is_not_sound_is_told_and_not_taken_and_mended_by_the_next_build(
    run: Any, tmp_path: Path, damage: str
) -> None:
    finish(run, tmp_path)
    place = tmp_path / "caches" / "wheels" / DIGEST
    record = place / f"{NAME}.record.json"
    if damage == "bytes":
        (place / NAME).unlink()
        (place / NAME).write_bytes(b"a wheeL")
    elif damage == "gone":
        (place / NAME).unlink()
    elif damage == "no record":
        record.unlink()
    elif damage == "another lock":
        record.write_text(record.read_text().replace(DIGEST, "f" * 64))
    else:
        record.write_text({"rubbish": "\x00{", "list": "[1]", "deep": "[" * 100_000}[damage])
    assert look(run) is None
    assert (
        len(run.observer.notes) == 1 and "not reused" in run.observer.notes[0] and str(place) in run.observer.notes[0]
    )
    finish(run, tmp_path)
    assert look(run) is not None


def test_a_store_that_cannot_be_written_is_a_note(run: Any, tmp_path: Path) -> None:
    (tmp_path / "caches").mkdir()
    (tmp_path / "caches" / "wheels").touch()
    finish(run, tmp_path)
    assert "not kept" in run.observer.notes[0]
    assert look(run) is None


def test_of_a_profile_the_last_three_stay(run: Any, tmp_path: Path) -> None:
    store = tmp_path / "caches" / "wheels"
    for number in range(4):
        wheel = put(store / f"{number}" / "", lock=f"{number}" * 64)
        os.utime(wheel.with_name(f"{NAME}.record.json"), (number, number))
    put(store / "other", profile="other")
    (store / "rubbish").mkdir()
    finish(run, tmp_path)
    assert {path.name for path in store.iterdir()} == {"2", "3", DIGEST, "other", "rubbish"}


def test_an_index_is_asked_and_its_word_not_taken(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = put(tmp_path / "index")
    sha256 = hashlib.sha256(b"a wheel").hexdigest()
    answers = [Published(NAME, sha256, 7, str(index)), Published(NAME, "f" * 64, 7, str(index)), None]
    monkeypatch.setattr(reuse, "find_by_lock", lambda *_: answers.pop(0))
    run.material.request.index = str(tmp_path / "index")
    found = look(run)
    assert found is not None and found.origin == str(tmp_path / "index") and found.record["run"]
    # gc keeps a workspace with anything in it that no build made.
    assert found.wheel.is_relative_to(run.workspace.root) and run.workspace.strange() == []
    assert look(run) is None and "sha256 that the index says" in run.observer.notes[-1]
    assert look(run) is None and len(run.observer.notes) == 1


def test_an_index_that_does_not_answer_ends_nothing(run: Any) -> None:
    run.material.request.index = "http://127.0.0.1:9/index"
    assert look(run) is None
    assert "could not be asked" in run.observer.notes[0]


def test_an_index_that_is_not_there_is_said(run: Any, tmp_path: Path) -> None:
    run.material.request.index = str(tmp_path / "no index")
    assert look(run) is None and "no index is not reused: there is no such directory" in run.observer.notes[0]
    (tmp_path / "no index").mkdir()
    assert look(run) is None and len(run.observer.notes) == 1


def test_it_is_not_looked_for_where_it_was_compiled_or_where_building_was_asked_for(run: Any) -> None:
    def wanted() -> bool:
        return reuse.is_wanted(cast(Run, run))

    assert wanted()
    run.journal.append("rebuild")
    assert not wanted()
    run.journal.append("end", stage="compile", inputs={"a": "b"}, result={})
    run.journal.append("done")
    assert not wanted(), "compiled here"
    run.redo = True
    assert wanted(), "and now it would be compiled again"


def test_it_is_not_looked_for_where_sources_were_edited(run: Any) -> None:
    """A lock names what was obtained: the wheel of that is not what is there."""
    run.edits = {"a.cpp": "0" * 64}
    assert not reuse.is_wanted(cast(Run, run))
    run.edits = {}
    run.results["fetch"]["uncommitted"] = {"a.cpp": "0" * 64}
    assert not reuse.is_wanted(cast(Run, run))
