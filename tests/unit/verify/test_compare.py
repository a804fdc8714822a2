"""``compare``: what it says of wheels that differ in one known thing."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from trtllm_builder.cli import compare as command
from trtllm_builder.errors import UsageError
from trtllm_builder.verify.compare import Comparison, MemberChange, compare
from trtllm_builder.verify.compare_text import comparison_lines, readable, summary

MakeWheel = Callable[..., Path]
MakeLibrary = Callable[..., bytes]
Validate = Callable[[str, object], None]
DATA = Path(__file__).parents[2] / "data" / "fatbin"
LIB = "tensorrt_llm/libs/libtensorrt_llm.so"


@pytest.fixture
def pair(make_wheel: MakeWheel, tmp_path: Path, validate: Validate) -> Callable[..., Comparison]:
    """Compares the toy with one that has other members, requirements or version."""

    def make(first: dict[str, str | bytes], second: dict[str, str | bytes], **change: object) -> Comparison:
        a = make_wheel(first)
        place = tmp_path / "a"
        place.mkdir(exist_ok=True)
        a = a.rename(place / a.name)
        found = compare(a, make_wheel(second, **change))
        validate("compare", found.to_json())
        assert all(isinstance(line, str) and "\n" not in line for line in comparison_lines(found))
        return found

    return make


def changed(found: Comparison, name: str = LIB) -> MemberChange:
    return next(one for one in found.members if one.name == name)


def text(found: Comparison) -> str:
    return " ".join(" ".join(comparison_lines(found)).split())


def test_the_same_file_is_not_unpacked(make_wheel: MakeWheel, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = make_wheel()
    monkeypatch.setattr("trtllm_builder.verify.compare.read_wheel", lambda *_, **__: pytest.fail("it was unpacked"))
    found = compare(wheel, wheel)
    assert found.identical and found.same_contents and found.a.files == 7
    assert summary(found) == "The same, byte for byte."


def repacked(wheel: Path, to: Path, change: Callable[[list[zipfile.ZipInfo]], None], level: int = 6) -> Path:
    to.mkdir()
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(to / wheel.name, "w") as new:
        infos = old.infolist()
        contents = {info.filename: old.read(info) for info in infos}
        change(infos)
        for info in infos:
            new.writestr(info, contents[info.filename], zipfile.ZIP_DEFLATED, level)
    return to / wheel.name


def test_other_packing_is_told_apart_from_other_contents(make_wheel: MakeWheel, tmp_path: Path) -> None:
    wheel = make_wheel({"tensorrt_llm/a.txt": "abc " * 999})

    def date(infos: list[zipfile.ZipInfo]) -> None:
        for info in infos:
            info.date_time = (2001, 2, 3, 4, 5, 6)

    def mode(infos: list[zipfile.ZipInfo]) -> None:
        infos[0].external_attr = 0o100755 << 16

    for name, edit, level, told in (
        ("dates", date, 6, "other dates"),
        ("order", lambda infos: infos.reverse(), 6, "another order"),
        ("modes", mode, 6, "other modes"),
        ("level", lambda infos: None, 0, "another compressor"),
    ):
        found = compare(wheel, repacked(wheel, tmp_path / name, edit, level))
        assert not found.identical and found.same_contents, name
        assert summary(found) == f"The same contents, packed differently: {told}."


def test_texts_and_headers(pair: Callable[..., Comparison]) -> None:
    found = pair(
        {"tensorrt_llm/a.py": "x = 1\ny = 2\n", "tensorrt_llm/gone.py": "g"},
        {"tensorrt_llm/a.py": "x = 1\ny = 3\n", "tensorrt_llm/new.py": "n"},
        requires=("mpi4py",),
        version="1.3.0",
    )
    assert changed(found, "tensorrt_llm/a.py").text == ("@@ -2 +2 @@", "-y = 2", "+y = 3")
    assert {(one.kind, one.name) for one in found.members} >= {
        ("added", "tensorrt_llm/new.py"),
        ("removed", "tensorrt_llm/gone.py"),
    }
    # The directory of METADATA bears the version: that is no file that came and one that went.
    metadata = changed(found, "tensorrt_llm-1.2.0+sd.cu130.sm89.dist-info/METADATA")
    assert (metadata.kind, metadata.other) == ("changed", "tensorrt_llm-1.3.0.dist-info/METADATA")
    assert "Requires-Dist + mpi4py" in text(found) and "Version - 1.2.0+sd.cu130.sm89 + 1.3.0" in text(found)


def test_what_only_moved(pair: Callable[..., Comparison]) -> None:
    found = pair({"tensorrt_llm/a.bin": "same"}, {"tensorrt_llm/b.bin": "same"})
    moved = [one for one in found.members if one.kind == "moved"]
    assert [(one.name, one.other) for one in moved] == [("tensorrt_llm/a.bin", "tensorrt_llm/b.bin")]
    assert not {one.kind for one in found.members} & {"added", "removed"}


def test_libraries_by_what_they_ask_for(pair: Callable[..., Comparison], make_library: MakeLibrary) -> None:
    plain = make_library(source="int kept; int gone;")
    other = make_library(
        source="int MPI_Init(void); int kept; int come(void) { return MPI_Init(); }",
        needs={"libmpi.so.40": "int x;"},
        options=("-Wl,-rpath,/opt/mpi",),
    )
    library = changed(pair({LIB: plain}, {LIB: other})).library
    assert library is not None and library.code == ()
    assert library.needed.only_b == ("libmpi.so.40",) and library.search.only_b == ("/opt/mpi",)
    assert "MPI_Init" in library.undefined.only_b and "come" in library.defined.only_b
    assert "gone" in library.defined.only_a and "kept" not in library.defined.only_a
    assert ".text" in {section.name for section in library.sections}


def test_gpu_code_piece_by_piece(pair: Callable[..., Comparison], make_library: MakeLibrary) -> None:
    found = pair({LIB: make_library("plain.fatbin")}, {LIB: make_library("many.fatbin")})
    assert found.architectures.only_b and "sm_90a" in found.architectures.only_b
    library = changed(found).library
    assert library is not None
    assert {code.target for code in library.code} >= {"sm_90a", "sm_100f"}
    assert any(code.kernels for code in library.code)
    assert "GPU code" in text(found) and "GPU sm_90a" in text(found)


def test_the_same_code_twice_is_not_the_same_as_once(
    pair: Callable[..., Comparison], make_library: MakeLibrary, tmp_path: Path
) -> None:
    once = (DATA / "plain.fatbin").read_bytes()
    (tmp_path / "twice.fatbin").write_bytes(once * 2)
    found = pair({LIB: make_library(str(tmp_path / "twice.fatbin"))}, {LIB: make_library("plain.fatbin")})
    library = changed(found).library
    assert library is not None and not found.architectures
    assert {(code.target, code.kind, code.count_a, code.count_b) for code in library.code} == {
        ("sm_89", "cubin", 1, 0),
        ("compute_89", "ptx", 1, 0),
    }
    assert "1 piece of machine code only in the first" in text(found)


def test_one_byte_of_data_is_traced_to_its_section(pair: Callable[..., Comparison], make_library: MakeLibrary) -> None:
    data = make_library(source='const char told[] = "abcdefgh-needle";')
    found = pair({LIB: data}, {LIB: data.replace(b"-needle", b"-noodle")})
    library = changed(found).library
    assert library is not None and [one.name for one in library.sections] == [".rodata"]
    assert f"All comes from {LIB}: other bytes in .rodata." in text(found)


@pytest.mark.parametrize(
    ("mangled", "name"),
    [
        ("_Z5scalePff", "scale"),
        ("_ZN7cutlass13device_kernelIN5flash3FwdEEEvT_", "cutlass::device_kernel<...>"),
        (
            "_ZN44_GLOBAL__N__0c2a1b3d_4_k_cu_5d6e7f80_12345678abc1fEv",
            "_ZN44_GLOBAL__N__0c2a1b3d_4_k_cu_5d6e7f80_12345678abc1fEv",
        ),
        ("_ZN12_GLOBAL__N_13runEv", "(anonymous)::run"),
        ("plain_c", "plain_c"),
        ("_Z99short", "_Z99short"),
        ("_ZN", "_ZN"),
        ("x" * 99, "x" * 60 + "..."),
    ],
)
def test_kernels_by_names_that_people_read(mangled: str, name: str) -> None:
    assert readable(mangled) == name


def test_a_damaged_library_is_told(pair: Callable[..., Comparison], make_library: MakeLibrary) -> None:
    whole = make_library("plain.fatbin")
    library = changed(pair({LIB: whole}, {LIB: whole[:-900]})).library
    assert library is not None and library.unread.startswith("B: ") and library.sections == ()


def test_long_differences_end(pair: Callable[..., Comparison]) -> None:
    a, b = ("".join(f"{word} {n}\n" for n in range(900)) for word in ("old", "new"))
    found = pair({"tensorrt_llm/a.txt": a}, {"tensorrt_llm/a.txt": b})
    assert len(changed(found, "tensorrt_llm/a.txt").text) == 25
    many = pair({}, {f"tensorrt_llm/{n}.txt": str(n) for n in range(40)})
    assert "+ and 28 files more" in text(many) and len(comparison_lines(many, verbose=True)) > 45


def test_what_cannot_be_read_is_different_and_not_tried_again(
    make_wheel: MakeWheel, tmp_path: Path, validate: Validate, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_wheel({"tensorrt_llm/a.txt": "abcdefgh " * 500})
    data = bytearray(whole.read_bytes())
    at = data.index(b"tensorrt_llm/a.txt") + len("tensorrt_llm/a.txt")
    data[at : at + 8] = b"\xff" * 8
    place = tmp_path / "damaged"
    place.mkdir()
    damaged = place / whole.name
    damaged.write_bytes(data)
    # A bomb would be unpacked without an end.
    monkeypatch.setattr("trtllm_builder.verify.compare._Open.stream", lambda *_: pytest.fail("it was tried again"))
    found = compare(whole, damaged)
    validate("compare", found.to_json())
    assert [(one.name, one.kind, one.text) for one in found.members] == [("tensorrt_llm/a.txt", "changed", ())]


def test_bad_input(make_wheel: MakeWheel, tmp_path: Path) -> None:
    wheel, other = make_wheel(), tmp_path / "other-1-py3-none-any.whl"
    other.write_bytes(b"no archive")
    for path in (other, tmp_path / "absent.whl", tmp_path):
        for first, second in ((wheel, path), (path, wheel), (path, path)):
            with pytest.raises(UsageError):
                compare(first, second)


def test_the_command(make_wheel: MakeWheel, tmp_path: Path, validate: Validate) -> None:
    app = typer.Typer()
    app.command()(command.compare)
    place = tmp_path / "a"
    place.mkdir()
    first = make_wheel()
    first = first.rename(place / first.name)
    second = make_wheel({"tensorrt_llm/\x1b[31mred.py": "x"})
    same = CliRunner().invoke(app, [str(first), str(first)])
    assert same.exit_code == 0 and "byte for byte" in same.stdout
    differ = CliRunner().invoke(app, [str(first), str(second)])
    assert differ.exit_code == 1 and "1 only in the second" in differ.stdout and "\x1b" not in differ.stdout
    document = CliRunner().invoke(app, [str(first), str(second), "--json"])
    assert document.exit_code == 1
    validate("compare", json.loads(document.stdout))
