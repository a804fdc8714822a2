"""The table of commands: every entry leads to a command that shows its own help."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from trtllm_builder.cli.app import app
from trtllm_builder.cli.commands import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_its_help(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"], prog_name="trtllm-build")
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"Usage: trtllm-build {name} ")
    assert "--install-completion" not in result.output


def test_help_lists_them_all_and_imports_none() -> None:
    code = """
import sys
from trtllm_builder.cli.app import main
sys.argv[1:] = ["--help"]
try:
    main()
except SystemExit as end:
    assert not end.code
loaded = {name.rpartition(".")[2] for name in sys.modules if name.startswith("trtllm_builder.cli.")}
print("loaded", *sorted(loaded))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert all(f"  {name} " in done.stdout for name in COMMANDS)
    assert done.stdout.splitlines()[-1] == "loaded app commands output request"
