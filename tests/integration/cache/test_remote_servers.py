"""The server of compilations for real: hits, passwords, and servers that are down, silent or refuse."""

from __future__ import annotations

import base64
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from trtllm_builder.build.cache_log import CacheLog
from trtllm_builder.build.remote_cache import serving
from trtllm_builder.errors import HostError
from trtllm_builder.profile.cache import RemoteCache

from .conftest import PASSWORD, HttpStore, Redis, free_port

pytestmark = pytest.mark.integration
Compile = Callable[..., str]


def served(world: dict[str, str], tmp_path: Path, secrets: dict[str, str], **values: Any) -> Any:
    return serving(RemoteCache(**values), world, secrets=secrets, directory=tmp_path)


def test_redis_gives_another_machine_what_was_compiled_here(
    redis: Redis, world: dict[str, str], compile_c: Compile, tmp_path: Path
) -> None:
    url = f"redis://127.0.0.1:{redis.port}/0"
    with served(world, tmp_path, {"SECRET": PASSWORD}, url=url, password_variable="SECRET") as (server, environ, why):
        assert server.url == url and why == ""
        assert PASSWORD not in str(environ) and "REMOTE_STORAGE" not in str(environ)
        configuration = Path(environ["CCACHE_CONFIGPATH"])
        assert str(configuration.readlink()).endswith(" (deleted)"), "no name, so that nothing stays of it"
        assert "cache_miss" in compile_c(environ) and redis.keys() >= 2
        assert "remote_storage_hit" in compile_c(environ)
    assert not configuration.exists()


def test_a_password_in_a_file_and_a_socket(
    redis: Redis, world: dict[str, str], compile_c: Compile, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{PASSWORD}\n")
    url = f"redis+unix:{redis.socket}"
    text = "int through_a_socket;\n"
    with served(world, tmp_path, {}, url=url, password_file=str(secret)) as (server, environ, why):
        assert server.url == url and why == ""
        compile_c(environ, text)
        assert "remote_storage_hit" in compile_c(environ, text)


def test_read_only_takes_and_does_not_give(
    redis: Redis, world: dict[str, str], compile_c: Compile, tmp_path: Path
) -> None:
    values = {"url": f"redis://127.0.0.1:{redis.port}", "password_variable": "S"}
    with served(world, tmp_path, {"S": PASSWORD}, **values, read_only=True) as (server, environ, why):
        assert server.url and why == ""
        before = redis.keys()
        assert "cache_miss" in compile_c(environ, "int never_written;\n")
        assert redis.keys() == before


def test_http_with_a_user(http_store: HttpStore, world: dict[str, str], compile_c: Compile, tmp_path: Path) -> None:
    http_store.user = "Basic " + base64.b64encode(f"ci:{PASSWORD}".encode()).decode()
    values = {"url": f"http://127.0.0.1:{http_store.port}/cc", "user": "ci", "password_variable": "S"}
    with served(world, tmp_path, {"S": PASSWORD}, **values) as (server, environ, why):
        assert server.url and why == ""
        compile_c(environ)
        assert "remote_storage_hit" in compile_c(environ) and http_store.files
    with served(world, tmp_path, {"S": "wrong"}, **values) as (server, environ, why):
        assert server.url == "" and "does not take the password" in why and "wrong" not in why
        asked = len(http_store.asked)
        assert "remote" not in compile_c(environ) and len(http_store.asked) == asked


@pytest.mark.parametrize("password", ["", "wrong"])
def test_redis_refuses(redis: Redis, world: dict[str, str], compile_c: Compile, tmp_path: Path, password: str) -> None:
    values = {"url": f"redis://127.0.0.1:{redis.port}", **({"password_variable": "S"} if password else {})}
    with served(world, tmp_path, {"S": password}, **values) as (server, environ, why):
        told = "it does not take the password" if password else "it wants a password, the profile names none"
        assert server.url == "" and why.endswith(f" is not used: {told}")
        assert "remote" not in compile_c(environ)


@pytest.mark.parametrize("scheme", ["redis", "http"])
def test_a_server_that_is_down_or_silent_costs_seconds(
    scheme: str, silent_port: int, world: dict[str, str], compile_c: Compile, tmp_path: Path
) -> None:
    for port, told in ((free_port(), "no connection to it: "), (silent_port, "it takes the connection and ")):
        began = time.monotonic()
        with served(world, tmp_path, {}, url=f"{scheme}://127.0.0.1:{port}") as (server, environ, why):
            assert server.url == "" and why.startswith(f"{scheme}://127.0.0.1:{port} is not used: {told}")
            assert "remote" not in compile_c(environ)
        assert time.monotonic() - began < 10


def test_http_that_serves_other_pages_wants_a_user_or_takes_nothing(
    http_store: HttpStore, world: dict[str, str], compile_c: Compile, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{http_store.port}"
    for page, user, refuses, told in (
        (b"<html>hello</html>", "", 0, "it serves what ccache cannot use"),
        (b"", "somebody", 0, "it wants a password, the profile names none"),
        (b"", "", 405, "it keeps nothing, HTTP status 405; should `read_only` be true?"),
    ):
        http_store.files.clear()
        http_store.page, http_store.user, http_store.refuses = page, user, refuses
        with served(world, tmp_path, {}, url=url) as (server, environ, why):
            assert server.url == "" and why == f"{url} is not used: {told}"
            assert "remote" not in compile_c(environ)
    http_store.page, http_store.user = b"", "somebody"
    # ccache takes this for "not there" and asks again at each compilation.
    with served(world, tmp_path, {}, url=url, read_only=True) as (server, environ, why):
        assert server.url == "" and "wants a password" in why


def test_a_killed_build_leaves_no_password(redis: Redis, world: dict[str, str], tmp_path: Path) -> None:
    script = f"""
import os, sys
from pathlib import Path
from trtllm_builder.build.remote_cache import serving
from trtllm_builder.profile.cache import RemoteCache
remote = RemoteCache(url="redis://127.0.0.1:{redis.port}", password_variable="S")
secrets = {{"S": sys.stdin.readline()[:-1]}}
with serving(remote, dict(os.environ), secrets=secrets, directory=Path.cwd()) as (server, world, why):
    print(server.url, world["CCACHE_CONFIGPATH"], len(Path(world["CCACHE_CONFIGPATH"]).read_text()), flush=True)
    os.kill(os.getpid(), 9)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env=world, cwd=tmp_path, input=f"{PASSWORD}\n", capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    url, configuration, size = done.stdout.split()
    assert done.returncode == -9 and url and int(size) > len(url) and not Path(configuration).exists()
    found = [path for path in tmp_path.rglob("*") if path.is_file() and quote(PASSWORD, safe="") in path.read_text()]
    assert found == []


def test_without_a_memory_file_the_configuration_has_no_name_either(
    redis: Redis, world: dict[str, str], compile_c: Compile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("os.memfd_create")
    url = f"redis://127.0.0.1:{redis.port}"
    with served(world, tmp_path, {"S": PASSWORD}, url=url, password_variable="S") as (server, environ, why):
        assert server.url == url and why == "" and list(tmp_path.iterdir()) == []
        assert "remote_storage_hit" in compile_c(environ) + compile_c(environ)


def test_a_server_that_falls_silent_is_left_alone_after_a_few_calls(
    http_store: HttpStore, world: dict[str, str], compile_c: Compile, tmp_path: Path
) -> None:
    with served(world, tmp_path, {}, url=f"http://127.0.0.1:{http_store.port}") as (server, environ, why):
        assert why == ""
        http_store.user = "nobody is let in any more"
        log = CacheLog(tmp_path / "stats", tmp_path)
        told = ""
        for number in range(12):
            with (tmp_path / "stats").open("a") as stats:
                stats.write(compile_c(environ, f"int number{number};\n"))
            log.read()
            told = told or server.look(log)
        assert "did not answer 10 calls, and is left alone" in told and server.url == ""
        assert log.remote_failures < 12, "the last calls did not ask it"


def test_a_password_that_is_not_there_is_told_before_anything_runs(world: dict[str, str], tmp_path: Path) -> None:
    for values in ({"password_variable": "NONE"}, {"password_file": str(tmp_path / "none")}):
        with (
            pytest.raises(HostError, match="the password of redis://host"),
            served(world, tmp_path, {}, url="redis://host", **values),
        ):
            pass
    assert list(tmp_path.glob("*.conf")) == []
