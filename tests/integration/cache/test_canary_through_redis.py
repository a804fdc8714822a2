"""The canary through a Redis behind a password: one build fills it, another one elsewhere compiles nothing, and the
password stands nowhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from trtllm_builder.data import data_dir

from .conftest import PASSWORD, Redis

pytestmark = pytest.mark.integration
_PASSED = ("PATH", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "PIP_INDEX_URL", "PIP_FIND_LINKS", "PYENV_ROOT")


def begin(place: Path, name: str, *values: str) -> subprocess.Popen[str]:
    environ = {
        **{one: os.environ[one] for one in _PASSED if one in os.environ},
        "HOME": str(place),
        "XDG_CACHE_HOME": str(place / "cache"),
        "XDG_STATE_HOME": str(place / "state"),
        "XDG_DATA_HOME": str(data_dir(dict(os.environ)).parent),
        "LANG": "C.UTF-8",
        "CACHE_PASSWORD": PASSWORD,
    }
    # A compile cache of its own, as on another machine.
    values = (*values, "password_variable=CACHE_PASSWORD")
    words = [word for value in values for word in ("--set", f"build.ccache.remote.{value}")]
    words += ["--set", f"build.ccache.dir={place / name / 'ccache'}"]
    argv = [sys.executable, "-m", "trtllm_builder", "canary", "--json", *words]
    argv += ["--workspace", str(place / name / "workspace"), "--out", str(place / name / "out")]
    with (place / f"{name}.stderr").open("w") as errors:
        return subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=errors, text=True)


def read(child: subprocess.Popen[str], until: str = "") -> list[dict[str, Any]]:
    """Its events to the end, or to the end of the stage ``until``, when it is killed."""
    events = []
    assert child.stdout is not None
    try:
        with child.stdout as lines:
            for line in lines:
                events.append(json.loads(line))
                if events[-1].get("stage") == until and events[-1].get("state") == "done":
                    break
    finally:
        if until or sys.exc_info()[0]:
            child.send_signal(signal.SIGKILL)
        child.wait(60)
    return events


def test_a_build_elsewhere_gets_every_compilation_and_leaves_no_password(redis: Redis, tmp_path: Path) -> None:
    values = (f"url=redis://127.0.0.1:{redis.port}/3",)
    filled = read(begin(tmp_path, "first", *values), until="compile")
    told = [event["detail"] for event in filled if event.get("stage") == "compile" and event["state"] == "done"]
    assert len(told) == 1 and "ccache 0 of 20 hits" in told[0], filled[-3:]
    second = begin(tmp_path, "second", *values)
    events = read(second)
    assert second.returncode == 0, events[-3:]
    (record,) = (tmp_path / "second" / "out").glob("*.record.json")
    assert json.loads(record.read_text())["measured"]["cache"] == {
        "hits": 20, "misses": 0, "remote_hits": 20, "remote": [f"redis://127.0.0.1:{redis.port}/3"], "trusted": False,
    }  # fmt: skip
    (provenance,) = (tmp_path / "second" / "out").glob("*.intoto.json*")
    assert f"redis://127.0.0.1:{redis.port}/3" in provenance.read_text()
    spellings = [PASSWORD.encode(), quote(PASSWORD, safe="").encode()]
    looked = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert {"journal.jsonl", "compile.log", "events.jsonl", record.name, provenance.name} <= {p.name for p in looked}
    assert [path for path in looked if any(one in path.read_bytes() for one in spellings)] == []
    assert all(PASSWORD not in json.dumps(event) for event in [*filled, *events])
