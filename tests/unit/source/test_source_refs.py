from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.errors import SourceError
from trtllm_builder.source.refs import check_ref, missing_ref_remedy, nearest_refs, parse_listing, resolve

A, B, C = "a" * 40, "b" * 40, "c" * 40


@pytest.mark.parametrize("ref", ["main", "release/0.20", "v1.2.0rc2", "refs/pull/12/head", A, "a-b_c.d", "日本"])
def test_names_that_are_fit(ref: str) -> None:
    check_ref(ref)


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "-x",
        "--upload-pack=x",
        "a..b",
        "a b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[",
        "a\\b",
        "a@{1}",
        "@",
        ".a",
        "a/.b",
        "a.lock",
        "a.lock/b",
        "/a",
        "a/",
        "a//b",
        "a.",
        "a\x1b[31m",
        "a\n",
        "x" * 201,
    ],
)
def test_names_that_are_not(ref: str) -> None:
    with pytest.raises(SourceError) as caught:
        check_ref(ref)
    assert "\x1b" not in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab-./~^:@{}*[\\ \x01é", min_size=1, max_size=8))
def test_git_agrees_with_what_we_let_pass(ref: str) -> None:
    try:
        check_ref(ref)
    except SourceError:
        return
    assert subprocess.run(["git", "check-ref-format", f"refs/heads/{ref}"]).returncode == 0


def test_a_listing_is_read_and_a_hostile_line_is_passed_over() -> None:
    text = f"{A}\trefs/heads/main\nnonsense\n{B}\trefs/tags/v1\n{C}\trefs/tags/v1^{{}}\n{A} refs/heads/space\n"
    assert parse_listing(text) == {"refs/heads/main": A, "refs/tags/v1": B, "refs/tags/v1^{}": C}


def test_a_tag_is_peeled_and_wins() -> None:
    listing = {"refs/tags/v1": B, "refs/tags/v1^{}": C, "refs/heads/v1": A}
    found = resolve(listing, "v1")
    assert found and (found.commit, found.name) == (C, "refs/tags/v1") and "both a branch and a tag" in found.notes[0]
    same = resolve({"refs/tags/v1": A, "refs/heads/v1": A}, "v1")
    assert same and same.notes == ()


def test_a_name_that_only_ends_alike_is_not_taken() -> None:
    assert resolve({"refs/heads/old/main": A, "refs/remotes/x/refs/heads/main": B}, "main") is None


def test_nearest_names() -> None:
    listing = {f"refs/heads/{name}": A for name in ("release/0.20", "release/1.1", "main", "user/main")}
    listing["refs/tags/v0.20.0^{}"] = A
    assert nearest_refs(listing, "release/0.21")[0] == "release/0.20"
    assert "main" in missing_ref_remedy(listing, "mian")
    assert "40 digits" in missing_ref_remedy({}, "abc1234")
    assert "ls-remote" in missing_ref_remedy({}, "zzz")
