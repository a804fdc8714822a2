"""``matrix`` as a command: what jobs install, what it says is to be set up, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import trtllm_builder
from trtllm_builder.ci import needs
from trtllm_builder.ci.needs import Needs
from trtllm_builder.ci.workflows import UPLOADER
from trtllm_builder.cli.matrix import matrix
from trtllm_builder.errors import ProfileError, UsageError

app = typer.Typer()
app.command()(matrix)
FROM = ("--install", "git+https://example.org/trtllm-builder@" + "ab" * 20)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = Needs("canary", 2, 2**30, 2**30, 90, 2**30)
    monkeypatch.setattr(needs, "needs_of", lambda name, *_: Needs(name, *list(vars(small).values())[1:]))


def _run(*words: str) -> str:
    done = CliRunner().invoke(app, ["--profiles", "canary", *words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


@pytest.mark.parametrize("platform", ["github", "gitlab"])
def test_no_job_asks_a_registry_for_our_name(platform: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--install is missing") as raised:
        _run("--format", platform)
    assert "git+https://" in raised.value.remedy
    assert FROM[1] in _run("--format", platform, *FROM)
    # In a checkout of ours it is that.
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "trtllm-builder"\n')
    text = _run("--format", platform)
    assert "make setup" in text and "trtllm-builder==" not in text


@pytest.mark.parametrize("platform", ["github", "gitlab"])
def test_what_uploads_is_installed_where_it_is_needed(platform: str) -> None:
    ours = (Path(trtllm_builder.__file__).parents[1] / "pyproject.toml").read_text()
    assert f'upload = ["{UPLOADER}"]' in ours
    assert f"install --quiet '{UPLOADER}'" in _run("--format", platform, *FROM)
    # Of our own repository: what its lock names.
    assert "install --quiet --require-hashes --requirement" in _run("--format", platform, "--install", ".")
    assert "twine" not in _run("--format", platform, *FROM, "--no-publish").lower()


@pytest.mark.parametrize(("platform", "names"), [
    ("github", ("TRTLLM_INDEX ", "INDEX_NEW", "trtllm-publish", "TRTLLM_INDEX_TOKEN", "TRTLLM_NOTIFY", "locks/")),
    ("gitlab", ("TRTLLM_INDEX ", "trtllm-publish", "TRTLLM_INDEX_TOKEN", "TRTLLM_BUILDER_NOTIFY", "schedule")),
])  # fmt: skip
def test_what_is_to_be_set_up_is_said(platform: str, names: tuple[str, ...]) -> None:
    told = _run("--format", platform, *FROM, "--out", "o").partition("to set up:")[2]
    assert all(name in told for name in names), told
    alone = _run("--format", platform, *FROM, "--out", "o", "--no-publish").partition("to set up:")[2]
    assert alone and "INDEX" not in alone


@pytest.mark.parametrize("words", [
    ("--format", "gitlab", "--schedule", "17 2 * * *"), ("--format", "gitlab", "--python", "3.12"),
    ("--format", "github", "--image", "debian"),
])  # fmt: skip
def test_an_option_of_the_other_platform_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="does nothing with"):
        _run(*words, *FROM)


def test_the_same_command_is_in_the_file() -> None:
    first = _run("--format", "github", *FROM, "--schedule", "1 2 * * *", "--python", "3.11").splitlines()[1]
    assert "--schedule '1 2 * * *'" in first and "--python 3.11" in first


def test_the_file_of_a_badly_named_profile_is_said(tmp_path: Path) -> None:
    (tmp_path / "my toy.yaml").write_text("schema: 1\nextends: canary\n")
    with pytest.raises(ProfileError) as raised:
        _run("--profiles", "my*", "--profile-dir", str(tmp_path), "--format", "github", *FROM)
    assert str(tmp_path / "my toy.yaml") in str(raised.value)
