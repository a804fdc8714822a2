"""The canary from a bundle, where there is no network at all, and the same wheel as where there is one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.data import data_dir

pytestmark = pytest.mark.integration

COMMAND = (sys.executable, "-m", "trtllm_builder")
PASSED = ("PATH", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "PIP_INDEX_URL", "PYENV_ROOT")


def no_network() -> tuple[str, ...]:
    words = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user", "--net")
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody make a network namespace")
    return words


@pytest.fixture(scope="module")
def online(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    own = tmp_path_factory.mktemp("online")
    return {
        **{name: os.environ[name] for name in PASSED if name in os.environ},
        "HOME": str(own),
        "XDG_CACHE_HOME": str(own / "cache"),
        "XDG_DATA_HOME": str(data_dir(dict(os.environ)).parent),
        "LANG": "C.UTF-8",
    }


@pytest.fixture(scope="module")
def fetched(online: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    bundle = tmp_path_factory.mktemp("bundle") / "canary.tar"
    words = ["fetch", "--profile", "canary", "--bundle", str(bundle), "--json"]
    done = subprocess.run([*COMMAND, *words], env=online, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return bundle, json.loads(done.stdout)


def build(env: dict[str, str], place: Path, *words: str, prefix: tuple[str, ...] = ()) -> Any:
    where = ("--profile", "canary", "--workspace", str(place / "w"), "--out", str(place / "out"))
    return subprocess.run(
        [*prefix, *COMMAND, *where, *words], env=env, capture_output=True, text=True, check=False, timeout=400
    )


def test_what_was_fetched_is_told(
    fetched: tuple[Path, dict[str, Any]], validate: Callable[[str, object], None]
) -> None:
    bundle, told = fetched
    validate("fetch", told)
    assert [one["path"] for one in told["submodules"]] == ["3rdparty/words"]
    assert [one["path"] for one in told["lfs_objects"]] == ["cpp/tensorrt_llm/executor/products.inc"]
    assert [(one["name"], one["ref"]) for one in told["dependencies"]] == [("digits", "v1.0")]
    assert told["bundle"]["size"] == bundle.stat().st_size and not told["not_obtained"]
    with tarfile.open(bundle) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        document = json.load(manifest)
    validate("bundle", document)
    assert len(document["parts"]) == told["bundle"]["parts"]
    assert "127.0.0.1" not in json.dumps(document) and str(Path.home()) not in json.dumps(document)


def test_the_wheel_comes_out_without_a_network_and_is_the_same(
    fetched: tuple[Path, dict[str, Any]], online: dict[str, str], tmp_path: Path
) -> None:
    bundle, told = fetched
    prefix = no_network()
    fresh = {
        "PATH": online["PATH"],
        "HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "LANG": "C.UTF-8",
        "PIP_RETRIES": "0",
    }
    # One compile cache, so that the second build takes seconds: what it holds is no download.
    settings = ("--set", f"build.ccache.dir={tmp_path / 'ccache'}", "--set", "build.flags.fast_build=true")
    refused = build(fresh, tmp_path / "refused", *settings, prefix=prefix)
    assert refused.returncode, "the network is not off"
    done = build(fresh, tmp_path / "offline", *settings, "--from-bundle", str(bundle), prefix=prefix)
    assert done.returncode == 0, done.stdout + done.stderr
    (offline,) = (tmp_path / "offline/out").glob("*.whl")
    record = json.loads(offline.with_name(f"{offline.name}.record.json").read_text())
    assert record["source"]["commit"] == told["source"]["commit"]
    assert record["source"]["served_by"] == "cache"

    done = build(online, tmp_path / "online", *settings)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (tmp_path / "online/out").glob("*.whl")
    assert wheel.read_bytes() == offline.read_bytes()


def test_a_bundle_for_something_else_says_what_differs(
    fetched: tuple[Path, dict[str, Any]], online: dict[str, str], tmp_path: Path
) -> None:
    bundle, _ = fetched
    other = "3.10" if sys.version_info[:2] != (3, 10) else "3.12"
    done = build(online, tmp_path, "--from-bundle", str(bundle), "--set", f"python={other}")
    assert done.returncode == 2 and f"Python {sys.version_info[0]}.{sys.version_info[1]}, not {other}" in done.stderr
    done = build(online, tmp_path, "--from-bundle", str(bundle), "--set", f"source.commit={'0' * 40}")
    assert done.returncode == 2 and f"not {'0' * 40}" in done.stderr
    assert not (tmp_path / "w").exists()


def test_a_bundle_that_was_changed_or_is_none(
    fetched: tuple[Path, dict[str, Any]], online: dict[str, str], tmp_path: Path
) -> None:
    bundle, _ = fetched
    copy = tmp_path / "copy.tar"
    shutil.copyfile(bundle, copy)
    with copy.open("r+b") as stream:
        stream.seek(copy.stat().st_size // 2)
        byte = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte[0] ^ 1]))
    env = {**online, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = build(env, tmp_path, "--from-bundle", str(copy))
    assert done.returncode == 4 and "its hash is another" in done.stderr, done.stderr
    assert not list((tmp_path / "cache").rglob("*.whl"))
    done = build(env, tmp_path, "--from-bundle", str(tmp_path / "nothing"))
    assert done.returncode == 4 and "is not a file" in done.stderr
