"""Every signature has an example, and every example leads to its own cause, to no other, and to the lines that tell."""

from __future__ import annotations

import gzip
import io
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from trtllm_builder.build.diagnosis.causes import SIGNATURES
from trtllm_builder.build.diagnosis.engine import diagnose_file, diagnose_stream
from trtllm_builder.build.diagnosis.reading import WORDS

FAILURES = Path(__file__).parent / "failures"
INDEX: dict[str, dict[str, Any]] = yaml.safe_load((FAILURES / "index.yaml").read_text())


def test_every_file_is_in_the_index_and_says_where_it_is_from() -> None:
    assert {path.name for path in FAILURES.glob("*.log")} == set(INDEX)
    for name, entry in INDEX.items():
        wanted = "written after" if name.startswith("written-") else "recorded"
        assert entry["origin"].startswith(wanted), name
    origins = Counter(entry["origin"].split()[0] for entry in INDEX.values())
    assert origins["recorded"] > 2 * origins["written"]


def test_every_signature_has_an_example() -> None:
    assert {one.id for one in SIGNATURES} - {entry["cause"] for entry in INDEX.values()} == set()


@pytest.mark.parametrize("name", sorted(INDEX))
def test_an_example_matches_its_cause_and_no_other(name: str) -> None:
    entry = INDEX[name]
    diagnosis = diagnose_file(FAILURES / name)
    assert diagnosis.first.id == entry["cause"]
    assert [line.number for line in diagnosis.first.lines] == entry["lines"]
    assert {other.id for other in diagnosis.others} - {entry["cause"]} == set(entry.get("also", []))
    for cause in (diagnosis.first, *diagnosis.others):
        assert not re.search(r"\{|\}|something unnamed", cause.sentence), "a name in a template was not captured"
        assert not re.search(r"\{(?!\})|something unnamed", cause.remedy)
        assert cause.remedy or cause.id == "none"


def test_no_signature_shadows_or_excuses_another_wrongly() -> None:
    ids = [one.id for one in SIGNATURES]
    assert len(set(ids)) == len(ids)
    explains = {one.id: one.explains for one in SIGNATURES}
    assert {name for names in explains.values() for name in names} <= set(ids)
    # Two that explain each other would both vanish.
    assert not [(a, b) for a in ids for b in explains[a] if a in explains[b]]


def decorated(name: str, how: int) -> bytes:
    """The same log as Docker, BuildKit, GitHub, a colour terminal or PowerShell would have kept it."""
    lines = (FAILURES / name).read_text("utf-8", errors="replace").splitlines()
    match how % 6:
        case 0:
            return "".join(
                f"2026-03-02T10:15:{n % 60:02d}.123456789Z {line}\n" for n, line in enumerate(lines)
            ).encode()
        case 1:
            return "".join(f"#25 {n}.{n % 10} {line}\r\n" for n, line in enumerate(lines)).encode()
        case 2:
            return "".join(f"build\tRun it\t2026-03-02T10:15:00.1234567Z {line}\n" for line in lines).encode()
        case 3:
            return "".join(f"\x1b[1;31m\x1b[K{line}\x1b[0m\x1b[m\n" for line in lines).encode()
        case 4:
            return gzip.compress("".join(f"10% [====>   ]\r{line}\n" if line else "\n" for line in lines).encode())
        case _:
            return "".join(f"{line}\r\n" for line in lines).encode("utf-16")


@pytest.mark.parametrize("how", range(6))
def test_stamps_colours_and_compression_change_nothing(how: int) -> None:
    wrong = []
    for number, (name, entry) in enumerate(sorted(INDEX.items())):
        # Each example in two of the six dresses.
        if (number + how) % 3:
            continue
        found = diagnose_stream(io.BufferedReader(io.BytesIO(decorated(name, how))))  # type: ignore[arg-type]
        if found.first.id != entry["cause"] or [line.number for line in found.first.lines] != entry["lines"]:
            wrong.append((name, found.first.id, [line.number for line in found.first.lines]))
    assert not wrong


def test_the_words_are_on_every_line_that_a_signature_matches() -> None:
    """What the quick search passes over is never seen: lines of the examples that match must have one of the words."""
    for name in INDEX:
        inside = False
        for line in (FAILURES / name).read_text("utf-8", errors="replace").splitlines():
            # CMake's messages are read to their end.
            inside = line.startswith("CMake Error") or (inside and (not line.strip() or line.startswith("  ")))
            matched = any(p.needle in line and p.expression.search(line) for one in SIGNATURES for p in one.patterns)
            assert not matched or inside or any(word in line.lower().encode() for word in WORDS), (name, line)
