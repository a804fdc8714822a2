"""Bundles: equal content makes equal files, and nothing that a hostile one holds reaches the disk."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trtllm_builder.build.bundle_archive import read_manifest, unpack_bundle, write_bundle
from trtllm_builder.errors import SourceError

FACTS = {"profile": "canary", "commit": "0" * 40}
CONTENT = {
    "git/a-00.pack": b"pack",
    "lfs/" + "0" * 64: b"x" * 3000,
    "wheels/" + "w" * 90 + "-1.0+local-py3-none-any.whl": b"",
}


def write(tmp_path: Path, name: str = "bundle") -> Path:
    files = {}
    for number, (member, data) in enumerate(CONTENT.items()):
        files[member] = tmp_path / f"{name}-{number}"
        files[member].write_bytes(data)
    write_bundle(tmp_path / name, FACTS, files)
    return tmp_path / name


def members(bundle: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(bundle) as tar:
        return [(one, stream.read() if (stream := tar.extractfile(one)) else b"") for one in tar]


def put(bundle: Path, entries: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with tarfile.open(bundle, "w", format=tarfile.GNU_FORMAT) as tar:
        for member, data in entries:
            member.size = len(data) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(data))


def test_what_went_in_comes_out_and_twice_is_the_same(tmp_path: Path) -> None:
    one, two = write(tmp_path, "one"), write(tmp_path, "two")
    assert one.read_bytes() == two.read_bytes()
    manifest = unpack_bundle(one, tmp_path / "out")
    assert manifest == read_manifest(one) and dict(manifest.facts) == FACTS
    found = {path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in tmp_path.glob("out/*/*")}
    assert found == CONTENT
    assert [member.name for member, _ in members(one)] == ["manifest.json", *sorted(CONTENT)]
    assert {(member.mtime, member.mode, member.uid) for member, _ in members(one)} == {(0, 0o644, 0)}


def refused(bundle: Path, tmp_path: Path) -> str:
    with pytest.raises(SourceError) as error:
        unpack_bundle(bundle, tmp_path / "inside" / "out")
    assert error.value.exit_code == 4 and error.value.remedy
    # Nothing of it, anywhere else.
    assert {path.name for path in tmp_path.iterdir()} <= {
        "inside",
        bundle.name,
        *(f"{bundle.name}-{n}" for n in range(3)),
    }
    return str(error.value)


def test_links_devices_and_strangers_are_refused(tmp_path: Path) -> None:
    bundle = write(tmp_path)
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE):
        entries = members(bundle)
        entries[1][0].type, entries[1][0].linkname = kind, "/etc/passwd"
        put(bundle, entries)
        assert "is no plain file" in refused(bundle, tmp_path)
        bundle = write(tmp_path)
    extra = tarfile.TarInfo("wheels/extra.whl")
    put(bundle, [*members(bundle), (extra, b"more")])
    assert "more in it than its manifest lists" in refused(bundle, tmp_path)
    put(bundle, [members(bundle)[0], (extra, b"more"), *members(bundle)[1:]])
    assert "stands where git/a-00.pack should" in refused(bundle, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: parts[0].update(name="../../outside"),
        lambda parts: parts[0].update(name="/outside"),
        lambda parts: parts[0].update(name="git/../../outside"),
        lambda parts: parts[0].update(name="wheels/.hidden"),
        lambda parts: parts[0].update(sha256="0" * 64),
        lambda parts: parts[0].update(size=3),
        lambda parts: parts[0].update(size=-1),
        lambda parts: parts.append(dict(parts[0])),
        lambda parts: parts.pop(),
        lambda parts: parts.clear(),
    ],
)
def test_a_manifest_that_lies_is_refused(tmp_path: Path, change: Callable[[list], object]) -> None:
    bundle = write(tmp_path)
    (member, text), *others = members(bundle)
    document = json.loads(text)
    change(document["parts"])
    name = document["parts"][0]["name"] if document["parts"] else ""
    if others and name.startswith(("..", "/", "git/..")):
        others[0][0].name = name
    put(bundle, [(member, json.dumps(document).encode()), *others])
    refused(bundle, tmp_path)


def test_another_schema_and_no_bundle_at_all(tmp_path: Path) -> None:
    bundle = write(tmp_path)
    (member, text), *others = members(bundle)
    put(bundle, [(member, text.replace(b'"schema": 1', b'"schema": 2')), *others])
    assert "schema 2" in refused(bundle, tmp_path)
    for text in (b"", b"no tar", b"[]", b'{"schema": 1}', b"[" * 100_000):
        put(bundle, [(tarfile.TarInfo("manifest.json"), text)])
        refused(bundle, tmp_path)
    bundle.write_bytes(b"\0" * 20480)
    refused(bundle, tmp_path)
    with pytest.raises(SourceError, match="is not a file"):
        read_manifest(tmp_path / "nothing")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_cut_or_changed_anywhere_it_is_refused_or_whole(tmp_path: Path, data: st.DataObject) -> None:
    bundle = tmp_path / "bundle"
    if not bundle.exists():
        write(tmp_path)
    whole = bundle.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    harmed = whole[:at]
    if data.draw(st.booleans()):
        harmed += data.draw(st.binary(min_size=1, max_size=3)) + whole[at + 1 :]
    (tmp_path / "harmed").write_bytes(harmed)
    place = Path(tempfile.mkdtemp(dir=tmp_path)) / "out"
    try:
        unpack_bundle(tmp_path / "harmed", place)
    except SourceError:
        return
    # Owners and times of members may be changed: nobody looks at them.
    found = {path.relative_to(place).as_posix(): path.read_bytes() for path in place.glob("*/*")}
    assert found == CONTENT
