"""The registry of runs: found by few letters, damaged files reported, never two runs of one name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from trtllm_builder.build.registry import (
    RunEntry,
    find,
    forget,
    new_identifier,
    read_registry,
    register,
    runs_dir,
)
from trtllm_builder.errors import UsageError


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


def entry(identifier: str, profile: str = "canary", started: float = 1.0) -> RunEntry:
    return RunEntry(identifier, profile, Path("/somewhere"), {"profile": profile}, started)


def test_newest_first_and_a_resumed_run_is_the_newest(environ: dict[str, str]) -> None:
    for number in (1, 3, 2):
        register(entry(f"r{number}", started=number), environ)
    assert [one.identifier for one in read_registry(environ).entries] == ["r3", "r2", "r1"]
    register(entry("r1", started=4), environ)
    assert find(None, environ) == entry("r1", started=4)
    assert len(list(runs_dir(environ).iterdir())) == 3
    forget("r1", environ)
    forget("r1", environ)
    assert find(None, environ).identifier == "r3"


def test_found_by_prefix_suffix_or_profile(environ: dict[str, str]) -> None:
    register(entry("20260801-070643-3f2a", "canary", 1), environ)
    register(entry("20260801-080000-11aa", "canary", 2), environ)
    register(entry("20260802-070643-22bb", "autodl-4090", 3), environ)
    assert find("3f2a", environ).started == 1
    assert find("20260802", environ).started == 3
    assert find("canary", environ).started == 2, "the newest of that profile"
    with pytest.raises(UsageError) as raised:
        find("20260801", environ)
    assert "20260801-070643-3f2a" in raised.value.remedy and "22bb" not in raised.value.remedy
    for unknown in ("nothing", "", "../runs/20260802-070643-22bb"):
        with pytest.raises(UsageError, match="there is no run"):
            find(unknown, environ)


def test_an_exact_name_is_not_ambiguous(environ: dict[str, str]) -> None:
    register(entry("abc", started=1), environ)
    register(entry("abcabc", started=2), environ)
    assert find("abc", environ).identifier == "abc"


def test_no_runs_is_a_sentence(environ: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="no run is known here"):
        find(None, environ)


def test_damaged_files_are_reported_and_hide_nothing(environ: dict[str, str]) -> None:
    register(entry("whole"), environ)
    sound = json.loads((runs_dir(environ) / "whole.json").read_text())
    bad: dict[str, str] = {
        "empty": "",
        "cut": '{"schema": 1, "id": "cu',
        "list": "[]",
        "deep": "[" * 100_000,
        "newer": json.dumps({**sound, "schema": 9}),
        "renamed": json.dumps(sound),
        "relative": json.dumps({**sound, "id": "relative", "workspace": "here"}),
        "endless": json.dumps({**sound, "id": "endless", "started": float("inf")}),
        "wordy": json.dumps({**sound, "id": "wordy", "started": "now"}),
    }
    for name, text in bad.items():
        (runs_dir(environ) / f"{name}.json").write_text(text)
    (runs_dir(environ) / "binary.json").write_bytes(b"\xff\xfe\x00")
    (runs_dir(environ) / "directory.json").mkdir()
    (runs_dir(environ) / ".whole.json-k2j").write_text("left by a killed run")
    known = read_registry(environ)
    assert [one.identifier for one in known.entries] == ["whole"]
    assert {one.path.stem for one in known.damaged} == {*bad, "binary", "directory"}
    assert all(one.why for one in known.damaged)


def test_identifiers_differ_within_a_second(environ: dict[str, str]) -> None:
    names = set()
    for _ in range(50):
        name = new_identifier(environ)
        register(entry(name), environ)
        names.add(name)
    assert len(names) == 50


def test_only_plain_files_of_a_sensible_size_are_read(environ: dict[str, str], tmp_path: Path) -> None:
    register(entry("good"), environ)
    runs_dir(environ).joinpath("endless.json").symlink_to("/dev/zero")
    runs_dir(environ).joinpath("directory.json").mkdir()
    os.mkfifo(runs_dir(environ) / "pipe.json")
    with runs_dir(environ).joinpath("huge.json").open("wb") as stream:
        stream.truncate(2**40)
    found = read_registry(environ)
    assert [one.identifier for one in found.entries] == ["good"]
    assert {one.path.stem: one.why for one in found.damaged} == {
        "directory": "it is no plain file",
        "endless": "it is no plain file",
        "huge": "it is too large for an entry",
        "pipe": "it is no plain file",
    }


def test_a_lost_registry_names_the_way_back(environ: dict[str, str]) -> None:
    with pytest.raises(UsageError) as raised:
        find(None, environ)
    assert "resume --workspace" in raised.value.remedy
