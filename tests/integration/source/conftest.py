"""Real repositories, and a real server for them: git's own http-backend and LFS's batch API behind http.server."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tenacity

from trtllm_builder.source.model import Checkout, SourceWant
from trtllm_builder.source.obtain import obtain

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.invalid",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.invalid",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
}


def git(directory: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", "-c", "filter.lfs.required=false", *words],
        cwd=directory,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass
class Repository:
    """A work tree of an upstream; its objects directory for LFS is where git-lfs has it."""

    path: Path

    @property
    def url(self) -> str:
        return f"file://{self.path}"

    def git(self, *words: str) -> str:
        return git(self.path, *words)

    def commit(self, files: dict[str, str | bytes], message: str = "change") -> str:
        for name, content in files.items():
            place = self.path / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content.encode() if isinstance(content, str) else content)
        git(self.path, "add", "-A")
        git(self.path, "commit", "-q", "--allow-empty", "-m", message)
        return git(self.path, "rev-parse", "HEAD")

    def lfs(self, content: bytes) -> str:
        """Keeps an object and returns its pointer's text."""
        oid = hashlib.sha256(content).hexdigest()
        place = self.path / ".git" / "lfs" / "objects" / oid[:2] / oid[2:4] / oid
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"

    def add_submodule(self, path: str, url: str, commit: str, extra: str = "") -> None:
        """By hand, so that hostile ones can be made too."""
        modules = self.path / ".gitmodules"
        before = modules.read_text() if modules.exists() else ""
        modules.write_text(f'{before}[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n{extra}')
        git(self.path, "update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
        (self.path / path).mkdir(parents=True, exist_ok=True)
        git(self.path, "add", ".gitmodules")
        git(self.path, "commit", "-q", "-m", f"submodule {path}")


@pytest.fixture
def repository(tmp_path: Path) -> Callable[[str], Repository]:
    def make(name: str) -> Repository:
        path = tmp_path / "upstream" / name
        path.mkdir(parents=True)
        git(path, "init", "-q", "-b", "main")
        return Repository(path)

    return make


@dataclass
class Server:
    """What the tests may change while it runs: ``password`` asks for it; ``faults`` befall the next requests."""

    root: Path
    url: str = ""
    password: str | None = None
    objects_at: str = ""
    """Another name of this server, where LFS objects are given without a password."""
    faults: list[tuple[str, str]] = field(default_factory=list)
    """(part of the path, "503" | "error" | "pass" | "cut" | "stall" | "lie" | "whole"), each used once."""
    requests: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    def fault(self, path: str) -> str | None:
        for index, (part, kind) in enumerate(self.faults):
            if part in path:
                del self.faults[index]
                return kind
        return None


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            return

        def do_GET(self) -> None:
            self._serve(b"")

        def do_POST(self) -> None:
            self._serve(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

        def _serve(self, body: bytes) -> None:
            server.requests.append(f"{self.command} {self.path}")
            server.headers.append(dict(self.headers))
            fault = server.fault(self.path)
            if fault == "503":
                return self._answer(503, b"busy")
            if fault == "error":
                error = b"ERR \x1b[31mno space left on device"
                body = b"001e# service=git-upload-pack\n0000" + b"%04x" % (len(error) + 4) + error
                return self._answer(200, body, {"Content-Type": "application/x-git-upload-pack-advertisement"})
            if fault == "stall":
                server.release.wait(60)
                self.close_connection = True
                return None
            if server.password is not None and not (server.objects_at and "/lfs-object/" in self.path):
                wanted = "Basic " + base64.b64encode(server.password.encode()).decode()
                given = self.headers.get("Authorization")
                if given != wanted:
                    return self._answer(403 if given else 401, b"", {"WWW-Authenticate": 'Basic realm="test"'})
            if "/objects/batch" in self.path:
                return self._batch(body)
            if "/lfs-object/" in self.path:
                return self._object(fault)
            return self._git(body, fault)

        def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), "Connection": "close", **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

        def _git(self, body: bytes, fault: str | None) -> None:
            path, _, query = self.path.partition("?")
            environ = {
                **ENVIRONMENT,
                "GIT_PROJECT_ROOT": str(server.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }
            done = subprocess.run(["git", "http-backend"], input=body, env=environ, capture_output=True)
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
            status = int(headers.pop("Status", "200").split()[0])
            if fault == "cut":
                self.send_response(status)
                self.send_header("Content-Type", headers["Content-Type"])
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2])
                self.close_connection = True
                return
            self._answer(status, content, headers)

        def _batch(self, body: bytes) -> None:
            asked = json.loads(body)
            assert asked["operation"] == "download"
            repo = self.path.partition(".git/info/lfs")[0]
            listed = []
            for one in asked["objects"]:
                oid = one["oid"]
                here = server.root / repo.strip("/") / ".git/lfs/objects" / oid[:2] / oid[2:4] / oid
                if here.is_file():
                    href = f"{server.objects_at or server.url}/lfs-object{repo}/{oid}"
                    listed.append({**one, "actions": {"download": {"href": href, "header": {"X-Lfs": "yes"}}}})
                else:
                    listed.append({**one, "error": {"code": 404, "message": "no such \x1b[31mobject"}})
            answer = json.dumps({"transfer": "basic", "objects": listed}).encode()
            self._answer(200, answer, {"Content-Type": "application/vnd.git-lfs+json"})

        def _object(self, fault: str | None) -> None:
            repo, _, oid = self.path.partition("/lfs-object/")[2].rpartition("/")
            content = (server.root / repo / ".git/lfs/objects" / oid[:2] / oid[2:4] / oid).read_bytes()
            if fault == "lie":
                return self._answer(200, content[:-1] + b"!")
            start = None if fault == "whole" else re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
            first = int(start[1]) if start else 0
            rest = content[first:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(rest)))
            if start:
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            self.wfile.write(rest[: len(rest) // 2] if fault == "cut" else rest)
            self.close_connection = True
            return None

    return Handler


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    root = tmp_path / "upstream"
    root.mkdir(exist_ok=True)
    state = Server(root)
    running = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    running.daemon_threads = True
    state.url = f"http://127.0.0.1:{running.server_address[1]}"
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield state
    state.release.set()
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "home-of-user"
    home.mkdir()
    return {"PATH": os.environ["PATH"], "HOME": str(home)}


class World:
    """One user: a cache, workspaces, and what was logged."""

    def __init__(self, tmp_path: Path, environ: dict[str, str]) -> None:
        self.cache, self.work, self.environ = tmp_path / "cache", tmp_path / "work", environ
        self.lines: list[str] = []

    def obtain(self, want: SourceWant, name: str = "src", **more: Any) -> Checkout:
        options = {"deadline": 60.0, "log": self.lines.append, **more}
        return obtain(want, cache=self.cache, destination=self.work / name, environ=self.environ, **options)


@pytest.fixture
def world(tmp_path: Path, environ: dict[str, str]) -> World:
    return World(tmp_path, environ)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited between tries."""
    pauses: list[float] = []
    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=pauses.append))
    return pauses
