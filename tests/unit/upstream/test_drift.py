"""Drift: what changed between checkouts, and between a checkout and its release's row; and that nothing else counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trtllm_builder.upstream.audit.audit import audit
from trtllm_builder.upstream.audit.model import MpiAudit
from trtllm_builder.upstream.audit.package import Package
from trtllm_builder.upstream.catalogue import row_named
from trtllm_builder.upstream.drift import Change, compare, compare_paths
from trtllm_builder.upstream.probe import probe
from trtllm_builder.upstream.tree import Tree

Trees = Callable[..., Path]


def changes(before: Path, after: Path) -> list[tuple[str, str, str]]:
    return [(one.kind, one.what, one.name) for one in compare(probe(before), probe(after))]


def edited(tree: Trees, path: str, before: str, after: str) -> list[Change]:
    """What counts when one thing changes in the tree of 1.2."""
    old = tree(generation="1.2", whole=True, name="old")
    new = tree(generation="1.2", whole=True, name="new")
    text = (new / path).read_text()
    assert text.count(before) == 1
    (new / path).write_text(text.replace(before, after))
    return list(compare(probe(old), probe(new)))


SCRIPT = "scripts/build_wheel.py"
CMAKE = "cpp/CMakeLists.txt"


@pytest.mark.parametrize(
    ("path", "before", "after", "told"),
    [
        (SCRIPT, '"--nvtx", action="store_true"', '"--nvtx"', ("flag", "changed", "--nvtx", "--nvtx", "--nvtx X")),
        (SCRIPT, '"--nccl_root"', '"--nccl-root"', ("flag", "gone", "--nccl_root", "--nccl_root X", None)),
        (SCRIPT, '"-ccache", ', "", ("flag", "changed", "--use_ccache", "--use_ccache, -ccache", "--use_ccache")),
        (
            SCRIPT,
            'default="/usr/local/tensorrt"',
            'default="/opt"',
            (
                "flag",
                "changed",
                "--trt_root",
                "--trt_root X (default /usr/local/tensorrt)",
                "--trt_root X (default /opt)",
            ),
        ),
        (CMAKE, 'option(ENABLE_UCX "" ON)', "", ("option", "gone", "ENABLE_UCX", "ON", None)),
        (CMAKE, "VERSION 3.27", "VERSION 3.30", ("CMake", "changed", "minimum", "3.27", "3.30")),
        (SCRIPT, '"pg_utils", ', "", ("target", "gone", "pg_utils", "pg_utils", None)),
        (
            "cpp/cmake/modules/cuda_configuration.cmake",
            "80 86 90",
            "80 86 89 90",
            ("GPU code", "changed", "bases", "80 86 90 100 120", "80 86 89 90 100 120"),
        ),
        (
            "cpp/tensorrt_llm/deep_ep/CMakeLists.txt",
            "GREATER_EQUAL 9",
            "GREATER_EQUAL 10",
            ("component", "changed", "deep_ep", "from sm_90 on", "from sm_100 on"),
        ),
        (
            SCRIPT,
            "set(extra_cmake_vars)",
            "dict.fromkeys(extra_cmake_vars)",
            ("-D values", "changed", "order", "set", "ordered"),
        ),
    ],
)
def test_each_kind_of_change(
    tree: Trees, path: str, before: str, after: str, told: tuple[str, str, str, str | None, str | None]
) -> None:
    found = [(one.kind, one.what, one.name, one.before, one.after) for one in edited(tree, path, before, after)]
    assert told in found


def test_a_trap_that_comes_goes_or_moves(tree: Trees) -> None:
    path = "tensorrt_llm/_utils.py"
    gone = edited(tree, path, "local_comm = mpi_comm().Split_type(split_type=9)", "local_comm = None")
    assert [(one.what, one.name, one.before, one.after) for one in gone] == [
        ("gone", "import-splits-communicator", path, None)
    ]
    assert changes(
        tree(generation="mid-2026", whole=True, name="a"), tree(generation="build-root-2026", whole=True, name="b")
    ) == [
        ("flag", "gone", "--skip_requirements"),
        ("flag", "new", "--build_root"),
        ("flag", "new", "--out-of-tree"),
        ("flag", "new", "--python_only"),
        ("trap", "gone", "installs-with-own-python"),
        ("trap", "gone", "submodule-update-in-script"),
        ("trap", "gone", "wheel-built-twice"),
        ("trap", "new", "msa-staging"),
        ("component", "new", "msa"),
    ]


def test_ways_on_which_mpi_is_reached(tree: Trees) -> None:
    def audited(name: str, lines: str) -> MpiAudit:
        files = {"tensorrt_llm/__init__.py": "from . import _utils\n", "tensorrt_llm/_utils.py": lines}
        return audit(Package.of_tree(Tree(tree(files, name=name))))

    touching, moved = (
        audited("old", "from mpi4py import MPI\n"),
        audited("moved", "import os\n\nfrom mpi4py import MPI\n"),
    )
    free = audited("new", "import os\n")
    gone = compare_paths(touching, free)
    assert [(one.kind, one.what, one.before) for one in gone] == [("import path", "gone", "certain")]
    assert gone[0].name.startswith("import: tensorrt_llm/_utils.py: ")
    assert [one.what for one in compare_paths(free, touching)] == ["new"]
    assert compare_paths(touching, moved) == ()


def test_lines_versions_and_order_are_no_change(tree: Trees) -> None:
    old, new = tree(generation="1.2", whole=True, name="old"), tree(generation="1.2", whole=True, name="new")
    script = new / SCRIPT
    script.write_text("# a comment\n\n" + script.read_text())
    (new / "tensorrt_llm/version.py").write_text('__version__ = "1.2.9"\n')
    assert changes(old, new) == []


@pytest.mark.parametrize(
    ("family", "generation", "told"),
    [
        ("1.2", "1.2", []),
        ("main", "autumn-2026", [("trap", "new", "build-graph-check")]),
    ],
)
def test_against_a_row(tree: Trees, family: str, generation: str, told: list[tuple[str, str, str]]) -> None:
    row = row_named(family)
    assert row is not None
    found = compare(row.assumed_probe(), probe(tree(generation=generation, whole=True)))
    # Our trees declare the few options that their shape is about, the rows those that real ones have.
    assert [(one.kind, one.what, one.name) for one in found if one.kind != "option"] == told
    assert {one.what for one in found if one.kind == "option"} <= {"gone"}
