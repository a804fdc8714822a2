"""Runs as their journals and logs tell of them, without building anything."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.build.gc.choose import Wish, choose
from trtllm_builder.build.gc.find import KINDS
from trtllm_builder.build.gc.places import look
from trtllm_builder.build.registry import RunEntry, register
from trtllm_builder.build.workspace import Workspace, tag_cache
from trtllm_builder.data import cache_dir, data_dir
from trtllm_builder.process import read_stat

ALL = Wish(frozenset(KINDS), unfinished=True)
REPORT = {"lines": ["x.whl PASSED"], "report": {}}


@dataclass
class World:
    """``here`` is this process as a run's own; ``nobody`` one that is dead."""

    environ: dict[str, str]
    here: dict[str, int]
    nobody: dict[str, int]

    @property
    def base(self) -> Path:
        return cache_dir(self.environ)

    @property
    def tools(self) -> Path:
        return data_dir(self.environ) / "tools"

    def run(
        self,
        identifier: str,
        ending: str = "done",
        *,
        root: Path | None = None,
        tool: Path | None = None,
        age: float = 0,
    ) -> RunEntry:
        """A run in its workspace that is running, dead, failed, interrupted or done."""
        root = root or self.base / "workspaces" / "canary-py3.11"
        tag_cache(self.base)
        tag_cache(root)
        workspace = Workspace(root)
        for name in ("source", "build", "venv"):
            (root / name).mkdir(exist_ok=True)
            (root / name / "file").write_text("x" * 9000)
        (root / "lock").touch()
        entry = RunEntry(identifier, "canary", root, {}, 1e9 - age)
        entry.logs.mkdir(parents=True, exist_ok=True)
        register(entry, self.environ)
        journal = workspace.journal
        process = self.here if ending == "running" else self.nobody
        plan = {"caches": str(self.base)}
        journal.append("run", id=identifier, plan=plan, request={}, **process)
        if tool is not None:
            journal.append("begin", stage="tools", run=identifier)
            journal.append("end", stage="tools", run=identifier, result={"paths": {"cmake": str(tool)}})
        journal.append("begin", stage="compile", run=identifier)
        if ending == "failed":
            error = {"exit_code": 6, "what": "it broke", "remedy": "mend it", "where": None, "log": None, "others": []}
            journal.append("failed", run=identifier, stage="compile", error=error, exit_code=6)
        elif ending == "interrupted":
            journal.append("interrupted", run=identifier, stage="compile", signal=15)
        elif ending == "done":
            wheel = {"wheel": "/out/x.whl", "record": "/out/x.whl.record.json", "sha256": "0" * 64}
            journal.append("end", stage="verify", run=identifier, result=REPORT)
            journal.append("end", stage="record", run=identifier, result=wheel)
            journal.append("done", id=identifier, kept=False)
        return entry

    def fill_caches(self) -> None:
        tag_cache(self.base)
        for name in ("git/x.git", "git/notes", "lfs", "pip/http", "ccache/0", "mine"):
            (self.base / name).mkdir(parents=True)
            (self.base / name / "HEAD").write_text("ref\n")

    def make_tool(self, name: str) -> Path:
        directory = self.tools / name
        (directory / "bin").mkdir(parents=True)
        (directory / "bin/cmake").write_text("program")
        (directory / "receipt.json").write_text(
            '{"schema": 1, "facts": {"name": "cmake", "version": "3"}, "files": {}}'
        )
        return directory

    def stays(self, wish: Wish = ALL) -> dict[str, str]:
        return {choice.item.path.name: choice.stays for choice in choose(wish, look(self.environ))}

    def snapshot(self, root: Path) -> dict[str, Any]:
        """Names, kinds and contents of everything below, links not followed."""
        return {
            str(path.relative_to(root)): path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes()
            for path in sorted(root.rglob("*"))
        }


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    environ = {f"XDG_{kind}_HOME": str(tmp_path / kind.lower()) for kind in ("STATE", "CACHE", "DATA")}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    own = read_stat(os.getpid())
    assert own is not None
    return World(environ, {"pid": os.getpid(), "start": own.start}, {"pid": os.getpid(), "start": own.start - 1})


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The console script in this process: exit status, output, errors."""
    import sys

    from trtllm_builder.cli import app

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["trtllm-build", *words])
        with pytest.raises(SystemExit) as ended:
            app.main()
        shown = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, shown.out, shown.err

    return run
