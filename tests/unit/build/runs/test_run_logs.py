"""The last lines of logs, over several files, whatever their ends look like."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.build import logs
from trtllm_builder.build.logs import read_logs, start_of_last

Command = Callable[..., tuple[int, str, str]]


@given(text=st.text(st.sampled_from("ab\n"), max_size=40), count=st.integers(0, 12), block=st.integers(1, 9))
@settings(max_examples=80, deadline=None)
def test_the_last_lines_of_any_file(
    tmp_path_factory: pytest.TempPathFactory, text: str, count: int, block: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.log"
    path.write_text(text)
    before, logs._BLOCK = logs._BLOCK, block
    try:
        shown = text[start_of_last(path, count) :]
    finally:
        logs._BLOCK = before
    assert shown == "".join(text.splitlines(keepends=True)[-count:] if count else [])


def fill(entry: Any) -> None:
    for name, lines in (("compile", 5), ("tools", 2), ("fetch", 1), ("console", 9), ("zeta", 0)):
        (entry.logs / f"{name}.log").write_text("".join(f"{name} {number}\n" for number in range(lines)))
    (entry.logs / "patches.diff").write_text("no log\n")


@pytest.mark.parametrize(
    ("last", "first"), [(None, "tools 0"), (8, "tools 0"), (7, "tools 1"), (6, "fetch 0"), (2, "compile 3")]
)
def test_last_lines_over_all_stages(world: Any, last: int | None, first: str) -> None:
    entry = world.run("a")
    fill(entry)
    lines = [line.text for line in read_logs(entry, None, last)]
    assert lines[0] == first and lines[-1] == "compile 4" and len(lines) == (8 if last is None else last)


def test_the_command(world: Any, command: Command, validate: Callable[[str, object], None]) -> None:
    entry = world.run("a", "failed")
    assert command("logs", "--stage", "fetch")[0] == 2
    fill(entry)
    assert command("logs", "-n", "6")[1].splitlines()[:3] == ["==> fetch <==", "fetch 0", "==> compile <=="]
    assert command("logs", "--stage", "console", "--lines", "1") == (0, "console 8\n", "")
    assert command("logs", "--lines", "0") == (0, "", "")
    code, out, _ = command("logs", "-f", "--json", "--stage", "compile", "-n", "1")
    documents = [json.loads(line) for line in out.splitlines()]
    for document in documents:
        validate("log-lines", document)
    assert code == 6 and documents[0]["text"] == "compile 4" and documents[1]["error"]["what"] == "it broke"
    code, _, err = command("logs", "--stage", "../../journal")
    assert code == 2 and "it has compile, console, fetch, tools, zeta" in err
    assert command("logs", "-f", "--stage", "compil")[0] == 2


def test_following_sees_new_stages(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = world.run("a", "running")
    (entry.logs / "tools.log").write_text("old\nlast\n")

    def append(name: str, text: str) -> None:
        with (entry.logs / name).open("a") as stream:
            stream.write(text)

    naps = iter([
        lambda: append("tools.log", "more\n"),
        lambda: append("compile.log", "half"),
        lambda: (append("compile.log", " and half\nend"), world.run("a", "done")),
    ])  # fmt: skip
    monkeypatch.setattr(logs.time, "sleep", lambda _: next(naps)())
    told = [(line.log, line.text) for line in logs.follow_logs(entry, None, 1)]
    assert told == [("tools", "last"), ("tools", "more"), ("compile", "half and half"), ("compile", "end")]


def test_a_log_written_anew_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("one\ntwo\n")
    tail = logs.Tail(path)
    assert tail.lines() == ["one", "two"]
    path.write_text("new\n")
    assert tail.lines() == ["new"]
    path.unlink()
    assert tail.lines(last=True) == []
