from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from trtllm_builder.verify import audit as verify_audit
from trtllm_builder.verify import library as verify_library
from trtllm_builder.verify.audit import audit
from trtllm_builder.verify.expect import Expectation


def without_record(wheel: Path, instead: str | None) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        kept = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in kept.items():
            archive.writestr(name, data)
        if instead:
            archive.writestr(instead, "")
    return wheel


@pytest.mark.parametrize("instead", [None, "RECORD", "tensorrt_llm/x.dist-info/RECORD"])
def test_without_a_record_its_check_fails(make_wheel: Callable[..., Path], instead: str | None) -> None:
    found = audit(without_record(make_wheel(), instead), Expectation(), cross_check=False)
    check = next(check for check in found.checks if check.id == "record")
    assert check.fatal and check.fault == "record: there is no RECORD"


def test_a_record_that_cannot_be_read_fails_its_check(make_wheel: Callable[..., Path]) -> None:
    wheel = make_wheel()
    with zipfile.ZipFile(wheel) as archive:
        place = archive.getinfo(next(name for name in archive.namelist() if name.endswith("/RECORD")))
        start = place.header_offset + 30 + len(place.filename)
    data = bytearray(wheel.read_bytes())
    data[start : start + 20] = b"\xff" * 20
    wheel.write_bytes(data)
    found = audit(wheel, Expectation(), cross_check=False)
    check = next(check for check in found.checks if check.id == "record")
    assert check.fatal and "RECORD cannot be read" in check.fault


def test_facts_for_the_checks(make_wheel: Callable[..., Path], make_library: Callable[..., bytes]) -> None:
    source = '#include <stdio.h>\nint own(void) { return puts(""); }'
    library = make_library(source=source, options=("-Wl,-soname,libown.so.1",))
    wheel = make_wheel({"tensorrt_llm/libs/libown.so": library}, requires=("torch>=2",))
    found = audit(wheel, Expectation(), cross_check=False)
    (own,) = found.libraries
    assert own.soname == "libown.so.1" and "libc.so.6" in own.needed
    assert ("puts", "libc.so.6") in {(symbol.name, symbol.library) for symbol in own.undefined}
    assert "own" in {symbol.name for symbol in own.defined} and own.symbols_left_out == 0
    assert all(lib == "libc.so.6" and version.startswith("GLIBC_") for lib, version in own.needed_versions)
    assert own.needed_versions
    texts = found.wheel.texts
    assert texts["tensorrt_llm/version.py"].startswith("__version__") and found.wheel.not_kept == ()
    assert {name.rpartition("/")[2] for name in texts} >= {"METADATA", "WHEEL"}
    assert not any(name.endswith(("RECORD", ".so")) for name in texts)
    assert {member.mode & 0o777 for member in found.wheel.members} == {0o600}


def test_libraries_come_in_the_archives_order_and_share_what_is_kept(
    make_wheel: Callable[..., Path], make_library: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = make_library(), make_library(source=f"char large[{1 << 20}] = {{1}};")
    wheel = make_wheel(
        {f"tensorrt_llm/libs/{name}.so": data for name, data in (("b", small), ("a", large), ("c", small))}
    )
    read = audit(wheel, Expectation(), cross_check=False).libraries
    assert [library.name for library in read] == ["b.so", "a.so", "c.so"]
    monkeypatch.setattr(verify_audit, "_SYMBOLS", read[1].symbols_size)
    fewer = audit(wheel, Expectation(), cross_check=False).libraries
    assert sum(library.symbols_size for library in fewer) <= read[1].symbols_size
    assert sum(library.symbols_left_out for library in fewer) > 0


def test_gpu_code_of_all_sections_together_is_limited(
    make_wheel: Callable[..., Path], make_library: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_library, "MAX_ENTRIES", 5)
    found = audit(make_wheel({"tensorrt_llm/a.so": make_library("many.fatbin")}), Expectation(), cross_check=False)
    assert "more than 5 entries" in found.libraries[0].error
