"""Each check fires on a planted defect and stays silent without it. Checks are functions of facts: facts are made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packaging.tags import parse_tag

from trtllm_builder.binary.elf import Symbol
from trtllm_builder.binary.findings import Finding
from trtllm_builder.binary.wheel import Member, Wheel
from trtllm_builder.verify.auditwheel import Opinion, ask_auditwheel, auditwheel_check
from trtllm_builder.verify.checks import Check, noted, skipped
from trtllm_builder.verify.checks.every import static_checks
from trtllm_builder.verify.expect import Expectation, required_groups
from trtllm_builder.verify.library import Library, Target

OURS = Expectation(single_device=True, strict=True, build_paths=("/build/ws",))
STRANGER = Expectation()
INFO = "x-1.0.dist-info"
CUBIN, PTX = Target("sm_89", "cubin", True, False, 1, 10), Target("compute_89", "ptx", True, False, 1, 10)


def wheel(
    *,
    tag: str = "cp311-cp311-linux_x86_64",
    inside: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    texts: dict[str, str] | None = None,
    members: Iterable[str] = (),
    findings: Iterable[Finding] = (),
    name: str = "x",
    pure: str = "false",
) -> Wheel:
    about = f"Wheel-Version: 1.0\nRoot-Is-Purelib: {pure}\nTag: {inside or tag}\n"
    names = ("x/__init__.py", f"{INFO}/RECORD", *members)
    return Wheel(
        path=Path(f"/nowhere/x-1.0-{tag}.whl"),
        size=1000,
        sha256="ab" * 32,
        name=name,
        version="1.0",
        build="",
        tags=frozenset(parse_tag(tag)),
        headers=(("Name", name), ("Version", "1.0"), *headers),
        members=tuple(Member(one, 10, 5, "cd" * 32, one.endswith(".so")) for one in names),
        findings=tuple(findings),
        texts={f"{INFO}/WHEEL": about, **(texts or {})},
        not_kept=(),
    )


def library(path: str = "x/libs/liba.so", **facts: object) -> Library:
    return replace(Library(path, 100, machine="x86_64"), **facts)  # type: ignore[arg-type]


def found(id: str, seen: Wheel, libraries: Iterable[Library] = (), held: Expectation = OURS) -> Check:
    return next(one for one in static_checks(seen, tuple(libraries), held) if one.id == id)


def undefined(*names: str) -> tuple[Symbol, ...]:
    return tuple(Symbol(name) for name in names)


NEW = "_ZN3c106detail14torchCheckFailEPKcS2_jRKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
OLD = "_ZN3c106detail14torchCheckFailEPKcS2_jRKSs"
PLAIN = "_ZN2at6detail11empty_cudaEl"
torch_new, torch_old = library(undefined=undefined(NEW, PLAIN)), library("x/old.so", undefined=undefined(OLD))
asks_234 = library(needed_versions=(("libc.so.6", "GLIBC_2.34"), ("libc.so.6", "GLIBC_2.2.5")))
asks_cxx = library(needed_versions=(("libstdc++.so.6", "GLIBCXX_3.4.22"), ("libc.so.6", "GLIBC_2.14")))
Facts = tuple[Any, ...]  # wheel, libraries, expectation
TOP = "tensorrt_llm/__init__.py"
MANY = "py3-none-manylinux_2_28_x86_64"


PLANTED: list[tuple[str, Facts, Facts, str]] = [
    ("name", (wheel(headers=[("Name", "numpy")]),), (wheel(name="a-b", headers=[("Name", "A.b")]),), "says numpy"),
    ("archive", (wheel(findings=[Finding("path", "../e", "leaves")]),), (wheel(),), "../e: path: leaves"),
    ("record", (wheel(findings=[Finding("record", "a", "other hash")]),), (wheel(),), "a: record: other hash"),
    ("tags", (wheel(tag=MANY, inside="py3-none-linux_x86_64"),), (wheel(tag=MANY),), "renamed afterwards"),
    ("tags", (wheel(members=["a.so"], pure="true"),), (wheel(pure="true"),), "said to be pure Python"),
    ("size", (wheel(), (), replace(OURS, max_size=999)), (wheel(), (), replace(OURS, max_size=1000)), "more than"),
    ("version", (wheel(), (), replace(OURS, version="2")), (wheel(), (), replace(OURS, version="1")), "plan says"),
    ("version", (wheel(texts={"x/version.py": "a = 1\n__version__: str = '1.1'"}),),
     (wheel(texts={"x/version.py": "__version__ = '1.0.0'"}),), "x/version.py:2: __version__ is '1.1'"),
    ("python-tag", (wheel(), (), replace(OURS, python_tag="cp310")),
     (wheel(), (), replace(OURS, python_tag="cp311")), "made for cp311, not cp310"),
    ("extensions", (wheel(members=["x/_c.cpython-310-x86_64-linux-gnu.so"]),),
     (wheel(members=["x/_c.cpython-311-x86_64-linux-gnu.so", "x/d.abi3.so"]),), "CPython 3.10 only"),
    ("extensions", (wheel(tag="cp311-abi3-linux_x86_64", members=["x/_c.cpython-311-x86_64-linux-gnu.so"]),),
     (wheel(tag="cp311-abi3-linux_x86_64", members=["x/d.abi3.so"]),), "the tag says cp311-abi3"),
    ("extensions", (wheel(tag="cp310.cp311-cp310.cp311-any", members=["x/_c.cpython-311-x86_64-linux-gnu.so"]),),
     (wheel(tag="cp311-cp311-linux_x86_64", members=["x/_c.cpython-311-x86_64-linux-gnu.so"]),), "CPython 3.11 only"),
    ("gpu-targets", (wheel(), (library(targets=(CUBIN,)),), replace(OURS, required=(frozenset({"sm_90a"}),))),
     (wheel(), (library(targets=(CUBIN,)),), replace(OURS, required=(frozenset({"sm_89"}),))), "lacks sm_90a"),
    ("gpu-targets-allowed", (wheel(), (library(targets=(CUBIN,)),), replace(OURS, allowed=frozenset({"sm_80"}))),
     (wheel(), (library(targets=(CUBIN,)),), replace(OURS, allowed=frozenset({"sm_89"}))), "holds sm_89"),
    ("ptx", (wheel(), (library(targets=(PTX,)),), replace(OURS, ptx=frozenset())),
     (wheel(), (library(targets=(CUBIN,)),), replace(OURS, ptx=frozenset())), "compute_89"),
    ("ptx", (wheel(), (), replace(OURS, ptx=frozenset({"compute_90"}))),
     (wheel(), (library(targets=(replace(PTX, name="compute_90"),)),),
      replace(OURS, ptx=frozenset({"compute_90"}))), "lacks compute_90"),
    ("elf", (wheel(), (library(error="is cut off"),)), (wheel(), (library(),)), "is cut off"),
    ("forbidden-libraries", (wheel(), (library(forbidden_libraries=("libmpi.so.40",)),)), (wheel(), (library(),)),
     "needs or is libmpi.so.40"),
    ("forbidden-symbols", (wheel(), (library(forbidden_symbols=("MPI_Init (undefined)",)),)),
     (wheel(), (library(),)), "MPI_Init (undefined)"),
    ("runpath", (wheel(), (library(runpath=("$ORIGIN", "/build/ws/cpp")),)),
     (wheel(), (library(runpath=("$ORIGIN/../..",)),)), "the build's own directory"),
    ("runpath", (wheel(), (library(runpath=("lib",)),)), (wheel(), (library(rpath=("${ORIGIN}/x",)),)),
     "relative to whatever directory is current"),
    ("runpath", (wheel(), (library(rpath=("$ORIGIN/../../../../../../etc",)),)),
     (wheel(), (library(rpath=("$ORIGIN/../../../../..",)),)), "outside of site-packages"),
    ("runpath", (wheel(), (library(runpath=("/home/me/lib",)),)), (wheel(), (library(),)), "machine that built it"),
    ("needed", (wheel(), (library(needed=("libnuma.so.1",)),)), (wheel(), (library(needed=("libc.so.6",)),)),
     "needs libnuma.so.1; nothing in the wheel"),
    ("needed", (wheel(), (library(needed=("libcublas.so.12",)),)),
     (wheel(headers=[("Requires-Dist", "nvidia-cublas-cu12")]), (library(needed=("libcublas.so.12",)),)),
     "nvidia-cublas-cu12 has it"),
    ("needed", (wheel(headers=[("Requires-Dist", "nvidia-cublas-cu12")]), (library(needed=("libcublas.so.13",)),)),
     (wheel(headers=[("Requires-Dist", "nvidia-cublas")]), (library(needed=("libcublas.so.13",)),)),
     "nvidia-cublas-cu13 has it"),
    ("needed", (wheel(headers=[("Requires-Dist", "nvidia-cublas")]), (library(needed=("libcublas.so.12",)),)),
     (wheel(headers=[("Requires-Dist", "nvidia_cublas_cu12>1")]), (library(needed=("libcublas.so.12",)),)),
     "nvidia-cublas-cu12 has it"),
    ("needed", (wheel(headers=[("Requires-Dist", 'torch; extra == "x"')]), (library(needed=("libtorch.so",)),)),
     (wheel(headers=[("Requires-Dist", "torch>=2")]), (library(needed=("libtorch.so", "libcudart.so.12")),)),
     "torch has it, and METADATA does not require it"),
    ("needed", (wheel(), (library(needed=("libb.so.1",)), library("x/libb.so"))),
     (wheel(), (library(needed=("libb.so.1",)), library("x/libb.so", soname="libb.so.1"))), "needs libb.so.1"),
    ("symbol-versions", (wheel(tag=MANY), (asks_234,)), (wheel(tag="py3-none-manylinux_2_34_x86_64"), (asks_234,)),
     "asks for GLIBC_2.34; the tag promises glibc 2.28"),
    ("symbol-versions", (wheel(tag="py3-none-manylinux2014_x86_64"), (asks_cxx,)), (wheel(tag=MANY), (asks_cxx,)),
     "asks for GLIBCXX_3.4.22; the tag promises glibc 2.17"),
    ("torch", (wheel(), (torch_new, torch_old)), (wheel(headers=[("Requires-Dist", "torch==2.9.0")]), (torch_new,)),
     "of the new and"),
    ("torch", (wheel(headers=[("Requires-Dist", "torch>=2.4")]), (torch_new,)),
     (wheel(headers=[("Requires-Dist", "torch>=2.9.0a0,<2.10")]), (torch_new,)), "2.4 and every later one"),
    ("mpi-imports", (wheel(name="tensorrt-llm", texts={TOP: "import os\nfrom mpi4py import MPI"}),),
     (wheel(name="tensorrt-llm", texts={TOP: "import os"}),), "__init__.py:2: import reaches it: imports MPI"),
    ("requires-dist", (wheel(headers=[("Requires-Dist", "MPI4py>=3")]),),
     (wheel(headers=[("Requires-Dist", "mpi4pyx")]),), "requires MPI4py>=3"),
]  # fmt: skip


def test_every_check_has_its_defect() -> None:
    elsewhere = {"cuobjdump", "auditwheel", "provenance", "signature", "sbom", "build-record", "lock"}
    assert {one.id for one in static_checks(wheel(), (), OURS)} == {one[0] for one in PLANTED} | elsewhere
    # While a wheel is built nothing lies beside it yet: it would read as if it had no provenance.
    building = {one.id for one in static_checks(wheel(), (), OURS, beside=False)}
    assert not building & {"provenance", "signature", "build-record", "lock"} and "sbom" in building


@pytest.mark.parametrize(("id", "bad", "good", "told"), PLANTED)
def test_fires_and_stays_silent(id: str, bad: Facts, good: Facts, told: str) -> None:
    fired = found(id, *bad)
    assert fired.status == "failed" and fired.remedy
    assert told in " | ".join(map(str, fired.evidence))
    assert found(id, *good).status == "passed", found(id, *good).evidence


@pytest.mark.parametrize(
    ("id", "seen", "libraries"),
    [
        ("tags", wheel(tag=MANY, inside="py3-none-linux_x86_64"), ()),
        ("extensions", wheel(members=["x/_c.cpython-310-x86_64-linux-gnu.so"]), ()),
        ("forbidden-libraries", wheel(), (library(forbidden_libraries=("libmpi.so.40",)),)),
        ("forbidden-symbols", wheel(), (library(forbidden_symbols=("MPI_Init (undefined)",)),)),
        ("runpath", wheel(), (library(runpath=("lib",)),)),
        ("needed", wheel(), (library(needed=("libnuma.so.1",)),)),
        ("symbol-versions", wheel(tag=MANY), (asks_234,)),
        ("torch", wheel(), (torch_new, torch_old)),
        ("version", wheel(texts={"x.py": "__version__ = '3'"}), ()),
        ("requires-dist", wheel(headers=[("Requires-Dist", "mpi4py")]), ()),
        ("mpi-imports", wheel(name="tensorrt-llm", texts={TOP: "import mpi4py.MPI"}), ()),
    ],
)
def test_a_stranger_is_warned_about_what_we_must_not_do(id: str, seen: Wheel, libraries: tuple[Library, ...]) -> None:
    seen = replace(seen, members=(*seen.members, Member("x.py", 1, 1, "", False)))
    assert found(id, seen, libraries).fatal
    stranger = found(id, seen, libraries, STRANGER)
    assert (stranger.level, stranger.status) == ("warn", "failed") and stranger.remedy


def test_what_is_wrong_with_anybodys_wheel() -> None:
    for id, seen, libraries in (
        ("archive", wheel(findings=[Finding("path", "../e", "leaves")]), ()),
        ("record", wheel(findings=[Finding("record", "a", "other hash")]), ()),
        ("elf", wheel(), (library(error="is cut off"),)),
        ("version", replace(wheel(), version="3.0"), ()),
    ):
        assert found(id, seen, libraries, STRANGER).fatal, id


def test_each_requirement_has_its_own_remedy() -> None:
    malformed = found("requires-dist", wheel(headers=[("Requires-Dist", "a b c")]))
    assert malformed.status == "failed" and "mpi4py" not in malformed.remedy
    both = found("requires-dist", wheel(headers=[("Requires-Dist", "a b c"), ("Requires-Dist", "mpi4py")]))
    assert "no requirement" in both.remedy and "mpi4py" in both.remedy


def test_characters_that_cannot_be_seen_are_spelled_out() -> None:
    one = found("archive", wheel(findings=[Finding("path", "a\x1b[31mb\u202e.py", "control characters")]))
    assert one.fault == r"archive: a\x1b[31mb\u202e.py: path: control characters"


def test_the_python_of_others_that_names_mpi_is_told() -> None:
    for text, told in (
        ("import os\n  from mpi4py import MPI", "x/a.py:2: names mpi4py"),
        ("import ctypes\n\nctypes.CDLL('libmpi.so.40')", "x/a.py:3: names libmpi.so.40"),
    ):
        one = found("mpi-imports", wheel(texts={"x/a.py": text}))
        assert (one.status, one.level, str(one.evidence[0])) == ("failed", "info", told)
    assert found("mpi-imports", wheel(texts={"x/a.py": "# mpi4py and libmpi"})).status == "skipped"


def test_a_stranger_has_no_profile() -> None:
    asked = replace(STRANGER, required=required_groups(["sm_89"]))
    assert "profile" not in found("gpu-targets", wheel(), (), asked).remedy
    assert "profile" in found("gpu-targets", wheel(), (), replace(asked, strict=True)).remedy


def test_a_wheel_file_that_was_not_read_is_not_missing() -> None:
    seen = replace(wheel(members=[f"{INFO}/WHEEL"]), texts={}, not_kept=(f"{INFO}/WHEEL",))
    assert str(found("tags", seen).evidence[0]) == "the WHEEL file was not read"
    assert "there is no WHEEL" in str(found("tags", replace(wheel(), texts={})).evidence[0])


def test_questions_that_do_not_arise() -> None:
    none = {one.id: one for one in static_checks(wheel(), (), STRANGER)}
    for id in ("python-tag", "extensions", "gpu-targets", "gpu-targets-allowed", "cuobjdump", "symbol-versions",
               "auditwheel", "torch", "provenance", "signature", "sbom", "mpi-imports"):  # fmt: skip
        assert none[id].status == "skipped" and none[id].severity == "info", id
    assert {none[id].level for id in ("size", "ptx")} == {"info"}
    # Without a manylinux tag nothing is promised: then it is told what is needed.
    linux = found("symbol-versions", wheel(), (asks_234,))
    assert linux.level == "info" and str(linux.evidence[0]) == "x/libs/liba.so: glibc 2.34 or newer"
    assert found("torch", wheel(name="torch"), (torch_new,)).status == "skipped"
    stable = found("torch", wheel(), (library(undefined=undefined("aoti_torch_zeros")),))
    assert stable.status == "skipped" and "stable C interface" in str(stable.evidence[0])


def test_the_searched_places_of_a_library_within_the_wheel() -> None:
    inner = library("x/libs/libb.so", soname="libb.so.1")
    sees = library("x/_c.so", needed=("libb.so.1",), runpath=("$ORIGIN/libs",))
    assert not any("must be loaded before" in str(one) for one in found("needed", wheel(), (inner, sees)).evidence)
    blind = found("needed", wheel(), (inner, replace(sees, runpath=())))
    assert blind.status == "passed"
    assert "does not look where the wheel has libb.so.1; it must be loaded before" in str(blind.evidence[-1])


def test_what_may_reach_mpi_is_a_warning_for_us_too() -> None:
    text = "import sys\nif sys.argv:\n    import mpi4py.MPI\n"
    perhaps = found("mpi-imports", wheel(name="tensorrt-llm", texts={TOP: text}))
    assert perhaps.level == "warn" and "if sys.argv" in str(perhaps.evidence[0]), perhaps
    guarded = "from .b import ENABLE_MULTI_DEVICE\nif ENABLE_MULTI_DEVICE:\n    import mpi4py.MPI\n"
    seen = wheel(name="tensorrt-llm", texts={TOP: guarded.replace(".b", "tensorrt_llm.bindings.BuildInfo")})
    assert found("mpi-imports", seen).status == "passed"
    linked = library(forbidden_libraries=("libmpi.so.40",))
    assert found("mpi-imports", seen, (linked,), STRANGER).level == "warn"
    broken = found("mpi-imports", wheel(name="tensorrt-llm", texts={TOP: "def f(:"}))
    assert broken.level == "warn" and "cannot be followed" in str(broken.evidence[0])


def test_versions_are_read_as_they_are_written() -> None:
    for text in ("def f(:", "__version__ = get()", "__version__ = 1", "# __version__ = '9'", "\0__version__ = '9'"):
        assert found("version", wheel(texts={"x/__init__.py": text})).status == "passed", text


def test_auditwheel_may_see_more_but_not_less(tmp_path: Path) -> None:
    ours = asks_234.needed_versions
    same = auditwheel_check(Opinion("manylinux_2_34_x86_64", frozenset(ours)), (asks_234,))
    assert same.status == "passed" and "manylinux_2_34_x86_64" in str(same.evidence[0])
    more = auditwheel_check(Opinion("t", frozenset({*ours, ("libm.so.6", "GLIBC_2.38")})), (asks_234,))
    assert more.status == "passed" and "GLIBC_2.38 of libm.so.6 too" in str(more.evidence[1])
    less = auditwheel_check(Opinion("t", frozenset(ours[1:])), (asks_234,))
    assert (less.status, less.severity) == ("failed", "warning") and "GLIBC_2.34 of libc.so.6" in str(less.evidence[0])
    for script in ("echo '{}'", "echo no json", "exit 1", 'echo \'{"sym_tag": 1, "versioned_symbols": []}\''):
        tool = tmp_path / "auditwheel"
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        unusable = auditwheel_check(ask_auditwheel(tool, tmp_path, {"PATH": "/usr/bin:/bin"}), (asks_234,))
        assert unusable.status == "skipped" and "gave no answer" in str(unusable.evidence[0])
    assert "cannot be run" in ask_auditwheel(tmp_path / "none", tmp_path, {}).unusable


def test_levels() -> None:
    assert noted("a", "t", ["x"]).level == "info" and skipped("a", "t", "why").level == "skipped"
    words = {
        (severity, status): Check("a", severity, status, "t").level  # type: ignore[arg-type]
        for severity in ("error", "warning", "info")
        for status in ("passed", "failed")
    }
    assert words == {
        ("error", "passed"): "ok", ("warning", "passed"): "ok", ("info", "passed"): "info",
        ("error", "failed"): "fail", ("warning", "failed"): "warn", ("info", "failed"): "info",
    }  # fmt: skip
