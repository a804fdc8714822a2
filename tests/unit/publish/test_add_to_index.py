from __future__ import annotations

import base64
import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from trtllm_builder.errors import PublishError, UsageError
from trtllm_builder.index import generation, simple
from trtllm_builder.index.check import check
from trtllm_builder.index.opening import make_index, open_index
from trtllm_builder.index.published import find_by_lock
from trtllm_builder.index.store import taking_turn
from trtllm_builder.publish.add import add
from trtllm_builder.publish.change import find, prune, yank
from trtllm_builder.publish.inspect import inspect
from trtllm_builder.publish.repair import repair
from trtllm_builder.publish.rules import Allowed, Candidate, judge

Make = Callable[..., Path]
OTHERS = Allowed(unverified=True)
LOCK = {"sha256": "a" * 64, "locked": False}


@pytest.fixture(autouse=True)
def no_waiting_for_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def built(make_build: Make) -> Candidate:
    return judge(make_build(lock=LOCK), Allowed())


def test_everything_lies_where_the_pages_say(
    built: Candidate, index: Path, validate: Callable[[str, object], None]
) -> None:
    (one,) = add([built], index, now=datetime(2026, 1, 2, 3, 4, 5, 6, timezone.utc))
    assert one.outcome == "published" and one.wheel.uploaded == "2026-01-02T03:04:05.000006Z"
    place = index / one.wheel.path
    assert place.read_bytes() == built.path.read_bytes()
    assert sorted(path.name.removeprefix(built.filename) for path in place.parent.iterdir()) == [
        "", ".metadata", ".record.json", ".report.html",
    ]  # fmt: skip
    assert place.with_name(f"{place.name}.metadata").read_bytes() == built.metadata
    for tree in ("simple", "v/cu130-sm89/simple"):
        validate("simple-list", json.loads((index / tree / "index.json").read_text()))
        page = json.loads((index / tree / "tensorrt-llm" / "index.json").read_text())
        validate("simple-project", page)
        (url,) = (file["url"] for file in page["files"])
        # As a URL leads, not as links of the file system do.
        assert os.path.normpath(index / tree / "tensorrt-llm" / url.replace("%2B", "+")) == str(place)
        assert url in (index / tree / "tensorrt-llm" / "index.html").read_text()
    validate("index-lock", json.loads((index / "locks" / f"{'a' * 64}.json").read_text()))
    assert check(open_index(index), inspect)[1] == ()


def test_real_attestations_are_named_by_the_pages(make_wheel: Make, index: Path) -> None:
    """PEP 740; what is no such bundle is left where it is."""
    wheel = make_wheel()
    sha256 = judge(wheel, OTHERS).sha256
    said = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": sha256}}],
        "predicateType": "x",
    }
    material = {"certificate": "AAAA", "transparency_entries": [{"logIndex": "1"}]}
    envelope = {"statement": base64.b64encode(json.dumps(said).encode()).decode(), "signature": "AAAA"}
    one = {"version": 1, "verification_material": material, "envelope": envelope}
    bundle = {"version": 1, "attestation_bundles": [{"publisher": {"kind": "GitHub"}, "attestations": [one]}]}
    wheel.with_name(f"{wheel.name}.provenance").write_text(json.dumps(bundle))
    add([judge(wheel, OTHERS)], index)
    (file,) = json.loads((index / "simple" / "small" / "index.json").read_text())["files"]
    assert file["provenance"] == f"{file['url']}.provenance"
    assert json.loads(Path(os.path.normpath(index / "simple" / "small" / file["provenance"])).read_text()) == bundle
    assert f'data-provenance="{file["provenance"]}"' in (index / "simple" / "small" / "index.html").read_text()
    assert check(open_index(index), inspect)[1] == ()


def test_the_same_bytes_again_change_nothing(built: Candidate, index: Path) -> None:
    add([built], index)
    before = (index / ".current").readlink()
    assert [one.outcome for one in add([built], index)] == ["already there"]
    assert (index / ".current").readlink() == before


def test_other_bytes_under_a_name_are_refused_in_any_spelling(make_wheel: Make, index: Path) -> None:
    add([judge(make_wheel("small-pack", "1.0"), OTHERS)], index)
    before = (index / ".current").readlink()
    more = judge(make_wheel("third"), OTHERS)
    for name in ("small_pack-1.0-py3-none-any.whl", "Small.Pack-1.0.0-py3-none-any.whl"):
        other = judge(make_wheel("small-pack", "1.0", content="# other", file_name=name), OTHERS)
        with pytest.raises(PublishError, match="with other bytes") as caught:
            add([more, other], index)
        assert "also when it is yanked: build yours with another version or build tag" in caught.value.remedy
    # All or none: the wheel beside it did not get in, and nothing of it was left.
    held, problems = check(open_index(index), inspect)
    assert [wheel.project for wheel in held.wheels] == ["small-pack"] and problems == ()
    assert (index / ".current").readlink() == before
    yank(index, held.wheels[0].filename, "")
    with pytest.raises(PublishError, match="with other bytes"):
        add([other], index)
    tagged = judge(make_wheel("small-pack", "1.0", content="# other", build="1"), OTHERS)
    assert [one.outcome for one in add([tagged], index)] == ["published"]


def test_one_command_cannot_bring_two_of_one_name(make_wheel: Make, tmp_path: Path, index: Path) -> None:
    pair = [judge(make_wheel(directory=tmp_path / d, content=f"# {d}"), OTHERS) for d in ("a", "b")]
    with pytest.raises(PublishError, match=r"a/small-1\.0.* and .*b/small-1\.0.* are of one name, with other bytes"):
        add(pair, index)
    assert not index.exists()


def test_what_we_build_comes_with_a_record(make_wheel: Make, make_build: Make, index: Path) -> None:
    """A stranger's with a higher version would be what every installer takes."""
    wheel = make_wheel("tensorrt-llm", "99.0")
    with pytest.raises(PublishError, match=r"record\.json, which says how, is not beside it"):
        judge(wheel, Allowed(True, True))
    record = make_build().with_name("small.record.json")
    record.write_text("{}")
    ours = replace(judge(make_wheel("small", "1.0"), OTHERS), beside={".record.json": record})
    add([ours], index)
    before = (index / ".current").readlink()
    with pytest.raises(PublishError, match="has no record of a build of ours, and small is what we build"):
        add([judge(make_wheel("small", "99.0"), OTHERS)], index)
    assert (index / ".current").readlink() == before


def test_a_wheel_that_changes_meanwhile_is_not_published(make_wheel: Make, index: Path) -> None:
    candidate = judge(make_wheel(), OTHERS)
    candidate.path.write_bytes(candidate.path.read_bytes() + b"\0")
    with pytest.raises(PublishError, match="was changed while it was published"):
        add([candidate], index)
    assert not list(index.rglob("*.whl"))


def test_what_the_index_lost_is_restored_by_publishing_it_again(built: Candidate, index: Path) -> None:
    (one,) = add([built], index)
    place = index / one.wheel.path
    data = bytearray(place.read_bytes())
    data[100] ^= 1
    place.write_bytes(data)
    _, (problem,) = check(open_index(index), inspect)
    assert problem.path == one.wheel.path and "has the sha256" in problem.what and not problem.repairable
    assert [added.outcome for added in add([built], index)] == ["restored"]
    shutil.rmtree(place.parent)
    assert {problem.what for problem in check(open_index(index), inspect)[1]} == {"is missing"}
    assert [added.outcome for added in add([built], index)] == ["restored"]
    assert check(open_index(index), inspect)[1] == ()


def test_more_that_is_known_later_is_taken_over(make_build: Make, index: Path) -> None:
    def skipped(record: dict) -> None:
        record["report"]["checks"][1]["status"] = "skipped"

    wheel = make_build(record=skipped)
    add([judge(wheel, Allowed(unimported=True))], index)
    yank(index, wheel.name, "for now")
    assert "never imported" in (index / "simple" / "tensorrt-llm" / "index.html").read_text()
    again = make_build()
    assert [one.outcome for one in add([judge(again, Allowed())], index)] == ["verified"]
    (held,) = open_index(index).read().wheels
    assert held.standing == "verified" and held.yanked == "for now"
    record = index / f"{held.path}.record.json"
    assert record.read_bytes() == again.with_name(f"{again.name}.record.json").read_bytes()
    # Less that is known later takes nothing away.
    assert [one.outcome for one in add([judge(make_build(record=skipped), Allowed(unimported=True))], index)] == [
        "already there"
    ]
    assert check(open_index(index), inspect)[1] == ()


def test_a_yanked_build_is_to_be_built_again(built: Candidate, index: Path) -> None:
    add([built], index)
    found = find_by_lock(index, "a" * 64)
    assert found is not None and Path(found.location).read_bytes() == built.path.read_bytes()
    assert (found.name, found.size) == (built.filename, built.size)
    assert find_by_lock(index, "b" * 64) is None and find_by_lock(index / "nowhere", "a" * 64) is None
    changed, is_change = yank(index, "tensorrt-llm==1.2.0+sd.cu130.sm89", " a\nreason\x1b[31m ")
    assert is_change and changed[0].yanked == "a reason"
    assert find_by_lock(index, "a" * 64) is None
    assert not yank(index, built.filename, "a reason")[1]
    assert yank(index, built.filename, None)[0][0].yanked is None
    assert find_by_lock(index, "a" * 64) == found


@pytest.mark.parametrize("what", ["small", "small==", "small==x", "==1", "sm/all==1", "", "../small-1.0-py3-none-any"])
def test_what_names_nothing_is_usage(what: str, make_wheel: Make, index: Path) -> None:
    add([judge(make_wheel(), OTHERS)], index)
    with pytest.raises(UsageError):
        find(open_index(index).read(), what)
    with pytest.raises(PublishError, match="the index has no small==9"):
        find(open_index(index).read(), "small==9")
    assert len(find(open_index(index).read(), "Small==1.0.0")) == 1


def test_what_was_pruned_is_gone_and_the_rest_is_sound(make_build: Make, index: Path) -> None:
    for day in (1, 2, 3):
        wheel = make_build(f"1.{day}.0+sd.cu130.sm89", lock={"sha256": f"{day}" * 64, "locked": day == 1})
        add([judge(wheel, Allowed())], index, now=datetime(2026, 1, day, tzinfo=timezone.utc))
    assert [wheel.version for wheel in prune(index, 1, (), dry_run=True).gone] == ["1.2.0+sd.cu130.sm89"]
    assert len(open_index(index).read().wheels) == 3
    prune(index, 1, ())
    held, problems = check(open_index(index), inspect)
    assert [wheel.version for wheel in held.wheels] == ["1.1.0+sd.cu130.sm89", "1.3.0+sd.cu130.sm89"]
    assert problems == () and len(list(index.rglob("files/**/*.whl"))) == 2


def test_what_is_wrong_is_told_and_what_can_be_is_mended(make_wheel: Make, built: Candidate, index: Path) -> None:
    add([built, judge(make_wheel(), OTHERS)], index)
    store = open_index(index)
    (index / "simple" / "small" / "index.html").write_text("<b>")
    (index / "v" / "cu130-sm89" / "simple" / "index.json").unlink()
    (index / "locks" / "more.json").write_text("")
    (index / "locks").unlink()
    (index / ".incoming").mkdir()
    (index / "files" / "small" / ("0" * 16)).mkdir()
    told = {problem.path.rpartition("/")[2]: problem for problem in check(store, inspect)[1]}
    assert set(told) == {"small", "index.json", "more.json", "locks", ".incoming", "0" * 16}
    assert all(problem.repairable for problem in told.values())
    assert repair(index).problems == () and check(store, inspect)[1] == ()
    (index / built.path.name).write_text("")  # a file of somebody else's is none of our business
    (index / "files" / "README").write_text("")
    assert check(store, inspect)[1] == ()


def test_a_page_that_is_the_memory_of_the_index_cannot_be_lost_silently(built: Candidate, index: Path) -> None:
    add([built], index)
    page = index / "simple" / "tensorrt-llm" / "index.json"
    page.write_text(page.read_text()[:-20])
    for act in (
        lambda: add([built], index),
        lambda: check(open_index(index), inspect),
        lambda: yank(index, "a==1", ""),
    ):
        with pytest.raises(PublishError, match="cannot be read"):
            act()
    assert list(index.rglob("files/**/*.whl"))


@pytest.mark.parametrize("name", ["files", ".generations"])
def test_links_that_lead_elsewhere_are_not_followed(built: Candidate, index: Path, tmp_path: Path, name: str) -> None:
    make_index(index)
    (index / name).rename(tmp_path / "elsewhere")
    (index / name).symlink_to(tmp_path / "elsewhere")
    before = sorted((tmp_path / "elsewhere").rglob("*"))
    with pytest.raises(PublishError, match="is no directory, so it is not ours"):
        add([built], index)
    assert sorted((tmp_path / "elsewhere").rglob("*")) == before


def test_a_projects_place_that_is_a_link_is_not_followed(built: Candidate, index: Path, tmp_path: Path) -> None:
    make_index(index)
    (tmp_path / "elsewhere").mkdir()
    (index / "files" / "tensorrt-llm").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PublishError, match="is no directory"):
        add([built], index)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_an_index_reached_through_a_link_is_fine(built: Candidate, index: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    index.symlink_to(tmp_path / "real")
    add([built], index)
    assert check(open_index(tmp_path / "real"), inspect)[1] == ()


@pytest.mark.parametrize("marker", ["", "{}", "[]", '{"schema": 99}', "\x00"])
def test_a_marker_that_is_none_of_ours(built: Candidate, index: Path, marker: str) -> None:
    index.mkdir()
    (index / "trtllm-index.json").write_text(marker)
    with pytest.raises(PublishError):
        add([built], index)
    assert sorted(path.name for path in index.iterdir()) == ["trtllm-index.json"]


def test_a_file_is_no_index(built: Candidate, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(PublishError):
            add([built], place)
        with pytest.raises(UsageError):
            open_index(place)


def test_pages_of_another_form_are_all_made_anew(
    make_wheel: Make, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An update of this program may change what unchanged wheels look like."""
    add([judge(make_wheel(), OTHERS)], index)
    page = index / "simple" / "small" / "index.html"
    first = page.stat().st_ino
    add([judge(make_wheel("b"), OTHERS)], index)
    assert page.stat().st_ino == first
    monkeypatch.setattr(simple, "API", "9.9")
    add([judge(make_wheel("c"), OTHERS)], index)
    assert page.stat().st_ino == first
    monkeypatch.setattr(generation, "FORM", 2)
    add([judge(make_wheel("d"), OTHERS)], index)
    assert 'content="9.9"' in page.read_text()


def test_who_waits_too_long_is_told(built: Candidate, index: Path) -> None:
    store, told = make_index(index), []
    with taking_turn(store), pytest.raises(PublishError, match="somebody else has been publishing"):
        add([built], index, patience=0.1, waiting=lambda: told.append(1))
    assert told == [1]


def test_a_disk_without_hard_links_gets_copies(make_wheel: Make, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_words: object, **_named: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    add([judge(make_wheel(), OTHERS)], index)
    monkeypatch.setattr(os, "link", refuse)
    add([judge(make_wheel("b"), OTHERS)], index)
    assert check(open_index(index), inspect)[1] == ()
