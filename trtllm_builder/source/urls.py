"""Repository URLs: which we accept, what of them may be shown, and where mirrors and submodules lead."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from trtllm_builder.errors import SourceError
from trtllm_builder.source.model import Mirror
from trtllm_builder.text import clean, redact

_SCHEMES = ("https", "ssh", "file", "http")
# git's short form of ssh: [user@]host:path, where the path does not begin with two slashes (git-clone(1), "GIT URLS").
_SCP = re.compile(
    r"(?:(?P<user>[\w.+-]+)@)?(?P<host>[A-Za-z0-9][\w.-]*|\[[0-9a-fA-F:]+\]):(?P<path>(?!//)[^:].*)\Z", re.ASCII
)
_REMEDY = "give an https://, ssh:// or file:/// URL, or user@host:path"


@dataclass(frozen=True)
class Url:
    """A URL parted: ``text`` has no credentials and goes into argv and names; ``secret`` is ``user:password``."""

    text: str
    scheme: str
    secret: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        """For people and records: also without secret-looking query values."""
        return redact(self.text)

    @property
    def path(self) -> str:
        """The repository's path without slashes at its ends and without ``.git``: ``NVIDIA/TensorRT-LLM``."""
        scp = _SCP.match(self.text) if "://" not in self.text else None
        path = scp["path"] if scp else urlsplit(self.text).path
        return path.strip("/").removesuffix(".git").strip("/")

    @property
    def local_path(self) -> str:
        """The directory that a ``file`` URL names, decoded."""
        return unquote(urlsplit(self.text).path)

    @property
    def cache_name(self) -> str:
        """A file name for this repository, the same with and without ``.git`` or a slash at the end."""
        plain = self.text.rstrip("/").removesuffix(".git")
        label = re.sub(r"[^A-Za-z0-9._-]", "_", self.path.rpartition("/")[2]).lstrip(".-_")[:60] or "repository"
        return f"{label}-{hashlib.sha256(plain.encode()).hexdigest()[:16]}.git"


def is_url(text: str) -> bool:
    """Whether ``--source`` was given a URL rather than a directory."""
    return "://" in text or (bool(_SCP.match(text)) and not text.startswith((".", "/")))


def parse_url(text: str) -> Url:
    """Raises SourceError with a sentence for what git could take as an option, a program, or an unsafe transport."""
    shown = clean(redact(text))
    if not text or re.search(r"[\x00-\x20\x7f-\x9f]", text):
        raise SourceError(f"a source URL is empty or holds a space or control character: {shown!r}", remedy=_REMEDY)
    if text.startswith("-"):
        raise SourceError(f"the source URL {shown} looks like an option", remedy=_REMEDY)
    if re.match(r"[A-Za-z0-9+.-]+::", text):
        raise SourceError(
            f"the source URL {shown} names a git transport helper, which could run a program", remedy=_REMEDY
        )
    if "://" not in text:
        if _SCP.match(text):
            return Url(text, "ssh")
        raise SourceError(f"{shown} is not a source URL", remedy=_REMEDY)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise SourceError(f"the source URL {shown} cannot be read", remedy=_REMEDY) from None
    if parts.scheme not in _SCHEMES:
        raise SourceError(
            f"the source URL {shown} uses {parts.scheme}:, which is not safe to fetch from", remedy=_REMEDY
        )
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise SourceError(f"the source URL {shown} names no absolute path", remedy="write file:///absolute/path")
        return Url(f"file://{parts.path}", "file")
    if not host or host.startswith("-") or not parts.path.strip("/"):
        raise SourceError(f"the source URL {shown} lacks a host or a path", remedy=_REMEDY)
    if parts.scheme == "http" and not is_loopback(host):
        raise SourceError(
            f"the source URL {shown} is plain http, which anyone on the way can change", remedy="use https://"
        )
    return _without_secret(text, parts.scheme, parts.username, parts.password, host, port)


def _without_secret(text: str, scheme: str, user: str | None, password: str | None, host: str, port: int | None) -> Url:
    netloc = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    if scheme == "ssh":
        # The user is part of the address here; ssh takes no password from a URL.
        netloc, secret = (f"{user}@{netloc}" if user else netloc), ""
    else:
        secret = f"{unquote(user or '')}:{unquote(password or '')}" if user or password else ""
    return Url(urlsplit(text)._replace(netloc=netloc).geturl(), scheme, secret)


def is_loopback(host: str) -> bool:
    """Whether ``host`` can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def rewrite(url: str, mirror: Mirror) -> str | None:
    """``url`` as the mirror has it, or None when no prefix matches. The longest prefix wins, as in git's insteadOf."""
    matching = [(prefix, new) for prefix, new in mirror.rewrites if prefix and url.startswith(prefix)]
    if not matching:
        return None
    prefix, new = max(matching, key=lambda pair: len(pair[0]))
    return new + url[len(prefix) :]


def resolve_relative(base: str, relative: str) -> str:
    """A submodule's ``../x`` or ``./x`` against the URL of the repository that names it (gitmodules(5))."""
    if not relative.startswith(("./", "../")):
        return relative
    head, separator, path = base.partition("://")
    if separator:
        host, _, path = path.partition("/")
        prefix = f"{head}://{host}/"
    else:
        host, _, path = base.partition(":")
        prefix = f"{host}:"
    rooted = "/" if path.startswith("/") else ""
    parts = [part for part in path.split("/") if part]
    for part in relative.split("/"):
        if part == "..":
            if not parts:
                raise SourceError(f"the submodule URL {clean(relative)} climbs out of {redact(base)}")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return prefix + rooted + "/".join(parts)
