"""Checkouts that the journal does not account for, and what is said of runs that it does not know."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trtllm_builder.build.edits import find_edits, is_unaccounted, keep_times, note_patching
from trtllm_builder.build.gone import why_gone
from trtllm_builder.build.lost import recover, settle
from trtllm_builder.build.registry import RunEntry
from trtllm_builder.build.resume import choose
from trtllm_builder.build.workspace import Workspace, tag_cache
from trtllm_builder.errors import UsageError
from trtllm_builder.patching.results import Change
from trtllm_builder.patching.write import write_all
from trtllm_builder.source.directory import obtain_directory

BARE, PATCHED = b"int answer;\n", b"int answer = 42;\n"


class Lost:
    """A checkout with one file patched, one made by patches and one of neither kind."""

    def __init__(self, root: Path) -> None:
        self.environ = {**os.environ, "HOME": str(root)}
        (root / "origin").mkdir()
        for name in ("patched.cpp", "plain.cpp"):
            (root / "origin" / name).write_bytes(BARE)
        self.workspace = Workspace(root / "w")
        tag_cache(self.workspace.root)
        obtain_directory(root / "origin", self.workspace.source, environ=self.environ)
        self.notes: list[str] = []
        self.run: Any = SimpleNamespace(
            identifier="b",
            workspace=self.workspace,
            material=SimpleNamespace(request=SimpleNamespace(environ=self.environ)),
            observer=SimpleNamespace(note=self.notes.append),
        )
        self.patch()
        os.utime(self.workspace.source / "patched.cpp", (1e9, 1e9))

    def patch(self) -> None:
        changes = (Change("patched.cpp", BARE, PATCHED, False), Change("made.cpp", None, PATCHED, False))
        probe: Any = SimpleNamespace(has_trap=lambda _: False)
        note_patching(self.workspace, "key", changes, self.environ, probe)
        write_all(self.workspace.source, changes)
        keep_times(self.workspace)

    def edits(self) -> dict[str, str]:
        return find_edits(self.workspace, self.environ)


@pytest.fixture
def lost(tmp_path: Path) -> Lost:
    made = Lost(tmp_path)
    assert not made.edits() and not is_unaccounted(made.workspace, made.environ)
    return made


@pytest.mark.parametrize("rest", [None, b"", b"\x00\xff[{\n" * 99])
def test_our_own_patches_are_no_edits_when_the_journal_is_lost(lost: Lost, rest: bytes | None) -> None:
    path = lost.workspace.journal_file
    path.unlink() if rest is None else path.write_bytes(rest)
    assert lost.edits() and is_unaccounted(lost.workspace, lost.environ)
    recover(lost.run)
    assert not lost.edits() and "journal" in lost.notes.pop()
    lost.patch()
    settle(lost.run)
    assert not lost.edits() and not lost.notes and not lost.workspace.aside.exists()
    file = lost.workspace.source / "patched.cpp"
    assert file.read_bytes() == PATCHED and file.stat().st_mtime == 1e9, "nothing is compiled again"


def test_originals_kept_before_a_kill_are_no_patches(lost: Lost) -> None:
    """The originals come first, then the journal's line, then the files: nothing was written before that line."""
    lost.workspace.journal_file.unlink()
    recover(lost.run)
    lost.workspace.journal_file.unlink()
    assert any(lost.workspace.originals.iterdir())
    assert not lost.edits() and not is_unaccounted(lost.workspace, lost.environ)
    (lost.workspace.source / "plain.cpp").write_bytes(b"// mine\n")
    assert lost.edits() and not is_unaccounted(lost.workspace, lost.environ), "an edit is no patch"
    (lost.workspace.source / "patched.cpp").write_bytes(PATCHED)
    assert is_unaccounted(lost.workspace, lost.environ)


def test_a_copied_workspace_is_not_edited(lost: Lost) -> None:
    record = lost.workspace.root / ".source.source.json"
    record.with_suffix(".copy").write_bytes(record.read_bytes())
    record.with_suffix(".copy").replace(record)
    assert lost.edits() and is_unaccounted(lost.workspace, lost.environ)


def test_edits_by_hand_are_not_lost_with_the_journal(lost: Lost) -> None:
    lost.workspace.journal_file.unlink()
    (lost.workspace.source / "patched.cpp").write_bytes(PATCHED + b"// mine\n")
    (lost.workspace.source / "plain.cpp").write_bytes(b"// mine\n")
    recover(lost.run)
    assert list(lost.edits()) == ["plain.cpp"], "what patches never touched stays and counts"
    lost.patch()
    settle(lost.run)
    (kept,) = (path for path in lost.workspace.aside.rglob("*") if path.is_file())
    assert kept.read_bytes() == PATCHED + b"// mine\n" and str(kept) in lost.notes[-1]


def test_what_is_said_of_a_run_that_is_gone(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    entry = RunEntry("a", "canary", workspace.root, {}, 1.0)
    what, remedy = why_gone(entry)
    assert "there is no workspace" in what and "resume --workspace" in remedy
    tag_cache(workspace.root)
    workspace.source.mkdir()
    what, remedy = why_gone(entry)
    assert what.endswith("journal.jsonl is gone") and f"--workspace {workspace.root}" in remedy
    workspace.journal_file.write_bytes(b"\xffrubbish")
    assert "damaged" in why_gone(entry)[0]
    with pytest.raises(UsageError, match="damaged"):
        choose(None, {}, workspace.root)
    workspace.journal.append("run", id="b")
    assert "another one" in why_gone(entry)[0]
