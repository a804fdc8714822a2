from __future__ import annotations

import io
import struct
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.binary import elf_tables
from trtllm_builder.binary.elf import ElfError, read_elf

SOURCE = """
extern int MPI_Init(int *, char ***);
extern int strlen(const char *);
__attribute__((weak)) extern int maybe(void);
int used(void) { return MPI_Init(0, 0) + strlen("x") + (maybe ? maybe() : 0); }
static int hidden(void) { return 1; }
int (*pointer)(void) = hidden;
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("elf")
    (place / "mpi.c").write_text("int MPI_Init(int *a, char ***b) { return 0; }")
    (place / "used.c").write_text(SOURCE)
    (place / "map").write_text("MINE_1 { global: MPI_Init; };")
    gcc = ["gcc", "-shared", "-fPIC"]
    subprocess.run(
        [*gcc, "-Wl,-soname,libmpi.so.40", "-Wl,--version-script=map", "-o", "libmpi.so", "mpi.c"],
        cwd=place,
        check=True,
    )
    options = ["-Wl,-rpath,/a/lib:$ORIGIN/../libs", "-Wl,--enable-new-dtags", "-Wl,-soname,libused.so.1"]
    subprocess.run([*gcc, *options, "-fno-builtin", "-o", "libused.so", "used.c", "./libmpi.so"], cwd=place, check=True)
    return place / "libused.so"


def test_reads_what_the_loader_reads(built: Path) -> None:
    with built.open("rb") as stream:
        elf = read_elf(stream)
    assert elf.machine == "x86_64"
    assert elf.soname == "libused.so.1"
    assert elf.needed == ("libmpi.so.40", "libc.so.6")
    assert elf.runpath == ("/a/lib", "$ORIGIN/../libs")
    assert elf.rpath == ()
    undefined = {symbol.name: symbol for symbol in elf.undefined}
    assert (undefined["MPI_Init"].version, undefined["MPI_Init"].library) == ("MINE_1", "libmpi.so.40")
    assert undefined["strlen"].version.startswith("GLIBC_")
    assert undefined["strlen"].library == "libc.so.6"
    assert undefined["maybe"].weak and not undefined["maybe"].version
    assert {"used", "pointer"} <= {symbol.name for symbol in elf.defined}
    assert "hidden" not in {symbol.name for symbol in elf.defined}
    with (built.parent / "libmpi.so").open("rb") as stream:
        provided = {symbol.name: symbol.version for symbol in read_elf(stream).defined}
    assert provided["MPI_Init"] == "MINE_1"


def test_agrees_with_pyelftools(built: Path) -> None:
    with built.open("rb") as stream:
        ours = read_elf(stream)
        theirs = ELFFile(stream)
        assert [section.name for section in ours.sections] == [section.name for section in theirs.iter_sections()]
        symbols = list(theirs.get_section_by_name(".dynsym").iter_symbols())
        wanted = {s.name for s in symbols if s["st_shndx"] == "SHN_UNDEF" and s.name}
        assert {symbol.name for symbol in ours.undefined} == wanted
        tags = theirs.get_section_by_name(".dynamic").iter_tags()
        assert ours.needed == tuple(tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cut off|beyond"),
        (b"\x7fELF", "beyond"),
        (b"MZ" + bytes(62), "not an ELF"),
        (b"\x7fELF\x01\x01" + bytes(58), "64-bit"),
        (b"\x7fELF\x02\x02" + bytes(58), "little-endian"),
    ],
)
def test_what_is_no_elf(data: bytes, message: str) -> None:
    with pytest.raises(ElfError, match=message):
        read_elf(io.BytesIO(data))


def test_a_library_without_section_headers_is_unknown_not_empty(built: Path) -> None:
    data = bytearray(built.read_bytes())
    struct.pack_into("<Q", data, 40, 0)
    struct.pack_into("<HHH", data, 58, 0, 0, 0)
    with pytest.raises(ElfError, match="without a dynamic section"):
        read_elf(io.BytesIO(bytes(data)))


def test_an_absurd_section_count_is_refused_at_once(built: Path) -> None:
    data = bytearray(built.read_bytes())
    table = struct.unpack_from("<Q", data, 40)[0]
    struct.pack_into("<H", data, 60, 0)
    struct.pack_into("<Q", data, table + 32, 2**60)
    with pytest.raises(ElfError, match="beyond the end"):
        read_elf(io.BytesIO(bytes(data)))


@given(edits=st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=8)), min_size=1, max_size=5))
@settings(max_examples=150, deadline=None)
def test_mutations_end_in_a_result_or_in_our_error(built: Path, edits: list[tuple[int, bytes]]) -> None:
    data = bytearray(built.read_bytes())
    table = struct.unpack_from("<Q", data, 40)[0]
    # Headers and tables are where a mutation hurts: the first and the last part of the file.
    for number, (at, new) in enumerate(edits):
        start = at % 2000 if number % 2 else table + at % (len(data) - table)
        data[start : start + len(new)] = new[: len(data) - start]
    try:
        read_elf(io.BytesIO(bytes(data)))
    except ElfError as error:
        assert str(error)


def test_names_that_unfold_are_refused(built: Path) -> None:
    data = bytearray(built.read_bytes())
    with built.open("rb") as stream:
        table = next(section for section in read_elf(stream).sections if section.name == ".dynsym")
    headers = struct.unpack_from("<Q", data, 40)[0]
    strings, symbols = len(data), len(data) + 100_001
    data += b"x" * 100_000 + b"\0" + struct.pack("<IBBHQQ", 1, 0x10, 0, 0, 0, 0) * 2000
    struct.pack_into("<QQ", data, headers + 64 * table.link + 24, strings, 100_001)
    number = [section.offset for section in read_elf(io.BytesIO(built.read_bytes())).sections].index(table.offset)
    struct.pack_into("<QQ", data, headers + 64 * number + 24, symbols, 24 * 2000)
    with pytest.raises(ElfError, match="many times the size"):
        read_elf(io.BytesIO(bytes(data)))


def test_symbols_beyond_what_is_kept_are_counted_unless_watched(built: Path) -> None:
    with built.open("rb") as stream:
        everything = read_elf(stream)
        few = read_elf(stream, keep=0, watch=lambda name: name.startswith("MPI_"))
    assert everything.symbols_left_out == 0
    assert [symbol.name for symbol in few.undefined] == ["MPI_Init"] and few.defined == ()
    assert few.symbols_left_out == len(everything.undefined) + len(everything.defined) - 1


def test_a_version_that_linkers_do_not_see(tmp_path: Path) -> None:
    (tmp_path / "old.c").write_text('__asm__(".symver old,f@MINE_0");\nint old(void) { return 1; }')
    (tmp_path / "map").write_text("MINE_0 { global: f; };")
    command = ["gcc", "-shared", "-fPIC", "-Wl,--version-script=map", "-o", "old.so", "old.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    with (tmp_path / "old.so").open("rb") as stream:
        assert ("f", "MINE_0") in {(symbol.name, symbol.version) for symbol in read_elf(stream).defined}


def test_a_string_table_larger_than_what_is_held_of_it(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with built.open("rb") as stream:
        whole = read_elf(stream)
        monkeypatch.setattr(elf_tables, "_WINDOW", 7)
        assert read_elf(stream) == whole
        monkeypatch.setattr(elf_tables, "_NAME", 5)
        with pytest.raises(ElfError, match="a name of more than"):
            read_elf(stream)
