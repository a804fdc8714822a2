"""A checkout and a patch set from a few lines of text."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from trtllm_builder.patching.read import PatchSet, read_set

MakeTree = Callable[[Mapping[str, str]], Path]
MakeSet = Callable[..., PatchSet]


@pytest.fixture
def make_tree(tmp_path: Path) -> MakeTree:
    def make(files: Mapping[str, str]) -> Path:
        root = tmp_path / "tree"
        root.mkdir(exist_ok=True)
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(textwrap.dedent(text).encode())
        return root

    return make


@pytest.fixture
def make_set(tmp_path: Path) -> MakeSet:
    def make(operations: str, files: Mapping[str, str] | None = None, name: str = "mine", head: str = "") -> PatchSet:
        directory = tmp_path / "sets" / name
        directory.mkdir(parents=True)
        body = textwrap.indent(textwrap.dedent(operations), "  ")
        (directory / "patch.yaml").write_text(f"schema: 1\ndescription: a test\n{head}operations:\n{body}")
        for file, text in (files or {}).items():
            (directory / file).write_text(textwrap.dedent(text))
        return read_set(directory)

    return make
