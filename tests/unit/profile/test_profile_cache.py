"""The compiler cache's server in a profile: which URLs ccache can use, and that no credential stands in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.errors import ProfileError
from trtllm_builder.plan.paths import expand_home
from trtllm_builder.profile.cache import parse_cache_url
from trtllm_builder.profile.explain import render
from trtllm_builder.profile.load import load_profile

MINIMAL = """\
schema: 1
python: "3.10"
source: {ref: release/0.20}
cuda: {architectures: [89], toolkit: ">=12.9,<13"}
build:
  ccache:
    remote: %s
"""


def load(tmp_path: Path, remote: str, *overrides: str):
    path = tmp_path / "p.yaml"
    path.write_text(MINIMAL % remote)
    return load_profile(str(path), profile_dirs=[], overrides=overrides).profile


def test_a_server_and_its_password_elsewhere(tmp_path: Path) -> None:
    profile = load(
        tmp_path,
        '{url: "redis://cache:6379/0", user: ci, password_file: ~/secret}',
        "build.ccache.remote.trusted=true",
        "build.ccache.remote.read_only=true",
    )
    remote = expand_home(profile, {"HOME": "/h"}).build.ccache.remote
    assert remote is not None and remote.trusted and remote.read_only and remote.password_file == "/h/secret"
    assert profile.origins["build.ccache.remote.trusted"] == "--set"
    again = tmp_path / "again.yaml"
    again.write_text(render(profile))
    assert load_profile(str(again), profile_dirs=[], overrides=()).profile.build == profile.build


def test_none_is_the_default_and_untrusted_is_the_default_of_one(tmp_path: Path) -> None:
    assert load(tmp_path, "null").build.ccache.remote is None
    remote = load(tmp_path, "{url: http://host/x}").build.ccache.remote
    assert remote is not None and not remote.trusted and not remote.read_only


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost", "redis://cache.example.com:6379/0", "redis://[::1]:6379", "redis+unix:/run/redis.sock",
        "redis+unix:///run/r.sock?db=3", "http://host", "http://host:8080/some/path/", "http://h/..x/y.//z", "http://10.0.0.1/x",
    ],
)  # fmt: skip
def test_urls_that_ccache_can_use(url: str) -> None:
    assert parse_cache_url(url) == url


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://host/x", "ccache has no TLS itself"),
        ("rediss://host", "ccache has no TLS itself"),
        ("file:///share", "expected a URL with redis"),
        ("host:6379", "expected a URL with redis"),
        ("", "expected a URL with redis"),
        ("redis://:secret@host", "no credentials belong in a profile"),
        ("http://me:secret@host/x", "no credentials belong in a profile"),
        ("redis://me:secret/secret@host", "no credentials belong in a profile"),
        ("redis://host:0", "expected a URL such as"),
        ("redis://host:65536", "expected a URL such as"),
        ("redis://host/x", "expected a URL such as"),
        ("redis:/run/x", "expected a URL such as"),
        ("redis://host read-only=false", "expected a URL such as"),
        ("http://host|helper=/tmp/evil", "expected a URL such as"),
        ("http://host/$HOME", "expected a URL such as"),
        ("http://cache-*.host/", "expected a URL such as"),
        ("http://host/a?token=1", "expected a URL such as"),
        ("http://host/%2e", "expected a URL such as"),
        ("http://host/x\nhelper=/tmp/evil", "expected a URL such as"),
        ("http://host/../..", "expected a URL such as"),
        ("http://host/./x", "expected a URL such as"),
        ("http://host/x/..", "expected a URL such as"),
        ("redis+unix:/run/../etc/x", "expected a URL such as"),
        ("redis+unix:/run/..?db=3", "expected a URL such as"),
        ("http://-host/", "expected a URL such as"),
        (f"http://host/{'x' * 400}", "expected a URL such as"),
        ("redis+unix:run/redis.sock", "expected a URL such as"),
    ],
)
def test_urls_that_would_fail_or_do_harm(url: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        parse_cache_url(url)
    assert "secret" not in str(caught.value)


@settings(max_examples=200)
@given(st.text(max_size=60), st.sampled_from(["redis://", "http://", "redis+unix:/", ""]))
def test_whatever_is_accepted_is_one_word_that_ccache_does_not_expand(text: str, scheme: str) -> None:
    try:
        url = parse_cache_url(scheme + text)
    except ValueError:
        return
    assert not set(url) & set(" \t\n\r|$*%@\"'\\#;<>")
    assert url.isascii() and url.isprintable()


@pytest.mark.parametrize(
    ("remote", "place", "told"),
    [
        ("{url: redis://host, user: me}", "7:39", "a user needs a password"),
        ("{url: redis://host, password_variable: A, password_file: /x}", "7:70", "a password has one place"),
        ("{url: http://host, password_variable: A}", "7:19", "over HTTP a password needs a user"),
        ('{url: redis://host, user: "a b", password_variable: A}', "7:39", "without spaces"),
        ("{url: redis://host, password_variable: A-B}", "7:52", "the name of an environment variable"),
        ("{url: redis://host, password: hunter2}", "7:33", "unknown key `password`; did you mean `password_"),
        ("{trusted: true}", "7:5", "`build.ccache.remote.url` is missing"),
        ("redis://host", "7:13", "expected keys and values"),
    ],
)
def test_faults_stand_at_their_place(tmp_path: Path, remote: str, place: str, told: str) -> None:
    with pytest.raises(ProfileError) as caught:
        load(tmp_path, remote)
    where = caught.value.where
    assert where is not None and told in str(caught.value)
    assert f"{where.line}:{where.column}" == place and "hunter2" not in str(caught.value)
