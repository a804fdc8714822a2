"""The git configuration that a build gets: what we hold comes from the disk, what we do not through a mirror.

A build's own git (CMake's clones, submodules, pip's) reads it as GIT_CONFIG_GLOBAL; ``insteadOf`` is git-config(1)'s
``url.<base>.insteadOf``, where of several prefixes that fit the longest wins.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from trtllm_builder.source.git import mirror_config
from trtllm_builder.source.model import Mirror
from trtllm_builder.source.urls import Url

_SETTINGS = """\
[safe]
\tdirectory = *
[advice]
\tdetachedHead = false
[http]
\tlowSpeedLimit = 1000
\tlowSpeedTime = 60
"""


def place_of(root: Path, url: Url) -> Path:
    """Where below ``root`` a copy of ``url`` is served from: the URL's own path, so that prefixes can be rewritten."""
    return root / _below(url)


def _below(url: Url) -> str:
    scheme, separator, rest = url.text.partition("://")
    text = f"{scheme}/{rest}" if separator else f"ssh/{rest.replace(':', '/') or url.text.replace(':', '/')}"
    return f"{text.rstrip('/').removesuffix('.git').rstrip('/')}.git"


def write_config(
    path: Path, *, served: Path, held: Iterable[Url], mirror: Mirror | None = None, nothing_else: bool = False
) -> None:
    """Writes the configuration: ``held`` come from ``served``, all else through ``mirror`` when there is one.

    With ``nothing_else`` every server that ``held`` names leads to ``served`` too, so that what is not there fails at
    once and says its name.
    """
    sections = [_SETTINGS]
    for url in sorted(set(held), key=lambda one: one.text):
        stem = url.text.rstrip("/").removesuffix(".git").rstrip("/")
        base = place_of(served, url).as_uri().removesuffix(".git")
        sections.append(_section("url", base, "insteadOf", stem))
    if nothing_else:
        servers = sorted({"/".join(url.text.split("/")[:3]) for url in held if "://" in url.text})
        for server in servers:
            scheme, _, host = server.partition("://")
            sections.append(_section("url", f"{served.as_uri()}/{scheme}/{host}/", "insteadOf", f"{server}/"))
    elif mirror is not None:
        for key, value in mirror_config(mirror):
            kind, _, rest = key.partition(".")
            base, _, name = rest.rpartition(".")
            sections.append(_section(kind, base, name, value))
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.touch(mode=0o600)
    fresh.write_text("".join(sections))
    fresh.replace(path)


def _section(kind: str, name: str, key: str, value: str) -> str:
    return f"[{kind} {_quoted(name)}]\n\t{key} = {_quoted(value)}\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
