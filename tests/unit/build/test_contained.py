from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from trtllm_builder.build import contained as asked
from trtllm_builder.build.contained import contained, packaged_in
from trtllm_builder.build.run import Run
from trtllm_builder.build.workspace import Workspace
from trtllm_builder.repro.inputs import Input
from trtllm_builder.repro.libraries import Library


def library(name: str, data: bytes) -> Library:
    sha256 = hashlib.sha256(data).hexdigest()
    return Library(f"tensorrt_llm/libs/{name}", "0" * 64, len(data), sha256, name, "")


def install(site: Path, name: str, version: str, files: dict[str, str]) -> None:
    """A package as pip leaves it, as far as it is read."""
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text("".join(f"{file},{said},\n" for file, said in files.items()))


def recorded(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def test_who_brought_a_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = SimpleNamespace(workspace=Workspace(tmp_path))
    run.workspace.build.mkdir(parents=True)
    lines = ["0\t5\t1\tlib/libours.so\tx", "0\t5\t1\tlib/libours.so.1\tx"]
    (run.workspace.build / ".ninja_log").write_text("# ninja log v7\n" + "".join(f"{line}\n" for line in lines))
    site = run.workspace.venv / "lib/python3.11/site-packages"
    install(site, "Nvidia_NCCL", "2.27", {"nvidia/nccl/lib/libnccl.so.2": recorded(b"nccl"), "a.py": recorded(b"a")})
    install(site, "odd", "1", {"odd.so": "sha256=%%%", "other.so": "md5=00", "none.so": ""})
    install(site, "bare", "1", {})
    (site / "bare-1.dist-info" / "RECORD").unlink()
    lfs = Input("lfs", "cpp/lib.so", digest={"sha256": hashlib.sha256(b"lfs").hexdigest()})
    monkeypatch.setattr(asked, "gather", lambda _: (lfs,))
    names = {"libours.so": b"1", "libours.so.1": b"2", "liblfs.so": b"lfs", "libnccl.so": b"nccl", "libucp.so": b"?"}
    found = contained(cast(Run, run), [library(name, data) for name, data in names.items()])
    told: list[Any] = [(one.made, one.brought and one.brought.name) for one in found]
    assert told == [(True, None), (True, None), (False, "cpp/lib.so"), (False, "nvidia-nccl"), (False, None)]
    nccl = found[3].brought
    assert nccl is not None and (nccl.uri, nccl.version) == ("pkg:pypi/nvidia-nccl@2.27", "2.27")


def test_where_nothing_is_installed_nothing_is_known(tmp_path: Path) -> None:
    assert list(packaged_in([tmp_path / "none"])) == []
