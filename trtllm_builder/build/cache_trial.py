"""Whether a server of compilations can be used, by one small compilation: as ccache sees it, password and all."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from trtllm_builder.build.cache_log import CacheLog
from trtllm_builder.process import run
from trtllm_builder.profile.cache import RemoteCache
from trtllm_builder.text import clean, redact

# Seconds. ccache's own limits (plan/compile_cache.py) end each question long before.
_LIMIT = 20.0
_NO_ENTRY = re.compile(r"NOAUTH|WRONGPASS|ERR invalid password|GET \S+ -> 40[13]\b")
# What ccache 4.10 to 4.14 writes into its log (``log_file``) of a server, and what it means; the first that is there.
_REASONS = (
    (re.compile(r"Redis connection [\w ]*: (.+)"), "no connection to it: {}"),
    (re.compile(r"Could not establish connection"), "no connection to it: nothing listens there, or no such host"),
    (re.compile(r"Failed to read connection"), "it takes the connection and gives no answer in HTTP"),
    (re.compile(r"Resource temporarily unavailable"), "it takes the connection and does not answer"),
    (re.compile(r"Redis command failed: (.+)"), "it answers: {}"),
    (re.compile(r"GET \S+ -> (?!2|404)(\d+)"), "it answers with HTTP status {}"),
    (re.compile(r"PUT \S+ -> (?!2)(\d+)"), "it keeps nothing, HTTP status {}; should `read_only` be true?"),
)


def try_server(remote: RemoteCache, environment: Mapping[str, str], directory: Path) -> str:
    """Why it cannot be used, nothing when it can. ``environment`` names it to ccache; ``directory`` is for scratch."""
    with tempfile.TemporaryDirectory(prefix="cache-", dir=directory) as name:
        place = Path(name)
        (place / "try.c").write_text("int tried;\n")
        world = {
            **environment,
            "CCACHE_DIR": str(place / "cache"),
            "CCACHE_STATSLOG": str(place / "stats"),
            # Without passwords: ccache puts asterisks.
            "CCACHE_LOGFILE": str(place / "log"),
        }
        try:
            done = run(["ccache", "gcc", "-c", "try.c", "-o", "try.o"], env=world, cwd=place, timeout=_LIMIT)
        except OSError as error:
            return f"ccache could not be tried: {error.strerror}"
        if not done.ok:
            return redact(done.last_line) if not done.timed_out else f"one compilation took more than {_LIMIT:.0f} s"
        seen = CacheLog(place / "stats", place)
        seen.whole()
        if seen.unusable:
            return "it serves what ccache cannot use"
        return _reason(redact(clean((place / "log").read_text(errors="replace"))), remote, bool(seen.remote_failures))


def _reason(log: str, remote: RemoteCache, failed: bool) -> str:
    if _NO_ENTRY.search(log):
        return "it does not take the password" if remote.has_password else "it wants a password, the profile names none"
    for pattern, told in _REASONS:
        if found := pattern.search(log):
            return told.format(*found.groups())
    return "ccache cannot use it" if failed else ""
