from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from trtllm_builder.errors import VerifyError
from trtllm_builder.repro.libraries import read_libraries

ID = "00112233445566778899aabbccddeeff00112233"
# A patchelf for what it is asked here: ORIGIN stays, and the file is another one afterwards.
PATCHELF = f"#!{sys.executable}\nimport sys\nopen(sys.argv[-1], 'ab').write(repr(sys.argv[1:-1]).encode())\n"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """Three libraries, one of which has a search path of this machine, and what is only called one."""
    made = tmp_path / "x-1-py3-none-any.whl"
    (tmp_path / "a.c").write_text("int a;\n")
    kinds = {
        "libplain.so.2": ["-Wl,-soname,libplain.so.2", f"-Wl,--build-id=0x{ID}"],
        "libbare.so": ["-Wl,--build-id=none"],
        "libpath.so": ["-Wl,-rpath,/build/here:$ORIGIN", "-Wl,--build-id=none"],
    }
    with zipfile.ZipFile(made, "w") as archive:
        for name, options in kinds.items():
            words = ["gcc", "-shared", "-nostdlib", "-o", name, "a.c", *options]
            subprocess.run(words, check=True, cwd=tmp_path)
            archive.write(tmp_path / name, f"x/libs/{name}")
        archive.writestr("x/libs/not.so", b"a linker script")
        archive.writestr("x/a.py", b"")
    return made


def with_patchelf(wheel: Path, script: str) -> tuple[Path, Path]:
    patchelf, scratch = wheel.with_name("patchelf"), wheel.with_name("scratch")
    patchelf.write_text(script)
    patchelf.chmod(0o755)
    scratch.mkdir()
    return patchelf, scratch


def test_what_is_in_a_wheel_and_what_had_to_be_changed(wheel: Path) -> None:
    patchelf, scratch = with_patchelf(wheel, PATCHELF)
    libraries, changed = read_libraries(wheel, patchelf, scratch, {"PATH": "/usr/bin:/bin"})
    bare, path, plain = libraries
    assert [one.member for one in libraries] == ["x/libs/libbare.so", "x/libs/libpath.so", "x/libs/libplain.so.2"]
    assert (plain.soname, plain.build_id) == ("libplain.so.2", ID) and (bare.soname, bare.build_id) == ("", "")
    for one, name in ((bare, "libbare.so"), (plain, "libplain.so.2")):
        data = wheel.with_name(name).read_bytes()
        assert one.sha256 == one.packaged == hashlib.sha256(data).hexdigest() and one.size == len(data)
    # What the wheel will have, and what it was packaged from.
    assert list(changed) == [path.member] and list(scratch.iterdir()) == [changed[path.member]]
    data = changed[path.member].read_bytes()
    assert data.endswith(b"['--set-rpath', '$ORIGIN']") and path.size == len(data)
    assert path.sha256 == hashlib.sha256(data).hexdigest() != path.packaged
    assert path.packaged == hashlib.sha256(wheel.with_name("libpath.so").read_bytes()).hexdigest()


def test_a_patchelf_that_fails_is_said(wheel: Path) -> None:
    patchelf, scratch = with_patchelf(wheel, "#!/bin/sh\necho broken >&2\nexit 1\n")
    with pytest.raises(VerifyError, match=r"x/libs/libpath\.so: broken"):
        read_libraries(wheel, patchelf, scratch, {})
