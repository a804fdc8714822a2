"""Start-up: ``--help`` and ``--version`` take at most twice as long as importing the command-line library alone."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

TURNS = 10
TWICE = 2.0


def test_help_and_version_cost_at_most_twice_the_import_of_typer() -> None:
    commands = {
        "typer": [sys.executable, "-c", "import typer"],
        "help": [sys.executable, "-m", "trtllm_builder", "--help"],
        "version": [sys.executable, "-m", "trtllm_builder", "--version"],
    }
    for command in commands.values():
        subprocess.run(command, capture_output=True, check=True)
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    # In turn, so that whatever else the machine does falls on all three.
    for _ in range(TURNS):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print({name: round(value * 1000) for name, value in medians.items()}, "ms")
    assert medians["help"] <= TWICE * medians["typer"], medians
    assert medians["version"] <= TWICE * medians["typer"], medians


def test_nothing_of_the_work_is_imported_for_help() -> None:
    """Names what would make the ratio above worse, which times alone do not."""
    code = """
import sys
from trtllm_builder.cli.app import main
sys.argv[1:] = ["--help"]
try:
    main()
finally:
    heavy = {"pydantic", "yaml", "libcst", "git", "jinja2", "elftools", "rich", "tenacity", "packaging"}
    print(sorted(heavy & sys.modules.keys()), file=sys.stderr)
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--profile" in shown.stdout
    assert shown.stderr == "[]\n"
