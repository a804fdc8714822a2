"""Which server is asked next: mirrors in their order, the original, retries of network failures, one deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import tenacity

from trtllm_builder.source.cache import Cache, open_cache
from trtllm_builder.source.failure_rules import AGAIN
from trtllm_builder.source.failures import TransportError, classify
from trtllm_builder.source.git import Git
from trtllm_builder.source.model import ORIGINAL, Log, Mirror
from trtllm_builder.source.refs import missing_ref_remedy, parse_listing, patterns, resolve
from trtllm_builder.source.urls import Url, parse_url, rewrite

ANSWER_WITHIN = 30.0
"""Seconds for a server's first answer; a blocked one would keep us for minutes."""
_ROUNDS = 3
T = TypeVar("T")


@dataclass(frozen=True)
class Server:
    """One place to fetch a repository from."""

    name: str
    url: Url
    mirror: Mirror | None = None

    @property
    def original(self) -> bool:
        return self.name == ORIGINAL


@dataclass(frozen=True)
class Found:
    """A commit that the cache now has."""

    commit: str
    served_by: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Servers:
    """How one ``obtain`` reaches the world. ``end`` is of time.monotonic; with ``renewed`` the cache is a new one, so
    that damage in it is what a server gave."""

    git: Git
    cache: Path
    mirrors: tuple[Mirror, ...]
    end: float
    log: Log
    offline: bool = False
    rounds: int = _ROUNDS
    renewed: bool = False

    @property
    def left(self) -> float:
        """Seconds until the deadline, negative when it is over."""
        return self.end - time.monotonic()

    def of(self, url: Url) -> tuple[Server, ...]:
        """Where ``url`` may be fetched from, in order. Raises SourceError for a mirror that leads to an unsafe URL."""
        original = Server(ORIGINAL, url)
        found = []
        for mirror in self.mirrors:
            if not mirror.rewrites:
                found.append(original)
            elif other := rewrite(url.text, mirror):
                found.append(Server(mirror.name, parse_url(other), mirror))
        return tuple(found) if original in found else (*found, original)

    def provide(self, url: Url, *, commit: str | None, ref: str | None, use: Callable[[Cache, str], None]) -> Found:
        """Has the commit in the cache, runs ``use(cache, commit)`` while it is locked, and says who served.

        A pinned ``commit`` that is in the cache needs no network. Without one, ``ref`` is what the first server that
        answers says, or offline what it was when last seen. A damaged cache is replaced and filled again, once.
        """
        with open_cache(self.cache, url, self.git, end=self.end, log=self.log) as cache:

            def work(servers: Servers) -> Found:
                if commit:
                    found = servers._pinned(cache, url, commit, ref)
                else:
                    found = servers._named(cache, url, ref or "HEAD")
                use(cache, found.commit)
                return found

            try:
                return work(self)
            except TransportError as error:
                if error.kind != "corrupt":
                    raise
                self.log(f"{error}; fetching it anew")
            cache.renew()
            return work(replace(self, renewed=True))

    def _pinned(self, cache: Cache, url: Url, commit: str, ref: str | None) -> Found:
        if cache.has(commit):
            return Found(commit, "cache")
        if self.offline:
            raise _offline(f"commit {commit[:12]} of {url.shown} is not in the cache")

        def fetch(server: Server) -> Found:
            there = resolve(self.listing(server, patterns(ref)), ref) if ref else None
            if not ref:
                self.listing(server, ("HEAD",))
            cache.fetch(commit, there.name if there else None, server.url, timeout=self.left)
            return Found(commit, server.name, _moved(ref, there.commit if there else None, commit, server))

        return self.first(url, fetch, f"commit {commit[:12]}")

    def _named(self, cache: Cache, url: Url, ref: str) -> Found:
        if self.offline:
            return self._remembered(cache, url, ref)

        def fetch(server: Server) -> Found:
            there = resolve(self.listing(server, patterns(ref)), ref)
            if not there:
                what = f"{ref} is neither a branch nor a tag of {server.url.shown}"
                raise TransportError("missing-ref", what, remedy=missing_ref_remedy(self.listing(server, ()), ref))
            if not cache.has(there.commit):
                cache.fetch(there.commit, there.name, server.url, timeout=self.left)
            cache.remember(server.url.text, ref, there.commit)
            return Found(there.commit, server.name, there.notes)

        return self.first(url, fetch, ref)

    def listing(self, server: Server, names: tuple[str, ...]) -> dict[str, str]:
        """What the server says of ``names``, of all branches and tags when empty; also the test that it answers."""
        every = () if names else ("--heads", "--tags")
        words = ("ls-remote", "--quiet", *every, "--end-of-options", server.url.text, *names)
        done = self.git.run(*words, url=server.url, timeout=min(ANSWER_WITHIN, self.left))
        if done.timed_out and self.left > 0:
            what = f"{server.url.shown} did not answer within {ANSWER_WITHIN:.0f} s"
            raise TransportError("no-network", what, remedy="check the network, or name a mirror in the profile")
        if not done.ok:
            raise classify(done, f"asking {server.url.shown}", secret=bool(server.url.secret))
        return parse_listing(done.stdout)

    def first(self, url: Url, action: Callable[[Server], T], what: str) -> T:
        """``action``'s result on the first server where it succeeds; network failures are tried again with a pause."""
        servers = self.of(url)

        def one_round() -> T:
            failures: list[tuple[Server, TransportError]] = []
            for server in servers:
                if self.left <= 0:
                    late = TransportError("deadline", f"no time is left to fetch {what} of {url.shown}", remedy=AGAIN)
                    raise late from (failures[-1][1] if failures else None)
                self.log(f"asking {server.name} ({server.url.shown}) for {what}")
                try:
                    return action(server)
                except TransportError as failed:
                    error = failed
                    if error.kind == "corrupt" and self.renewed:
                        lied = f"{server.url.shown} gave something else for {what}"
                        error = TransportError("content", lied, remedy="name another mirror in the profile")
                    if error.local:
                        raise
                    self.log(str(error))
                    failures.append((server, error))
                    if server.original and error.definite:
                        break
            raise _together(failures)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, TransportError) and error.transient),
            stop=tenacity.stop_after_attempt(self.rounds) | tenacity.stop_after_delay(max(self.left, 0.0)),
            wait=tenacity.wait_random_exponential(multiplier=1, max=15),
            reraise=True,
        )
        return retrying(one_round)

    def _remembered(self, cache: Cache, url: Url, ref: str) -> Found:
        for server in self.of(url):
            commit = cache.recall(server.url.text, ref)
            if commit and cache.has(commit):
                return Found(commit, server.name, (f"offline: {ref} was taken as it was when last fetched",))
        raise _offline(f"{ref} of {url.shown} was never fetched here")


def _offline(why: str) -> TransportError:
    # "content" because no pause and no other server would help.
    return TransportError("content", f"{why}, and this run is offline", remedy="run once with a network")


def _moved(ref: str | None, now: str | None, commit: str, server: Server) -> tuple[str, ...]:
    if not ref or now == commit:
        return ()
    if now is None:
        return (f"{ref} is not on {server.url.shown}; the commit was taken as pinned",)
    return (f"{ref} is now {now[:12]} on {server.url.shown}; the pinned commit {commit[:12]} was taken",)


def _together(failures: Iterable[tuple[Server, TransportError]]) -> TransportError:
    """One error for a round: the original's last word, else what may pass with time, else the last; names the rest."""
    pairs = list(failures)
    final = [error for server, error in pairs if server.original and error.definite]
    passing = [error for _, error in pairs if error.transient]
    chosen = (final or passing or [pairs[-1][1]])[-1]
    others = tuple(error for _, error in pairs if error is not chosen)
    names = ", ".join(server.name for server, error in pairs if error is not chosen)
    what = f"{chosen.what}; {names} failed too" if names and not final else chosen.what
    return TransportError(chosen.kind, what, remedy=chosen.remedy, others=others)
