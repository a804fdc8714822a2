from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.patching import sets
from trtllm_builder.patching.diffs import apply_diff, make_diff, parse_diff
from trtllm_builder.patching.edited import Edited, Misfit
from trtllm_builder.patching.results import Change
from trtllm_builder.patching.tree import relative_path

LINE = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=6)
TEXT = st.lists(
    LINE | st.sampled_from(["", "a", "b", "@@ -1 +1 @@", "--- a/x", "\\ No newline", "x\r", "\x0c", "\u2028"])
).flatmap(lambda lines: st.sampled_from(["\n".join(lines), "\n".join(lines) + "\n"]))


def made(before: str, after: str, path: str = "d/f.txt") -> str:
    return make_diff([Change(path, before.encode(), after.encode(), 0o644)])


@settings(max_examples=150, deadline=None)
@given(TEXT, TEXT)
def test_a_diff_that_was_made_applies_and_gives_the_other_text(before: str, after: str) -> None:
    if before == after:
        return
    (diff,) = parse_diff(made(before, after))
    edited = apply_diff(before, diff)
    assert edited.text == after
    assert edited.done == 0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(10, 99), min_size=1, max_size=30, unique=True), st.integers(0, 29), st.integers(1, 3))
def test_a_shifted_context_is_refused_or_known_as_done(lines: list[int], at: int, shift: int) -> None:
    before = "".join(f"{line}\n" for line in lines)
    at %= len(lines)
    after = "".join(f"{line}\n" for line in [*lines[:at], 9, *lines[at + 1 :]])
    (diff,) = parse_diff(made(before, after))
    with pytest.raises(Misfit):
        apply_diff("8\n" * shift + before, diff)
    assert apply_diff(after, diff) == Edited(after, 0, len(diff.hunks))


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_no_text_at_all_makes_it_crash(text: str) -> None:
    try:
        diffs = parse_diff("--- a/f\n+++ b/f\n@@ -1 +1 @@\n" + text)
    except Misfit:
        return
    for diff in diffs:
        assert diff.hunks


def test_git_and_patch_take_what_is_made(tmp_path: Path) -> None:
    before = "".join(f"line {number}\n" for number in range(40)) + "end"
    after = before.replace("line 3\n", "line three\nmore\n").replace("end", "END\n")
    changes = [
        Change("a b.txt", before.encode(), after.encode(), 0o644),
        Change("crlf.txt", b"a\r\nb\r\n", b"a\r\nc\r\n", 0o644),
        Change("new/file.sh", None, b"#!/bin/sh\n", 0o755),
    ]
    (tmp_path / "mine.diff").write_bytes(make_diff(changes).encode())
    env = {"PATH": os.environ["PATH"], "GIT_CEILING_DIRECTORIES": str(tmp_path)}
    for name, command in (
        ("git", ["git", "apply", "../mine.diff"]),
        ("patch", ["patch", "-s", "-p1", "-i", "../mine.diff"]),
    ):
        tree = tmp_path / name
        tree.mkdir()
        (tree / "a b.txt").write_text(before)
        (tree / "crlf.txt").write_bytes(b"a\r\nb\r\n")
        if name == "git":
            subprocess.run(["git", "init", "-q", tree], check=True, env=env)
        subprocess.run(command, cwd=tree, check=True, env=env)
        assert {change.path: (tree / change.path).read_bytes() for change in changes} == {
            change.path: change.after for change in changes
        }


def test_a_file_that_is_created_is_done_when_it_is_there() -> None:
    (diff,) = parse_diff("--- /dev/null\n+++ b/n\n@@ -0,0 +1,2 @@\n+a\n+b\n\\ No newline at end of file\n")
    assert apply_diff(None, diff) == Edited("a\nb", 1, 0)
    assert apply_diff("a\nb", diff) == Edited("a\nb", 0, 1)
    with pytest.raises(Misfit, match="other content"):
        apply_diff("a\nb\n", diff)


def test_a_hunk_may_have_lost_the_space_of_its_empty_lines() -> None:
    (diff,) = parse_diff("--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n a\n\n-b\n+c\n")
    assert apply_diff("a\n\nb\n", diff).text == "a\n\nc\n"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("nothing here\n", "no unified diff"),
        ("@@ -1 +1 @@\n-a\n+b\n", "without its"),
        ("--- a/f\nx\n", "without its"),
        ("--- a/f\n+++ b/f\n", "no hunk"),
        ("--- a/f\n+++ b/g\n@@ -1 +1 @@\n-a\n+b\n", "different files"),
        ("--- a/../f\n+++ b/../f\n@@ -1 +1 @@\n-a\n+b\n", "inside the tree"),
        ("--- a//etc/f\n+++ b//etc/f\n@@ -1 +1 @@\n-a\n+b\n", "inside the tree"),
        ("--- f\n+++ f\n@@ -1 +1 @@\n-a\n+b\n", "begins with a/ or b/"),
        ("--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", "begins with a/ or b/"),
        ("--- a/f\n+++ b/f\n@@ -1,2 +1 @@\n-a\n+b\n", "not as many lines"),
        ("--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n", "stands twice"),
        ("diff --git a/f b/g\nrename from f\nrename to g\n", "text of files only"),
        ("diff --git a/f b/f\nGIT binary patch\n", "text of files only"),
        ("diff --git a/f b/f\nold mode 100644\nnew mode 100755\n", "text of files only"),
    ],
)
def test_a_diff_that_would_not_be_carried_out_in_full_is_refused(text: str, what: str) -> None:
    with pytest.raises(Misfit, match=what):
        parse_diff(text)


def test_prose_around_the_diff_is_passed_over() -> None:
    text = (
        "From: me\n---\n f | 2 +-\n\ndiff --git a/f b/f\nindex 1..2 100644\n"
        "--- a/f\n+++ b/f\n@@ -1 +1 @@ head\n-a\n+b\n-- \n2.39\n"
    )
    (diff,) = parse_diff(text)
    assert apply_diff("a\n", diff).text == "b\n"


def test_a_missing_file_is_a_misfit() -> None:
    (diff,) = parse_diff("--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n")
    with pytest.raises(Misfit, match="not there"):
        apply_diff(None, diff)


def test_a_new_files_mode_is_the_diffs(make_tree: Any, make_set: Any) -> None:
    head = "diff --git a/run.sh b/run.sh\nnew file mode {}\n--- /dev/null\n+++ b/run.sh\n@@ -0,0 +1 @@\n+true\n"
    tree = make_tree({})
    patch = make_set("- {id: d, why: w, op: diff, from: x.diff}\n", {"x.diff": head.format(100755)})
    sets.apply(sets.check([patch], tree), tree)
    assert (tree / "run.sh").stat().st_mode & 0o777 == 0o755
    with pytest.raises(Misfit, match="symbolic link"):
        parse_diff(head.format(120000))


@pytest.mark.parametrize("path", ["a/.git/config", ".GIT/config", ".trtllm-builder-patch/0.new"])
def test_a_reserved_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not allowed"):
        relative_path(path)
