"""Flags by syntax against ``--help``: this interpreter's own, and recorded texts of Python 3.10 to 3.13."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trtllm_builder.upstream.build_script import parse_python, read_flags
from trtllm_builder.upstream.flags_help import Difference, HelpFlag, compare_help, parse_help
from trtllm_builder.upstream.model import Flag

HERE = Path(__file__).parent / "help"
TOY = HERE / "toy.py"
RECORDED = sorted(HERE.glob("help-3.*.txt"))


def toy_flags() -> tuple[Flag, ...]:
    flags, notes = read_flags(parse_python(TOY.read_bytes(), "toy.py"))
    assert notes == ()
    return flags


def own_help(**environ: str) -> str:
    env = {**os.environ, **environ}
    return subprocess.run([sys.executable, TOY, "--help"], capture_output=True, text=True, check=True, env=env).stdout


@pytest.mark.parametrize("columns", ["20", "80", "300"])
def test_this_interpreter_agrees_at_any_width(columns: str) -> None:
    assert compare_help(toy_flags(), own_help(COLUMNS=columns)) == ()


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.stem)
def test_recorded_texts_agree(recorded: Path) -> None:
    assert compare_help(toy_flags(), recorded.read_text()) == ()
    assert len(parse_help(recorded.read_text())) == len(toy_flags()) - 1  # one is hidden


def test_four_pythons_are_recorded_in_two_formats() -> None:
    assert [path.stem for path in RECORDED] == ["help-3.10", "help-3.11", "help-3.12", "help-3.13"]
    assert "--generator GENERATOR, -G GENERATOR" in RECORDED[2].read_text()
    assert "--generator, -G GENERATOR" in RECORDED[3].read_text()


@pytest.mark.parametrize(
    ("line", "flag"),
    [
        ("  --jobs [N], -j [N]", HelpFlag(("--jobs", "-j"), "?")),
        ("  --jobs, -j [N]  how many, --at-once", HelpFlag(("--jobs", "-j"), "?")),
        ("  --type {a,b}, -t {a,b}", HelpFlag(("--type", "-t"), "1")),
        ("  --all X [X ...]", HelpFlag(("--all",), "+")),
        ("  --any [X ...]", HelpFlag(("--any",), "*")),
        ("  --rest ...", HelpFlag(("--rest",), "...")),
        ("  --two X X", HelpFlag(("--two",), "2")),
        ("  -s, --switch  text", HelpFlag(("-s", "--switch"), "0")),
        ("  -ccache", HelpFlag(("-ccache",), "0")),
    ],
)
def test_one_line(line: str, flag: HelpFlag) -> None:
    assert parse_help(f"options:\n  -h, --help  show\n{line}\n                        --wrapped help\n") == (flag,)


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.stem)
def test_every_difference_is_told(recorded: Path) -> None:
    flags = [flag for flag in toy_flags() if flag.long != "--named"]
    flags = [Flag(flag.spellings, "1", line=7) if flag.long == "--job_count" else flag for flag in flags]
    flags.append(Flag(("--typo",), "0", line=9))
    kinds = {(found.kind, found.flag, found.line) for found in compare_help(flags, recorded.read_text())}
    assert ("only in help", "--named", 0) in kinds
    assert ("only in script", "--typo", 9) in kinds
    assert ("values", "--job_count", 7) in kinds and ("values", "-j", 7) in kinds
    assert len(kinds) == 4


def test_a_prefix_is_a_difference() -> None:
    found = compare_help([Flag(("--job",), "1", line=3)], "options:\n  --job_count JOB_COUNT\n")
    assert [one.kind for one in found] == ["only in help", "only in script"]
    assert found[0] == Difference(
        "only in help", "--job_count", "--help shows --job_count, which was not found in the script's text"
    )


def test_a_help_text_that_is_none() -> None:
    assert [one.kind for one in compare_help([Flag(("--x",), "0")], "Traceback: no\n")] == ["only in script"]


def test_a_rest_argument_is_compared_by_its_sign() -> None:
    flags, _ = read_flags(ast.parse("p.add_argument('--rest', nargs=argparse.REMAINDER)"))
    assert compare_help(flags, "  --rest ...\n") == ()
