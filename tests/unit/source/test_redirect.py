"""The build's git configuration, as git itself reads it, and mirrors of one set in their order."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from trtllm_builder.source.model import Mirror, in_order
from trtllm_builder.source.redirect import place_of, write_config
from trtllm_builder.source.urls import parse_url


def listed(config: Path) -> list[str]:
    done = subprocess.run(
        ["git", "config", "--file", config, "--list"], capture_output=True, text=True, check=True, timeout=10
    )
    return [line for line in done.stdout.splitlines() if line.startswith(("url.", "http.https"))]


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://host/a/b", "https/host/a/b.git"),
        ("https://host/a/b.git", "https/host/a/b.git"),
        ("https://host:8443/a/b/", "https/host:8443/a/b.git"),
        ("ssh://git@host/a/b", "ssh/git@host/a/b.git"),
    ],
)
def test_where_a_copy_lies(url: str, place: str) -> None:
    assert place_of(Path("/served"), parse_url(url)) == Path("/served") / place


def test_odd_paths_and_credentials_survive(tmp_path: Path) -> None:
    served, config = tmp_path / 'a "b" \\c', tmp_path / "config"
    mirror = Mirror("own", (("https://host/", "https://user:word@mirror/host/"),))
    write_config(config, served=served, held=[parse_url("https://host/a/b.git")], mirror=mirror)
    assert listed(config) == [
        f"url.{served.as_uri()}/https/host/a/b.insteadof=https://host/a/b",
        "url.https://mirror/host/.insteadof=https://host/",
        "http.https://mirror/host/.extraheader=Authorization: Basic dXNlcjp3b3Jk",
    ]
    assert config.stat().st_mode & 0o077 == 0


def test_with_nothing_else_every_server_named_leads_to_the_disk(tmp_path: Path) -> None:
    held = [parse_url("https://one/a"), parse_url("https://one/b"), parse_url("https://two/c")]
    write_config(tmp_path / "config", served=Path("/s"), held=held, mirror=Mirror("m"), nothing_else=True)
    assert [line for line in listed(tmp_path / "config") if line.endswith("/")] == [
        "url.file:///s/https/one/.insteadof=https://one/",
        "url.file:///s/https/two/.insteadof=https://two/",
    ]


def test_rules_of_one_prefix_are_mirrors_one_after_the_other() -> None:
    assert in_order("one", [("a", "1"), ("b", "2")], "lfs") == (Mirror("one", (("a", "1"), ("b", "2")), "lfs"),)
    assert in_order("two", [("a", "1"), ("a", "2"), ("b", "3")], None) == (
        Mirror("two-1", (("a", "1"), ("b", "3"))),
        Mirror("two-2", (("a", "2"),)),
    )
    assert in_order("direct", [], None) == (Mirror("direct"),)
