from __future__ import annotations

import json
from pathlib import Path

import pytest

from trtllm_builder.errors import UsageError
from trtllm_builder.plan.request import Asked

ASKED = Asked(
    profile="canary",
    out=Path("/out"),
    source="builtin:canary",
    workspace=Path("/w"),
    overrides=("build.jobs=3",),
    jobs=2,
    profile_dirs=(Path("/profiles"),),
)


def test_what_was_asked_can_be_asked_again() -> None:
    assert Asked.from_json(json.loads(json.dumps(ASKED.to_json()))) == ASKED
    plain = Asked("canary", Path("/out"))
    assert Asked.from_json(plain.to_json()) == plain


def test_paths_are_those_of_where_it_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = Asked("./mine.yaml", Path("/out"), source="upstream", profile_dirs=(Path("here"),))
    kept = asked.to_json()
    monkeypatch.chdir("/")
    again = Asked.from_json(kept)
    assert again.profile == str(tmp_path / "mine.yaml")
    assert again.directory == tmp_path / "upstream" and again.profile_dirs == (tmp_path / "here",)


@pytest.mark.parametrize("secret", ["https://me:secret@host/x.git", "https://host/x.git?token=secret"])
def test_credentials_are_not_kept(secret: str) -> None:
    kept = Asked("canary", Path("/out"), overrides=(f"source.url={secret}",)).to_json()
    assert "secret" not in json.dumps(kept)
    with pytest.raises(UsageError, match="credentials"):
        Asked.from_json(kept)


@pytest.mark.parametrize("rubbish", [{}, {"profile": "x"}, {**ASKED.to_json(), "overrides": None}])
def test_what_cannot_be_read_is_said(rubbish: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        Asked.from_json(rubbish)
