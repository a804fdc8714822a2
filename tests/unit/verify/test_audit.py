from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from trtllm_builder.binary.fatbin import read_fatbin
from trtllm_builder.errors import UsageError, VerifyError
from trtllm_builder.verify.aside import keep_aside
from trtllm_builder.verify.audit import Audit, audit
from trtllm_builder.verify.checks import Check
from trtllm_builder.verify.expect import Expectation, required_groups

MakeWheel = Callable[..., Path]
MakeLibrary = Callable[..., bytes]
DATA = Path(__file__).parents[2] / "data" / "fatbin"
LIB = "tensorrt_llm/libs/libtensorrt_llm.so"
OURS = Expectation(
    required=required_groups(["sm_89", "sm_90a"]),
    libraries=("libtensorrt_llm.so",),
    single_device=True,
    strict=True,
    build_paths=("/build/ws",),
)


def check(found: Audit, id: str) -> Check:
    return next(check for check in found.checks if check.id == id)


def told(found: Check) -> tuple[str, ...]:
    return tuple(map(str, found.evidence))


def test_a_sound_wheel_passes(make_wheel: MakeWheel, make_library: MakeLibrary) -> None:
    found = audit(make_wheel({LIB: make_library("many.fatbin")}), OURS, cross_check=False)
    assert [c.id for c in found.checks if c.status == "failed"] == []
    assert check(found, "gpu-targets").status == "passed"
    assert check(found, "gpu-targets-allowed").status == "skipped"
    assert check(found, "cuobjdump").status == "skipped"
    assert told(check(found, "ptx")) == (f"{LIB}: compute_89",)
    (library,) = found.libraries
    assert library.cubins == {"sm_80", "sm_89", "sm_90a", "sm_100f", "sm_120"}


def test_a_missing_architecture_is_named_with_what_is_there(make_wheel: MakeWheel, make_library: MakeLibrary) -> None:
    wheel = make_wheel({LIB: make_library("plain.fatbin")})
    failed = check(audit(wheel, OURS, cross_check=False), "gpu-targets")
    assert failed.fatal
    assert told(failed) == (f"{LIB}: lacks sm_90a: it holds sm_89",)


def test_every_named_library_must_hold_them(make_wheel: MakeWheel, make_library: MakeLibrary) -> None:
    full, empty = make_library("many.fatbin"), make_library()
    wheel = make_wheel({LIB: empty, "tensorrt_llm/libs/libother.so": full})
    assert "no machine code" in told(check(audit(wheel, OURS, cross_check=False), "gpu-targets"))[0]
    anywhere = replace(OURS, libraries=())
    assert check(audit(wheel, anywhere, cross_check=False), "gpu-targets").status == "passed"
    absent = replace(OURS, libraries=("libth_common.so",))
    assert told(check(audit(wheel, absent, cross_check=False), "gpu-targets")) == (
        "the wheel holds no libth_common.so",
    )


def test_relocatable_code_does_not_count(make_wheel: MakeWheel, make_library: MakeLibrary) -> None:
    wheel = make_wheel({LIB: make_library("many.fatbin", section="__nv_relfatbin")})
    found = audit(wheel, OURS, cross_check=False)
    assert check(found, "gpu-targets").fatal
    assert {target.linked for target in found.libraries[0].targets} == {False}


def test_ptx_is_no_substitute_but_is_mentioned(
    make_wheel: MakeWheel, make_library: MakeLibrary, tmp_path: Path
) -> None:
    plain = (DATA / "plain.fatbin").read_bytes()
    ptx = next(entry for entry in read_fatbin(plain) if entry.kind == "ptx")
    body = plain[ptx.offset - 80 :]
    (tmp_path / "ptx.fatbin").write_bytes(struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body)
    wheel = make_wheel({LIB: make_library(str(tmp_path / "ptx.fatbin"))})
    failed = check(audit(wheel, replace(OURS, required=required_groups(["89"])), cross_check=False), "gpu-targets")
    assert failed.fatal
    assert "no machine code; compute_89 PTX is there, which the driver would have to compile" in told(failed)[0]


def test_code_beyond_the_plan(make_wheel: MakeWheel, make_library: MakeLibrary) -> None:
    wheel = make_wheel({LIB: make_library("many.fatbin")})
    narrow = replace(OURS, allowed=frozenset({"sm_80", "sm_89", "sm_90a"}))
    failed = check(audit(wheel, narrow, cross_check=False), "gpu-targets-allowed")
    assert failed.fatal and told(failed) == (f"{LIB}: holds sm_100f, sm_120",)


@pytest.mark.parametrize(
    ("needs", "source", "id", "evidence"),
    [
        ({"libmpi.so.40": "int x;"}, "", "forbidden-libraries", "needs or is libmpi.so.40"),
        ({"libnccl.so.2": "int x;"}, "", "forbidden-libraries", "libnccl.so.2"),
        ({"libucp.so.0": "int x;"}, "", "forbidden-libraries", "libucp.so.0"),
        ({"libnvshmem_host.so.3": "int x;"}, "", "forbidden-libraries", "libnvshmem_host.so.3"),
        ({}, "int MPI_Init(void); int f(void) { return MPI_Init(); }", "forbidden-symbols", "MPI_Init (undefined)"),
        ({}, "int ompi_mpi_comm_world;", "forbidden-symbols", "ompi_mpi_comm_world (defined)"),
        ({}, "int ncclSend(void); int f(void) { return ncclSend(); }", "forbidden-symbols", "ncclSend (undefined)"),
        ({}, "int ucs_init(void) { return 0; }", "forbidden-symbols", "ucs_init (defined)"),
        ({}, "int nvshmemx_init(void) { return 0; }", "forbidden-symbols", "nvshmemx_init (defined)"),
    ],
)
def test_what_a_single_device_wheel_must_not_ask_for(
    make_wheel: MakeWheel, make_library: MakeLibrary, needs: dict[str, str], source: str, id: str, evidence: str
) -> None:
    wheel = make_wheel({LIB: make_library(source=source, needs=needs)})
    failed = check(audit(wheel, OURS, cross_check=False), id)
    assert failed.fatal and evidence in told(failed)[0] and failed.remedy
    stranger = check(audit(wheel, Expectation(), cross_check=False), id)
    assert (stranger.status, stranger.severity) == ("failed", "warning")


def test_names_that_only_look_alike(make_wheel: MakeWheel, make_library: MakeLibrary) -> None:
    source = "int simple_MPI_like; int my_nccl; int ncclutter; int MPIO; int success_x;"
    found = audit(
        make_wheel({LIB: make_library(source=source, needs={"libmpifake.so": "int x;"})}), OURS, cross_check=False
    )
    assert check(found, "forbidden-symbols").status == "passed"
    assert check(found, "forbidden-libraries").status == "passed"


def test_run_paths(make_wheel: MakeWheel, make_library: MakeLibrary) -> None:
    def seen(path: str) -> Check:
        library = make_library(options=(f"-Wl,-rpath,{path}",))
        return check(audit(make_wheel({LIB: library}), OURS, cross_check=False), "runpath")

    assert seen("$ORIGIN/../x").status == "passed"
    assert (seen("/usr/local/cuda/lib64").status, seen("/usr/local/cuda/lib64").severity) == ("failed", "warning")
    assert seen("$ORIGIN:/build/ws/cpp/lib").fatal
    assert not seen("/build/wsx").fatal


def test_damaged_libraries_are_unknown_not_clean(make_wheel: MakeWheel, make_library: MakeLibrary) -> None:
    good = make_library("many.fatbin")
    at = good.index(b"\x50\xed\x55\xba")
    for broken in (good[:at] + b"\0\0\0\x01" + good[at + 4 :], good[:-100]):
        found = audit(make_wheel({LIB: broken}), OURS, cross_check=False)
        assert check(found, "elf").fatal
        assert check(found, "gpu-targets").fatal


def test_requirements(make_wheel: MakeWheel) -> None:
    found = audit(make_wheel(requires=("mpi4py>=4", "nvidia-nccl-cu13", "not a requirement!")), OURS, cross_check=False)
    failed = check(found, "requires-dist")
    assert failed.fatal
    assert told(failed) == ("requires mpi4py>=4", "not a requirement: not a requirement!")
    fine = check(audit(make_wheel(requires=("nvidia-nccl-cu13",)), OURS, cross_check=False), "requires-dist")
    assert fine.status == "passed" and "nvidia-nccl-cu13" in told(fine)[0]


def test_versions_tags_and_size(make_wheel: MakeWheel) -> None:
    wheel = make_wheel(file_version="1.2.0")
    failed = check(audit(wheel, OURS, cross_check=False), "version")
    assert failed.fatal and "the file name says 1.2.0" in told(failed)[0]
    planned = replace(OURS, version="1.2.0+sd.cu129.sm89", python_tag="cp310", max_size=100)
    found = audit(make_wheel(), planned, cross_check=False)
    assert "the plan says" in told(check(found, "version"))[0]
    assert told(check(found, "python-tag")) == ("made for py3, not cp310",)
    assert "largest members" in told(check(found, "size"))[0] and len(check(found, "size").evidence) == 6
    fits = audit(
        make_wheel(),
        replace(planned, version="1.2.0+SD.cu130.sm89", python_tag="py3", max_size=10**6),
        cross_check=False,
    )
    assert {check(fits, id).status for id in ("version", "python-tag", "size")} == {"passed"}


def test_archive_findings_become_checks(make_wheel: MakeWheel) -> None:
    found = audit(make_wheel({"../evil": "x"}), OURS, cross_check=False)
    assert check(found, "archive").fatal and check(found, "record").status == "passed"


def test_no_wheel_at_all(tmp_path: Path) -> None:
    for path in (tmp_path / "absent-1-py3-none-any.whl", tmp_path):
        with pytest.raises(VerifyError, match="cannot be verified"):
            audit(path, OURS)


def test_architectures_as_people_write_them() -> None:
    assert required_groups(["90", " sm_100f"]) == (frozenset({"sm_90", "sm_90a"}), frozenset({"sm_100f"}))
    for text in ("sm_", "ada", "89;90", "sm_90b", ""):
        with pytest.raises(UsageError, match="no GPU architecture"):
            required_groups([text])


def test_a_rejected_wheel_has_a_name_nobody_installs(make_wheel: MakeWheel, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    wheel = make_wheel()
    good = out / wheel.name
    good.write_bytes(b"an earlier, good one")
    for _ in range(2):  # the second replaces the first
        aside = keep_aside(wheel, out)
        assert aside.name == wheel.name + ".rejected" and aside.read_bytes() == wheel.read_bytes()
        assert sorted(out.iterdir()) == [good, aside] and good.read_bytes() == b"an earlier, good one"


ELF, PTX = 'echo "ELF file    1: x.1.{}.cubin"', 'echo "PTX file    1: x.1.{}.ptx"'


@pytest.mark.parametrize(
    ("script", "status", "severity", "evidence"),
    [
        (f"{ELF.format('sm_89')}; {PTX.format('sm_89')}", "passed", "error", "1 library"),
        (
            ELF.format("sm_90"),
            "failed",
            "error",
            "only we see 1 x sm_89 ELF, 1 x sm_89 PTX; only cuobjdump sees 1 x sm_90 ELF",
        ),
        ('echo "fatal: Invalid ELF in $3" >&2; exit 255', "skipped", "warning", "Invalid ELF in libtensorrt_llm.so"),
    ],
)
def test_second_opinion(
    make_wheel: MakeWheel,
    make_library: MakeLibrary,
    tmp_path: Path,
    script: str,
    status: str,
    severity: str,
    evidence: str,
) -> None:
    tool = tmp_path / "cuobjdump"
    tool.write_text(f"#!/bin/sh\nif [ $1 = --help ]; then echo \"'sm_80','sm_89','sm_90a'\"; exit; fi\n{script}\n")
    tool.chmod(0o755)
    found = audit(make_wheel({LIB: make_library("plain.fatbin")}), OURS, cuobjdump=tool)
    assert (check(found, "cuobjdump").status, check(found, "cuobjdump").severity) == (status, severity)
    assert evidence in told(check(found, "cuobjdump"))[0]
    newer = check(audit(make_wheel({LIB: make_library("many.fatbin")}), OURS, cuobjdump=tool), "cuobjdump")
    assert newer.status == "skipped" and "does not know sm_100, sm_120" in told(newer)[0]
    missing = check(audit(make_wheel({LIB: make_library("plain.fatbin")}), OURS), "cuobjdump")
    assert (missing.status, missing.severity) == ("skipped", "warning") and missing.remedy
