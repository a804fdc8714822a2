"""Somebody's own upstream: what is only known once it was fetched, and archives that CMake itself downloads."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from trtllm_builder.build.downloads import lay_out_archives
from trtllm_builder.data import data_dir
from trtllm_builder.source.archives import archive_name

pytestmark = pytest.mark.integration

PASSED = ("PATH", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "PIP_INDEX_URL", "PYENV_ROOT")
SCRIPT = """\
parser.add_argument("--build_type", "-b", default="Release")
parser.add_argument("--cuda_architectures", "-a")
parser.add_argument("--job_count", "-j", nargs="?")
parser.add_argument("--generator", "-G", default="")
parser.add_argument("--use_ccache", action="store_true")
parser.add_argument("--configure_cmake", action="store_true")
parser.add_argument("--build_dir")
parser.add_argument("--dist_dir")
parser.add_argument("--extra-cmake-vars", "-D", action="append", default=[])
parser.add_argument("--trt_root", default="/usr/local/tensorrt")
"""
OPTIONS = 'option(ENABLE_MULTI_DEVICE "x" ON)\noption(ENABLE_UCX "x" ON)\n'
PROFILE = """\
schema: 1
extends: base/single-device
python: "{python}"
source: {{url: "{url}", ref: main}}
cuda: {{architectures: [89], toolkit: ">=13,<14"}}
workspace: [cache]
patches: []
"""


def test_what_the_catalogue_did_not_know_is_missed_right_after_the_fetch(tmp_path: Path) -> None:
    """main needs no TensorRT, says the catalogue; this one does, says its build script."""
    env = {
        **{name: os.environ[name] for name in PASSED if name in os.environ},
        "HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "XDG_DATA_HOME": str(data_dir(dict(os.environ)).parent),
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "LANG": "C.UTF-8",
    }
    up = tmp_path / "up"
    files = {
        "scripts/build_wheel.py": SCRIPT,
        "cpp/CMakeLists.txt": OPTIONS,
        "tensorrt_llm/version.py": '__version__ = "1.2.0"\n',
    }
    for name, text in files.items():
        (up / name).parent.mkdir(parents=True, exist_ok=True)
        (up / name).write_text(text)
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "x")):
        who = ("-c", "user.name=A", "-c", "user.email=a@example.invalid")
        subprocess.run(["git", *who, *words], cwd=up, env=env, check=True, capture_output=True)
    profile = tmp_path / "mine.yaml"
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    profile.write_text(PROFILE.format(url=up.as_uri(), python=python))
    place = ("--workspace", str(tmp_path / "w"), "--out", str(tmp_path / "out"))
    argv = [sys.executable, "-m", "trtllm_builder", "--profile", str(profile), *place]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=120)
    told = done.stdout + done.stderr
    assert done.returncode == 3 and "error: no TensorRT >=10.13,<10.15 is here" in told, told
    assert "fetch      done" in told and not (tmp_path / "w/build").exists()


def test_cmake_takes_an_archive_of_the_bundle_from_the_disk(tmp_path: Path) -> None:
    """As 2026's 3rdparty/CMakeLists.txt asks for it: below GITHUB_MIRROR, where that is set."""
    url = "https://github.com/somebody/something/archive/abc123.tar.gz"
    bundle, served, project = (tmp_path / name for name in ("bundle", "served", "project"))
    (bundle / "archives").mkdir(parents=True)
    project.mkdir()
    (project / "note.txt").write_text("from the bundle\n")
    with tarfile.open(bundle / "archives" / archive_name(url), "w:gz") as tar:
        tar.add(project / "note.txt", "something-abc123/note.txt")
    (project / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18)\nproject(x NONE)\ninclude(FetchContent)\n"
        'set(base "https://github.com")\n'
        'if(DEFINED ENV{GITHUB_MIRROR})\n  set(base "$ENV{GITHUB_MIRROR}")\nendif()\n'
        'FetchContent_Declare(it URL "${base}/somebody/something/archive/abc123.tar.gz")\n'
        "FetchContent_MakeAvailable(it)\n"
    )
    lay_out_archives([url], bundle, served)
    env = {"PATH": os.environ["PATH"], "GITHUB_MIRROR": (served / "https/github.com").as_uri()}
    argv = ["cmake", "-S", str(project), "-B", str(tmp_path / "b")]
    subprocess.run(argv, env=env, check=True, capture_output=True, timeout=60)
    assert (tmp_path / "b/_deps/it-src/note.txt").read_text() == "from the bundle\n"
