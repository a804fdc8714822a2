"""Our https client: where credentials go, and where they do not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from trtllm_builder.errors import SourceError
from trtllm_builder.source.failures import TransportError
from trtllm_builder.source.lfs_client import lfs_endpoint
from trtllm_builder.source.model import Mirror
from trtllm_builder.source.servers import Server
from trtllm_builder.source.urls import parse_url
from trtllm_builder.source.web import Client

Asked = list[tuple[str, dict[str, str]]]


@pytest.fixture
def serve() -> Iterator[Callable[[dict[str, tuple[int, dict[str, str]]]], tuple[str, Asked]]]:
    running = []

    def start(answers: dict[str, tuple[int, dict[str, str]]]) -> tuple[str, Asked]:
        asked: Asked = []

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:
                return

            def do_GET(self) -> None:
                asked.append((self.path, dict(self.headers)))
                status, headers = answers.get(self.path, (200, {}))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"body")

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_address[1]}", asked

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


SECRET = {"Authorization": "Basic c2VjcmV0"}


def test_credentials_stay_behind_when_the_host_changes(serve: Callable) -> None:
    other, asked_there = serve({})
    here, asked_here = serve({"/a": (302, {"Location": "/b"}), "/b": (307, {"Location": f"{other}/c"})})
    with Client.of({}).open(f"{here}/a", SECRET) as answer:
        assert answer.read() == b"body"
    assert [path for path, headers in asked_here if "Authorization" in headers] == ["/a", "/b"]
    assert [(path, "Authorization" in headers) for path, headers in asked_there] == [("/c", False)]


@pytest.mark.parametrize(
    ("status", "kind"), [(401, "credentials"), (404, "not-found"), (500, "server"), (429, "server")]
)
def test_refusals(serve: Callable, status: int, kind: str) -> None:
    here, _ = serve({"/a?X-Amz-Signature=s3cr3t": (status, {})})
    with pytest.raises(TransportError) as caught:
        Client.of({}).open(f"{here}/a?X-Amz-Signature=s3cr3t", {})
    assert caught.value.kind == kind and "s3cr3t" not in str(caught.value)


def test_a_redirect_may_not_lead_to_plain_http_or_files(serve: Callable) -> None:
    here, _ = serve(
        {"/a": (302, {"Location": "http://example.invalid/x"}), "/b": (302, {"Location": "file:///etc/passwd"})}
    )
    with pytest.raises(SourceError, match="plain http"):
        Client.of({}).open(f"{here}/a", {})
    for url in (f"{here}/b", "file:///etc/passwd", "ssh://h/x"):
        with pytest.raises(SourceError, match="not an https URL"):
            Client.of({}).open(url, {})


def test_endless_redirects_end(serve: Callable) -> None:
    here, asked = serve({"/a": (302, {"Location": "/a"})})
    with pytest.raises(TransportError, match="again and again"):
        Client.of({}).open(f"{here}/a", {})
    assert len(asked) == 5


def test_proxies_and_their_exceptions_come_from_the_environment_given(serve: Callable) -> None:
    proxy, through = serve({})
    here, direct = serve({})
    with Client.of({"http_proxy": proxy}).open(f"{here}/a", {}):
        assert [path for path, _ in through] == [f"{here}/a"] and direct == []
    for exception in ("127.0.0.1", "x, .0.0.1", "*"):
        with Client.of({"http_proxy": proxy, "no_proxy": exception}).open(f"{here}/b", {}):
            assert len(through) == 1
    assert len(direct) == 3


def test_a_ca_file_that_cannot_be_read_is_a_sentence() -> None:
    with pytest.raises(SourceError, match="CA file /nowhere"):
        Client.of({"SSL_CERT_FILE": "/nowhere"})


@pytest.mark.parametrize(
    ("url", "mirror", "endpoint"),
    [
        ("https://me:t@h/a/b", None, "https://h/a/b.git/info/lfs"),
        ("https://h/a/b.git/", None, "https://h/a/b.git/info/lfs"),
        ("git@h:a/b.git", None, "https://h/a/b.git/info/lfs"),
        ("ssh://git@h:22/a/b", None, "https://h/a/b.git/info/lfs"),
        ("https://h/a/b", Mirror("m", lfs="https://lfs.example/{path}/x"), "https://lfs.example/a/b/x"),
        ("https://h/a/b", Mirror("m"), "https://h/a/b.git/info/lfs"),
    ],
)
def test_where_lfs_is(url: str, mirror: Mirror | None, endpoint: str) -> None:
    parsed = parse_url(url)
    found = lfs_endpoint(Server("s", parsed, mirror))
    assert found.text == endpoint and found.secret == (parsed.secret if mirror is None or not mirror.lfs else "")
