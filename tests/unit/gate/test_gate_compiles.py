"""What command lines compile, hostile ones included."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.gate.compiles import Compile, read_compile
from trtllm_builder.gate.weights import Weights, kind_of, kinds

ROOT = Path("/w/src")


def _read(line: str, directory: str = "/w/src/cpp/build", root: Path = ROOT) -> Compile:
    return read_compile(line.split(), directory, root)


@pytest.mark.parametrize(
    ("line", "architectures", "count", "threads"),
    [
        ("nvcc -c a.cu", (), 0, 1),
        ("nvcc -gencode arch=compute_90a,code=sm_90a -c a.cu", ("90a",), 1, 1),
        ("nvcc -gencode=arch=compute_80,code=[compute_80,sm_80] --generate-code=arch=compute_90a,code=[sm_90a] a.cu",
         ("80", "90a"), 2, 1),
        ("nvcc -arch=sm_89 -c a.cu", ("89",), 1, 1),
        ("nvcc -arch sm_120f -c a.cu", ("120f",), 1, 1),
        ("nvcc --gpu-architecture=compute_80 --gpu-code=sm_80,sm_86 -c a.cu", ("80",), 1, 1),
        ("nvcc -arch=all-major -t 4 -c a.cu", (), 7, 4),
        ("nvcc -t8 -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90 a.cu", ("80", "90"), 2, 2),
        ("nvcc --threads=2 --split-compile=3 -gencode arch=compute_80,code=sm_80 a.cu", ("80",), 1, 3),
        ("nvcc --threads x -arch=sm_!! -c a.cu", (), 0, 1),
        ("clang++ --offload-arch=sm_80 --cuda-gpu-arch=sm_90 -x cuda -c a.cc", ("80", "90"), 2, 1),
    ],
)  # fmt: skip
def test_architectures_and_threads(line: str, architectures: tuple[str, ...], count: int, threads: int) -> None:
    found = _read(line)
    assert (found.architectures, found.count, found.threads) == (architectures, count, threads)
    assert found.source == "cpp/build/a." + ("cc" if "a.cc" in line else "cu")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("nvcc -c ../kernels/cutlass_kernels/x.cu -o x.o", "cutlass"),
        ("nvcc -c ../kernels/plain.cu -o x.o", "cuda"),
        ("g++ -c ../nanobind/runtime.cpp -o x.cpp.o", "nanobind"),
        ("g++ -MD -MT dir/x.cpp.o -MF x.cu -o weird.cu -c ../runtime/x.cpp", "c++"),
        ("gcc -c x.c", "c"),
        ("nvcc -x cu -c ../runtime/x.cpp", "cuda"),
        ("g++ -shared a.o b.o -o lib.so", "link"),
        ("/usr/bin/x86_64-linux-gnu-ld -o a a.o", "link"),
        ("nvcc -dlink a.o b.o -o d.o", "device link"),
        ("gcc-ar qc lib.a a.o", "archive"),
        ("nvcc --version", "other"),
        ("sh -c true", "other"),
        ("nvcc", "link"),
    ],
)
def test_kinds(line: str, kind: str) -> None:
    assert kind_of(_read(line)) == kind


def test_sources_are_relative_to_the_checkout_wherever_the_compiler_stands() -> None:
    assert _read("g++ -c ../a.cpp").source == "cpp/a.cpp"
    assert _read("g++ -c /w/src/cpp/a.cpp", "/").source == "cpp/a.cpp"
    assert _read("g++ -c /elsewhere/a.cpp").source == "/elsewhere/a.cpp"
    assert _read("g++ -c ..x/a.cpp", "/w/src").source == "..x/a.cpp"


def test_response_files_are_read_and_odd_ones_are_not(tmp_path: Path) -> None:
    (tmp_path / "args.rsp").write_text('-gencode "arch=compute_80,code=sm_80"\n@more.rsp -c')
    (tmp_path / "more.rsp").write_text("-t 2 -gencode arch=compute_90a,code=sm_90a 'a b.cu'")
    (tmp_path / "loop.rsp").write_text("@loop.rsp @loop.rsp -arch=sm_75")
    (tmp_path / "open.rsp").write_text("'never closed")
    (tmp_path / "huge.rsp").write_text("x" * (2**20 + 1))
    for line in (["nvcc", "@args.rsp"], ["nvcc", "-optf", "args.rsp"], ["nvcc", "--options-file=args.rsp"]):
        found = read_compile(line, str(tmp_path), tmp_path)
        assert (found.source, found.architectures, found.threads) == ("a b.cu", ("80", "90a"), 2)
    assert read_compile(["nvcc", "@loop.rsp", "a.cu"], str(tmp_path), tmp_path).architectures == ("75",)
    for name in ("@open.rsp", "@huge.rsp", "@missing.rsp", "@/dev/zero", "@.", "@"):
        assert read_compile(["nvcc", name, "-c", "a.cu"], str(tmp_path), tmp_path).source == "a.cu"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(max_size=12) | st.sampled_from(["-t", "-gencode", "-x", "a.cu", "-optf", "@", "-code="]), max_size=8
    )
)
def test_no_command_line_is_an_error(argv: list[str]) -> None:
    found = read_compile(argv, "/nowhere", ROOT)
    assert kind_of(found) in kinds()
    assert Weights().of(found).bytes > 0


def test_every_kind_says_where_its_figures_come_from() -> None:
    for kind in kinds().values():
        assert kind.memory > 0 and kind.seconds > 0 and len(kind.course) == 10 and kind.source
        assert max(kind.course) == 1 and 0 < kind.spread < 1
