"""The server that compilations come from: tried before the build, given up when it fails, and remembered.

ccache reads its configuration at every call, so a server that stops answering can be left out in the middle of a
build, and the password needs to stand in no environment that upstream's scripts see.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from trtllm_builder.build.cache_log import CacheLog
from trtllm_builder.build.journal import Json
from trtllm_builder.errors import HostError
from trtllm_builder.plan.compile_cache import storage
from trtllm_builder.process import run
from trtllm_builder.profile.cache import RemoteCache
from trtllm_builder.text import redact

_STORAGE, _CONFIGURATION = "CCACHE_REMOTE_STORAGE", "CCACHE_CONFIGPATH"
_LIMIT = 20.0
# Calls that failed; each may have cost seconds.
_MOST_FAILURES = 10
_TAINT = "filled-from-an-untrusted-server"
_USED = "trtllm-builder-caches.json"


@dataclass
class Server:
    """The server in use during one compile stage; ``url`` without credentials, empty when there is none."""

    url: str
    configuration: Path

    def look(self, log: CacheLog) -> str:
        """Leaves it out when it fails again and again; then a sentence, else nothing."""
        failed, unusable = log.remote_failures, log.unusable
        if not self.url or failed + unusable < _MOST_FAILURES:
            return ""
        left, self.url = self.url, ""
        _write(self.configuration, "")
        told = f"did not answer {failed} calls" if failed else ""
        if unusable:
            told += f"{' and ' * bool(told)}gave {unusable} times what ccache cannot use"
        return f"{left} {told}, and is left alone for the rest of this build"


@contextmanager
def serving(
    remote: RemoteCache | None, environment: Mapping[str, str], *, secrets: Mapping[str, str], directory: Path
) -> Iterator[tuple[Server, dict[str, str], str]]:
    """The server, the build's environment with it, and why it is not used, if it is not.

    ``secrets`` is the environment that the password may be in. The configuration is in ``directory`` for as long as
    this lasts. Raises HostError when the password is not where the profile says.
    """
    configuration = directory / "ccache.conf"
    server = Server("", configuration)
    if remote is None:
        yield server, dict(environment), ""
        return
    world = {name: value for name, value in environment.items() if name != _STORAGE}
    world[_CONFIGURATION] = str(configuration)
    told = storage(remote, with_password(remote, secrets))
    try:
        _write(configuration, f"remote_storage = {told}\n")
        why = _try(world, directory)
        if why:
            _write(configuration, "")
            why = f"{remote.url} is not used: {why}"
        else:
            server.url = remote.url
        yield server, world, why
    finally:
        configuration.unlink(missing_ok=True)


def with_password(remote: RemoteCache, secrets: Mapping[str, str]) -> str:
    """The URL with user and password. Raises HostError when the password cannot be read."""
    if not remote.has_password:
        return remote.url
    try:
        name, file = remote.password_variable, remote.password_file
        password = secrets.get(name, "") if name else Path(file or "").read_text("utf-8").strip()
        problem = "" if password else f"{name or file} is empty or not there"
    except (OSError, UnicodeDecodeError) as error:
        problem = f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is no UTF-8 text'}"
    if problem:
        raise HostError(
            f"the password of {remote.url}: {problem}", remedy="put it there, or leave build.ccache.remote out"
        )
    words = [quote(word, safe="") for word in (remote.user, password) if word]
    scheme, _, rest = remote.url.partition(":")
    rest = rest.removeprefix("//")
    # A socket has no host, and the password must stand before one.
    return f"{scheme}://{':'.join(words)}@{'localhost' if scheme == 'redis+unix' else ''}{rest}"


def _try(environment: Mapping[str, str], directory: Path) -> str:
    """Why the server cannot be used, by one small compilation: as ccache sees it, password and all."""
    with tempfile.TemporaryDirectory(prefix="cache-", dir=directory) as name:
        place = Path(name)
        (place / "try.c").write_text("int tried;\n")
        world = {**environment, "CCACHE_DIR": str(place / "cache"), "CCACHE_STATSLOG": str(place / "log")}
        try:
            done = run(["ccache", "gcc", "-c", "try.c", "-o", "try.o"], env=world, cwd=place, timeout=_LIMIT)
        except OSError as error:
            return f"ccache could not be tried: {error.strerror}"
        log = CacheLog(place / "log", place)
        log.whole()
        if log.remote_failures:
            return "it does not answer, or does not take the password"
        return "" if done.ok else redact(done.last_line)


def note_use(build: Path, cache: Path, remote: RemoteCache | None, url: str) -> None:
    """Write down, before the first compilation, that ``url`` is read: in the build directory and, when it is not
    trusted, in the local cache, whose hits may then be its."""
    if url and remote is not None and not remote.trusted:
        cache.mkdir(parents=True, exist_ok=True)
        (cache / _TAINT).write_text(f"{url}\n")
    used = read_use(build, cache)
    build.mkdir(parents=True, exist_ok=True)
    used["remote"] = sorted({*used["remote"], *([url] if url else [])})
    (build / _USED).write_text(json.dumps(used) + "\n")


def read_use(build: Path, cache: Path) -> Json:
    """``remote``: the servers that anything in this build directory may come from; ``trusted``: no untrusted one is
    among them or has filled the local cache."""
    remotes, trusted = [], True
    try:
        found = json.loads((build / _USED).read_text())
        remotes, trusted = [str(one) for one in found["remote"]], found["trusted"] is True
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError):
        remotes, trusted = ["unknown"], False
    try:
        remotes.append((cache / _TAINT).read_text().strip())
        trusted = False
    except FileNotFoundError:
        pass
    return {"remote": sorted(set(remotes)), "trusted": trusted}


def _write(path: Path, text: str) -> None:
    """In one step, and for nobody else to read: it may hold a password."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    partial.replace(path)
