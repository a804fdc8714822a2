"""A request from a few lines of profile, and a machine that is the same wherever the tests run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from trtllm_builder.host.cpu import Cpu
from trtllm_builder.host.disk import Disk
from trtllm_builder.host.interpreters import Interpreter
from trtllm_builder.host.memory import Memory
from trtllm_builder.host.read import Host
from trtllm_builder.host.system import Prerequisite, System
from trtllm_builder.plan.paths import expand_home
from trtllm_builder.plan.request import Asked, Request
from trtllm_builder.plan.survey import Place, Survey
from trtllm_builder.profile.load import load_profile, search_path
from trtllm_builder.tools.choose import ToolChoice
from trtllm_builder.tools.tensorrt import TensorRTChoice
from trtllm_builder.tools.toolkit import Toolkit, ToolkitChoice
from trtllm_builder.upstream.catalogue import row_for
from trtllm_builder.upstream.model import Probe

GIB = 2**30
PROFILE = """\
schema: 1
extends: base/single-device
python: "3.10"
source: {ref: release/1.1}
cuda: {architectures: [90, 89], toolkit: ">=12.8,<14"}
tensorrt: {root: none}
workspace: [cache]
"""

MakeRequest = Callable[..., Request]
MakeSurvey = Callable[..., Survey]


@pytest.fixture
def make_request(tmp_path: Path) -> MakeRequest:
    def make(
        text: str = "",
        *,
        environ: Mapping[str, str] | None = None,
        source: str | None = None,
        workspace: Path | None = None,
        jobs: int | None = None,
        overrides: tuple[str, ...] = (),
    ) -> Request:
        path = tmp_path / "profiles" / "mine.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text or PROFILE)
        world = {"HOME": str(tmp_path / "home"), "PATH": "/nowhere", **(environ or {})}
        loaded = load_profile("mine", profile_dirs=search_path([path.parent], world), overrides=overrides)
        loaded = replace(loaded, profile=expand_home(loaded.profile, world))
        asked = Asked("mine", tmp_path / "dist", source, workspace, overrides, jobs, (path.parent,))
        return Request(asked, loaded, world)

    return make


@pytest.fixture
def make_survey() -> MakeSurvey:
    def make(*, cuda: str | None = "13.0.88", memory: int = 64 * GIB, missing: tuple[str, ...] = ()) -> Survey:
        root = Path("/opt/cuda")
        toolkit = Toolkit(root, cuda, root / "bin/nvcc", None, "cuda.root") if cuda else None
        return Survey(
            host=Host(
                cpu=Cpu(4),
                memory=Memory(memory, memory),
                system=System(
                    machine="x86_64",
                    os_name="Debian",
                    glibc="2.36",
                    python="3.11.7",
                    container=None,
                    root=False,
                    prerequisites=tuple(
                        Prerequisite(name, None if name in missing else f"/usr/bin/{name}", "1", "it", f"get {name}")
                        for name in ("git", "make", "g++")
                    ),
                ),
                interpreter=Interpreter(Path("/usr/bin/python3.10"), "3.10.13", True, True, "/usr/include/python3.10"),
                gpus=(),
                driver=None,
            ),
            tools=(
                ToolChoice("cmake", "3.30.9", Path("/usr/bin/cmake"), "machine", "/usr/bin/cmake is >=3.27,<3.31"),
                ToolChoice("ninja", "1.13.2", None, "ours", "ours by hashed lock; no ninja on PATH", 2**20),
            ),
            toolkit=ToolkitChoice("machine" if cuda else "absent", cuda, toolkit, "as the test says"),
            tensorrt=TensorRTChoice("none", None, "the profile says that none is needed"),
            place=Place(Path("/w"), Path("/c"), Disk("/", 10**12, 10**12, 1, True), "a test"),
        )

    return make


@pytest.fixture
def assumed() -> Probe:
    """What the catalogue assumes of 1.1."""
    row = row_for("release/1.1")
    assert row is not None
    return row.assumed_probe()
