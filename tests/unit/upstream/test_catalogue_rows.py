"""The catalogue: refs, cells, and the probes that plans assume before a checkout is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from trtllm_builder.upstream import traps
from trtllm_builder.upstream.catalogue import row_for, row_named, rows
from trtllm_builder.upstream.model import Probe
from trtllm_builder.upstream.probe import probe


@pytest.mark.parametrize(
    ("ref", "family"),
    [
        ("release/0.20", "0.20"),
        ("v0.20.0", "0.20"),
        ("refs/tags/v1.1.0rc3", "1.1"),
        ("v1.2.0rc2.post1", "1.2"),
        ("release/1.1", "1.1"),
        ("1.0.0", "1.0"),
        ("main", "main"),
        ("origin/main", "main"),
        ("v0.13.0", "0.13-0.18"),
        ("release/0.18", "0.13-0.18"),
        ("v0.21.0", "0.21"),
        ("v1.3.0rc20", "1.3 with TensorRT"),
        ("v1.3.0rc21", "main"),
        ("release/1.4", "main"),
        ("1.2.0rc6.post2", "1.2"),
        ("v0.15.0.dev2024101500", "0.13-0.18"),
    ],
)
def test_a_ref_has_its_row(ref: str, family: str) -> None:
    row = row_for(ref)
    assert row is not None and row.family == family


@pytest.mark.parametrize(
    "ref", ["", "b35ac1b64368513d215c57d2ed01d62d910df8da", "release/9.9", "maintenance", "v0.2", "feature/1.1x/y"]
)
def test_other_refs_have_none(ref: str) -> None:
    assert row_for(ref) is None


def test_every_cell_is_sound_and_says_how_sure_it_is() -> None:
    listed = traps.__doc__ or ""
    for row in rows():
        for specifier in (row.cuda, row.cmake, row.torch, row.gcc, row.glibc, row.tensorrt or ""):
            SpecifierSet(specifier)
        assert row.single_device in ("supported", "unproven", "unsupported")
        assert set(row.sureness) >= {"cuda", "toolkit", "tensorrt", "cmake", "python", "torch", "gcc", "glibc"}
        assert set(row.sureness) >= {"single_device", "architectures", "probe"}
        assert all(cell.level in ("verified", "reported", "inferred") and cell.source for cell in row.sureness.values())
        assert SpecifierSet(row.cuda).contains(row.toolkit) and row.architectures
        assert 0 < row.least_disk < row.disk.low < row.disk.high and 0 < row.time.low < row.time.high
        assert row.disk.source and row.time.source
        assert all(f"``{name}``" in listed for name in row.traps)
        spellings = [spelling for flag in row.flags for spelling in flag.spellings]
        assert len(spellings) == len(set(spellings))


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.family)
def test_what_a_plan_needs_is_assumed(row: object) -> None:
    probe = row.assumed_probe()  # type: ignore[attr-defined]
    assert probe.assumed and probe.sureness["probe"] in ("verified", "reported", "inferred")
    for name in ("job_count", "extra-cmake-vars", "cuda_architectures", "build_dir", "dist_dir", "build_type"):
        assert probe.flag(name) is not None
    assert probe.option("ENABLE_MULTI_DEVICE") is not None and probe.option("ENABLE_UCX") is not None
    assert (probe.refusal() is not None) == (row.single_device == "unsupported")  # type: ignore[attr-defined]


def test_what_differs_between_releases() -> None:
    def probe(ref: str) -> Probe:
        row = row_for(ref)
        assert row is not None
        return row.assumed_probe()

    assert probe("v0.13.0").flag("generator") is None and probe("release/0.20").flag("generator") is not None
    assert probe("release/0.20").flag("yes") is None and probe("main").flag("-y") is not None
    assert probe("release/1.2").flag("trt_root") is not None and probe("main").flag("trt_root") is None
    assert probe("release/1.2").flag("-ccache") is not None and probe("main").flag("-ccache") is None
    assert probe("release/0.20").option("BUILD_DEEP_EP") is None
    assert probe("release/1.1").option("BUILD_DEEP_EP") is not None
    assert probe("release/1.1").has_trap("deep-ep-architectures-file")
    assert not probe("release/0.20").has_trap("deep-ep-architectures-file")
    assert probe("main").extra_cmake_handling == "ordered"
    row = row_for("main")
    assert row is not None and row.tensorrt is None


def test_an_old_release_is_refused_without_a_checkout() -> None:
    row = row_for("v0.15.0")
    assert row is not None
    refusal = row.assumed_probe().refusal()
    assert refusal is not None and refusal.exit_code == 4
    assert "prebuilt MPI-linked archives" in refusal.what and "Git LFS pointers" in refusal.what


# Family -> the generation of our fixtures in its shape, and the traps in which the two may differ: those of which we
# do not know in which release of the family they came or went.
SHAPES: dict[str, tuple[str, set[str]]] = {
    "0.13-0.18": ("0.13", {"unguarded-mpi-call"}),
    "0.19": ("0.19", set()),
    "0.20": ("0.20", set()),
    "1.0": ("1.0", {"cufile-on-by-default"}),
    "1.2": ("1.2", set()),
    "1.3 with TensorRT": ("early-2026", set()),
    "main": ("autumn-2026", {"build-graph-check"}),
}


@pytest.mark.parametrize("family", SHAPES)
def test_a_row_expects_what_its_generation_has(tree: Callable[..., Path], family: str) -> None:
    generation, unsure = SHAPES[family]
    row = row_named(family)
    assert row is not None
    expected, found = row.assumed_probe(), probe(tree(generation=generation, whole=True))
    assert {trap.id for trap in expected.traps} == {trap.id for trap in found.traps} - unsure
    spellings = lambda one: {(flag.spellings, flag.arity) for flag in one.flags}  # noqa: E731
    assert spellings(expected) - {(("--nixl_root",), "1"), (("--no-venv",), "0")} <= spellings(found)
    assert spellings(found) <= spellings(expected)
    assert set(expected.targets) == set(found.targets)
    assert expected.extra_cmake_handling == found.extra_cmake_handling
    assert (expected.architecture_bases, expected.architecture_exact) == (
        found.architecture_bases,
        found.architecture_exact,
    )
    for component in expected.components:
        read = found.component(component.option)
        assert read is not None
        assert (read.minimum, read.only, read.one_file) == (component.minimum, component.only, component.one_file)


def test_without_a_checkout_nothing_is_said_to_be_here() -> None:
    row = row_for("v0.16.0")
    assert row is not None
    refusal = row.assumed_probe().refusal()
    assert refusal is not None and "here" not in refusal.what and "in it" in refusal.what
