"""Trees that CMake fetched: what of them counts as edited by hand, and what a kill leaves behind."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trtllm_builder.build.edits import find_edits, note_edits
from trtllm_builder.build.populated import distrust_populated, note_populated, populated_edits
from trtllm_builder.build.prepare import refuse_edits
from trtllm_builder.build.workspace import Workspace, tag_cache
from trtllm_builder.errors import ProfileError

HEADER = "build/_deps/digits-src/include/digits.h"
NOTHING: dict[str, str] = {}


class Site:
    """A workspace in which CMake cloned ``digits`` at v1, patched it, and unpacked ``words`` from an archive."""

    def __init__(self, root: Path) -> None:
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(root)}
        self.workspace = Workspace(root / "w")
        tag_cache(self.workspace.root)
        deps = self.workspace.build / "_deps"
        self.digits, self.words = deps / "digits-src", deps / "words-src"
        for tree in (self.digits, self.words):
            (tree / "include").mkdir(parents=True)
            (tree / "include" / "digits.h").write_text("int one;\n")
            (tree / ".gitignore").write_text("*.log\n")
            subbuild = tree.with_name(tree.name.replace("-src", "-subbuild"))
            subbuild.mkdir()
            (subbuild / "CMakeLists.txt").write_text("as declared")
        self.git("init", "-q")
        self.commit = self.commit_all()
        self.notes: list[str] = []
        self.locked: object = None
        self.known = [self.commit]
        self.edits: dict[str, str] = {}

    @property
    def run(self) -> Any:
        fetched = {"dependencies": [{"commit": one} for one in self.known]}
        self.workspace.journal.append("end", stage="fetch", inputs={}, result=fetched)
        return SimpleNamespace(
            workspace=self.workspace,
            edits=self.edits,
            results={"fetch": fetched},
            observer=SimpleNamespace(note=self.notes.append),
            material=SimpleNamespace(request=SimpleNamespace(environ=self.environ, locked=self.locked)),
        )

    def git(self, *words: str) -> str:
        author = ("-c", "user.name=x", "-c", "user.email=x@x.invalid")
        done = subprocess.run(
            ["git", "-C", str(self.digits), *author, *words],
            env=self.environ,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit_all(self) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "x")
        return self.git("rev-parse", "HEAD")

    def found(self) -> list[str]:
        return list(populated_edits(self.workspace, self.environ))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_what_cmake_itself_patched_is_no_edit_and_all_else_is(site: Site) -> None:
    header = site.workspace.root / HEADER
    header.write_text("int one; // PATCH_COMMAND\n")
    assert site.found() == []
    note_populated(site.run)
    assert site.found() == [] and site.workspace.strange() == []

    for name in ("__pycache__/a.pyc", "x.egg-info/PKG-INFO"):
        (site.words / name).parent.mkdir()
        (site.words / name).write_text("a product")
    header.write_text("int one; // by hand\n")
    (site.digits / "planted.h").write_text("by hand")
    (site.words / "include" / "digits.h").unlink()
    wanted = [HEADER, "build/_deps/digits-src/planted.h", "build/_deps/words-src/include/digits.h"]
    assert site.found() == wanted and populated_edits(site.workspace, site.environ)[wanted[2]] == ""
    assert list(find_edits(site.workspace, site.environ)) == wanted
    # Configuring again makes nothing of it right.
    note_populated(site.run)
    assert site.found() == wanted
    site.edits = populated_edits(site.workspace, site.environ)
    note_populated(site.run, configured=True)
    assert site.found() == wanted
    # It stays one when CMake checks out another commit around it, and goes when it is put back.
    site.edits = populated_edits(site.workspace, site.environ)
    site.git("checkout", "-q", "--", "include")
    header.write_text("int one; // PATCH_COMMAND\n")
    assert site.found() == wanted[1:]
    site.git("add", ".gitignore", "include")
    site.git("commit", "-q", "-m", "the next release")
    site.known = [site.git("rev-parse", "HEAD")]
    note_populated(site.run)
    assert site.found() == wanted[1:]


def test_a_commit_made_by_hand_is_an_edit(site: Site) -> None:
    note_populated(site.run)
    (site.workspace.root / HEADER).write_text("by hand\n")
    made = site.commit_all()
    for look in (note_populated, distrust_populated):
        look(site.run)
        assert populated_edits(site.workspace, site.environ) == {"build/_deps/digits-src": f"commit {made}"}


def test_a_locked_build_takes_no_commit_and_no_edit_that_is_not_in_the_lock(site: Site) -> None:
    site.known = []
    note_populated(site.run)
    assert f"digits at {site.commit}, which is not in the lock" in site.notes.pop()
    site.workspace.populated.unlink()
    site.locked = object()
    with pytest.raises(ProfileError, match=f"digits at {site.commit}, which the lock does not have"):
        note_populated(site.run)
    refuse_edits(site.run, {})
    with pytest.raises(ProfileError, match=r"edited by hand in .*: a\.py") as error:
        refuse_edits(site.run, {"a.py": "0" * 64})
    assert "--rebuild" in error.value.remedy and error.value.status == 2


@pytest.mark.parametrize("damage", [None, "", "[1]", '{"schema": 1, "trees": {"digits-src": 1}}'])
def test_after_a_kill_what_git_calls_clean_stays_and_the_rest_is_fetched_again(site: Site, damage: str | None) -> None:
    note_populated(site.run)
    if damage is None:
        site.workspace.populated.unlink()
    else:
        site.workspace.populated.write_text(damage)
    inode = (site.workspace.root / HEADER).stat().st_ino
    distrust_populated(site.run)
    assert (site.workspace.root / HEADER).stat().st_ino == inode, "nothing is compiled again"
    assert not site.words.exists() and not site.words.with_name("words-subbuild").exists()
    assert [note.split()[0] for note in site.notes] == ["words"] and site.found() == []
    # Half patched, or edited while nobody knew how it was.
    (site.workspace.root / HEADER).write_text("half\n")
    distrust_populated(site.run)
    assert not site.digits.exists() and len(site.notes) == 2


def test_killed_while_cmake_checked_out_another_release(site: Site) -> None:
    note_populated(site.run)
    (site.workspace.root / HEADER).write_text("the next release\n")
    site.known = [site.commit_all()]
    (site.workspace.root / HEADER).write_text("half of its patch\n")
    site.words.with_name("words-subbuild").joinpath("CMakeLists.txt").write_text("another archive")
    assert site.run and site.found() == [], "nobody edited anything"
    distrust_populated(site.run)
    assert not site.digits.exists() and not site.words.exists()


def test_a_tree_that_is_gone_is_forgotten(site: Site) -> None:
    note_populated(site.run)
    shutil.rmtree(site.workspace.build)
    distrust_populated(site.run)
    site.digits.mkdir(parents=True)
    (site.digits / "other").write_text("of another release")
    assert site.found() == [] and not site.notes


def test_a_file_that_is_put_back_with_its_old_time_is_compiled_again(site: Site) -> None:
    header = site.workspace.root / HEADER
    note_edits(site.workspace, {HEADER: "0" * 64, "gone.cpp": ""})
    os.utime(header, (1e9, 1e9))
    note_edits(site.workspace, {HEADER: "0" * 64, "gone.cpp": ""})
    assert header.stat().st_mtime == 1e9
    note_edits(site.workspace, {})
    assert header.stat().st_mtime > 1e9
    os.utime(header, (1e9, 1e9))
    note_edits(site.workspace, {})
    assert header.stat().st_mtime == 1e9, "once is enough"
