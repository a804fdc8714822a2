"""The small wheels of the unit tests, and servers that show an index."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_PATH = Path(__file__).parents[2] / "unit" / "publish" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("publish_toys", _PATH)
assert _SPEC and _SPEC.loader
_TOYS = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_TOYS)
make_wheel, make_build, library, environ = _TOYS.make_wheel, _TOYS.make_build, _TOYS.library, _TOYS.environ

# What a static server needs to speak PEP 691: whoever asks for JSON gets index.json. Installers do without, too.
NGINX = """
daemon off; master_process off; pid {place}/pid; error_log {place}/error.log;
events {{ worker_connections 64; }}
http {{
  types {{ text/html html; application/vnd.pypi.simple.v1+json json; }}
  default_type application/octet-stream;
  access_log {place}/access.log;
  client_body_temp_path {place}/1; proxy_temp_path {place}/2; fastcgi_temp_path {place}/3;
  uwsgi_temp_path {place}/4; scgi_temp_path {place}/5;
  map $http_accept $simple {{ default index.html; {negotiation} }}
  server {{
    listen 127.0.0.1:{port};
    root {root};
    index $simple;
  }}
}}
"""
JSON_TO_WHO_ASKS = '"~application/vnd\\.pypi\\.simple\\.v1\\+json" index.json;'


@dataclass(frozen=True)
class Served:
    """An index behind a real server. ``log`` has a line for each request."""

    url: str
    log: Path

    @property
    def requests(self) -> list[str]:
        return [line.split('"')[1].split()[1] for line in self.log.read_text().splitlines() if '"GET ' in line]


Serve = Callable[..., Served]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("the server did not start")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """``start(lambda port: argv, log)``: a server on a port of its own; it ends with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(argv: Callable[[int], list[str]], log: Path, **environ: str) -> int:
        port = free_port()
        with log.open("wb") as output:
            process = subprocess.Popen(
                argv(port), stdout=output, stderr=output, env={**os.environ, "HOME": str(tmp_path), **environ}
            )
        running.append(process)
        wait_for(port, process)
        return port

    yield begin
    for process in running:
        process.terminate()
        process.wait(10)


@pytest.fixture
def serve(tmp_path: Path, start: Callable[..., int]) -> Serve:
    """``serve(root, "python" | "nginx" | "nginx with JSON")``."""

    def run(root: Path, kind: str = "python") -> Served:
        place = tmp_path / f"server{len(list(tmp_path.glob('server*')))}"
        place.mkdir()
        if kind == "python":
            log = place / "access.log"
            port = start(
                lambda port: [sys.executable, "-u", "-m", "http.server", "-b", "127.0.0.1", "-d", str(root), str(port)],
                log,
            )
            return Served(f"http://127.0.0.1:{port}", log)
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        config = place / "nginx.conf"

        def argv(port: int) -> list[str]:
            negotiation = JSON_TO_WHO_ASKS if kind == "nginx with JSON" else ""
            config.write_text(NGINX.format(place=place, port=port, root=root, negotiation=negotiation))
            return [nginx, "-p", str(place), "-c", str(config), "-e", str(place / "error.log")]

        return Served(f"http://127.0.0.1:{start(argv, place / 'out.log')}", place / "access.log")

    return run
