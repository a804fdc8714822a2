"""What compilers took, kept from build to build: merged, whole or not at all, and never a reason to fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trtllm_builder.errors import UsageError
from trtllm_builder.gate.compiles import Compile
from trtllm_builder.gate.learned import Learned, Measured, learn
from trtllm_builder.plan.peaks import add_peaks, for_gpus, peaks_path, published_peaks, read_peaks


def learned(name: str, peak: int, when: int = 1) -> Learned:
    return learn([(Compile("compile", name, ".cu", ("89",), 1), Measured(when, peak, 2.0, (), "cuda"))])


def peaks(path: Path) -> dict[str, int]:
    return {key[0]: one.peak for key, one in read_peaks(path)[0].entries.items()}


def test_they_are_added_up_and_the_newest_counts(tmp_path: Path, validate: Callable[[str, object], None]) -> None:
    path = peaks_path("a/b", {"XDG_STATE_HOME": str(tmp_path)})
    assert path.parent.is_relative_to(tmp_path) and read_peaks(path) == (Learned(), "")
    add_peaks(path, learned("a.cu", 5), measured=True)
    add_peaks(path, learned("b.cu", 7), measured=True)
    add_peaks(path, learned("a.cu", 6, when=2), measured=False)
    add_peaks(path, learned("b.cu", 1, when=0), measured=False)
    assert peaks(path) == {"a.cu": 6, "b.cu": 7}
    validate("learned", read_peaks(path)[0].to_json())
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_builds_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda number: add_peaks(tmp_path / "p.json", learned(f"{number}.cu", number), measured=True), range(12)
            )
        )
    assert len(peaks(tmp_path / "p.json")) == 12


def test_what_cannot_be_read_is_said_and_not_used(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text("{")
    assert read_peaks(path)[0] == Learned() and "cannot be read" in read_peaks(path)[1]
    assert "cannot be read" in read_peaks(tmp_path)[1], "a directory"
    add_peaks(path, learned("a.cu", 5), measured=True)
    assert peaks(path) == {"a.cu": 5}


def test_what_a_build_measures_replaces_what_a_clock_that_was_ahead_dated(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    add_peaks(path, learned("a.cu", 1, when=4102444800), measured=False)
    add_peaks(path, learned("a.cu", 382, when=1_000), measured=True)
    assert peaks(path) == {"a.cu": 382}
    assert json.loads(path.read_text())["files"][0]["when"] == 1_000


def test_what_others_published_is_taken_from_record_and_document(tmp_path: Path) -> None:
    learned = Learned({("a.cu", ("90a",), 1, "x"): Measured(1, 5, 1.0), ("b.cu", ("80",), 1, "x"): Measured(1, 6, 1.0)})
    document, record = tmp_path / "peaks.json", tmp_path / "w.record.json"
    document.write_text(json.dumps(learned.to_json()))
    record.write_text(json.dumps({"schema": 1, "measured": {"peaks": learned.to_json()}}))
    assert published_peaks(document) == published_peaks(record) == (learned, "")
    assert [key[0] for key in for_gpus(learned, [90]).entries] == ["a.cu"]


@pytest.mark.parametrize("text", [None, "", "{}", "[]", '{"measured": 1}', '{"measured": {"peaks": {"files": 1}}}'])
def test_a_file_of_others_that_is_none_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "x.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=r"--peaks .*x\.json"):
        published_peaks(path)


def test_entries_of_others_that_cannot_be_meant_are_told_of_and_the_rest_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    good = learned("a.cu", 5).to_json()
    assert isinstance(good["files"], list)
    path.write_text(json.dumps({**good, "files": [*good["files"], {"source": 7}]}))
    assert published_peaks(path) == (
        learned("a.cu", 5), f"{path}: 1 of 2 learned peaks cannot be meant and were left out."
    )  # fmt: skip
    path.write_text(json.dumps({**good, "files": [{"source": 7}]}))
    with pytest.raises(UsageError, match="1 of 1 learned peaks cannot be meant"):
        published_peaks(path)
