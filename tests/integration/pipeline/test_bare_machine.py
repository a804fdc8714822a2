"""A bare ``pip install .`` on a machine whose own nvcc, cmake, ninja and ccache are hidden."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[3]
# In a mount namespace of its own, with nothing to run where the machine has these tools.
HIDE = """
for file in $HIDDEN_FILES; do mount --bind /dev/null "$file"; done
for directory in $HIDDEN_DIRECTORIES; do mount -t tmpfs none "$directory"; done
exec "$@"
"""


def hidden(environ: dict[str, str]) -> dict[str, str]:
    directories = [Path(part) for part in environ["PATH"].split(":")] + [Path("/usr/bin"), Path("/usr/local/bin")]
    files = {str(one / name) for one in directories for name in ("nvcc", "cmake", "ninja", "ccache", "cuobjdump")}
    toolkits = {os.path.realpath(path) for path in Path("/usr/local").glob("cuda*") if path.is_dir()}
    return {
        **{name: value for name, value in environ.items() if not name.startswith("CUDA")},
        "HIDDEN_FILES": " ".join(sorted({os.path.realpath(file) for file in files if Path(file).is_file()})),
        "HIDDEN_DIRECTORIES": " ".join(sorted(toolkits)),
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="hiding the machine's tools needs a mount namespace, which needs root")
def test_installed_without_the_checkout_it_brings_its_own_tools(builder: Any, tmp_path: Path) -> None:
    copy, venv = tmp_path / "copy", tmp_path / "venv"
    ignored = shutil.ignore_patterns(".git", ".venv", "__pycache__", "dist", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, copy, ignore=ignored)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    quiet = ["--quiet", "--disable-pip-version-check"]
    subprocess.run([venv / "bin/python", "-m", "pip", "install", *quiet, copy], check=True, timeout=240)
    shutil.rmtree(copy)
    environ = hidden({**builder.environ, "XDG_DATA_HOME": str(tmp_path / "data")})
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", HIDE, "sh", venv / "bin/trtllm-build", *builder.argv("--json")[3:]],
        env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    paths = builder.record["tools"]["paths"]
    assert set(paths) == {"cmake", "ninja", "ccache", "cuobjdump", "patchelf", "nvcc"}
    assert all(path.startswith(f"{tmp_path}/data/") for path in paths.values()), paths
    cache = (builder.workspace / "build" / "CMakeCache.txt").read_text()
    assert "/usr/local/cuda" not in cache
    assert json.loads(done.stdout.splitlines()[-1])["report"]["passed"]
