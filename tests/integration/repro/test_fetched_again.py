"""What a real CMake clones, unpacks and patches: known afterwards as it left it, and fetched again when a kill came
before that was written down."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trtllm_builder.build.populated import distrust_populated, note_populated, populated_edits
from trtllm_builder.build.workspace import Workspace, tag_cache

pytestmark = pytest.mark.integration
CMAKE = """\
cmake_minimum_required(VERSION 3.18)
project(x NONE)
include(FetchContent)
if(DIRECT AND POLICY CMP0168)
  cmake_policy(SET CMP0168 NEW)
endif()
FetchContent_Declare(One GIT_REPOSITORY "%s" GIT_TAG v1 PATCH_COMMAND sh -c "echo patched >> one.h")
FetchContent_Declare(Two URL "%s" PATCH_COMMAND sh -c "echo patched >> two.h")
FetchContent_MakeAvailable(One Two)
"""


@pytest.mark.parametrize("direct", [False, True])
def test_fetched_patched_and_fetched_again(tmp_path: Path, direct: bool) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    origin = tmp_path / "one"
    origin.mkdir()
    for name in ("one.h", "two.h"):
        (origin / name).write_text("int x;\n")
    git = ["git", "-C", str(origin), "-c", "user.name=x", "-c", "user.email=x@x.invalid"]
    for words in (["init", "-q"], ["add", "one.h"], ["commit", "-q", "-m", "x"], ["tag", "v1"]):
        subprocess.run([*git, *words], env=environ, check=True, capture_output=True)
    commit = subprocess.run([*git, "rev-parse", "v1"], env=environ, check=True, capture_output=True, text=True).stdout
    with tarfile.open(tmp_path / "two.tar.gz", "w:gz") as tar:
        tar.add(origin / "two.h", "two/two.h")

    workspace, notes = Workspace(tmp_path / "w"), list[str]()
    tag_cache(workspace.root)
    workspace.source.mkdir()
    (workspace.source / "CMakeLists.txt").write_text(CMAKE % (origin.as_uri(), (tmp_path / "two.tar.gz").as_uri()))
    fetched = {"dependencies": [{"commit": commit.strip()}]}
    workspace.journal.append("end", stage="fetch", inputs={}, result=fetched)
    run: Any = SimpleNamespace(
        workspace=workspace, edits={}, results={"fetch": fetched}, observer=SimpleNamespace(note=notes.append),
        material=SimpleNamespace(request=SimpleNamespace(environ=environ, locked=None)),
    )  # fmt: skip
    headers = [workspace.build / "_deps" / f"{name}-src" / f"{name}.h" for name in ("one", "two")]

    def configure() -> list[str]:
        words = ["cmake", "-S", str(workspace.source), "-B", str(workspace.build), f"-DDIRECT={direct}"]
        subprocess.run(words, env=environ, check=True, capture_output=True, timeout=60)
        return [header.read_text() for header in headers]

    assert configure() == ["int x;\npatched\n"] * 2
    note_populated(run)
    # Of a clone CMake gives the command again.
    assert configure()[0] in ("int x;\npatched\n", "int x;\npatched\npatched\n")
    note_populated(run, configured=True)
    distrust_populated(run)
    assert populated_edits(workspace, environ) == {} and notes == []
    headers[0].write_text("by hand")
    assert list(populated_edits(workspace, environ)) == ["build/_deps/one-src/one.h"]

    workspace.populated.unlink()
    distrust_populated(run)
    assert len(notes) == 2 and not any(header.exists() for header in headers)
    assert configure() == ["int x;\npatched\n"] * 2
    note_populated(run)
    assert populated_edits(workspace, environ) == {}
