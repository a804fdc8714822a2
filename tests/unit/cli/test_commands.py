"""The table of commands: every entry leads to a command that shows its own help."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from trtllm_builder.cli.app import app, main
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


@pytest.mark.parametrize(("size", "told"), [("abc", "expected a whole number"), ("-3", "expected 0 or more")])
def test_a_number_that_is_none_is_told_in_our_words(
    size: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["trtllm-build", "canary", "--size", size])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[0] == f"error: Invalid value for '--size': {told}"


def test_the_canarys_help_tells_how_to_see_the_compile_cache_at_work() -> None:
    # Without --rebuild a second build takes the first one's wheel as it is.
    told = " ".join(CliRunner().invoke(app, ["canary", "--help"], prog_name="trtllm-build").output.split())
    assert "built again with --rebuild in another --workspace, it shows what the compile cache gives" in told


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("index prune x --keep 0", "trtllm-build index prune"),
        ("index nonsense", "trtllm-build index"),
        ("publish", "trtllm-build publish"),
        ("--nonsense", "trtllm-build"),
    ],
)
def test_who_gave_wrong_words_is_led_to_that_commands_help(
    words: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["trtllm-build", *words.split()])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.splitlines()[1] == f"  see {command} --help"
