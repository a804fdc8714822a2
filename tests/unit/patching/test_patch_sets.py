from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.errors import PatchError
from trtllm_builder.patching.sets import apply, check

REPLACE = """\
- id: one
  why: because
  op: text.replace
  file: a.txt
  match: old
  with: new
"""


def statuses(plan: Any) -> dict[str, str]:
    return {operation.id: operation.status for one in plan.sets for operation in one.operations}


def test_check_writes_nothing_and_apply_writes_what_check_said(make_tree: Any, make_set: Any) -> None:
    tree, patch = make_tree({"a.txt": "an old text\n"}), make_set(REPLACE)
    plan = check([patch], tree)
    assert plan.sets[0].status == "applies"
    assert (
        plan.diff == "diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-an old text\n+an new text\n"
    )
    assert (tree / "a.txt").read_text() == "an old text\n"
    assert apply(plan, tree).written == ("a.txt",)
    assert (tree / "a.txt").read_text() == "an new text\n"
    assert sorted(path.name for path in tree.iterdir()) == ["a.txt"]


def test_the_second_time_there_is_nothing_to_do_and_the_digest_is_the_same(make_tree: Any, make_set: Any) -> None:
    tree, patch = make_tree({"a.txt": "old"}), make_set(REPLACE)
    plan = check([patch], tree)
    apply(plan, tree)
    stamp = (tree / "a.txt").stat().st_mtime_ns
    again = check([patch], tree)
    assert (again.needed, again.diff, again.sets[0].status) == (False, "", "applied already")
    assert again.digest == plan.digest
    assert apply(again, tree).written == ()
    assert (tree / "a.txt").stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("text", "found"), [("nothing", "found none"), ("old old", "found 2"), ("old new", "found 1 and 1")]
)
def test_finding_nothing_or_too_much_is_an_error(make_tree: Any, make_set: Any, text: str, found: str) -> None:
    tree, patch = make_tree({"a.txt": text}), make_set(REPLACE)
    with pytest.raises(PatchError, match="expected one place like `old`, " + found) as error:
        check([patch], tree)
    assert error.value.exit_code == 5
    assert error.value.what.startswith("mine/one (text.replace): ")
    assert str(error.value.where) == f"{tree}/a.txt:1:1"


def test_a_file_that_is_missing_is_an_error_unless_the_operation_is_conditional(make_tree: Any, make_set: Any) -> None:
    tree = make_tree({"b.txt": ""})
    with pytest.raises(PatchError, match=r"a\.txt is not there"):
        check([make_set(REPLACE)], tree)
    plan = check([make_set(REPLACE + "  when: {file: a.txt}\n", name="other")], tree)
    assert (plan.sets[0].status, plan.needed) == ("not needed", False)
    assert plan.sets[0].operations[0].reason == "there is no a.txt"


def test_all_that_does_not_fit_is_said_at_once_and_nothing_is_written(make_tree: Any, make_set: Any) -> None:
    tree = make_tree({"a.txt": "old", "b.txt": "x", "c.txt": "x"})
    two = REPLACE + REPLACE.replace("one", "two").replace("a.txt", "b.txt")
    three = REPLACE.replace("one", "three").replace("a.txt", "c.txt")
    with pytest.raises(PatchError) as error:
        check([make_set(two, name="s1"), make_set(three, name="s2")], tree)
    assert "s1/two" in error.value.what
    assert ["s2/three" in other.what for other in error.value.others] == [True]
    assert (tree / "a.txt").read_text() == "old"


def test_operations_see_what_the_ones_before_them_made(make_tree: Any, make_set: Any) -> None:
    tree = make_tree({"a.txt": "old text"})
    both = REPLACE + REPLACE.replace("one", "two").replace("old", "text").replace("with: new", "with: words")
    apply(check([make_set(both)], tree), tree)
    assert (tree / "a.txt").read_text() == "new words"


def test_an_operation_that_undoes_another_is_an_error(make_tree: Any, make_set: Any) -> None:
    chain = REPLACE.replace("new", "middle") + REPLACE.replace("one", "two").replace("old", "middle")
    with pytest.raises(PatchError, match="one does not find its own result: mine/one"):
        check([make_set(chain)], make_tree({"a.txt": "old"}))


def test_an_operation_that_would_be_applied_again_is_an_error(make_tree: Any, make_set: Any) -> None:
    diff = "--- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,3 @@\n x\n+x\n x\n"
    patch = make_set("- {id: d, why: w, op: diff, from: d.diff}\n", {"d.diff": diff})
    with pytest.raises(PatchError, match="mine/d: once it is applied it would be applied again"):
        check([patch], make_tree({"a.txt": "x\nx\nx\nx\n"}))


@pytest.mark.parametrize(
    ("when", "status"),
    [
        ("{fact: X, is: OFF}", "applies"),
        ("{fact: X, is: 0}", "applies"),
        ("{fact: X, is: ON}", "not needed"),
        ("{fact: Y, is: OFF}", "not needed"),
        ("{not: {fact: Y, is: ON}}", "applies"),
        ("{not: {fact: X, is: false}}", "not needed"),
        ("{any: [{fact: X, is: ON}, {file: a.txt, contains: old}]}", "applies"),
        ("{any: [{fact: X, is: ON}, {file: a.txt, contains: none}]}", "not needed"),
        ("{all: [{fact: X, is: OFF}, {file: a.txt, contains: old}]}", "applies"),
        ("[{fact: X, is: OFF}, {file: gone.txt}]", "not needed"),
        ("{file: m.py, imports: mpi4py}", "applies"),
        ("{file: m.py, imports: [other, mpi4py.MPI]}", "applies"),
        ("{file: m.py, imports: numpy}", "not needed"),
        ("{file: m.py, imports: mpi}", "not needed"),
    ],
)
def test_conditions(make_tree: Any, make_set: Any, when: str, status: str) -> None:
    code = "import numpyish\nfrom mpi4py import MPI\n\n\ndef f():\n    import numpy\n"
    tree = make_tree({"a.txt": "old", "m.py": code})
    plan = check([make_set(REPLACE + f"  when: {when}\n")], tree, {"X": "off"})
    assert statuses(plan) == {"one": status}


def test_a_sets_own_condition_decides_for_all_of_it(make_tree: Any, make_set: Any) -> None:
    patch = make_set(REPLACE, head="when: {file: gone.txt}\n")
    plan = check([patch], make_tree({"a.txt": "no match here"}))
    assert (plan.sets[0].status, plan.sets[0].operations) == ("not needed", ())


def test_an_operation_whose_condition_was_ended_by_itself_is_applied_already(make_tree: Any, make_set: Any) -> None:
    tree, patch = make_tree({"a.txt": "old"}), make_set(REPLACE + "  when: {file: a.txt, contains: old}\n")
    apply(check([patch], tree), tree)
    assert statuses(check([patch], tree)) == {"one": "applied already"}


def test_line_ends_byte_order_mark_and_mode_are_kept(make_tree: Any, make_set: Any) -> None:
    tree = make_tree({})
    (tree / "a.txt").write_bytes(b"\xef\xbb\xbfx\r\nold\r\n")
    (tree / "a.txt").chmod(0o751)
    code = "- {id: p, why: w, op: python.replace, file: b.py, match: a, with: b}\n"
    (tree / "b.py").write_bytes(b"#!/usr/bin/python\r\nif a:\r\n\tc(\r\n\t\t1)\r\n")
    (tree / "b.py").chmod(0o444)
    apply(check([make_set(REPLACE + code)], tree), tree)
    assert (tree / "a.txt").read_bytes() == b"\xef\xbb\xbfx\r\nnew\r\n"
    assert (tree / "b.py").read_bytes() == b"#!/usr/bin/python\r\nif b:\r\n\tc(\r\n\t\t1)\r\n"
    assert [(tree / name).stat().st_mode & 0o7777 for name in ("a.txt", "b.py")] == [0o751, 0o444]


@pytest.mark.parametrize("inside", [True, False])
def test_a_link_is_followed_inside_the_tree_and_never_out_of_it(
    tmp_path: Path, make_tree: Any, make_set: Any, inside: bool
) -> None:
    tree = make_tree({"real/a.txt": "old"})
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/a.txt").write_text("old")
    (tree / "dir").symlink_to(tree / "real" if inside else tmp_path / "outside")
    patch = make_set(REPLACE.replace("a.txt", "dir/a.txt"))
    if inside:
        assert apply(check([patch], tree), tree).written == ("real/a.txt",)
        assert (tree / "dir").is_symlink()
    else:
        with pytest.raises(PatchError, match="leads out of the tree"):
            check([patch], tree)
    assert (tmp_path / "outside/a.txt").read_text() == "old"


@pytest.mark.parametrize("kind", ["directory", "fifo"])
def test_only_regular_files_are_read(make_tree: Any, make_set: Any, kind: str) -> None:
    tree = make_tree({})
    (tree / "a.txt").mkdir() if kind == "directory" else os.mkfifo(tree / "a.txt")
    with pytest.raises(PatchError, match="not a regular file"):
        check([make_set(REPLACE)], tree)


def test_a_new_file_may_not_be_put_through_a_link_either(tmp_path: Path, make_tree: Any, make_set: Any) -> None:
    tree = make_tree({})
    (tree / "d").symlink_to(tmp_path)
    patch = make_set("- {id: n, why: w, op: file.ensure, file: d/n.py, from: n.py}\n", {"n.py": "x = 1\n"})
    with pytest.raises(PatchError, match="leads out of the tree"):
        check([patch], tree)


def test_a_file_of_ours_is_made_once_and_never_over_another(make_tree: Any, make_set: Any) -> None:
    tree = make_tree({})
    patch = make_set("- {id: n, why: w, op: file.ensure, file: d/e/n.py, from: n.py}\n", {"n.py": "x = 1\n"})
    assert apply(check([patch], tree), tree).written == ("d/e/n.py",)
    assert check([patch], tree).sets[0].status == "applied already"
    (tree / "d/e/n.py").write_text("theirs")
    with pytest.raises(PatchError, match="with other content"):
        check([patch], tree)


def test_a_diff_fits_exactly_or_not_at_all(make_tree: Any, make_set: Any) -> None:
    diff = "--- a/a.txt\n+++ b/a.txt\n@@ -2,2 +2,2 @@\n two\n-old\n+new\n"
    patch = make_set("- {id: d, why: w, op: diff, from: d.diff}\n", {"d.diff": diff})
    tree = make_tree({"a.txt": "one\ntwo\nold\n"})
    apply(check([patch], tree), tree)
    assert (tree / "a.txt").read_text() == "one\ntwo\nnew\n"
    assert check([patch], tree).sets[0].status == "applied already"
    (tree / "a.txt").write_text("zero\none\ntwo\nold\n")
    with pytest.raises(PatchError, match="the hunk in line 3 of the diff does not fit") as error:
        check([patch], tree)
    assert str(error.value.where) == f"{tree}/a.txt:2:1"


def test_a_bad_diff_is_named_by_its_own_file_and_line(make_tree: Any, make_set: Any) -> None:
    patch = make_set(
        "- {id: d, why: w, op: diff, from: d.diff}\n", {"d.diff": "--- a/a\n+++ b/b\n@@ -1 +1 @@\n-a\n+b\n"}
    )
    with pytest.raises(PatchError) as error:
        check([patch], make_tree({}))
    assert str(error.value.where) == f"{patch.path}/d.diff:1:1"


def test_everywhere_is_every_file_and_says_how_many_it_wants(make_tree: Any, make_set: Any) -> None:
    where = "files: 'p/**/*.py', except: p/skip.py"
    operation = f"- {{id: r, why: w, op: python.retarget_import, {where}, modules: {{m.n: X}}, to: p.o}}\n"
    line = "from m.n import X\n"
    tree = make_tree({"p/a.py": line, "p/d/e/b.py": line, "p/skip.py": line, "q/c.py": line, "p/t.txt": line})
    (tree / "p/x\n+++ b\\y.py").write_text(line)
    patch = make_set(operation)
    assert apply(check([patch], tree), tree).written == ("p/a.py", "p/d/e/b.py")
    assert check([patch], tree).sets[0].status == "applied already"
    for path in ("p/a.py", "p/d/e/b.py"):
        (tree / path).write_text("")
    with pytest.raises(PatchError, match=r"1 or more imports from m.n in p/\*\*/\*.py, found none"):
        check([patch], tree)
    (tree / "p").rename(tree / "elsewhere")
    with pytest.raises(PatchError, match="there is no file p/"):
        check([patch], tree)


@pytest.mark.parametrize("cookie", ["", "# coding: latin-1\n"])
def test_python_in_no_encoding_that_it_claims_is_not_edited(make_tree: Any, make_set: Any, cookie: str) -> None:
    patch = make_set("- {id: p, why: w, op: python.replace, file: b.py, match: a, with: b}\n")
    tree = make_tree({})
    (tree / "b.py").write_bytes(f"{cookie}# caf\xe9\nx = a\n".encode("latin-1"))
    if cookie:
        assert apply(check([patch], tree), tree).written == ("b.py",)
        return
    with pytest.raises(PatchError, match="Python would not read this file either"):
        check([patch], tree)


def test_python_that_cannot_be_read_is_named_with_its_line(make_tree: Any, make_set: Any) -> None:
    patch = make_set("- {id: p, why: w, op: python.replace, file: b.py, match: a, with: b}\n")
    tree = make_tree({"b.py": "x = 1\ny = = 2\n"})
    with pytest.raises(PatchError, match="not valid Python") as error:
        check([patch], tree)
    assert str(error.value.where) == f"{tree}/b.py:2:5"
