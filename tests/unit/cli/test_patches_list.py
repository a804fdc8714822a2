from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from trtllm_builder.cli.patches import app
from trtllm_builder.errors import ProfileError


def test_one_broken_set_does_not_hide_the_others(tmp_path: Path) -> None:
    broken = tmp_path / "mine" / "patch.yaml"
    broken.parent.mkdir()
    broken.write_text("nonsense: true\n")
    done = CliRunner().invoke(app, ["list", "--patch-dir", str(tmp_path)])
    assert isinstance(done.exception, ProfileError) and str(broken) in str(done.exception)
    assert "single-device" in done.output and "optional-modules" in done.output


def test_all_sound(capsys: pytest.CaptureFixture[str]) -> None:
    done = CliRunner().invoke(app, ["list"])
    assert done.exit_code == 0 and "single-device" in done.output
