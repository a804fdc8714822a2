"""A build whose profile names a key: what it says of its wheel, who says it, and what verify makes of both."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration
COMMAND = (sys.executable, "-m", "trtllm_builder")


def make_key(path: Path) -> Path:
    """A private key; its public half is ``path.pub``."""
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", path], check=True, capture_output=True)
    public = path.with_suffix(".pub")
    subprocess.run(["openssl", "pkey", "-in", path, "-pubout", "-out", public], check=True, capture_output=True)
    path.chmod(0o600)
    return path


def test_a_signed_build(builder: Any, tmp_path: Path, validate: Callable[[str, object], None]) -> None:
    key, other = make_key(tmp_path / "key"), make_key(tmp_path / "other")
    signed = ("--set", "signing.key_variable=MY_KEY", "--set", "signing.builder=https://ci.example.org/a")

    # Hours later would be too late to miss the key.
    early = builder.run(*signed, expect=2)
    assert "the environment variable MY_KEY holds no key" in early.stderr and not builder.workspace.exists()

    builder.run(*signed, MY_KEY=key.read_text())
    wheel = builder.wheel
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    record = builder.record
    validate("record", record)
    said = json.loads(wheel.with_name(f"{wheel.name}.intoto.json").read_text())
    validate("provenance", said)
    assert said["subject"] == [{"name": wheel.name, "digest": {"sha256": sha256}}]
    definition, run = said["predicate"]["buildDefinition"], said["predicate"]["runDetails"]
    assert definition["internalParameters"]["lock"] == record["lock"]
    assert definition["internalParameters"]["codec"] == record["wheel"]["codec"]
    assert run["builder"]["id"] == "https://ci.example.org/a" and run["metadata"]["invocationId"] == record["run"]
    by_name = {one["name"]: one["digest"]["sha256"] for one in run["byproducts"]}
    for suffix in ("record.json", "report.html"):
        name = f"{wheel.name}.{suffix}"
        assert by_name[name] == hashlib.sha256((builder.out / name).read_bytes()).hexdigest()
    assert by_name["compile.log"] == record["log"]["sha256"]
    commit = record["source"]["commit"]
    assert {"gitCommit": commit} in [one.get("digest") for one in definition["resolvedDependencies"]]

    # The bill of materials inside is of the same inputs.
    with zipfile.ZipFile(wheel) as archive:
        (inside,) = (name for name in archive.namelist() if "/sboms/" in name)
        parts = json.loads(archive.read(inside))["components"]
    kinds = {"source", "submodule", "lfs", "dependency", "requirement"}
    named = {(one["annotations"]["kind"], one["name"]) for one in definition["resolvedDependencies"]}
    assert {f"{kind}:{name}" for kind, name in named if kind in kinds} <= {one["bom-ref"] for one in parts}

    # Nothing of the key, and no place of this machine, went anywhere.
    secret = key.read_text().splitlines()[1]
    everything = [*builder.out.iterdir(), *(path for path in builder.workspace.rglob("*.jsonl") if path.is_file())]
    assert not [path.name for path in everything if secret.encode() in path.read_bytes()]
    assert str(tmp_path) not in json.dumps(said)

    def verify(*words: str | Path) -> tuple[int, dict[str, dict[str, Any]]]:
        done = subprocess.run(
            [*COMMAND, "verify", "--json", "--no-import", wheel, *words], env=builder.environ, capture_output=True,
            text=True, check=False, timeout=60,
        )  # fmt: skip
        return done.returncode, {one["id"]: one for one in json.loads(done.stdout)["checks"]}

    status, checks = verify("--public-key", other.with_suffix(".pub"), "--public-key", key.with_suffix(".pub"))
    assert status == 0
    assert {checks[name]["status"] for name in ("sbom", "provenance", "signature", "build-record")} == {"passed"}
    status, checks = verify("--public-key", other.with_suffix(".pub"))
    assert status == 7 and checks["signature"]["status"] == "failed"

    # Kept as it is, until the key is another one: then only what is said is said again.
    again = builder.events(*signed[:2], *signed[2:], expect=2)
    assert "MY_KEY" in json.dumps(again)
    done = builder.run(*signed, "--json", MY_KEY=other.read_text())
    states = builder.states([json.loads(line) for line in done.stdout.splitlines()])
    assert [name for name, state in states.items() if state == "done"] == ["preflight", "record"]
    assert verify("--public-key", other.with_suffix(".pub"))[0] == 0
    assert verify("--public-key", key.with_suffix(".pub"))[0] == 7
