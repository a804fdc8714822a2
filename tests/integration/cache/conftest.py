"""Real servers of compilations: Redis behind a password, and a small HTTP store; ccache as builds use it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from trtllm_builder.data import data_dir
from trtllm_builder.tools.choose import ToolWant, choose
from trtllm_builder.tools.install import install

PASSWORD = "p@ss w%rd/x"


@pytest.fixture(scope="session")
def ccache_path() -> str:
    environ = dict(os.environ)
    program = choose(ToolWant("ccache"), environ).path
    program = program or install(["ccache"], data_dir(environ), environ, print)["ccache"]
    return f"{program.parent}:/usr/bin:/bin"


@pytest.fixture
def world(ccache_path: str, tmp_path: Path) -> dict[str, str]:
    """The cache's part of a build's environment, in a workspace of its own."""
    return {
        "PATH": ccache_path,
        "HOME": str(tmp_path),
        "CCACHE_DIR": str(tmp_path / "ccache"),
        "CCACHE_CONFIGPATH": "/dev/null",
    }


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Redis:
    port: int
    socket: Path
    process: subprocess.Popen[bytes]

    def keys(self) -> int:
        done = subprocess.run(
            ["redis-cli", "-p", str(self.port), "DBSIZE"],
            env={**os.environ, "REDISCLI_AUTH": PASSWORD}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return int(done.stdout)


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.fail("redis-server is needed: apt-get install redis-server")
    place, port = tmp_path_factory.mktemp("redis"), free_port()
    # The path of a socket may be no longer than some hundred bytes.
    path = Path(f"/tmp/redis-{os.getpid()}-{port}.sock")
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--unixsocket", str(path), "--save", "",
         "--requirepass", PASSWORD, "--dir", str(place)],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(100):
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        else:
            pytest.fail("redis-server did not come up")
        yield Redis(port, path, process)
    finally:
        process.kill()
        process.wait()
        path.unlink(missing_ok=True)


@dataclass
class HttpStore:
    """Files by path; ``user`` is what Basic authentication must name, ``asked`` the methods of all requests; ``page``
    is what every path holds instead, ``refuses`` the status of every PUT."""

    port: int
    user: str = ""
    page: bytes = b""
    refuses: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def http_store() -> Iterator[HttpStore]:
    store = HttpStore(0)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status: int, body: bytes = b"") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if self.command != "HEAD" else b"")

        def do_GET(self) -> None:
            store.asked.append(self.command)
            if store.user and self.headers.get("Authorization") != store.user:
                self.answer(401)
            elif store.page:
                self.answer(200, store.page)
            elif self.path in store.files:
                self.answer(200, store.files[self.path])
            else:
                self.answer(404)

        do_HEAD = do_GET

        def do_PUT(self) -> None:
            store.asked.append(self.command)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if store.user and self.headers.get("Authorization") != store.user:
                self.answer(401)
            elif store.refuses:
                self.answer(store.refuses)
            else:
                store.files[self.path] = body
                self.answer(201)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    store.port = server.server_port
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield store
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Takes connections and never answers."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen(50)
        yield int(one.getsockname()[1])


@pytest.fixture
def compile_c(world: dict[str, str], tmp_path: Path) -> Callable[..., str]:
    """Compile one file through the cache, with another local cache each time; the counters of the call."""
    count = 0

    def compile_one(environ: dict[str, str], text: str = "int one;\n") -> str:
        nonlocal count
        count += 1
        place = tmp_path / f"compile{count}"
        place.mkdir()
        (place / "one.c").write_text(text)
        environ = {**environ, "CCACHE_DIR": str(place / "cache"), "CCACHE_STATSLOG": str(place / "stats")}
        subprocess.run(["ccache", "gcc", "-c", "one.c", "-o", "one.o"], env=environ, cwd=place, check=True, timeout=60)
        return (place / "stats").read_text()

    return compile_one
