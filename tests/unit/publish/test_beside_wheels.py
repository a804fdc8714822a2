"""Records, locks, statements and signatures beside a wheel: of one build, never lost silently, never swapped."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.attest.agreement import BUILD_TYPE, descriptor
from trtllm_builder.attest.statement import PROVENANCE, STATEMENT
from trtllm_builder.errors import PublishError
from trtllm_builder.index.check import check
from trtllm_builder.index.opening import open_index
from trtllm_builder.index.store import Turn
from trtllm_builder.publish.add import add
from trtllm_builder.publish.inspect import inspect
from trtllm_builder.publish.rules import Allowed, judge
from trtllm_builder.repro.inputs import Input
from trtllm_builder.repro.lock import Lock

Make = Callable[..., Path]
LOCK = Lock("canary", {"x": 1}, 5, (Input("tool", "cmake", "", {"sha256": "d" * 64}, None, "3"),))
SUFFIXES = {".record.json", ".report.html", ".lock.json", ".intoto.json"}


@pytest.fixture(autouse=True)
def no_waiting_for_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def build(make_build: Make) -> Callable[..., Path]:
    """``build()``: with its lock and its statement beside it, as the record stage leaves them."""

    def make(**more: Any) -> Path:
        wheel = make_build(lock={"sha256": LOCK.digest, "locked": False}, **more)
        side(wheel, ".lock.json").write_text(LOCK.render())
        side(wheel, ".intoto.json").write_text(json.dumps(statement(wheel)))
        return wheel

    return make


def side(wheel: Path, suffix: str) -> Path:
    return wheel.with_name(wheel.name + suffix)


def digest(path: Path) -> dict[str, str]:
    return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def statement(wheel: Path) -> dict[str, Any]:
    named = (side(wheel, ".record.json"), side(wheel, ".report.html"))
    products = [{"name": path.name, "digest": digest(path)} for path in named]
    return {
        "_type": STATEMENT,
        "subject": [{"name": wheel.name, "digest": digest(wheel)}],
        "predicateType": PROVENANCE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"x": 1},
                "resolvedDependencies": [descriptor(one.to_json()) for one in LOCK.inputs],
            },
            "runDetails": {"builder": {"id": "https://build.example/"}, "byproducts": products},
        },
    }


def publish(wheel: Path, index: Path, allowed: Allowed = Allowed()) -> str:  # noqa: B008
    (one,) = add([judge(wheel, allowed)], index)
    return one.outcome


def held(index: Path, suffix: str) -> Path:
    (wheel,) = open_index(index).read().wheels
    return index / f"{wheel.path}{suffix}"


def test_the_index_knows_the_hash_of_each(build: Callable[..., Path], index: Path) -> None:
    wheel = build()
    publish(wheel, index)
    (one,) = open_index(index).read().wheels
    assert one.beside == {suffix: digest(side(wheel, suffix))["sha256"] for suffix in SUFFIXES}
    for suffix in sorted(SUFFIXES):
        good = held(index, suffix).read_bytes()
        held(index, suffix).write_bytes(good + b" ")
        _, (problem,) = check(open_index(index), inspect)
        assert problem.path.endswith(suffix) and "has the sha256" in problem.what and not problem.repairable
        assert publish(wheel, index) == "restored" and held(index, suffix).read_bytes() == good
        held(index, suffix).unlink()
        assert publish(wheel, index) == "restored" and check(open_index(index), inspect)[1] == ()


def test_lost_metadata_is_restored_too(build: Callable[..., Path], index: Path) -> None:
    wheel = build()
    publish(wheel, index)
    held(index, ".metadata").unlink()
    assert publish(wheel, index) == "restored" and check(open_index(index), inspect)[1] == ()


def test_a_signature_that_is_made_later_gets_in(build: Callable[..., Path], index: Path) -> None:
    wheel = build()
    signed = side(wheel, ".intoto.jsonl")
    publish(wheel, index)
    for key in ("one", "another"):  # signed again with another key: the newer is shown
        signed.write_text(envelope(wheel, key))
        assert publish(wheel, index) == "completed"
        assert held(index, ".intoto.jsonl").read_text() == envelope(wheel, key)
        assert publish(wheel, index) == "already there" and check(open_index(index), inspect)[1] == ()
    assert "signed provenance" in (index / "index.html").read_text()
    # A copy without it takes nothing away, also when the wheel itself has to be restored.
    text = signed.read_text()
    signed.unlink()
    assert publish(wheel, index) == "already there"
    held(index, "").write_bytes(b"")
    assert publish(wheel, index) == "restored"
    assert held(index, ".intoto.jsonl").read_text() == text and check(open_index(index), inspect)[1] == ()


def envelope(wheel: Path, key: str) -> str:
    from base64 import b64encode

    payload = b64encode(json.dumps(statement(wheel)).encode()).decode()
    signature = {"keyid": key, "sig": b64encode(key.encode()).decode()}
    document = {"payloadType": "application/vnd.in-toto+json", "payload": payload, "signatures": [signature]}
    return json.dumps(document) + "\n"


def rebuilt(record: dict[str, Any]) -> None:
    record["measured"]["seconds"] = 5


def test_files_of_two_builds_are_never_mixed(build: Callable[..., Path], index: Path) -> None:
    """The same bytes, built again: another record, which its own statement names."""
    first = build()
    side(first, ".intoto.jsonl").write_text(envelope(first, "k"))
    publish(first, index)
    before = {suffix: held(index, suffix).read_bytes() for suffix in (*SUFFIXES, ".intoto.jsonl")}
    side(first, ".intoto.jsonl").unlink()
    again = build(record=rebuilt)
    assert publish(again, index) == "already there"
    assert {suffix: held(index, suffix).read_bytes() for suffix in before} == before
    held(index, ".record.json").unlink()
    assert publish(again, index) == "restored" and check(open_index(index), inspect)[1] == ()
    assert set(open_index(index).read().wheels[0].beside) == SUFFIXES and not held(index, ".intoto.jsonl").exists()
    assert held(index, ".record.json").read_bytes() == side(again, ".record.json").read_bytes()


def test_a_file_that_changes_meanwhile_is_not_published(
    build: Callable[..., Path], index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = build()
    place = Turn.place

    def changing(self: Turn, *words: Any) -> None:
        side(wheel, ".lock.json").write_text("{}")
        place(self, *words)

    monkeypatch.setattr(Turn, "place", changing)
    with pytest.raises(PublishError, match=r"lock\.json was changed while it was published"):
        publish(wheel, index)
    assert open_index(index).read().wheels == ()


def refused(wheel: Path) -> str:
    with pytest.raises(PublishError) as caught:
        judge(wheel, Allowed(True, True))
    assert caught.value.remedy
    return str(caught.value)


def test_a_lock_that_is_not_the_builds_is_refused(build: Callable[..., Path]) -> None:
    wheel = build()
    judge(wheel, Allowed())
    lock = side(wheel, ".lock.json")
    lock.write_text(LOCK.render().replace("d" * 64, "e" * 64))
    assert f"names {LOCK.digest[:20]}" in refused(wheel)
    for text in ("", "{}", "[]", "\x00"):
        lock.write_text(text)
        assert "lock.json" in refused(wheel)


def test_a_lock_that_no_record_names_is_refused(make_build: Make) -> None:
    wheel = make_build()
    side(wheel, ".lock.json").write_text(LOCK.render())
    assert "its record names no lock" in refused(wheel)


def test_a_statement_of_another_record_is_refused(build: Callable[..., Path]) -> None:
    wheel = build()
    side(wheel, ".report.html").write_text("all is well")
    assert "report.html is not the one that" in refused(wheel)
    side(wheel, ".intoto.json").write_text(json.dumps(statement(wheel)))
    judge(wheel, Allowed())
    side(wheel, ".intoto.jsonl").write_text(envelope(wheel, "k"))
    judge(wheel, Allowed())
    side(wheel, ".intoto.json").unlink()
    side(wheel, ".record.json").write_text(side(wheel, ".record.json").read_text() + " ")
    assert "record.json is not the one that" in refused(wheel)


def test_a_path_of_the_builder_is_told_to_who_publishes_it(build: Callable[..., Path]) -> None:
    wheel = build()
    assert judge(wheel, Allowed()).local == ()
    said = statement(wheel)
    sources = [{"uri": "git+file:///home/me/src@v1", "digest": {"sha1": "0"}}, {"uri": "https://git.example/x"}]
    said["predicate"]["buildDefinition"]["externalParameters"] = {"from": sources}
    side(wheel, ".intoto.json").write_text(json.dumps(said))
    assert judge(wheel, Allowed()).local == ("file:///home/me/src@v1",)


def falsify(wheel: Path) -> None:
    """Beside the true, signed one."""
    side(wheel, ".intoto.jsonl").write_text(envelope(wheel, "k"))
    said = statement(wheel)
    said["predicate"]["runDetails"]["builder"]["id"] = "https://evil.example/"
    said["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"] = {"sha256": "f" * 64}
    side(wheel, ".intoto.json").write_text(json.dumps(said))


def test_a_provenance_that_contradicts_its_signed_copy_is_refused(build: Callable[..., Path]) -> None:
    wheel = build()
    falsify(wheel)
    assert "is not the statement that was signed" in refused(wheel)


def test_a_contradiction_that_was_published_once_is_told(
    build: Callable[..., Path], index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = build()
    candidate = judge(wheel, Allowed())
    falsify(wheel)
    files = {**candidate.beside, ".intoto.jsonl": side(wheel, ".intoto.jsonl")}
    add([replace(candidate, beside=files)], index)
    problems = check(open_index(index), inspect)[1]
    told = "\n".join(problem.what for problem in problems)
    assert "is not the statement that was signed" in told and "tool cmake" in told
    assert not any(problem.repairable for problem in problems)
