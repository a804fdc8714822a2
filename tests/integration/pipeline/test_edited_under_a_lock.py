"""Sources that somebody edited, the checkout's and those that CMake cloned: never in a wheel that is held to a lock,
dirty in any other, and gone without a trace when they are put back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration
HEADER = "build/_deps/digits-src/include/digits/digits.h"


def libraries(wheel: Path) -> dict[str, int]:
    with zipfile.ZipFile(wheel) as opened:
        return {one.filename: one.CRC for one in opened.infolist() if one.filename.endswith(".so")}


def test_edits_under_a_lock(builder: Any, tmp_path: Path) -> None:
    builder.run()
    clean, first = builder.wheel, builder.wheel.read_bytes()
    lock = tmp_path / "canary.lock.json"
    shutil.copy(f"{clean}.lock.json", lock)
    header, logger = builder.workspace / HEADER, builder.workspace / "source/tensorrt_llm/logger.py"
    assert header.is_file(), "what upstream's CMake clones"
    before = tmp_path / "digits.h"
    shutil.copy2(header, before)
    os.utime(before, (1e9, 1e9))

    # The checkout: a file, one more, and a commit that hides both from `git status`.
    whole = logger.read_text()
    logger.write_text(whole + "# by hand\n")
    planted = logger.with_name("planted.py")
    planted.touch()
    git = ["git", "-C", str(builder.workspace / "source"), "-c", "user.name=x", "-c", "user.email=x@x.invalid"]
    for commit in (False, True):
        if commit:
            subprocess.run([*git, "add", "tensorrt_llm/planted.py", "tensorrt_llm/logger.py"], check=True)
            subprocess.run([*git, "commit", "-q", "-m", "by hand"], check=True)
        refused = builder.run("--locked", str(lock), expect=2)
        assert (
            "edited by hand" in refused.stderr and "tensorrt_llm/logger.py, tensorrt_llm/planted.py" in refused.stderr
        )
    logger.write_text(whole)
    planted.unlink()

    # The clone, compiled in by hand, as after an afternoon in `shell`.
    header.write_text(header.read_text() + '\n__attribute__((used)) static const char planted[] = "PLANTED_BY_HAND";\n')
    refused = builder.run("--locked", str(lock), expect=2)
    assert f"edited by hand in {builder.workspace}: {HEADER}" in refused.stderr
    run = builder.record["run"]
    words = ["retarget", run, "tensorrt_llm"]
    subprocess.run([*builder.argv()[:3], *words], env=builder.environ, check=True, capture_output=True, timeout=120)
    events = builder.events()
    assert builder.states(events)["compile"] == "done"
    (dirty,) = [path for path in builder.out.glob("*.whl") if path != clean]
    record = json.loads(dirty.with_name(f"{dirty.name}.record.json").read_text())
    assert (
        ".dirty-" in dirty.name
        and record["source"]["state"] == "dirty"
        and list(record["source"]["edited"]) == [HEADER]
    )
    assert clean.read_bytes() == first

    # Put back with its old time, older than the object that was made of the edit.
    shutil.copy2(before, header)
    before.unlink()
    builder.run("--locked", str(lock))
    (held,) = [path for path in builder.out.glob("*.whl") if path not in (clean, dirty)]
    assert ".dirty" not in held.name and libraries(held) == libraries(clean) != libraries(dirty)
