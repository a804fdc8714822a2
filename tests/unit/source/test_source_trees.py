"""Digests, pointers, and a tree kept equal to another."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.errors import SourceError
from trtllm_builder.source import sync as sync_module
from trtllm_builder.source.copying import copy_file
from trtllm_builder.source.digest import file_digest, tree_digest
from trtllm_builder.source.failures import TransportError
from trtllm_builder.source.lfs import Pointer, Store, find_pointers, parse_pointer
from trtllm_builder.source.sync import survey, sync
from trtllm_builder.source.watch import watched


def fill(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    root.mkdir(exist_ok=True)
    return root


def test_a_digest_sees_content_names_programs_and_links_and_nothing_else(tmp_path: Path) -> None:
    root = fill(tmp_path / "r", {"a": b"1", "d/b": b"2"})
    seen = [tree_digest(root)]

    def changed() -> bool:
        seen.append(tree_digest(root))
        return seen[-1] not in seen[:-1]

    os.utime(root / "a", (1, 1))
    (root / "a").chmod(0o600)
    (root / "empty").mkdir()
    fill(root, {".git/config": b"x", "d/.git": b"gitdir: x"})
    assert not changed()
    (root / "a").write_bytes(b"2")
    assert changed()
    (root / "a").chmod(0o700)
    assert changed()
    (root / "l").symlink_to("a")
    assert changed()
    (root / "l").unlink()
    (root / "l").symlink_to("b")
    assert changed()
    (root / "d/b").rename(root / "d/c")
    assert changed()
    (root / "d/c").rename(root / "c")
    assert changed()


def test_entries_cannot_be_confused_with_one_another(tmp_path: Path) -> None:
    one = fill(tmp_path / "1", {"a": b"", "b": b""})
    two = fill(tmp_path / "2", {"a b": b"", "c": b""})
    three = fill(tmp_path / "3", {})
    (three / "a").symlink_to(hashlib.sha256(b"").hexdigest())
    fill(three, {"b": b""})
    assert len({tree_digest(one), tree_digest(two), tree_digest(three)}) == 3


def test_a_name_that_is_not_utf8_counts(tmp_path: Path) -> None:
    root = fill(tmp_path / "r", {"a": b"1"})
    before = tree_digest(root)
    Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe")).write_bytes(b"x")
    assert tree_digest(root) != before
    target = tmp_path / "t"
    target.mkdir()
    seen = survey(root, {}, exclude=frozenset())
    sync(root, target, seen.items, {}, fresh=True)
    assert tree_digest(target) == tree_digest(root) == seen.digest


def test_copy_keeps_content_and_replaces_without_following_links(tmp_path: Path) -> None:
    source = fill(tmp_path, {"s": os.urandom(3_000_000), "precious": b"p"}) / "s"
    (tmp_path / "t").symlink_to("precious")
    (tmp_path / "t.trtllm-new").symlink_to("precious")
    assert copy_file(source, tmp_path / "t", mode=0o640) == file_digest(source) == file_digest(tmp_path / "t")
    assert (tmp_path / "precious").read_bytes() == b"p" and (tmp_path / "t").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious", "s", "t"]


names = st.sampled_from(["a", "b", "d/a", "d/e/f", "e", "d/x"])
trees = st.dictionaries(names, st.binary(max_size=3), max_size=6)


@settings(max_examples=40, deadline=None)
@given(trees, trees, st.sampled_from(["", "a", "d/a", "e"]))
def test_a_synced_tree_is_equal_whatever_was_there(
    tmp_path_factory: pytest.TempPathFactory, first: dict[str, bytes], second: dict[str, bytes], tampered: str
) -> None:
    base = tmp_path_factory.mktemp("s")
    one, two, target = fill(base / "1", first), fill(base / "2", second), base / "t"
    target.mkdir()
    copied = sync(one, target, survey(one, {}, exclude=frozenset()).items, {}, fresh=True)
    assert tree_digest(target) == tree_digest(one)
    if tampered in first:
        (target / tampered).write_bytes(b"tampered")
    sync(two, target, survey(two, {}, exclude=frozenset()).items, copied, fresh=False)
    assert tree_digest(target) == tree_digest(two)


def test_a_source_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    source, target = fill(tmp_path / "s", {"a": b"1"}), tmp_path / "t"
    target.mkdir()
    items = survey(source, {}, exclude=frozenset()).items
    (source / "a").write_bytes(b"2")
    with pytest.raises(SourceError, match="changed while it was being copied"):
        sync(source, target, items, {}, fresh=True)


def test_files_that_bear_the_same_mark_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = fill(tmp_path / "s", {"a": b"1", "b": b"2"})
    known = survey(source, {}, exclude=frozenset()).items
    (source / "b").write_bytes(b"3")
    read: list[bytes] = []
    monkeypatch.setattr(sync_module, "file_digest", lambda path: read.append(path) or "new")
    again = survey(source, known, exclude=frozenset())
    assert [path.rpartition(b"/")[2] for path in read] == [b"b"] and again.items["b"].content == "new"


OID = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 12345\n".encode()


def test_the_specifications_own_pointer_is_read() -> None:
    assert parse_pointer("p", POINTER) == Pointer("p", OID, 12345)
    assert parse_pointer("p", POINTER.replace(b"oid", b"ext-0-foo sha256:" + b"1" * 64 + b"\noid")) == Pointer(
        "p", OID, 12345
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        POINTER.replace(b"v1", b"v2"),
        POINTER.replace(b"sha256:4", b"sha256:X"),
        POINTER.replace(b"size 12345", b"size -1"),
        POINTER.replace(b"\n", b"\r\n"),
        POINTER + b"more\n",
        b" " + POINTER,
        POINTER + b"\n" * 1024,
    ],
)
def test_what_is_no_pointer(content: bytes) -> None:
    assert parse_pointer("p", content) is None


def test_pointers_are_found_below_a_directory_but_not_behind_links(tmp_path: Path) -> None:
    root = fill(tmp_path / "r", {"z/p.a": POINTER, "a.a": POINTER, "text": b"hello", ".git/p": POINTER})
    (root / "link").symlink_to("a.a")
    assert [pointer.path for pointer in find_pointers(root)] == ["a.a", "z/p.a"]


def test_the_store_keeps_only_what_it_should_be(tmp_path: Path) -> None:
    content = b"content"
    pointer = Pointer("p", hashlib.sha256(content).hexdigest(), len(content))
    store = Store(tmp_path / "store")
    assert store.missing([pointer, pointer]) == (pointer,)
    store.path(pointer.oid).parent.mkdir(parents=True)
    arrived = fill(tmp_path, {"arrived": b"CONTENT"}) / "arrived"
    with pytest.raises(TransportError, match="not its LFS object"):
        store.keep(pointer, arrived)
    assert not arrived.exists() and store.missing([pointer])
    arrived.write_bytes(content)
    store.keep(pointer, arrived)
    assert store.missing([pointer]) == ()


def test_a_long_transfer_is_heard_of(tmp_path: Path) -> None:
    said: list[str] = []
    heard = threading.Event()

    def log(line: str) -> None:
        said.append(line)
        heard.set()

    fill(tmp_path, {"tmp_pack_1": b"x" * 2048, "other": b"y"})
    with watched(tmp_path, "tmp_pack_*", "fetching", log, every=0.01):
        assert heard.wait(10)
    assert said == ["fetching: 2.0 KiB so far"]
