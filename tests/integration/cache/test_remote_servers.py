"""The server of compilations for real: hits, passwords, and servers that are down, silent or refuse."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
        assert configuration.stat().st_mode & 0o777 == 0o600
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
        assert server.url == "" and "is not used: it does not answer, or does not take the password" in why
        assert "remote" not in compile_c(environ)


@pytest.mark.parametrize("scheme", ["redis", "http"])
def test_a_server_that_is_down_or_silent_costs_seconds(
    scheme: str, silent_port: int, world: dict[str, str], compile_c: Compile, tmp_path: Path
) -> None:
    for port in (free_port(), silent_port):
        began = time.monotonic()
        with served(world, tmp_path, {}, url=f"{scheme}://127.0.0.1:{port}") as (server, environ, why):
            assert server.url == "" and why.startswith(f"{scheme}://127.0.0.1:{port} is not used: ")
            assert "remote" not in compile_c(environ)
        assert time.monotonic() - began < 10


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
