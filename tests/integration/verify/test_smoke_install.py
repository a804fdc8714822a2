"""The whole smoke test, with a real environment and a real installation, and native code that hangs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trtllm_builder.verify.smoke import Answer, Smoke, smoke

pytestmark = pytest.mark.integration
OFFLINE = ("--no-index",)
ASK = Answer("model", "abc", "model:cba")
LOAD = "import ctypes, os\nctypes.CDLL(os.path.join(os.path.dirname(__file__), 'libs', 'libtensorrt_llm.so'))\n"
BLOCK = """
#include <pthread.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
__attribute__((constructor)) static void wait(void) {
    pthread_mutex_lock(&lock);
    for (;;) pthread_cond_wait(&never, &lock);
}
"""


@pytest.fixture(params=["pip", "uv"])
def environ(request: pytest.FixtureRequest) -> dict[str, str]:
    # Ours of the development lock stands beside the interpreter that runs the tests.
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if request.param == "pip":
        return {}
    if uv is None:
        pytest.skip("uv is not installed")
    return {"PATH": f"{Path(uv).parent}:/usr/bin:/bin"}


def test_installed_by(make_wheel: Callable[..., Path], tmp_path: Path, environ: dict[str, str]) -> None:
    tried = smoke(
        make_wheel(),
        Path(sys.executable),
        directory=tmp_path / "smoke",
        deadline=60,
        answer=ASK,
        environ=environ,
        extra_pip_args=OFFLINE,
    )
    assert (tried.outcome, tried.answer, tried.multi_device) == ("ok", "model:cba", 0)
    assert tried.installer == ("uv" if environ else "pip")
    assert tried.python == ".".join(map(str, sys.version_info[:3]))
    assert list((tmp_path / "smoke").iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "diagnosis"),
    [
        ({"tag": "cp27-cp27m-linux_x86_64"}, "wrong-python"),
        ({"requires": ("surely-not-there",)}, "dependency-missing"),
    ],
)
def test_not_installed(
    make_wheel: Callable[..., Path],
    tmp_path: Path,
    environ: dict[str, str],
    changes: dict[str, object],
    diagnosis: str,
) -> None:
    tried = smoke(
        make_wheel(**changes),
        Path(sys.executable),
        directory=tmp_path,
        deadline=60,
        environ=environ,
        extra_pip_args=OFFLINE,
    )
    assert (tried.outcome, tried.phase) == ("not installed", "install")
    assert tried.diagnosis and tried.diagnosis.id == diagnosis


def test_a_library_that_waits_inside_mpi(attempt: Callable[..., Smoke], make_library: Callable[..., bytes]) -> None:
    members = {
        "tensorrt_llm/llm.py": LOAD,
        "tensorrt_llm/libs/libtensorrt_llm.so": make_library(
            needs={"libmpi.so.40": BLOCK}, options=("-Wl,-rpath,$ORIGIN",)
        ),
        "tensorrt_llm/libs/libmpi.so.40": make_library(source=BLOCK, options=("-Wl,-soname,libmpi.so.40",)),
    }
    tried = attempt(members, stall=0.6)
    assert (tried.outcome, tried.phase) == ("hang", "import")
    assert tried.diagnosis and tried.diagnosis.id == "mpi-hang-import"
    assert "libmpi.so.40" in tried.diagnosis.what
    assert "CDLL" in tried.stack or "ctypes" in tried.stack


def test_a_library_without_its_mpi(attempt: Callable[..., Smoke], make_library: Callable[..., bytes]) -> None:
    library = make_library(needs={"libmpi.so.40": "int x;"})
    tried = attempt({"tensorrt_llm/llm.py": LOAD, "tensorrt_llm/libs/libtensorrt_llm.so": library})
    assert (tried.outcome, tried.phase) == ("failed", "import")
    assert tried.diagnosis and tried.diagnosis.id == "libmpi-missing"
