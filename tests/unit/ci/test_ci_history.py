from __future__ import annotations

import json
import multiprocessing
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.ci.history import NAME, History, append, read, selected
from trtllm_builder.ci.history_page import history_page
from trtllm_builder.ci.result import Result
from trtllm_builder.errors import SourceError, UsageError
from trtllm_builder.index.opening import open_index

Make = Callable[..., Result]


def test_what_is_added_is_read_once(tmp_path: Path, make_result: Make) -> None:
    first, second = make_result(), make_result(started=1.9e9, result="failed", exit_code=6)
    assert append(tmp_path, [second]) == 1
    # A job that was run again reports the same.
    assert append(tmp_path, [first, second, first]) == 1
    assert read(str(tmp_path)).results == (first, second)
    assert len((tmp_path / NAME).read_text().splitlines()) == 2


@pytest.mark.parametrize("left", [b'{"schema": 1, "prof', b'{"schema": 1}\n', b"\xff\xfe\n\n", b"[" * 5000 + b"\n"])
def test_a_line_cut_short_by_a_crash_swallows_nothing(tmp_path: Path, make_result: Make, left: bytes) -> None:
    append(tmp_path, [make_result()])
    with (tmp_path / NAME).open("ab") as stream:
        stream.write(left)
    append(tmp_path, [make_result(started=1.9e9)])
    found = read(str(tmp_path))
    assert [one.started for one in found.results] == [1.8e9, 1.9e9]
    assert found.damaged == 1


def _add(directory: Path, number: int) -> None:
    for night in range(10):
        append(directory, [Result("canary", "built", 0, 1e9 + number, 1.0, "0.1", run=f"{number}-{night}")])


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    writers = [multiprocessing.get_context("spawn").Process(target=_add, args=(tmp_path, n)) for n in range(4)]
    for one in writers:
        one.start()
    for one in writers:
        one.join(60)
    found = read(str(tmp_path))
    assert (len({one.run for one in found.results}), found.damaged) == (40, 0)


def test_a_history_is_read_from_a_server(tmp_path: Path, make_result: Make, server: Any) -> None:
    server.answers = [(200, json.dumps(make_result().to_json()).encode())]
    assert read(f"{server.url}/index/").results == (make_result(),)
    assert server.asked[0][0] == "/index/history.jsonl"
    server.answers = [(404, b"")]
    with pytest.raises(SourceError, match="answered 404"):
        read(server.url.replace("http://", "http://me:secret@"))


def test_a_first_night_without_a_wheel_makes_the_index_that_has_its_history(tmp_path: Path, make_result: Make) -> None:
    (tmp_path / "empty").mkdir()
    for index in (tmp_path / "index", tmp_path / "empty"):
        append(index, [make_result(result="failed")])
        assert len(read(str(index)).results) == 1
        assert open_index(index).read().wheels == ()


def test_no_index_is_said(tmp_path: Path, make_result: Make) -> None:
    assert read(str(tmp_path)).results == ()
    (tmp_path / "file").touch()
    for wrong in (
        lambda: read(str(tmp_path / "no")),
        lambda: append(tmp_path / "file", [make_result()]),
        lambda: append(Path("https://host/index"), [make_result()]),
    ):
        with pytest.raises(UsageError):
            wrong()


def test_the_last_nights_of_some_profiles(tmp_path: Path, make_result: Make) -> None:
    append(tmp_path, [make_result(profile=name, started=1e9 + n) for name in ("a-1", "a-2", "b") for n in range(5)])
    found = selected(read(str(tmp_path)), ["a-*"], 2)
    assert [(one.profile, one.started - 1e9) for one in found.results] == [
        ("a-1", 3),
        ("a-2", 3),
        ("a-1", 4),
        ("a-2", 4),
    ]


def test_the_page_stands_alone_and_escapes(tmp_path: Path, make_result: Make) -> None:
    bad = make_result(
        profile='<script>alert("x")</script>', result="failed", exit_code=6, fault="<img src=x>", size=None
    )
    append(tmp_path, [bad, make_result(drift=2)])
    page = history_page(read(str(tmp_path)))
    assert "<script" not in page
    assert "<img" not in page
    assert "http" not in page.replace("http-equiv", "")
    for title in ("duration", "cache hits", "peak memory", "drift"):
        assert title in page
    assert "90%" in page
    # One plot less for the profile that never had a wheel nor a drift.
    assert page.count("<svg") == 5 + 3
    assert "<polyline" not in page and "last wheel" not in page
    assert "Nothing was reported" in history_page(selected(read(str(tmp_path)), ["none"], 1))


def test_a_line_ends_where_nights_have_no_value(make_result: Make) -> None:
    sizes = (None, 10, 20, None, 40, None)
    page = history_page(History(tuple(make_result(started=1e9 + n, size=size) for n, size in enumerate(sizes)), 0))
    plot = page.partition(">wheel<")[2].partition("</svg>")[0]
    assert 'title="of an earlier night">40 B</b>' in plot
    # The newest night is at the right; the highest value is at the top.
    assert re.findall(r'points="(.*?)"', plot) == ["51.6,33.0 97.2,24.0"]
    assert re.findall(r'cx="(.*?)" cy="(.*?)"', plot)[-1] == ("188.4", "6.0")


def test_of_a_profile_that_fails_the_last_wheel_is_shown_and_the_job(make_result: Make) -> None:
    bad = {"result": "failed", "exit_code": 6, "wheel": None}
    results = (make_result(), make_result(started=1.9e9, link="https://ci.example/7?a=b", **bad))
    page = history_page(History(results, 0))
    assert "last wheel, 2027-01-15 08:00 UTC" in page and str(results[0].wheel) in page
    assert '<a href="https://ci.example/7?a=b" rel="noreferrer">' in page
    for evil in ("javascript:alert(1)", 'https://x/" onclick="y', "data:text/html,x"):
        assert "<a" not in history_page(History((make_result(link=evil),), 0))
