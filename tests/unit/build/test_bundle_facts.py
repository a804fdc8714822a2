"""What a bundle was made for against what is to be built, and where a build from one may look."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.build.bundle_facts import Repository, check_fits, made_for
from trtllm_builder.errors import UsageError
from trtllm_builder.plan.request import Asked, Request, make_request
from trtllm_builder.tools.catalogue import TOOLS


def request(tmp_path: Path, *overrides: str) -> Request:
    asked = Asked("canary", tmp_path / "out", overrides=overrides, bundle=tmp_path / "bundle.tar")
    assert Asked.from_json(asked.to_json()) == asked
    return make_request(asked, {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})


def facts(wanted: Request) -> dict[str, Any]:
    return {
        **made_for(wanted),
        "commit": "0" * 40,
        "python": ".".join(map(str, sys.version_info[:2])),
        "machine": platform.machine(),
        "locks": {"ninja": TOOLS["ninja"].digest},
    }


def test_what_fits_is_silent(tmp_path: Path) -> None:
    wanted = request(tmp_path)
    check_fits(facts(wanted), wanted)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"url": "https://host/other.git"}, "the source https://host/other.git, not builtin:canary"),
        ({"ref": "v2"}, "ref v2, not canary"),
        ({"python": "3.9"}, "Python 3.9, not 3."),
        ({"machine": "aarch64"}, "a machine of kind aarch64, not"),
        ({"locks": {"ninja": "0123"}}, "another ninja than this version"),
        ({"locks": {"unheard": "0123"}}, "another unheard than this version"),
        ({"python": None, "ref": None}, "ref None, not canary; Python None"),
    ],
)
def test_what_differs_is_named(tmp_path: Path, changed: Mapping[str, Any], said: str) -> None:
    wanted = request(tmp_path)
    with pytest.raises(UsageError) as error:
        check_fits({**facts(wanted), **changed}, wanted)
    assert said in str(error.value) and error.value.exit_code == 2


def test_the_pinned_commit_counts(tmp_path: Path) -> None:
    wanted = request(tmp_path, f"source.commit={'1' * 40}")
    with pytest.raises(UsageError, match=f"commit {'0' * 40}, not {'1' * 40}"):
        check_fits(facts(wanted), wanted)


def test_a_repository_s_part_does_not_depend_on_how_its_url_ends() -> None:
    parts = {Repository(url, ("0" * 40,)).part for url in ("https://host/a/b", "https://host/a/b.git")}
    assert len(parts) == 1 and parts.pop().startswith("git/b-")
