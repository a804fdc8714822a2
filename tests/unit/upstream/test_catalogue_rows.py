"""The catalogue: refs, cells, and the probes that plans assume before a checkout is there."""

from __future__ import annotations

import pytest
from packaging.specifiers import SpecifierSet

from trtllm_builder.upstream import traps
from trtllm_builder.upstream.catalogue import row_for, rows


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
        for specifier in (row.cuda, row.cmake, row.torch, row.gcc, row.tensorrt or ""):
            SpecifierSet(specifier)
        assert row.single_device in ("supported", "unproven", "unsupported")
        assert set(row.sureness) >= {"cuda", "tensorrt", "cmake", "python", "torch", "gcc", "single_device", "probe"}
        assert all(cell.level in ("verified", "reported", "inferred") and cell.source for cell in row.sureness.values())
        assert 0 < row.disk.low < row.disk.high and 0 < row.time.low < row.time.high
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
    def probe(ref: str):  # type: ignore[no-untyped-def]
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
