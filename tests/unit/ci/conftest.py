from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from trtllm_builder.ci.result import Result


@pytest.fixture
def make_result() -> Callable[..., Result]:
    """A good result; values given take the place of its own."""

    def make(**values: Any) -> Result:
        good: dict[str, Any] = {
            "profile": "canary", "result": "built", "exit_code": 0, "started": 1.8e9, "seconds": 25.5, "builder": "0.1",
            "run": "20260801-070643-3f2a", "wheel": "tensorrt_llm-0.0.0-cp311-cp311-linux_x86_64.whl",
            "sha256": "ab" * 32, "size": 585932, "hits": 18, "misses": 2, "peak_memory": 5 * 10**8, "verdict": "passed",
        }  # fmt: skip
        return Result(**{**good, **values})

    return make


@dataclass
class Server:
    """Answers with ``answers`` one after the other, the last for ever; what it was asked is in ``asked``."""

    url: str = ""
    answers: list[tuple[int, bytes]] = field(default_factory=lambda: [(200, b"")])
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            told.asked.append((self.path, dict(self.headers), body))
            code, text = told.answers.pop(0) if len(told.answers) > 1 else told.answers[0]
            self.send_response(code)
            if 300 <= code < 400:
                self.send_header("Location", text.decode())
                text = b""
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        told.url = f"http://127.0.0.1:{running.server_port}"
        yield told
        running.shutdown()
