"""The compiler cache of a profile: where compilations are kept, here and on a server that many machines share."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import WithJsonSchema, model_validator

from trtllm_builder.profile.marks import shown
from trtllm_builder.profile.part import Part
from trtllm_builder.profile.scalars import Bool, PathText, Size, fault, text_type

_WITH_TLS = ("https", "rediss")
_LONGEST = 300
_HOST = r"(?:[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
# Nothing that ccache reads itself: ``$`` names a variable, ``*`` a shard, ``|`` and spaces begin an attribute.
# Nor `.` and `..`, which a server or a proxy may resolve and ccache does not.
_PATH = r"(?:/(?!\.\.?(?:[/?]|\Z))[\w.~+=:-]*)+"
_FORMS = {
    "redis": (re.compile(rf"{_HOST}(?:/[0-9]{{1,5}})?/?\Z", re.ASCII), "redis://host:6379/0"),
    "redis+unix": (re.compile(rf"(?:(?://)?{_PATH})(?:\?db=[0-9]{{1,5}})?\Z", re.ASCII), "redis+unix:/run/redis.sock"),
    "http": (re.compile(rf"{_HOST}(?:{_PATH})?\Z", re.ASCII), "http://host:8080/ccache"),
}
_NAME = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_USER = re.compile(r"[\x21-\x7e]{1,100}\Z")


def parse_cache_url(text: str) -> str:
    """The URL of a server that ccache itself can speak to (ccache(1), "Remote storage backends"), no credentials."""
    scheme, colon, rest = text.partition(":")
    if "@" in text:
        raise ValueError("no credentials belong in a profile: use `user`, and `password_variable` or `password_file`")
    if not colon or scheme not in _FORMS:
        hint = "; ccache has no TLS itself: put a proxy such as stunnel before it" if scheme in _WITH_TLS else ""
        raise ValueError(f"expected a URL with redis, redis+unix or http, not {shown(text)}{hint}")
    form, example = _FORMS[scheme]
    if scheme != "redis+unix":
        rest = rest[2:] if rest.startswith("//") else "\n"
    match = form.match(rest) if len(text) <= _LONGEST else None
    if match is None or int(match.groupdict().get("port") or 1) not in range(1, 65536):
        raise ValueError(f"expected a URL such as {example}, not {shown(text)}")
    return text


def parse_name(text: str) -> str:
    if not _NAME.match(text):
        raise ValueError(
            f"expected the name of an environment variable, not {shown(text)}; its value stays where it is"
        )
    return text


def parse_user(text: str) -> str:
    if not _USER.match(text):
        raise ValueError(f"expected a user name without spaces, not {shown(text)}")
    return text


_STRING = WithJsonSchema({"type": "string"})
CacheUrl = Annotated[str, text_type(parse_cache_url, "a URL"), _STRING]
VariableName = Annotated[str, text_type(parse_name, "a name"), _STRING]
User = Annotated[str, text_type(parse_user, "a user name"), _STRING]


class RemoteCache(Part):
    """A server that keeps compilations for many machines: Redis, or HTTP with GET, PUT and DELETE."""

    url: CacheUrl
    """redis://host:6379/0, redis+unix:/path/of.socket or http://host:8080/path."""
    read_only: Bool = False
    """Whether this build only takes from it and never adds to it."""
    trusted: Bool = False
    """Whether what it gives may go into a published wheel: who can write there can put any code into the wheel."""
    user: User | None = None
    """The user name, where it wants one."""
    password_variable: VariableName | None = None
    """The variable, in the environment of whoever builds, that holds the password."""
    password_file: PathText | None = None
    """The file that holds the password, alone."""

    @model_validator(mode="after")
    def _one_password(self) -> RemoteCache:
        if self.password_variable and self.password_file:
            raise fault("a password has one place: leave out `password_variable` or `password_file`", "password_file")
        if self.user and not (self.password_variable or self.password_file):
            raise fault("a user needs a password: add `password_variable` or `password_file`", "user")
        if self.url.startswith("http") and (self.password_variable or self.password_file) and not self.user:
            raise fault("over HTTP a password needs a user: add `user`", "url")
        return self

    @property
    def has_password(self) -> bool:
        return bool(self.password_variable or self.password_file)


class Ccache(Part):
    """The compiler cache."""

    enabled: Bool = True
    """Whether compilations go through ccache."""
    max_size: Size = 50 * 2**30
    """How large the cache may grow."""
    dir: PathText | None = None
    """The cache's directory; null keeps it beside the workspace, so that it is on the same disk."""
    remote: RemoteCache | None = None
    """A server that is asked when the directory has nothing, and that keeps what was compiled here."""
