from __future__ import annotations

from pathlib import Path

import pytest

from trtllm_builder.data import shipped
from trtllm_builder.errors import BuilderError, ProfileError, UsageError
from trtllm_builder.patching.read import find_sets, load_set, read_set, set_dirs

GOOD = """\
schema: 1
description: a test
operations:
  - id: one
    why: because
    op: text.replace
    file: a.txt
    match: x
    with: y
"""


def read(tmp_path: Path, text: str) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s/patch.yaml").write_text(text)
    read_set(tmp_path / "s")


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "what"),
    [
        ("schema: 1", "schema: 2", 1, 9, "expected '1', not `2`"),
        ("    with: y\n", "", 4, 5, "`with` is missing"),
        (
            "    op: text.replace",
            "    op: text.replce",
            6,
            9,
            "no operation `text.replce`; did you mean `text.replace`",
        ),
        ("    op: text.replace\n", "", 4, 5, "`op` is missing"),
        ("match: x", "match: x\n    matches: x", 9, 5, "unknown key `matches`"),
        ("file: a.txt", "file: ../a.txt", 7, 11, "a path inside the tree"),
        ("file: a.txt", "file: /etc/passwd", 7, 11, "a path inside the tree"),
        ("file: a.txt", "file: .git/config", 7, 11, "not allowed"),
        ("match: x", "match: ''", 8, 12, "at least 1 character"),
        ("id: one", "id: One!", 4, 9, "lower-case letters"),
        ("match: x", "match: x\n    count: many", 9, 12, "valid integer"),
        ("why: because", "why: because\n    when: {fact: X}", 6, 11, "`fact` and `is` stand together"),
        ("why: because", "why: because\n    when: {}", 6, 11, "a condition is one of"),
        (
            "why: because",
            "why: because\n    when: [{file: a, contains: b}, {contains: c}]",
            6,
            36,
            "a condition is one of",
        ),
        ("with: y\n", "with: y\n  - {id: one, why: z, op: diff, from: a.diff}\n", 10, 10, "the id `one` stands twice"),
        ("with: y\n", "with: y\n  - {id: two, why: z, op: diff, from: a.diff}\n", 10, 39, "no file `a.diff`"),
        ("with: y\n", "with: y\n  - {id: two, why: z, op: diff, from: ../x}\n", 10, 39, "a path inside the tree"),
        ("schema: 1", "schema: 1\nschema: 1", 2, 1, "stands twice"),
    ],
)
def test_a_fault_is_named_with_its_place(tmp_path: Path, old: str, new: str, line: int, column: int, what: str) -> None:
    assert old in GOOD
    with pytest.raises(ProfileError) as error:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert what in error.value.what
    where = error.value.where
    assert where is not None
    assert (Path(where.path).name, where.line, where.column) == ("patch.yaml", line, column)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ("op: python.replace, file: a.py, match: 'def (', with: y", "not valid Python"),
        ("op: python.guard, file: a.py, match: x, condition: 'a b'", "expected a Python expression"),
        ("op: python.insert, file: a.py, code: x", "one of `before`, `after` and `at`"),
        ("op: python.insert, file: a.py, code: x, at: start", "`at: start` needs `in`"),
        ("op: python.tolerate_import, files: a.py, module: 'a b'", "dotted Python name"),
    ],
)
def test_python_in_a_set_is_checked_when_it_is_read(tmp_path: Path, fields: str, what: str) -> None:
    with pytest.raises(ProfileError, match=what):
        read(tmp_path, f"schema: 1\ndescription: d\noperations:\n  - {{id: a, why: b, {fields}}}\n")


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ProfileError) as error:
        read(tmp_path, GOOD.replace("match: x", "mach: x").replace("id: one", "id: One"))
    assert len(error.value.others) == 2


def test_a_link_out_of_the_set_is_no_file_of_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (tmp_path / "s").mkdir()
    (tmp_path / "s/link").symlink_to(tmp_path / "secret")
    (tmp_path / "s/patch.yaml").write_text(
        "schema: 1\ndescription: d\noperations:\n  - {id: a, why: b, op: file.ensure, file: x, from: link}\n"
    )
    with pytest.raises(ProfileError, match="no file `link`"):
        read_set(tmp_path / "s")


def test_a_set_of_the_users_own_comes_first_and_an_unknown_one_gets_a_hint(tmp_path: Path) -> None:
    own = tmp_path / "single-device"
    own.mkdir()
    (own / "patch.yaml").write_text(GOOD)
    dirs = set_dirs([tmp_path], {"HOME": str(tmp_path)})
    assert load_set("single-device", dirs).path == own
    assert load_set("optional-modules", dirs).path == shipped("patches") / "optional-modules"
    assert list(find_sets(dirs)) == ["optional-modules", "single-device", "ub-allocator"]
    with pytest.raises(UsageError) as error:
        load_set("single-devise", dirs)
    assert error.value.remedy == "did you mean `single-device`?"
    with pytest.raises(BuilderError):
        load_set("../single-device", dirs)


def test_the_digest_is_over_every_file_of_the_set(tmp_path: Path) -> None:
    digests = set()
    for name, diff in (("s1", "a"), ("s2", "b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "patch.yaml").write_text(
            GOOD + "  - {id: two, why: z, op: file.ensure, file: b, from: b.txt}\n"
        )
        (tmp_path / name / "b.txt").write_text(diff)
        digests.add(read_set(tmp_path / name).digest)
    assert len(digests) == 2


def test_a_set_closes_only_traps_that_there_are(tmp_path: Path) -> None:
    (tmp_path / "patch.yaml").write_text(
        "schema: 1\ndescription: d\ncloses:\n  - {trap: no-such-trap}\n"
        "operations:\n  - {id: a, why: w, op: text.replace, file: f, match: a, with: b}\n"
    )
    with pytest.raises(ProfileError, match="there is no such trap") as caught:
        read_set(tmp_path)
    assert caught.value.where and caught.value.where.line == 4
