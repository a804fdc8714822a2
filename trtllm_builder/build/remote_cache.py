"""The server that compilations come from: tried before the build, given up when it fails, and remembered.

ccache reads its configuration at every call, so a server that stops answering can be left out in the middle of a
build, and the password needs to stand in no environment that upstream's scripts see. The configuration is a file
without a name, held open by this process alone and read through /proc: however this process ends, it is gone.
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
from trtllm_builder.build.cache_trial import try_server
from trtllm_builder.build.journal import Json
from trtllm_builder.errors import HostError
from trtllm_builder.plan.compile_cache import storage
from trtllm_builder.profile.cache import RemoteCache

_STORAGE, _CONFIGURATION = "CCACHE_REMOTE_STORAGE", "CCACHE_CONFIGPATH"
# Calls that failed; each may have cost seconds.
_MOST_FAILURES = 10
_TAINT = "filled-from-an-untrusted-server"
_USED = "trtllm-builder-caches.json"


@dataclass
class Server:
    """The server in use during one compile stage; ``url`` without credentials, empty when there is none;
    ``configuration`` the descriptor of what ccache reads."""

    url: str
    configuration: int = -1

    def look(self, log: CacheLog) -> str:
        """Leaves it out when it fails again and again; then a sentence, else nothing."""
        failed, unusable = log.remote_failures, log.unusable
        if not self.url or failed + unusable < _MOST_FAILURES:
            return ""
        left = self.url
        self.leave()
        told = f"did not answer {failed} calls" if failed else ""
        if unusable:
            told += f"{' and ' * bool(told)}gave {unusable} times what ccache cannot use"
        return f"{left} {told}, and is left alone for the rest of this build"

    def leave(self) -> None:
        """From the next call on ccache knows of no server."""
        self.url = ""
        os.ftruncate(self.configuration, 0)


@contextmanager
def serving(
    remote: RemoteCache | None, environment: Mapping[str, str], *, secrets: Mapping[str, str], directory: Path
) -> Iterator[tuple[Server, dict[str, str], str]]:
    """The server, the build's environment with it, and why it is not used, if it is not.

    ``secrets`` is the environment that the password may be in; ``directory`` is for scratch. Raises HostError when the
    password is not where the profile says.
    """
    if remote is None:
        yield Server(""), dict(environment), ""
        return
    told = f"remote_storage = {storage(remote, with_password(remote, secrets))}\n"
    server = Server(remote.url, _nameless(directory))
    world = {name: value for name, value in environment.items() if name != _STORAGE}
    world[_CONFIGURATION] = f"/proc/{os.getpid()}/fd/{server.configuration}"
    try:
        os.write(server.configuration, told.encode())
        why = try_server(remote, world, directory)
        if why:
            server.leave()
            why = f"{remote.url} is not used: {why}"
        yield server, world, why
    finally:
        os.close(server.configuration)


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


def _nameless(directory: Path) -> int:
    """A descriptor of a file that has no name, in memory or, for a Python without that, in ``directory``."""
    try:
        return os.memfd_create("ccache.conf")
    except AttributeError:
        with tempfile.TemporaryFile(dir=directory) as file:
            return os.dup(file.fileno())
