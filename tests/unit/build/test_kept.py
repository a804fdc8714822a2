from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from trtllm_builder.attest.envelope import read_bundle, sign
from trtllm_builder.attest.keys import PrivateKey, parse_private_key, read_private_key
from trtllm_builder.attest.statement import PROVENANCE, STATEMENT
from trtllm_builder.build import kept, reuse
from trtllm_builder.build.journal import Journal
from trtllm_builder.build.run import Run
from trtllm_builder.build.workspace import Workspace
from trtllm_builder.index.published import Published
from trtllm_builder.repro.signing import sign_wheel

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
        observer=SimpleNamespace(note=notes.append, notes=notes, stage=lambda *_: None),
        material=SimpleNamespace(
            request=SimpleNamespace(
                index=None,
                environ={},
                loaded=SimpleNamespace(
                    profile=SimpleNamespace(signing=SimpleNamespace(key_variable="", key="", builder=""))
                ),
            )
        ),
        build_tag="",
        identifier="20260102-000000-0000",
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


def test_of_two_wheels_of_one_lock_the_first_stays(run: Any, tmp_path: Path) -> None:
    finish(run, tmp_path)
    run.results["normalise"]["wheel"] = str(tmp_path / "other")
    (tmp_path / "other").write_bytes(b"other bytes")
    run.results["record"]["sha256"] = hashlib.sha256(b"other bytes").hexdigest()
    kept.keep(cast(Run, run))
    found = look(run)
    assert found is not None and found.wheel.read_bytes() == b"a wheel"
    (note,) = run.observer.notes
    assert "another wheel of the same lock" in note and found.record["wheel"]["sha256"][:16] in note


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


def key_text() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def new_key() -> PrivateKey:
    return parse_private_key(key_text(), "a test", {})


def said_of(wheel: Path) -> None:
    """The provenance beside it."""
    subject = [{"name": wheel.name, "digest": {"sha256": hashlib.sha256(wheel.read_bytes()).hexdigest()}}]
    said = {"_type": STATEMENT, "subject": subject, "predicateType": PROVENANCE, "predicate": {}}
    wheel.with_name(f"{wheel.name}.intoto.json").write_text(json.dumps(said))


def names(directory: Path) -> set[str]:
    return {path.name.removeprefix(NAME) for path in directory.iterdir()}


@pytest.fixture
def key(tmp_path: Path, run: Any) -> Path:
    """A private key, which the profile names."""
    path = tmp_path / "key"
    path.write_bytes(key_text())
    path.chmod(0o600)
    run.material.request.loaded.profile.signing.key = str(path)
    return path


def take_from_index(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, provenance: bool) -> bool:
    index = put(tmp_path / "index")
    if provenance:
        said_of(index)
    sha256 = hashlib.sha256(b"a wheel").hexdigest()
    monkeypatch.setattr(reuse, "find_by_lock", lambda *_: Published(NAME, sha256, 7, str(index)))
    monkeypatch.setattr(reuse, "_verify", lambda *_: {"report": {}, "lines": []})
    run.material.request.index = str(tmp_path / "index")
    found = look(run)
    assert found is not None
    return reuse.take(cast(Run, run), found)


def test_what_an_index_had_is_here_the_next_time_and_nothing_of_another_build_stays(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "out").write_bytes(b"another")
    for suffix in (".intoto.json", ".intoto.jsonl", ".report.html", ".mine"):
        (tmp_path / "out" / f"{NAME}{suffix}").write_text("of another build")
    (tmp_path / "out" / f"{NAME}.intoto.jsonl").write_bytes(sign(b"{}", new_key()).line().encode())
    assert take_from_index(run, tmp_path, monkeypatch, provenance=False)
    assert (tmp_path / "out" / NAME).read_bytes() == b"a wheel" and not run.observer.notes[:-1]
    assert names(tmp_path / "out") == {"", ".record.json", ".mine"}
    shutil.rmtree(tmp_path / "index")
    found = look(run)
    assert found is not None and found.origin.startswith(str(tmp_path / "caches"))


def test_a_wheel_that_is_reused_is_signed_with_the_key_now_given(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: Path
) -> None:
    assert take_from_index(run, tmp_path, monkeypatch, provenance=True)
    bundle = tmp_path / "out" / f"{NAME}.intoto.jsonl"
    mine, other = read_private_key(key, {}), new_key()

    def signers() -> set[str]:
        (envelope,) = read_bundle(bundle.read_bytes())
        return {one.keyid for one in envelope.signatures}

    assert signers() == {mine.public.keyid} and run.results["record"]["bundle"] == str(bundle)
    # Taken again from our own store, with what others said of these very bytes since.
    sign_wheel(tmp_path / "out" / NAME, other)
    found = look(run)
    assert found is not None and reuse.take(cast(Run, run), found)
    assert signers() == {mine.public.keyid, other.public.keyid}


def test_what_a_key_has_nothing_to_sign_of_is_built_again(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: Path
) -> None:
    assert not take_from_index(run, tmp_path, monkeypatch, provenance=False)
    assert "it has no provenance" in run.observer.notes[-1] and not (tmp_path / "out").exists()


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
