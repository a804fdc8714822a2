"""Targets built again, with a CMake of three lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from trtllm_builder.build.registry import RunEntry
from trtllm_builder.build.retarget import retarget
from trtllm_builder.build.workspace import Workspace, tag_cache
from trtllm_builder.build.world import World
from trtllm_builder.errors import BuildError, UsageError

CACHE = "CMAKE_GENERATOR:INTERNAL=Ninja\nCMAKE_HOME_DIRECTORY:INTERNAL=/w/source/cpp\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    workspace = Workspace(tmp_path / "w")
    tag_cache(workspace.root)
    for directory in (workspace.source, workspace.build, workspace.bin):
        directory.mkdir()
    (workspace.build / "CMakeCache.txt").write_text(CACHE)
    (workspace.build / "build.ninja").touch()
    cmake(workspace, "echo clean: CLEAN; echo edit_cache: phony; echo sub/install/strip: phony; echo library: phony")
    return World(RunEntry("a", "canary", workspace.root, {}, 1.0), {"PATH": f"{workspace.bin}:/usr/bin:/bin"}, 1, ())


def cmake(workspace: Workspace, help_: str) -> None:
    program = workspace.bin / "cmake"
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *"--target help") {help_};; *) echo "$*" >>{workspace.root}/ran;; esac\n'
    )
    program.chmod(0o755)


def build(world: World, *targets: str) -> None:
    retarget(world, targets, jobs=None, on_line=lambda _: None)


@pytest.mark.parametrize("target", ["clean", "help", "edit_cache", "sub/install/strip"])
def test_what_only_deletes_or_installs_is_refused(world: World, target: str) -> None:
    with pytest.raises(UsageError, match="compiles nothing"):
        build(world, "library", target)
    assert not (world.workspace.root / "ran").exists()
    build(world, "library")
    assert (world.workspace.root / "ran").read_text().endswith("--target library\n")


def test_a_damaged_configuration_is_for_resume_to_mend(world: World) -> None:
    (world.workspace.build / "CMakeCache.txt").write_text(CACHE[:-9])
    with pytest.raises(UsageError, match="damaged") as told:
        build(world, "library")
    assert "resume a" in str(told.value.remedy)
    (world.workspace.build / "CMakeCache.txt").write_text(CACHE)
    cmake(world.workspace, "echo ninja: error: build.ninja:7 >&2; exit 1")
    with pytest.raises(BuildError, match="ninja:7"):
        build(world, "library")
    # So that the compile stage is done again.
    with pytest.raises(UsageError, match="nothing is configured"):
        build(world, "library")
