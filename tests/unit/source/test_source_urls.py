from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.errors import SourceError
from trtllm_builder.source.git import mirror_config
from trtllm_builder.source.model import Mirror
from trtllm_builder.source.urls import is_url, parse_url, resolve_relative, rewrite


@pytest.mark.parametrize(
    ("text", "plain", "scheme", "secret"),
    [
        ("https://github.com/NVIDIA/TensorRT-LLM", "https://github.com/NVIDIA/TensorRT-LLM", "https", ""),
        ("https://me:t%40k@host:8443/x.git", "https://host:8443/x.git", "https", "me:t@k"),
        ("https://token@host/x", "https://host/x", "https", "token:"),
        ("ssh://git@host:22/x", "ssh://git@host:22/x", "ssh", ""),
        ("ssh://git:pass@host/x", "ssh://git@host/x", "ssh", ""),
        ("git@github.com:NVIDIA/x.git", "git@github.com:NVIDIA/x.git", "ssh", ""),
        ("file:///tmp/a%20b", "file:///tmp/a%20b", "file", ""),
        ("file://localhost/tmp/a", "file:///tmp/a", "file", ""),
        ("http://127.0.0.1:80/x", "http://127.0.0.1:80/x", "http", ""),
        ("http://[::1]:80/x", "http://[::1]:80/x", "http", ""),
        ("http://localhost/x", "http://localhost/x", "http", ""),
    ],
)
def test_a_url_is_parted_from_its_credentials(text: str, plain: str, scheme: str, secret: str) -> None:
    url = parse_url(text)
    assert (url.text, url.scheme, url.secret) == (plain, scheme, secret)
    if secret:
        assert secret.rpartition(":")[2] not in repr(url) or secret.endswith(":")
    assert is_url(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-x",
        "--upload-pack=touch /tmp/x",
        "ext::sh -c id",
        "ext::id",
        "fd::17",
        "git://host/x",
        "ftp://host/x",
        "http://host/x",
        "http://127.0.0.1.evil.com/x",
        "https://",
        "https:///x",
        "https://host",
        "https://-x/y",
        "ssh://-oProxyCommand=id/x",
        "-oProxyCommand=id:x",
        "file://host/x",
        "file://x",
        "/absolute/path",
        "relative",
        "https://host/\x1b[31m",
        "https://host/a\nb",
        "https://[::1/x",
        "https://host:99999/x",
        "javascript:alert(1)//x y",
    ],
)
def test_what_git_could_take_wrongly_is_refused(text: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse_url(text)
    assert caught.value.remedy and "\x1b" not in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | st.from_regex(r"[a-z-]{0,6}:{1,2}/{0,3}[-a-z@:/.%]{0,20}", fullmatch=True))
def test_any_text_is_a_safe_url_or_a_sentence(text: str) -> None:
    try:
        url = parse_url(text)
    except SourceError:
        return
    # git takes what stands before "::" for the name of a program (gitremote-helpers(7)).
    assert not url.text.startswith("-") and not re.match(r"[A-Za-z0-9+.-]*::", url.text)
    assert url.scheme in ("https", "ssh", "file", "http")
    assert "/" not in url.cache_name and not url.cache_name.startswith((".", "-"))


def test_a_refused_url_does_not_show_its_password() -> None:
    with pytest.raises(SourceError) as caught:
        parse_url("http://me:s3cr3t@host.example/x")
    assert "s3cr3t" not in str(caught.value)


def test_one_repository_has_one_cache_name() -> None:
    names = {parse_url(text).cache_name for text in ("https://h/a/b", "https://h/a/b.git", "https://me:t@h/a/b/")}
    assert len(names) == 1 and names.pop().startswith("b-")
    assert parse_url("https://h/a/b").cache_name != parse_url("https://h/c/b").cache_name


def test_directories_are_no_urls() -> None:
    assert not any(is_url(text) for text in ("/a/b", "./a:b", "a/b", "C", "../x:y"))


def test_the_longest_prefix_rewrites() -> None:
    mirror = Mirror("m", (("https://github.com/", "https://m1/"), ("https://github.com/NVIDIA/", "https://m2/n/")))
    assert rewrite("https://github.com/NVIDIA/x", mirror) == "https://m2/n/x"
    assert rewrite("https://github.com/other/x", mirror) == "https://m1/other/x"
    assert rewrite("https://gitlab.com/x", mirror) is None


def test_a_mirror_as_configuration_for_a_build_keeps_credentials_out_of_urls() -> None:
    mirror = Mirror("m", (("https://github.com/", "https://me:s3cr3t@mirror.example/gh/"),))
    pairs = dict(mirror_config(mirror))
    assert pairs["url.https://mirror.example/gh/.insteadOf"] == "https://github.com/"
    assert "s3cr3t" not in str(pairs) and pairs["http.https://mirror.example/gh/.extraHeader"].startswith(
        "Authorization: Basic "
    )


@pytest.mark.parametrize(
    ("base", "relative", "result"),
    [
        ("https://h/a/b.git", "../c", "https://h/a/c"),
        ("https://h/a/b/", "./c", "https://h/a/b/c"),
        ("https://h/a/b", "../../c/d.git", "https://h/c/d.git"),
        ("git@h:a/b", "../c", "git@h:a/c"),
        ("git@h:/a/b", "../c", "git@h:/a/c"),
        ("file:///a/b", "../c", "file:///a/c"),
        ("https://h/a", "https://other/x", "https://other/x"),
    ],
)
def test_relative_submodule_urls(base: str, relative: str, result: str) -> None:
    assert resolve_relative(base, relative) == result


def test_a_relative_url_cannot_leave_its_host() -> None:
    with pytest.raises(SourceError, match="climbs out"):
        resolve_relative("https://h/a", "../../evil.example/x")
