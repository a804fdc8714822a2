"""Uploads by PyPI's protocol: to a real pypiserver, and to a server that is ill-tempered on purpose."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from trtllm_builder.errors import PublishError, UsageError
from trtllm_builder.publish.rules import Allowed, Candidate, judge
from trtllm_builder.publish.upload import upload

pytestmark = pytest.mark.integration

Make = Callable[..., Path]
COMMAND = (sys.executable, "-m", "trtllm_builder")


@pytest.fixture
def pypiserver(tmp_path: Path, start: Callable[..., int]) -> tuple[str, Path]:
    packages = tmp_path / "packages"
    packages.mkdir()
    words = [sys.executable, "-m", "pypiserver", "run", "-i", "127.0.0.1", "-P", ".", "-a", ".", "--disable-fallback"]
    port = start(lambda port: [*words, "-p", str(port), str(packages)], tmp_path / "pypiserver.log")
    return f"http://127.0.0.1:{port}", packages


def test_a_real_server_takes_it_once(
    pypiserver: tuple[str, Path], make_build: Make, environ: dict[str, str], tmp_path: Path
) -> None:
    url, packages = pypiserver
    wheel = make_build()

    def publish(what: Path) -> subprocess.CompletedProcess[str]:
        words = [*COMMAND, "publish", str(what), "--index", url, "--json"]
        return subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60, check=False)

    for outcome in ("published", "already there"):
        done = publish(wheel)
        assert done.returncode == 0, done.stderr
        (told,) = json.loads(done.stdout)["wheels"]
        assert told["outcome"] == outcome and told["location"] == url
    assert (packages / wheel.name).read_bytes() == wheel.read_bytes()
    other = publish(make_build(directory=tmp_path / "other", members={"tensorrt_llm/more.py": ""}))
    assert other.returncode == 8 and "with other bytes" in json.loads(other.stdout)["error"]["what"]
    pip = [sys.executable, "-m", "pip", "install", "--isolated", "--no-cache-dir", "--no-deps", "--target"]
    subprocess.run(
        [*pip, str(tmp_path / "target"), "--index-url", f"{url}/simple/", "tensorrt-llm"],
        env=environ,
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert (tmp_path / "target" / "tensorrt_llm" / "llm.py").is_file()


class Moody(BaseHTTPRequestHandler):
    """Answers uploads with ``answers``, one after the other; shows ``page`` as its simple page."""

    answers: ClassVar[list[int]] = []
    page: ClassVar[str] = ""
    seen: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        self._answer(200 if self.page else 404, self.page)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        Moody.seen.append((self.path, self.headers.get("Authorization", "")))
        self._answer(self.answers.pop(0), "<html>\nno such luck\x1b[31m, https://user:hunter2@host/\n")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Location", "https://elsewhere.example/")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture
def moody() -> Iterator[str]:
    Moody.answers, Moody.page, Moody.seen = [], "", []  # type: ignore[misc]
    with ThreadingHTTPServer(("127.0.0.1", 0), Moody) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/legacy/"
        server.shutdown()
        thread.join()


@pytest.fixture
def small(make_wheel: Make) -> Candidate:
    return judge(make_wheel(), Allowed(unverified=True))


def send(small: Candidate, url: str, **environ: str) -> str:
    waits: list[float] = []
    ((_, outcome),) = upload([small], url, environ, sleep=waits.append)
    return outcome


def test_a_busy_server_is_asked_again(small: Candidate, moody: str) -> None:
    Moody.answers += [503, 429, 200]
    assert send(small, moody) == "published" and len(Moody.seen) == 3
    Moody.answers += [503] * 9
    with pytest.raises(PublishError, match="did not take small-1"):
        send(small, moody)
    assert len(Moody.seen) == 7


def test_credentials_come_from_the_environment_and_are_told_nowhere(
    small: Candidate, moody: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Moody.answers += [401]
    with pytest.raises(PublishError) as caught:
        send(small, moody, TWINE_USERNAME="publisher", TWINE_PASSWORD="s3cret")
    assert Moody.seen == [("/legacy/", f"Basic {base64.b64encode(b'publisher:s3cret').decode()}")]
    said = "".join((str(caught.value), caught.value.remedy, *capfd.readouterr()))
    assert "401" in said and "no such luck" not in said  # a page of HTML
    assert "s3cret" not in said and "hunter2" not in said and "\x1b" not in said


@pytest.mark.parametrize("url", ["https://user:word@host/", "ftp://host/", "https:///", "http://[/"])
def test_an_address_that_cannot_be_meant(small: Candidate, url: str) -> None:
    with pytest.raises(UsageError) as caught:
        send(small, url)
    assert "word@" not in str(caught.value)


def test_a_redirect_is_not_followed_with_the_password(small: Candidate, moody: str) -> None:
    Moody.answers += [302]
    with pytest.raises(PublishError) as caught:
        send(small, moody)
    assert "https://elsewhere.example/" in caught.value.remedy


def test_nothing_is_replaced(small: Candidate, moody: str) -> None:
    """A server that would take other bytes under the same name is not even asked."""
    Moody.page = f'<a href="/files/{small.filename}#sha256={"0" * 64}">x</a>'  # type: ignore[misc]
    with pytest.raises(PublishError, match="with other bytes"):
        send(small, moody)
    Moody.page = f'<a href="/files/{small.filename}">x</a>'  # type: ignore[misc]
    with pytest.raises(PublishError, match="sha256 unknown"):
        send(small, moody)
    Moody.page = f'<a href="/files/{small.filename}#sha256={small.sha256}">x</a>'  # type: ignore[misc]
    assert send(small, moody) == "already there" and Moody.seen == []
    assert hashlib.sha256(small.path.read_bytes()).hexdigest() == small.sha256


def test_a_refusal_of_what_is_there_is_told(small: Candidate, moody: str) -> None:
    Moody.answers += [409]
    with pytest.raises(PublishError, match=r"refuses small-1.*: 409") as caught:
        send(small, moody)
    assert "does not show its hash" in caught.value.remedy


def test_a_server_that_is_not_there(small: Candidate) -> None:
    with pytest.raises(PublishError, match="did not take"):
        send(small, "http://127.0.0.1:9/")
