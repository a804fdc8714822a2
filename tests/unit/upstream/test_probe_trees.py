"""Whole checkouts, and hostile ones: what is outside, huge, broken or no file at all is never read."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from trtllm_builder.errors import SourceError
from trtllm_builder.upstream.probe import probe
from trtllm_builder.upstream.tree import Tree

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 5000000\n" % 1
BATCH = "cpp/tensorrt_llm/batch_manager/x86_64-linux-gnu/libtensorrt_llm_batch_manager_static.a"
EXECUTOR = "cpp/tensorrt_llm/executor/x86_64-linux-gnu/libtensorrt_llm_executor_static.a"


def test_a_checkout(tree: Callable[..., Path]) -> None:
    root = tree({"cpp/CMakeLists.txt": 'cmake_minimum_required(VERSION 3.27)\noption(ENABLE_MULTI_DEVICE "" ON)\n'})
    found = probe(root)
    option = found.option("ENABLE_MULTI_DEVICE")
    assert (found.root, found.version, found.cmake_minimum) == (str(root), "1.2.0", "3.27")
    assert option is not None and (option.default, option.file, option.line) == ("ON", "cpp/CMakeLists.txt", 2)
    assert found.option("ENABLE_MULTI") is None
    assert found.has_trap("extra-cmake-split") and not found.has_trap("extra-cmake")
    assert found.notes == () and found.refusal() is None and not found.assumed


def test_nothing_in_a_checkout_is_run(tree: Callable[..., Path], tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    bomb = f"open({str(mark)!r}, 'w').close()\n"
    probe(tree({"tensorrt_llm/version.py": bomb + '__version__ = "1"\n', "setup.py": bomb, "scripts/os.py": bomb}))
    assert not mark.exists()


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('__version__ = "0.13.0"\n', "0.13.0"),
        ('__version__: str = "1.0.0rc1"\n', "1.0.0rc1"),
        ("__version__ = get()\n", "unknown"),
        ("def broken(:\n", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_version(tree: Callable[..., Path], text: str, version: str) -> None:
    found = probe(tree({"tensorrt_llm/version.py": text}))
    assert found.version == version
    assert bool(found.notes) == (version == "unknown")


def test_lfs_pointers_are_small_files_that_begin_like_one(tree: Callable[..., Path]) -> None:
    root = tree(
        {
            "cpp/a.a": POINTER,
            "z/b.so": POINTER,
            "real.a": b"!<arch>\n" + bytes(200),
            "large.a": POINTER + bytes(2000),
            "text.md": b"a pointer begins with: " + POINTER,
            ".git/lfs/objects/c": POINTER,
        }
    )
    (root / "link.a").symlink_to("cpp/a.a")
    assert probe(root).lfs_pointers == ("cpp/a.a", "z/b.so")


def test_submodules(tree: Callable[..., Path]) -> None:
    listed = "".join(
        f'[submodule "{path}"]\n\tpath = {path}\n\turl = https://example.invalid/x.git\n'
        for path in ("3rdparty/full", "3rdparty/empty", "3rdparty/absent", "../outside", "/etc", "a/../../b")
    )
    root = tree({".gitmodules": listed, "3rdparty/full/file": "x"})
    (root / "3rdparty/empty").mkdir()
    found = probe(root)
    assert found.submodules == ("3rdparty/absent", "3rdparty/empty", "3rdparty/full")
    assert found.missing_submodules == ("3rdparty/absent", "3rdparty/empty")
    assert sum("outside the checkout" in note for note in found.notes) == 3


def test_prebuilt_archives_are_refused_in_one_sentence(tree: Callable[..., Path]) -> None:
    other = BATCH.replace("x86_64", "aarch64")
    found = probe(tree({BATCH: POINTER, EXECUTOR: POINTER, other: POINTER}, generation="0.13"))
    refusal = found.refusal()
    assert found.prebuilt_mpi == (BATCH, EXECUTOR, other)
    assert refusal is not None and refusal.exit_code == 4
    assert refusal.what.startswith("TensorRT-LLM 1.2.0 cannot be built single-device on x86_64: ")
    assert "prebuilt MPI-linked archives" in refusal.what and "Git LFS pointers" in refusal.what
    assert BATCH in refusal.what and EXECUTOR in refusal.what
    assert "\n" not in refusal.what and ". " not in refusal.what


def test_prebuilt_archives_that_are_there_are_no_better(tree: Callable[..., Path]) -> None:
    refusal = probe(tree({BATCH: b"!<arch>\n"})).refusal()
    assert refusal is not None and "present here" in refusal.what


def test_with_sources_the_archives_do_not_matter(tree: Callable[..., Path]) -> None:
    cmake = "cpp/tensorrt_llm/batch_manager/CMakeLists.txt"
    assert probe(tree({BATCH: POINTER, cmake: "add_library(x)\n"})).refusal() is None


def test_prebuilt_kernels(tree: Callable[..., Path]) -> None:
    base = "cpp/tensorrt_llm/kernels/internal_cutlass_kernels"
    found = probe(tree({f"{base}/x86_64-linux-gnu/k.tar.xz": POINTER, f"{base}/aarch64-linux-gnu/k.tar.xz": POINTER}))
    assert found.prebuilt_kernels == (f"{base}/x86_64-linux-gnu/k.tar.xz",)


def test_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"^this is not a TensorRT-LLM checkout: scripts/build_wheel.py is missing$"):
        probe(tmp_path)
    with pytest.raises(SourceError, match="is not a directory"):
        probe(tmp_path / "absent")


def test_a_broken_build_script_names_its_line(tree: Callable[..., Path]) -> None:
    with pytest.raises(SourceError, match=r"^scripts/build_wheel\.py:2:\d+: this is not valid Python"):
        probe(tree({"scripts/build_wheel.py": "import os\ndef main(:\n"}))


def test_a_build_script_outside_the_tree_is_not_read(tree: Callable[..., Path], tmp_path: Path) -> None:
    root = tree()
    outside = tmp_path / "outside.py"
    outside.write_text("x = 1\n")
    (root / "scripts/build_wheel.py").unlink()
    (root / "scripts/build_wheel.py").symlink_to(outside)
    with pytest.raises(SourceError, match="symbolic link that leaves the checkout"):
        probe(root)


def test_links_inside_the_tree_are_followed_for_single_files(tree: Callable[..., Path]) -> None:
    root = tree()
    (root / "scripts/build_wheel.py").rename(root / "scripts/real.py")
    (root / "scripts/build_wheel.py").symlink_to("real.py")
    assert probe(root).flags


def test_directories_outside_are_not_walked(tree: Callable[..., Path], tmp_path: Path) -> None:
    root = tree()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.bin").write_bytes(POINTER)
    (outside / "CMakeLists.txt").write_text('option(SECRET "" ON)\n')
    (root / "cpp").symlink_to(outside)
    (root / "3rdparty").mkdir()
    (root / "3rdparty/loop").symlink_to("..")
    found = probe(root)
    assert found.lfs_pointers == () and found.options == ()


def test_huge_and_special_files_are_notes(tree: Callable[..., Path]) -> None:
    root = tree({"tensorrt_llm/_utils.py": "import os\n"})
    os.truncate(root / "tensorrt_llm/_utils.py", 2**40)
    os.mkfifo(root / "setup.py")
    notes = probe(root).notes
    assert any("tensorrt_llm/_utils.py has 1099511627776 bytes" in note for note in notes)
    assert "setup.py is not a plain file; it was not read" in notes


def test_a_huge_build_script(tree: Callable[..., Path]) -> None:
    root = tree()
    os.truncate(root / "scripts/build_wheel.py", 2**30)
    with pytest.raises(SourceError, match="1073741824 bytes"):
        probe(root)


def test_deep_nesting_anywhere_ends_well(tree: Callable[..., Path]) -> None:
    deep = "x = " + "-" * 3000 + "1\n"
    root = tree(
        {
            "tensorrt_llm/_utils.py": deep,
            "setup.py": "if a:\n" + "".join(" " * level + "if a:\n" for level in range(1, 90)) + " " * 90 + "pass\n",
            "cpp/CMakeLists.txt": "f(" + "(" * 20000,
        }
    )
    path = "/".join(["d" * 200] * 15)
    (root / path).mkdir(parents=True)
    # Deeper than a path may be long: only relative calls reach down there.
    descriptor = os.open(root / path, os.O_RDONLY)
    try:
        for _ in range(10):
            os.mkdir("d" * 200, dir_fd=descriptor)
            below = os.open("d" * 200, os.O_RDONLY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        notes = probe(root).notes
    finally:
        os.close(descriptor)
        subprocess.run(["rm", "-rf", str(root / ("d" * 200))], check=True)
    assert any("cpp/CMakeLists.txt:1: f( is not closed" in note for note in notes)
    assert any("could not be" in note and "name too long" in note.lower() for note in notes)


def test_names_and_text_that_are_not_utf8(tree: Callable[..., Path]) -> None:
    root = tree({"cpp/CMakeLists.txt": b'# caf\xe9\noption(A "\xff" ON)\n', "tensorrt_llm/_utils.py": b"x = '\xe9'\n"})
    (root / os.fsdecode(b"caf\xe9")).write_bytes(POINTER)
    found = probe(root)
    assert [option.name for option in found.options] == ["A"]
    assert any("tensorrt_llm/_utils.py" in note and "not valid Python" in note for note in found.notes)
    assert len(found.lfs_pointers) == 1


def test_what_may_not_be_listed_is_a_note(tree: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree({"closed/file": "x"})
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    # Tests may run as root, whom no mode keeps out.
    monkeypatch.setattr(os, "scandir", refuse)
    reader = Tree(root)
    assert "closed/file" not in dict(reader.files())
    assert reader.notes == ("closed could not be listed: Permission denied",)
