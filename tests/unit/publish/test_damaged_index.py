"""What an index lost that says that it is one: nothing more is lost by it, and it can be made again."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from trtllm_builder.errors import PublishError, UsageError
from trtllm_builder.index.check import check
from trtllm_builder.index.opening import MARKER, make_index, open_index
from trtllm_builder.publish.add import add
from trtllm_builder.publish.change import prune
from trtllm_builder.publish.inspect import inspect
from trtllm_builder.publish.repair import repair
from trtllm_builder.publish.rules import Allowed, Candidate, judge

Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def no_waiting_for_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@pytest.fixture
def built(make_build: Make) -> Candidate:
    return judge(make_build("1.3.0+sd.cu130.sm89"), Allowed())


@pytest.fixture
def index(make_build: Make, tmp_path: Path) -> Path:
    """With two wheels, of two publications."""
    root = tmp_path / "index"
    for day in (1, 2):
        wheel = judge(make_build(f"1.{day}.0+sd.cu130.sm89"), Allowed())
        add([wheel], root, now=datetime(2026, 1, day, tzinfo=timezone.utc))
    return root


def files(index: Path) -> list[str]:
    return sorted(str(path.relative_to(index)) for path in (index / "files").rglob("*"))


def test_without_its_marker_nothing_is_written_into_it(index: Path, built: Candidate) -> None:
    before = files(index)
    (index / MARKER).unlink()
    acts: list[Callable[[], object]] = [
        lambda: add([built], index),
        lambda: make_index(index),
        lambda: prune(index, 1, ()),
        lambda: open_index(index),
    ]
    for act in acts:
        with pytest.raises(PublishError, match="is gone") as caught:
            act()
        assert "--repair makes it anew" in str(caught.value.remedy)
    assert files(index) == before
    done = repair(index)
    assert len(done.index.wheels) == 2 and done.problems == () and files(index) == before
    add([built], index)
    assert len(open_index(index).read().wheels) == 3


def test_files_alone_are_enough_to_leave_it_alone(index: Path, built: Candidate) -> None:
    """Also when the generations went with the marker."""
    before = files(index)
    (index / MARKER).unlink()
    (index / ".generations").rename(index.parent / "lost")
    with pytest.raises(PublishError, match="is gone"):
        add([built], index)
    assert files(index) == before


@pytest.mark.parametrize("text", ["", "{}", "[]", "\x00", '{"schema": null}'])
def test_a_damaged_marker_is_written_anew(index: Path, text: str) -> None:
    (index / MARKER).write_text(text)
    with pytest.raises(PublishError, match="cannot be read") as caught:
        open_index(index)
    assert "--repair" in str(caught.value.remedy)
    assert len(repair(index).index.wheels) == 2


def test_a_marker_of_another_form_stays(index: Path) -> None:
    (index / MARKER).write_text('{"schema": 99}')
    with pytest.raises(PublishError, match="has the form 99"):
        repair(index)
    assert (index / MARKER).read_text() == '{"schema": 99}'


@pytest.mark.parametrize("lost", ["removed", "dangling"])
def test_the_link_to_the_pages_is_made_again(index: Path, lost: str) -> None:
    (index / ".current").unlink()
    if lost == "dangling":
        (index / ".current").symlink_to(".generations/00000099")
    if lost == "removed":
        with pytest.raises(PublishError, match="shows no pages") as caught:
            check(open_index(index), inspect)
        assert "--repair" in str(caught.value.remedy)
    done = repair(index)
    assert len(done.index.wheels) == 2 and done.problems == ()


def test_what_is_no_index_is_not_made_one(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("")
    for act in (repair, open_index):
        with pytest.raises(UsageError, match="is no index of ours"):
            act(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.fixture
def narrow() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("narrow")
def test_a_web_server_can_read_it_whatever_the_umask(built: Candidate, tmp_path: Path) -> None:
    index = tmp_path / "new" / "index"
    for name in (f"{built.filename}.record.json", f"{built.filename}.report.html"):
        built.path.with_name(name).chmod(0o600)
    add([built], index)
    for path in (index.parent, index, *index.rglob("*")):
        if path.is_symlink() or path.name == ".lock":
            continue
        wanted = 0o755 if path.is_dir() else 0o644
        assert oct(stat.S_IMODE(path.stat().st_mode)) == oct(wanted), path
