"""A second build of ``canary --size 40`` in another directory: what hits, and how long it takes beside the first."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.data import data_dir

pytestmark = pytest.mark.timeout(1200)
SIZE = 40
_TIMES = 3


def build(place: Path, name: str) -> dict[str, Any]:
    """Seconds of the whole command and of its compile stage, and what the cache gave."""
    environ = {
        **{one: os.environ[one] for one in ("PATH", "PIP_INDEX_URL", "SSL_CERT_FILE", "PIP_CERT") if one in os.environ},
        "HOME": str(place / "home"),
        "XDG_CACHE_HOME": str(place / "cache"),
        "XDG_STATE_HOME": str(place / "state"),
        "XDG_DATA_HOME": str(data_dir(dict(os.environ)).parent),
        "LANG": "C.UTF-8",
    }
    (place / "home").mkdir(exist_ok=True)
    out = place / name / "out"
    argv = [sys.executable, "-m", "trtllm_builder", "canary", "--size", str(SIZE), "--json"]
    # Else the first build's wheel is taken as it is: nothing that goes into it differs.
    argv += ["--rebuild", "--workspace", str(place / name / "workspace"), "--out", str(out)]
    began = time.monotonic()
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=600, check=False)
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (record,) = out.glob("*.record.json")
    facts = json.loads(record.read_text())
    shutil.rmtree(place / name)
    return {"seconds": seconds, "compile": facts["measured"]["seconds"], **facts["measured"]["cache"]}


def test_a_second_build_elsewhere_comes_from_the_cache(tmp_path: Path) -> None:
    # So that tools and the source's own cache are there for both.
    first = build(tmp_path, "cold")
    again = [build(tmp_path, f"another{number}/and/deeper") for number in range(_TIMES)]
    whole = [one["seconds"] / first["seconds"] for one in again]
    stage = [one["compile"] / first["compile"] for one in again]
    rates = [one["hits"] / (one["hits"] + one["misses"]) for one in again]
    print(
        f"\n{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; cold {first['seconds']:.0f} s, of these upstream's "
        f"build {first['compile']:.0f} s, {first['hits']} of {first['hits'] + first['misses']} hits"
    )
    for told, values in (("whole", whole), ("upstream's build", stage), ("hits", rates)):
        print(f"  second, {told}: {statistics.median(values):.1%} ({min(values):.1%} to {max(values):.1%})")
    assert first["hits"] == 0 and first["misses"] >= SIZE and first["seconds"] < 180
    assert min(rates) >= 0.99
    assert statistics.median(whole) <= 0.15
