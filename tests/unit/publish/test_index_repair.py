"""Everything of an index that is made from its files is made anew from them, and from what pages are left."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path

import pytest

from trtllm_builder.errors import PublishError
from trtllm_builder.index.check import check
from trtllm_builder.index.files import point, remove
from trtllm_builder.index.model import Index
from trtllm_builder.index.opening import MARKER, open_index
from trtllm_builder.index.store import taking_turn
from trtllm_builder.publish.add import add, entry
from trtllm_builder.publish.change import keep, prune, yank
from trtllm_builder.publish.inspect import inspect
from trtllm_builder.publish.repair import repair
from trtllm_builder.publish.rules import Allowed, Candidate, judge

Make = Callable[..., Path]
Act = Callable[[Path], object]
VERSIONS = {f"1.{day}.0+sd.cu130.sm89" for day in (1, 2, 3)}


@pytest.fixture(autouse=True)
def no_waiting_for_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@pytest.fixture
def built(make_build: Make) -> Candidate:
    return judge(make_build("1.9.0+sd.cu130.sm89"), Allowed())


@pytest.fixture
def index(make_build: Make, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With three wheels, of three publications; the first is yanked and the second kept."""
    root = tmp_path_factory.getbasetemp() / "an index of three"
    if not root.exists():
        for day in (1, 2, 3):
            wheel = judge(make_build(f"1.{day}.0+sd.cu130.sm89"), Allowed())
            add([wheel], root, now=datetime(2026, 1, day, tzinfo=timezone.utc))
            if day < 3:
                act = yank if day == 1 else keep
                act(root, f"tensorrt-llm==1.{day}.0+sd.cu130.sm89", "a reason")
    return Path(shutil.copytree(root, tmp_path / "index", symlinks=True))


def lose_current_page(index: Path) -> None:
    """The list of projects of the generation that is shown."""
    page = index / "simple" / "index.json"
    page.write_text(page.read_text()[:-5])


def lose_newest(index: Path) -> None:
    shutil.rmtree((index / ".current").resolve())


def empty_newest(index: Path) -> None:
    lose_newest(index)
    (index / (index / ".current").readlink()).mkdir()


def lose_generations(index: Path) -> None:
    shutil.rmtree(index / ".generations")


def empty_generations(index: Path) -> None:
    lose_generations(index)
    (index / ".generations").mkdir()


def lose_pages(index: Path) -> None:
    shutil.rmtree(index / ".pages")


def empty_pages(index: Path) -> None:
    lose_pages(index)
    (index / ".pages").mkdir()


def cut_project(index: Path) -> None:
    """In every tree, so that only an older page tells of the older wheel, and none of the newest."""
    for page in (index / ".current").resolve().glob("**/tensorrt-llm/index.json"):
        page.write_text(page.read_text()[:-9])


def cut_all_projects(index: Path) -> None:
    for page in (index / ".pages").glob("*/index.json"):
        page.write_text("{}")


def lose_everything_derived(index: Path) -> None:
    for path in list(index.iterdir()):
        if path.name != "files":
            remove(path)


def follow_links(index: Path) -> None:
    """As `cp -aL` and `rsync -aL` do."""
    shutil.copytree(index, index.with_name("copy"))
    shutil.rmtree(index)
    index.with_name("copy").rename(index)


def point_elsewhere(index: Path) -> None:
    point(index / ".current", "/etc")


def point_before(index: Path) -> None:
    """What we once told people to do."""
    number = int((index / ".current").readlink().name)
    point(index / ".current", f".generations/{number - 1:08d}")


def lose_link_and_page(index: Path) -> None:
    lose_current_page(index)
    (index / ".current").unlink()


def lose_newest_and_link(index: Path) -> None:
    lose_newest(index)
    (index / ".current").unlink()


def lose_marker_and_generations(index: Path) -> None:
    (index / MARKER).unlink()
    lose_generations(index)


def lose_marker_lock_and_pages(index: Path) -> None:
    lose_pages(index)
    (index / MARKER).unlink()
    (index / ".lock").unlink()
    (index / "robots.txt").write_text("")


def lose_top_links(index: Path) -> None:
    for name in ("simple", "v", "locks", "index.html"):
        (index / name).unlink()


def put_files_in_the_way(index: Path) -> None:
    lose_top_links(index)
    (index / "simple").mkdir()
    (index / "index.html").write_text("hello")
    for name in (".generations", ".pages"):
        shutil.rmtree(index / name)
        (index / name).write_text("")


def lose_metadata(index: Path) -> None:
    for path in (index / "files").rglob("*.metadata"):
        path.unlink()


def lose_link_and_metadata(index: Path) -> None:
    lose_generations(index)
    lose_metadata(index)


def dead_publisher_then_loss(index: Path) -> None:
    """What was noted as unfinished may have been finished, once the pages that say so are lost."""
    (index / ".unfinished").write_text("".join(f"{place}\n" for place in places_of(index)))
    lose_newest(index)


def places_of(index: Path) -> list[str]:
    return sorted({str(path.parent.relative_to(index)) for path in (index / "files").rglob("*.whl")})


DAMAGES: tuple[Act, ...] = (
    lose_current_page, lose_newest, empty_newest, lose_generations, empty_generations, lose_pages, empty_pages,
    cut_project, cut_all_projects, lose_everything_derived, follow_links, point_elsewhere, point_before,
    lose_link_and_page, lose_newest_and_link, lose_marker_and_generations, lose_marker_lock_and_pages,
    lose_top_links, put_files_in_the_way, lose_metadata, lose_link_and_metadata, dead_publisher_then_loss,
)  # fmt: skip


def listed(index: Path, _built: Candidate) -> object:
    return open_index(index).read()


def checked(index: Path, _built: Candidate) -> object:
    problems = check(open_index(index), inspect)[1]
    if problems:
        assert all(problem.repairable for problem in problems)
        raise PublishError("problems", remedy="--repair")
    return problems


def published(index: Path, built: Candidate) -> object:
    return add([built], index)


def tree(index: Path) -> dict[str, bytes]:
    return {str(path.relative_to(index)): path.read_bytes() for path in (index / "files").rglob("*") if path.is_file()}


@pytest.mark.parametrize("damage", DAMAGES)
def test_whatever_is_lost_but_files_is_made_anew(index: Path, built: Candidate, damage: Act) -> None:
    """Whichever command finds it, nothing more is lost by it, and the remedy that it names makes all whole."""
    whole = tree(index)
    damage(index)
    for act in (listed, checked, published, None):
        root = index.with_name(act.__name__ if act else "repaired")
        shutil.copytree(index, root, symlinks=True)
        if act is not None:
            with ending_with_repair():
                act(root, built)
        assert not {name for name in whole if not name.endswith(".metadata") and not (root / name).exists()}
        done = repair(root)
        assert done.problems == () and tree(root).items() >= whole.items()
        assert {wheel.version for wheel in done.index.wheels} >= VERSIONS
    assert repair(root).mended == ()
    assert [one.outcome for one in add([built], root)] == ["published"]
    assert check(open_index(root), inspect)[1] == ()


@contextmanager
def ending_with_repair() -> Iterator[None]:
    try:
        yield
    except PublishError as error:
        assert "--repair" in error.remedy


def told_of(index: Path) -> dict[str, tuple[str, str | None, str | None]]:
    return {w.version[:3]: (w.uploaded[:10], w.yanked, w.keep) for w in open_index(index).read().wheels}


@pytest.mark.parametrize("damage", [lose_newest, lose_generations, follow_links, point_elsewhere, lose_current_page])
def test_what_only_pages_know_is_taken_from_those_that_are_left(index: Path, damage: Act) -> None:
    before = told_of(index)
    assert before["1.1"] == ("2026-01-01", "a reason", None) and before["1.2"] == ("2026-01-02", None, "a reason")
    damage(index)
    done = repair(index)
    assert told_of(index) == before and done.mended
    # A yank and its end come back to pages that were there before: the last ones count.
    for reason in (None, "another", None):
        yank(index, "tensorrt-llm==1.1.0+sd.cu130.sm89", reason)
    before = told_of(index)
    damage(index)
    repair(index)
    assert told_of(index) == before and before["1.1"][1] is None


def test_what_no_page_knows_any_more_is_said(index: Path) -> None:
    for path in (index / "files").rglob("*.whl"):
        os.utime(path, (86400, 86400))
    lose_everything_derived(index)
    done = repair(index)
    said = [one.what for one in done.mended if one.path.endswith(".whl")]
    assert len(said) == 3 and all("whether it was yanked or kept is not known" in what for what in said)
    assert set(told_of(index).values()) == {("1970-01-02", None, None)}
    assert {wheel.standing for wheel in done.index.wheels} == {"verified"}
    assert all(".record.json" in wheel.beside for wheel in done.index.wheels)


def test_what_was_pruned_does_not_come_back(index: Path) -> None:
    prune(index, 1, ())
    assert set(told_of(index)) == {"1.2", "1.3"}
    lose_newest(index)
    done = repair(index)
    assert set(told_of(index)) == {"1.2", "1.3"} and done.problems == ()
    assert [one.what for one in done.mended if "1.1.0" in one.path] == [
        "on an older page, and not there: pruned, or lost"
    ]


def hide(index: Path, version: str) -> Path:
    """A wheel that no page names although nobody left it unfinished."""
    with taking_turn(open_index(index)) as turn:
        (wheel,) = (wheel for wheel in turn.index.wheels if wheel.version.startswith(version))
        place = index / wheel.directory
        shutil.copytree(place, index / "aside")
        turn.show(Index(tuple(one for one in turn.index.wheels if one != wheel)))
    (index / "aside").rename(place)
    return index / wheel.path


def test_a_wheel_in_no_page_outlives_every_publisher(index: Path, built: Candidate) -> None:
    path = hide(index, "1.3")
    before = tree(index)
    add([built], index)
    yank(index, built.filename, "")
    prune(index, 9, ())
    assert tree(index).items() >= before.items()
    _, (problem,) = check(open_index(index), inspect)
    assert problem.repairable and "--repair shows the wheel again" in problem.what
    done = repair(index)
    assert done.problems == () and "shown again" in done.mended[0].what and path.is_file()
    assert {wheel.version for wheel in done.index.wheels} > VERSIONS


def test_a_wheel_in_no_page_is_never_replaced_in_two_steps(
    index: Path, make_build: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be the only one: also while it is published again, every moment has it."""
    path = hide(index, "1.3")
    again = judge(make_build("1.3.0+sd.cu130.sm89"), Allowed())

    def settle(_directory: Path) -> None:
        assert path.is_file()

    monkeypatch.setattr("trtllm_builder.index.store.settle", settle)

    def removing(place: Path) -> None:
        remove(place)
        assert path.is_file()

    monkeypatch.setattr("trtllm_builder.index.store.remove", removing)
    assert [one.outcome for one in add([again], index)] == ["published"]
    assert check(open_index(index), inspect)[1] == ()


def test_what_cannot_be_shown_again_lies_where_it_was(index: Path, make_wheel: Make) -> None:
    foreign = make_wheel("tensorrt-llm", "9.0")
    data = foreign.read_bytes()
    digest = sha256(data).hexdigest()
    right, wrong = (index / "files" / "tensorrt-llm" / name for name in (digest[:16], "0" * 16))
    for place in (right, wrong):
        place.mkdir()
        (place / foreign.name).write_bytes(data)
    (index / "files" / "tensorrt-llm" / ("1" * 16)).mkdir()
    for _ in range(2):
        done = repair(index)
        assert {problem.path.rpartition("/")[2] for problem in done.problems} == {right.name, wrong.name}
        for problem in done.problems:
            assert not problem.repairable and "move it away if nobody misses it" in problem.what
        assert not (index / "files" / "tensorrt-llm" / ("1" * 16)).exists()
        assert (right / foreign.name).read_bytes() == data == (wrong / foreign.name).read_bytes()
    shutil.rmtree(right)
    shutil.rmtree(wrong)
    assert check(open_index(index), inspect)[1] == ()


def test_pages_of_somebody_else_are_not_removed(index: Path) -> None:
    (index / "simple").unlink()
    (index / "simple").mkdir()
    (index / "simple" / "thesis.txt").write_text("years")
    with pytest.raises(PublishError, match=r"a directory with thesis\.txt, which is no page of ours") as caught:
        repair(index)
    assert f"move {index / 'simple'} away" in caught.value.remedy
    (index / "simple").rename(index.with_name("away"))
    assert repair(index).problems == ()


@pytest.mark.parametrize("name", ["files", ".generations", ".pages"])
def test_a_link_in_place_of_a_directory_is_left_to_its_maker(index: Path, name: str) -> None:
    (index / name).rename(index.with_name("elsewhere"))
    (index / name).symlink_to(index.with_name("elsewhere"))
    before = sorted(index.with_name("elsewhere").rglob("*"))
    with pytest.raises(PublishError, match="is no directory, so it is not ours") as caught:
        repair(index)
    assert ("or remove it: then" in caught.value.remedy) == (name != "files")
    assert sorted(index.with_name("elsewhere").rglob("*")) == before
    (index / name).unlink()
    if name == "files":
        index.with_name("elsewhere").rename(index / name)
    assert repair(index).problems == () and len(open_index(index).read().wheels) == 3


def test_lost_files_are_told_and_come_back_by_publishing(index: Path, make_build: Make) -> None:
    shutil.rmtree(index / "files")
    with pytest.raises(PublishError, match="files is missing") as caught:
        yank(index, "tensorrt-llm==1.1.0+sd.cu130.sm89", None)
    assert "--repair" in caught.value.remedy
    problems = repair(index).problems
    assert problems and all(problem.what == "is missing" for problem in problems)
    add([judge(make_build(version), Allowed()) for version in sorted(VERSIONS)], index)
    assert repair(index).problems == ()


def test_a_page_that_names_what_cannot_be_is_damaged(index: Path) -> None:
    page = (index / "simple" / "tensorrt-llm" / "index.json").resolve()
    for found, instead in (
        ("1.1.0+sd", "one"),
        ('"name":"tensorrt-llm"', '"name":"../.."'),
        ('"sha256":"', '"sha256":"/'),
    ):
        text = page.read_text()
        page.write_text(text.replace(found, instead))
        with pytest.raises(PublishError, match="cannot be read"):
            open_index(index).read()
        assert repair(index).problems == () and len(open_index(index).read().wheels) == 3
        page = (index / "simple" / "tensorrt-llm" / "index.json").resolve()


def test_what_a_publisher_is_about_to_show_is_no_problem(index: Path, built: Candidate) -> None:
    store = open_index(index)
    turns = taking_turn(store)
    turn = turns.__enter__()
    one = entry(built, "2026-02-01T00:00:00.000000Z")
    turn.place(one, built.path, built.metadata, built.beside)
    waited: list[int] = []

    def waiting() -> None:
        waited.append(1)
        turn.show(Index((*turn.index.wheels, one)))
        turns.__exit__(None, None, None)

    held, problems = check(store, inspect, waiting=waiting)
    assert problems == () and waited == [1] and len(held.wheels) == 4


def test_who_may_not_keep_others_out_is_told_what_was_seen(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (index / ".incoming").mkdir()
    monkeypatch.setattr("trtllm_builder.index.check.LOCK", "nowhere/lock")
    assert [problem.path for problem in check(open_index(index), inspect)[1]] == [".incoming"]


def test_what_a_publisher_left_that_did_not_end_is_removed(index: Path, built: Candidate) -> None:
    before = tree(index)
    one = entry(built, "2026-02-01T00:00:00.000000Z")
    shutil.copytree(index, index.with_name("killed"), symlinks=True)
    with taking_turn(open_index(index)) as turn:
        turn.place(one, built.path, built.metadata, built.beside)
        for name in ("files", ".unfinished"):  # as a kill at this moment leaves them
            (shutil.copytree if name == "files" else shutil.copy)(index / name, index.with_name(f"{name} then"))
    killed = index.with_name("killed")
    shutil.rmtree(killed / "files")
    index.with_name("files then").rename(killed / "files")
    index.with_name(".unfinished then").rename(killed / ".unfinished")
    _, (problem,) = check(open_index(killed), inspect)
    assert problem.path == one.directory and "--repair or the next one removes it" in problem.what
    assert repair(killed).problems == () and tree(killed) == before and not (killed / ".unfinished").exists()


@pytest.mark.parametrize(
    "text", ["files/small/0123456789abcdef", "../../etc\n", "files/a/../../..\n", "\x00\n", "files\n"]
)
def test_a_note_that_cannot_be_ours_is_nothing(index: Path, text: str) -> None:
    before = tree(index)
    (index / ".unfinished").write_text(text)
    assert repair(index).problems == () and tree(index) == before


def lay(index: Path, wheel: Path, place: str = "") -> Path:
    """By hand, in ``files/``."""
    digest = sha256(wheel.read_bytes()).hexdigest()
    target = index / "files" / wheel.name.partition("-")[0].replace("_", "-") / (place or digest[:16]) / wheel.name
    target.parent.mkdir(parents=True)
    shutil.copy(wheel, target)
    return target


def test_a_wheel_in_another_wheels_place_is_not_shown(index: Path, make_wheel: Make) -> None:
    path = lay(index, make_wheel(), "0" * 16)
    (problem,) = repair(index).problems
    assert "it belongs into files/small/" in problem.what and path.is_file()


def test_what_is_noted_and_cannot_be_shown_again_stays_where_pages_were_lost(index: Path, make_wheel: Make) -> None:
    path = lay(index, make_wheel("tensorrt-llm", "9.0"))
    (index / ".unfinished").write_text(f"{path.parent.relative_to(index)}\n")
    lose_newest(index)
    (problem,) = repair(index).problems
    assert problem.path == str(path.parent.relative_to(index)) and path.is_file()


def test_of_a_project_that_we_build_nothing_without_a_record_is_shown_again(index: Path, make_wheel: Make) -> None:
    (one,) = add([judge(make_wheel("small", "1.0"), Allowed(unverified=True))], index)
    ours = replace(one.wheel, beside={".record.json": "0" * 64})
    with taking_turn(open_index(index)) as turn:
        turn.show(Index((*(wheel for wheel in turn.index.wheels if wheel != one.wheel), ours)))
    path = lay(index, make_wheel("small", "2.0"))
    problems = {problem.path: problem.what for problem in repair(index).problems}
    assert "small is what we build" in problems[str(path.parent.relative_to(index))]


def test_that_nobody_holds_a_lock_is_remembered(index: Path, make_build: Make) -> None:
    build = make_build("1.4.0+sd.cu130.sm89", lock={"sha256": "a" * 64, "locked": True})
    (one,) = add([judge(build, Allowed())], index, nightly=True)
    lose_newest(index)
    (index / f"{one.wheel.path}.report.html").unlink()
    assert repair(index).problems == ()
    (again,) = (wheel for wheel in open_index(index).read().wheels if wheel.filename == build.name)
    assert again.lock is not None and not again.lock.kept and set(again.beside) == {".record.json"}
    assert again.uploaded == one.wheel.uploaded
