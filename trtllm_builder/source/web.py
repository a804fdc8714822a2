"""A small https client for LFS: the caller's proxies and CA file, no downgrade, credentials to their own host only."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO
from urllib.parse import urljoin, urlsplit

from trtllm_builder.errors import SourceError
from trtllm_builder.source.failure_rules import AGAIN
from trtllm_builder.source.failures import TransportError
from trtllm_builder.source.git import proxies_and_authorities
from trtllm_builder.source.urls import parse_url
from trtllm_builder.text import clean, redact

_STALL = 30.0
_REDIRECTS = 5
_LARGEST_ANSWER = 16 * 1024 * 1024
Answer = http.client.HTTPResponse


class _Stay(urllib.request.HTTPRedirectHandler):
    """urllib would carry an Authorization header to any host; redirects are followed by us."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> None:
        return None


@dataclass(frozen=True)
class Client:
    """Made once for an ``obtain``; may be used from several threads."""

    direct: urllib.request.OpenerDirector = field(repr=False)
    proxied: urllib.request.OpenerDirector = field(repr=False)
    without_proxy: tuple[str, ...]

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Client:
        """Reads the proxy and CA variables as git does. Raises SourceError for a CA file that cannot be read."""
        proxies, cafile = proxies_and_authorities(environ)
        try:
            context = ssl.create_default_context(cafile=cafile)
        except OSError as error:  # ssl.SSLError is one
            raise SourceError(f"the CA file {cafile} cannot be read: {error}", remedy="mend SSL_CERT_FILE") from error
        chosen = {scheme: proxies.get(scheme) or proxies.get("all") for scheme in ("http", "https")}
        direct, proxied = (
            urllib.request.build_opener(
                urllib.request.ProxyHandler(table), urllib.request.HTTPSHandler(context=context), _Stay()
            )
            for table in ({}, {scheme: proxy for scheme, proxy in chosen.items() if proxy})
        )
        names = (name.strip().lower().lstrip(".") for name in proxies.get("no", "").split(","))
        return cls(direct, proxied, tuple(name for name in names if name))

    def _opener(self, url: str) -> urllib.request.OpenerDirector:
        host = (urlsplit(url).hostname or "").lower()
        near = any(name == "*" or host == name or host.endswith(f".{name}") for name in self.without_proxy)
        return self.direct if near else self.proxied

    def open(self, url: str, headers: Mapping[str, str], *, body: bytes | None = None) -> Answer:
        """The answer with status 2xx, redirects followed. Raises TransportError.

        An https URL never leads to http; ``Authorization`` stays behind when the host changes.
        """
        kept = dict(headers)
        for _ in range(_REDIRECTS):
            plain = parse_url(url)
            if plain.scheme not in ("https", "http"):
                raise TransportError("refused", f"{_shown(url)} is not an https URL", remedy="check the LFS server")
            try:
                request = urllib.request.Request(plain.text, data=body, headers=kept)  # noqa: S310 - just checked
                answer: Answer = self._opener(url).open(request, timeout=_STALL)
                return answer
            except urllib.error.HTTPError as error:
                with error:
                    if error.code not in (301, 302, 303, 307, 308) or not error.headers.get("Location"):
                        raise _refusal(url, error.code) from error
                    target = urljoin(url, error.headers["Location"])
            except (OSError, http.client.HTTPException) as error:
                raise _broken(url, error) from error
            if (urlsplit(target).scheme, urlsplit(target).netloc) != (urlsplit(url).scheme, urlsplit(url).netloc):
                kept.pop("Authorization", None)
            if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
                raise TransportError("refused", f"{_shown(url)} leads to a place without https", remedy="check the URL")
            url = target
        raise TransportError("server", f"{_shown(url)} redirects again and again", remedy="check the URL")

    def ask(self, url: str, headers: Mapping[str, str], question: object) -> object:
        """Posts JSON and returns the JSON that comes back. Raises TransportError."""
        with self.open(url, headers, body=json.dumps(question).encode()) as answer:
            try:
                return json.loads(answer.read(_LARGEST_ANSWER))
            except (OSError, http.client.HTTPException) as error:
                raise _broken(url, error) from error
            except ValueError as error:
                raise TransportError(
                    "server", f"{_shown(url)} did not answer with JSON", remedy="check the URL"
                ) from error


def _shown(url: str) -> str:
    """Without the query: a storage server's signed links carry their permission there."""
    return clean(redact(urlsplit(url)._replace(query="", fragment="").geturl()))


def _refusal(url: str, code: int) -> TransportError:
    shown = _shown(url)
    if code in (401, 403):
        remedy = "give credentials in the source URL: https://USER:TOKEN@..."
        return TransportError("credentials", f"{shown} wants other credentials (HTTP {code})", remedy=remedy)
    if code in (404, 410, 501):
        return TransportError(
            "not-found", f"{shown} is not there (HTTP {code})", remedy="check the URL or the mirror's lfs"
        )
    remedy = "wait a little, or name a mirror in the profile"
    return TransportError("server", f"{shown} answered with HTTP {code}", remedy=remedy)


def _broken(url: str, error: Exception) -> TransportError:
    shown, reason = _shown(url), clean(str(getattr(error, "reason", error)) or type(error).__name__)
    if "CERTIFICATE_VERIFY" in reason:
        remedy = "check the clock and the CA bundle (SSL_CERT_FILE names another one)"
        return TransportError("tls", f"the TLS certificate of {shown} was not accepted: {reason}", remedy=remedy)
    if isinstance(error, urllib.error.URLError):
        return TransportError(
            "no-network", f"{shown} cannot be reached: {reason}", remedy="check network and proxy variables"
        )
    return TransportError("interrupted-transfer", f"the transfer from {shown} broke off: {reason}", remedy=AGAIN)
