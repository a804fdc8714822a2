from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from trtllm_builder.errors import VerifyError
from trtllm_builder.repro.wheel_writer import normalise

FILES = {
    "pkg/__init__.py": b"x = 1\n",
    "pkg/libs/lib.so": bytes(range(256)) * 5000,
    "pkg-1.dist-info/METADATA": b"Metadata-Version: 2.1\nName: pkg\nVersion: 1\n",
    "pkg-1.dist-info/RECORD": b"stale\n",
}


def toy(path: Path, names: list[str], year: int, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            info = zipfile.ZipInfo(name, (year, 1, 2, 3, 4, 6))
            info.external_attr = mode << 16
            archive.writestr(info, FILES[name])
    return path


def test_order_times_and_small_mode_bits_do_not_matter(tmp_path: Path) -> None:
    one = toy(tmp_path / "a" / "pkg-1-py3-none-any.whl", list(FILES), 1999)
    two = toy(tmp_path / "b" / "pkg-1-py3-none-any.whl", list(reversed(FILES)), 2024, 0o600)
    first = normalise(one, tmp_path / "x", epoch=1_700_000_000)
    second = normalise(two, tmp_path / "y", epoch=1_700_000_000)
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.sha256 == second.sha256 == hashlib.sha256(first.path.read_bytes()).hexdigest()
    assert normalise(one, tmp_path / "z", epoch=1_600_000_000).sha256 != first.sha256


def test_record_is_made_from_what_is_inside_and_stands_last(tmp_path: Path) -> None:
    result = normalise(toy(tmp_path / "pkg-1-py3-none-any.whl", list(FILES), 2000, 0o755), tmp_path / "x", epoch=0)
    with zipfile.ZipFile(result.path) as archive:
        names = archive.namelist()
        rows = list(csv.reader(io.StringIO(archive.read("pkg-1.dist-info/RECORD").decode())))
        assert names[-1] == "pkg-1.dist-info/RECORD" and [row[0] for row in rows] == names
        for name, digest, size in rows[:-1]:
            data = archive.read(name)
            expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={expected}", str(len(data)))
        assert archive.getinfo("pkg/__init__.py").external_attr >> 16 == 0o100755
        assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


@pytest.mark.parametrize("damage", ["not a zip", "truncated", "no record", "twice"])
def test_what_is_no_wheel_is_refused_and_nothing_is_left(tmp_path: Path, damage: str) -> None:
    wheel = toy(
        tmp_path / "pkg-1-py3-none-any.whl",
        [n for n in FILES if damage != "no record" or "RECORD" not in n],
        2000,
    )
    if damage == "not a zip":
        wheel.write_bytes(b"nothing")
    elif damage == "truncated":
        wheel.write_bytes(wheel.read_bytes()[:-30])
    elif damage == "twice":
        with pytest.warns(UserWarning), zipfile.ZipFile(wheel, "a") as archive:
            archive.writestr("pkg/__init__.py", b"other")
    with pytest.raises(VerifyError):
        normalise(wheel, tmp_path / "x", epoch=0)
    assert list((tmp_path / "x").iterdir()) == []
