"""A publisher killed with SIGKILL before and in the middle of every single thing it does to the disk."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import unquote, urljoin

import pytest

from trtllm_builder.errors import PublishError
from trtllm_builder.index.check import check
from trtllm_builder.index.files import remove
from trtllm_builder.index.model import Index
from trtllm_builder.index.opening import make_index, open_index
from trtllm_builder.index.published import find_by_lock
from trtllm_builder.index.store import taking_turn
from trtllm_builder.publish.add import add
from trtllm_builder.publish.change import prune, yank
from trtllm_builder.publish.inspect import inspect
from trtllm_builder.publish.repair import repair
from trtllm_builder.publish.rules import Allowed, Candidate, judge

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 21, tzinfo=timezone.utc)
LOCK = "ab" * 32
_PATHS = ("os.rename", "os.link", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.truncate")
Act = Callable[[Path], object]


def in_child(act: Act, index: Path, step: int) -> bool:
    """Forks, does ``act`` and kills the child at the given step; whether it was over before."""
    child = os.fork()
    if child == 0:
        try:
            _kill_at(step, os.fspath(index))
            act(index)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0
        return True
    assert os.WTERMSIG(status) == signal.SIGKILL
    return False


def _kill_at(step: int, index: str) -> None:
    """Each change of a name is a step (Python's audit events, from C, told before it is done), as is each write, its
    half, and each fsync."""
    count = 0

    def one() -> bool:
        nonlocal count
        count += 1
        return count > step

    def hook(event: str, words: tuple[object, ...]) -> None:
        changes = event in _PATHS or (event == "open" and isinstance(words[2], int) and words[2] & os.O_CREAT)
        if changes and one():
            os.kill(os.getpid(), signal.SIGKILL)

    write = os.write

    def half(descriptor: int, data: memoryview) -> int:
        if one():
            write(descriptor, bytes(data)[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return write(descriptor, data)

    def flush(descriptor: int) -> None:
        if one():
            os.kill(os.getpid(), signal.SIGKILL)

    os.write, os.fsync = half, flush  # type: ignore[assignment]
    sys.addaudithook(hook)


def seen(index: Path) -> dict[str, bytes]:
    """Everything that a web server shows, but the wheels: those are only what a page leads to."""
    found = {}
    for top in ("simple", "v", "locks", "index.html"):
        root = index / top
        for path in [root] if root.is_file() else files(root):
            found[str(path.relative_to(index))] = path.read_bytes()
    return found


def files(root: Path) -> list[Path]:
    """As a web server sees them: through links."""
    return sorted(Path(at, name) for at, _, names in os.walk(root, followlinks=True) for name in names)


def sound(index: Path) -> bool:
    """Every link of every JSON page leads to a file with that hash."""
    for page in (path for top in ("simple", "v") for path in files(index / top) if path.name == "index.json"):
        for file in json.loads(page.read_text()).get("files", []):
            where = urljoin(f"http://x/{page.relative_to(index)}", file["url"]).removeprefix("http://x/")
            data = (index / unquote(where)).read_bytes()
            if hashlib.sha256(data).hexdigest() != file["hashes"]["sha256"]:
                return False
    return True


@pytest.fixture(autouse=True)
def no_waiting_for_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written outlives its process without it; it is for power cuts, which no test here makes."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@pytest.fixture
def candidates(make_build: Callable[..., Path], make_wheel: Callable[..., Path]) -> list[Candidate]:
    ours = make_build(lock={"sha256": LOCK, "locked": False})
    return [judge(ours, Allowed()), judge(make_wheel(), Allowed(unverified=True))]


@pytest.fixture
def older(make_build: Callable[..., Path]) -> Candidate:
    return judge(make_build("1.1.0+sd.cu130.sm89", lock={"sha256": "cd" * 32, "locked": False}), Allowed())


def killed_everywhere(before: Path, act: Act, tmp_path: Path, *between: dict[str, bytes]) -> int:
    """How many steps there were. ``before`` stays as it is; ``between``: what may be seen besides old and new."""
    done = tmp_path / "done"
    shutil.copytree(before, done, symlinks=True)
    old = seen(done)
    act(done)
    new = seen(done)
    assert new != old
    for step in range(10_000):
        index = tmp_path / "killed"
        shutil.rmtree(index, ignore_errors=True)
        shutil.copytree(before, index, symlinks=True)
        over = in_child(act, index, step)
        now = seen(index)
        assert now == new if over else now in (old, new, *between), f"something between, at step {step}"
        assert sound(index), f"a link that leads nowhere, at step {step}"
        # The next one does its work and leaves nothing of the killed one.
        act(index)
        assert seen(index) == new, f"not repaired, at step {step}"
        assert check(open_index(index), inspect)[1] == (), f"left over, at step {step}"
        assert not list(index.glob(".incoming*")) and not list(index.glob("*.new"))
        if over:
            return step
    raise AssertionError("it never ends")


def test_killed_while_it_publishes(candidates: list[Candidate], older: Candidate, tmp_path: Path) -> None:
    add([older], tmp_path / "before", now=datetime(2026, 11, 20, tzinfo=timezone.utc))
    steps = killed_everywhere(tmp_path / "before", lambda index: add(candidates, index, now=NOW), tmp_path)
    assert steps > 60
    found = find_by_lock(tmp_path / "done", LOCK)
    assert found is not None and Path(found.location).read_bytes() == candidates[0].path.read_bytes()


def test_killed_while_it_makes_the_index(candidates: list[Candidate], tmp_path: Path) -> None:
    """Nothing is there, then an empty index, then one with the wheels."""
    (tmp_path / "before").mkdir()
    make_index(tmp_path / "empty")
    empty = seen(tmp_path / "empty")
    act: Act = lambda index: add(candidates, index, now=NOW)  # noqa: E731
    assert killed_everywhere(tmp_path / "before", act, tmp_path, empty) > 80


def test_killed_while_it_prunes(candidates: list[Candidate], older: Candidate, tmp_path: Path) -> None:
    add([older], tmp_path / "before", now=datetime(2026, 11, 20, tzinfo=timezone.utc))
    add(candidates, tmp_path / "before", now=NOW)
    assert killed_everywhere(tmp_path / "before", lambda index: prune(index, 1, ()), tmp_path) > 30
    assert not list((tmp_path / "done" / "files").rglob("*1.1.0*"))


def test_killed_while_it_yanks(candidates: list[Candidate], tmp_path: Path) -> None:
    add(candidates, tmp_path / "before", now=NOW)
    name = candidates[0].filename
    assert killed_everywhere(tmp_path / "before", lambda index: yank(index, name, "broken"), tmp_path) > 30


def test_killed_while_it_puts_more_beside_a_wheel(candidates: list[Candidate], tmp_path: Path) -> None:
    """A signature that was made later; pages and what lies beside a wheel agree once the next one is done."""
    add(candidates, tmp_path / "before", now=NOW)
    signed = tmp_path / "signed"
    subject = {"name": candidates[0].filename, "digest": {"sha256": candidates[0].sha256}}
    said = {"_type": "https://in-toto.io/Statement/v1", "subject": [subject], "predicateType": "https://x/1"}
    payload = base64.b64encode(json.dumps(said | {"predicate": {}}).encode()).decode()
    signatures = [{"keyid": "k", "sig": base64.b64encode(b"k").decode()}]
    envelope = {"payloadType": "application/vnd.in-toto+json", "payload": payload, "signatures": signatures}
    signed.write_text(json.dumps(envelope) + "\n")
    beside = {**candidates[0].beside, ".intoto.jsonl": signed}
    more = replace(candidates[0], beside=beside)
    assert killed_everywhere(tmp_path / "before", lambda index: add([more], index), tmp_path) > 30


def lose_newest(index: Path) -> None:
    shutil.rmtree((index / ".current").resolve())


def lose_everything_derived(index: Path) -> None:
    for path in list(index.iterdir()):
        if path.name != "files":
            remove(path)


def follow_links(index: Path) -> None:
    index.rename(index.with_name("with links"))
    shutil.copytree(index.with_name("with links"), index)


def forget_a_wheel(index: Path) -> None:
    """As restoring all but files/ from yesterday does."""
    lost = index.with_name("aside")
    shutil.copytree(index / "files", lost)
    with taking_turn(open_index(index)) as turn:
        turn.show(Index(turn.index.wheels[1:]))
    shutil.copytree(lost, index / "files", dirs_exist_ok=True)


@pytest.mark.parametrize("damage", [lose_newest, lose_everything_derived, follow_links, forget_a_wheel])
def test_killed_while_it_repairs(
    candidates: list[Candidate], older: Candidate, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """No file is lost at any step, whether a repair or a publisher comes next; a repair then makes all whole."""
    before = tmp_path / "before"
    add([older], before, now=datetime(2026, 11, 20, tzinfo=timezone.utc))
    yank(before, older.filename, "a reason")
    add(candidates, before, now=NOW)
    held = {path.relative_to(before): path.read_bytes() for path in files(before / "files")}
    damage(before)
    done = tmp_path / "done"
    shutil.copytree(before, done, symlinks=True)
    repair(done)
    new = seen(done)
    assert check(open_index(done), inspect)[1] == () and len(open_index(done).read().wheels) == 3
    # Many steps are one like the other there: a file of many removed, a wheel of three read.
    for step in range(0, 10_000, 3 if damage in (follow_links, lose_everything_derived) else 1):
        index = tmp_path / "killed"
        shutil.rmtree(index, ignore_errors=True)
        shutil.copytree(before, index, symlinks=True)
        over = in_child(repair, index, step)
        if step % 2:
            with suppress(PublishError):
                add(candidates, index, now=NOW)
        assert {path.relative_to(index): path.read_bytes() for path in files(index / "files")} == held, step
        assert repair(index).problems == (), f"not repaired, at step {step}"
        assert check(open_index(index), inspect)[1] == () and sound(index), f"left over, at step {step}"
        assert step % 2 or seen(index) == new, f"something else, at step {step}"
        if over:
            assert step > 25
            return
    raise AssertionError("it never ends")


def test_an_index_of_somebody_else_is_not_touched(candidates: list[Candidate], tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("years")
    with pytest.raises(PublishError, match=r"is not empty and no index of ours: it holds thesis\.txt"):
        add(candidates, home)
    assert [path.name for path in home.iterdir()] == ["thesis.txt"]
