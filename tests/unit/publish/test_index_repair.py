"""Everything of an index that is made from its files is made anew from them, and from what pages are left."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest

from trtllm_builder.errors import PublishError
from trtllm_builder.index.check import check
from trtllm_builder.index.files import point, remove
from trtllm_builder.index.opening import MARKER, open_index
from trtllm_builder.publish.add import add
from trtllm_builder.publish.change import keep, yank
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
def index(make_build: Make, tmp_path: Path) -> Path:
    """With three wheels, of three publications; the first is yanked and the second kept."""
    root = tmp_path / "index"
    for day in (1, 2, 3):
        wheel = judge(make_build(f"1.{day}.0+sd.cu130.sm89"), Allowed())
        add([wheel], root, now=datetime(2026, 1, day, tzinfo=timezone.utc))
        if day < 3:
            act = yank if day == 1 else keep
            act(root, f"tensorrt-llm==1.{day}.0+sd.cu130.sm89", "a reason")
    return root


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
    index.rename(index.with_name("before"))
    shutil.copytree(index.with_name("before"), index)


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
        assert check(open_index(root), inspect)[1] == () and repair(root).mended == ()
        assert {one.outcome for one in add([built], root)} <= {"published", "already there"}
        assert check(open_index(root), inspect)[1] == ()


@contextmanager
def ending_with_repair() -> Iterator[None]:
    try:
        yield
    except PublishError as error:
        assert "--repair" in error.remedy
