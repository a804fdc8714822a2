from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.ci import notify as notifying
from trtllm_builder.ci import web
from trtllm_builder.ci.notify import headline, notify
from trtllm_builder.ci.result import Result

Make = Callable[..., Result]
WITH_SECRET = {"PATH": "/usr/bin:/bin", "TWINE_PASSWORD": "hush", "NOTIFY_ROOM": "builds"}


def test_a_webhook_gets_the_results(make_result: Make, server: Any, validate: Callable[..., None]) -> None:
    assert notify(f"{server.url}/hook?token=t", [make_result()], {}, pause=0.01) is None
    path, headers, body = server.asked[0]
    assert (path, headers["Content-Type"]) == ("/hook?token=t", "application/json")
    document = json.loads(body)
    validate("summary", document)
    assert document["results"][0]["profile"] == "canary"


def test_a_user_in_the_url_goes_as_a_header_to_that_server_alone(make_result: Make, server: Any) -> None:
    server.answers = [(302, b"http://127.0.0.1:9/elsewhere")]
    told = notify(
        server.url.replace("http://", "http://me:s%2Fcret@") + "/services/T0/hidden?key=k",
        [make_result()],
        {},
        pause=0.01,
    )
    assert base64.b64decode(server.asked[0][1]["Authorization"].split()[1]) == b"me:s/cret"
    assert told is not None
    assert "302" in told
    for secret in ("s%2Fcret", "s/cret", "key=k", "hidden"):
        assert secret not in told
    told = notify("http://127.0.0.1:9/services/T0/hidden", [make_result()], {}, pause=0.01)
    assert "http://127.0.0.1:9: " in str(told) and "hidden" not in str(told)


@pytest.mark.parametrize(("answers", "tries", "good"), [
    ([(503, b""), (200, b"")], 2, True), ([(500, b"")], 3, False), ([(403, b"no")], 1, False),
    ([(200, b"x" * (2**20 + 1))], 1, False),
])  # fmt: skip
def test_it_is_tried_again_where_that_may_help(
    make_result: Make, server: Any, answers: list[Any], tries: int, good: bool
) -> None:
    server.answers = answers
    assert (notify(server.url, [make_result()], {}, pause=0.01) is None) is good
    assert len(server.asked) == tries


@pytest.mark.parametrize("target", [
    "http://127.0.0.1:9/hook", "ftp://host/x", "file:///etc/passwd", "http://[::1", "http://ho st/x", "http://h:port/",
    "https://", "/nowhere/at/all", "", "\0",
])  # fmt: skip
def test_a_target_that_does_not_work_is_a_sentence(make_result: Make, target: str) -> None:
    told = notify(target, [make_result()], {}, pause=0.01)
    assert told
    assert "\n" not in told


def test_a_program_gets_them_on_standard_input_and_no_secret_of_ours(make_result: Make, tmp_path: Path) -> None:
    program = tmp_path / "tell me.sh"
    program.write_text(f'#!/bin/sh\ncat > "{tmp_path}/got"\nenv > "{tmp_path}/env"\n')
    program.chmod(0o755)
    assert notify(str(program), [make_result()], WITH_SECRET) is None
    assert json.loads((tmp_path / "got").read_text())["text"] == "1 of 1 profile has a wheel"
    assert "hush" not in (tmp_path / "env").read_text()
    assert "NOTIFY_ROOM=builds" in (tmp_path / "env").read_text()
    program.write_text("#!/bin/sh\necho no line >&2\nexit 3\n")
    assert notify(str(program), [make_result()], {}) == f"{program} ended with exit status 3: no line"
    program.write_text("#!/no/such/interpreter\n")
    assert "cannot be run" in str(notify(str(program), [make_result()], {}))


def test_the_headline(make_result: Make) -> None:
    results = [
        make_result(),
        make_result(profile="b", result="failed", diagnosis="out-of-memory"),
        make_result(profile="c", result="interrupted"),
    ]
    assert headline(results) == "1 of 3 profiles have a wheel; failed: b (out-of-memory); not finished: c"


def test_who_takes_too_long_is_left(make_result: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifying, "_PATIENCE", 0.2)
    program = tmp_path / "sleeps"
    program.write_text(f"#!/bin/sh\nsleep 60 & echo $! > {tmp_path}/pid\nwait\n")
    program.chmod(0o755)
    assert "took more than 0.2 s and was ended" in str(notify(str(program), [make_result()], WITH_SECRET))
    # What it had started is ended with it; a zombie that nobody waits for is none any more.
    stat = Path("/proc", (tmp_path / "pid").read_text().strip(), "stat")
    assert not stat.exists() or ") Z " in stat.read_text()


def test_one_that_does_not_listen_has_taken_it(make_result: Make, tmp_path: Path) -> None:
    program = tmp_path / "deaf"
    program.write_text("#!/bin/sh\nexec <&-\nexit 0\n")
    program.chmod(0o755)
    assert notify(str(program), [make_result(fault="x" * 4000)] * 100, WITH_SECRET) is None


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_server_that_never_ends_is_left(make_result: Make, monkeypatch: pytest.MonkeyPatch, says: bytes) -> None:
    """One that is silent, and one that sends a byte now and then: no single wait is long."""
    monkeypatch.setattr(web, "_TIMEOUT", 0.3)
    monkeypatch.setattr(notifying, "_PATIENCE", 0.5)
    monkeypatch.setattr(web, "_TRIES", 1)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        over = threading.Event()

        def answer() -> None:
            taken, _ = listening.accept()
            with taken, suppress(OSError):
                taken.sendall(says)
                while not over.wait(0.05):
                    taken.sendall(b"x" if says else b"")

        serving = threading.Thread(target=answer)
        serving.start()
        began = time.monotonic()
        told = notify(f"http://127.0.0.1:{listening.getsockname()[1]}/", [make_result()], {}, pause=0.01)
        over.set()
        serving.join()
    assert told is not None and "timed out" in told and time.monotonic() - began < 5
