from __future__ import annotations

from pathlib import Path

from trtllm_builder.build.journal import Journal, digest


def test_a_stage_begun_again_and_not_finished_has_no_stamp(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep" / "journal.jsonl")
    assert journal.events() == [] and journal.stamps() == {} and journal.unfinished() is None
    journal.append("run", id="1")
    journal.append("begin", stage="fetch")
    assert not journal.stamps()["fetch"].inputs
    journal.append("end", stage="fetch", inputs={"commit": "a"}, result={"commit": "c"})
    assert journal.stamps()["fetch"].result == {"commit": "c"}
    journal.append("begin", stage="fetch")
    assert not journal.stamps()["fetch"].inputs


def test_a_rebuild_trusts_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    for stage in ("fetch", "compile"):
        journal.append("end", stage=stage, inputs={"commit": "a"}, result={})
    journal.append("rebuild")
    journal.append("end", stage="fetch", inputs={"commit": "a"}, result={})
    assert set(journal.stamps()) == {"fetch"}


def test_a_line_cut_short_by_a_crash_loses_only_itself(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append("run", id="1")
    whole = journal.path.read_bytes()
    for cut in range(1, len(whole)):
        journal.path.write_bytes(whole[:-cut])
        journal.append("end", stage="fetch", inputs={"commit": "a"}, result={})
        events = [event["event"] for event in journal.events()]
        assert events[-1] == "end" and set(events) <= {"run", "end"}
        assert "fetch" in journal.stamps()


def test_a_run_is_unfinished_until_it_is_done(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append("run", id="1")
    unfinished = journal.unfinished()
    assert unfinished is not None and unfinished["id"] == "1"
    journal.append("done")
    assert journal.unfinished() is None


def test_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})
