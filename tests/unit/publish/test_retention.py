from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from trtllm_builder.errors import UsageError
from trtllm_builder.index.model import Index, Lock, Wheel
from trtllm_builder.publish import retention
from trtllm_builder.publish.retention import Choice, named_by
from trtllm_builder.repro import lock as locks
from trtllm_builder.repro.inputs import Input

_SPEC = importlib.util.spec_from_file_location("index_toys", Path(__file__).parents[1] / "index" / "conftest.py")
assert _SPEC and _SPEC.loader
_TOYS = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_TOYS)
entry = _TOYS.entry
Entry = Callable[..., Wheel]


def versions(wheels: tuple[Wheel, ...]) -> list[str]:
    return sorted(wheel.version.partition("+")[0] for wheel in wheels)


def choose(index: Index, keep: int, named: dict[str, Path]) -> Choice:
    """All of one profile."""
    return retention.choose(index, keep, named, {wheel.filename: "toy" for wheel in index.wheels})


def nightlies(entry: Entry, label: str = "sd.cu130.sm89", **more: object) -> list[Wheel]:
    return [entry(version=f"1.{day}.0+{label}", day=day, **more) for day in range(1, 6)]


def test_of_each_variant_and_python_the_newest_stay(entry: Entry) -> None:
    index = Index(
        (
            *nightlies(entry),
            *nightlies(entry, "sd.cu130.sm120")[:2],
            *nightlies(entry, tag="cp310-cp310-linux_x86_64")[:3],
            entry("torch", "2.0"),
            entry("torch", "2.1"),
            entry(version="1.0"),
        )
    )
    gone = choose(index, 2, {}).gone
    assert versions(tuple(w for w in gone if "cp312" in w.filename)) == ["1.1.0", "1.2.0", "1.3.0"]
    assert versions(tuple(w for w in gone if "cp310" in w.filename)) == ["1.1.0"]
    assert {wheel.variant for wheel in gone} == {"cu130-sm89"}


def test_newest_is_the_highest_version_and_what_came_last(entry: Entry) -> None:
    """Of one publication, the version; a profile that went back to an older branch keeps what it built there."""
    for day, gone in ((1, ["1.9.1"]), (3, [])):
        index = Index((entry(version="1.10+sd.cu130.sm89", day=2), entry(version="1.9.1+sd.cu130.sm89", day=day)))
        assert versions(choose(index, 1, {}).gone) == gone
    back = [*nightlies(entry), *(entry(version=f"0.{day}.0+sd.cu130.sm89", day=day) for day in (6, 7, 8))]
    assert versions(choose(Index(tuple(back)), 2, {}).gone) == ["0.6.0", "1.1.0", "1.2.0", "1.3.0"]
    together = (entry(version="2.0+sd.cu130.sm89"), entry(version="1.9.1+sd.cu130.sm89"))
    for wheels in (together, together[::-1]):
        assert versions(choose(Index(wheels), 1, {}).gone) == ["1.9.1"]


def test_of_one_version_the_later_build_is_newer(entry: Entry) -> None:
    """By the number of its build tag; of one number, by when it was published, not by the hash behind the number."""
    wheels = [
        entry(day=day, tag=f"{build}cp312-cp312-linux_x86_64")
        for build, day in (("", 9), ("20260101_ff-", 3), ("20260102_bb-", 1), ("20260102_aa-", 2))
    ]
    gone = choose(Index(tuple(reversed(wheels))), 1, {}).gone
    assert sorted(wheel.filename for wheel in gone) == sorted(w.filename for w in wheels[1:3])
    assert choose(Index(tuple(wheels)), 2, {}).gone == ()


def test_a_yanked_wheel_does_not_take_the_place_of_one_that_works(entry: Entry) -> None:
    wheels = nightlies(entry)
    wheels[4] = replace(wheels[4], yanked="")
    wheels[1] = replace(wheels[1], yanked="")
    assert versions(choose(Index(tuple(wheels)), 1, {}).gone) == ["1.1.0", "1.2.0", "1.3.0"]


def test_what_was_never_imported_does_not_take_the_place_of_one_that_was(entry: Entry) -> None:
    wheels = nightlies(entry)
    for night in (1, 3, 4):
        wheels[night] = replace(wheels[night], standing="unimported")
    assert versions(choose(Index(tuple(wheels)), 1, {}).gone) == ["1.1.0", "1.2.0"]
    assert choose(Index(tuple(wheels)), 3, {}).gone == ()


def test_each_profile_keeps_its_own(entry: Entry) -> None:
    """Two that build the same variant: the one that fails for a week loses nothing to the other."""
    wheels = nightlies(entry)
    profiles = {wheel.filename: "autodl" if day < 2 else "runpod" for day, wheel in enumerate(wheels)}
    choice = retention.choose(Index(tuple(wheels)), 1, {}, profiles)
    assert versions(choice.gone) == ["1.1.0", "1.3.0", "1.4.0"]


def test_of_what_profile_nobody_knows_stays(entry: Entry) -> None:
    wheels = nightlies(entry)
    profiles = {wheel.filename: "toy" for wheel in wheels[1:]}
    unknown = entry(version="1.0.9+sd.cu130.sm89")
    choice = retention.choose(Index((*wheels, unknown)), 1, {}, profiles)
    assert versions(choice.gone) == ["1.2.0", "1.3.0", "1.4.0"]
    assert [one.why for one in choice.kept] == ["no record says what profile it is of"]


def test_what_a_release_names_stays(entry: Entry) -> None:
    wheels = nightlies(entry)
    wheels[0] = replace(wheels[0], keep="release 1.1", lock=Lock("a" * 64, False))
    choice = choose(Index(tuple(wheels)), 1, {})
    assert versions(choice.gone) == ["1.2.0", "1.3.0", "1.4.0"]
    assert [one.why for one in choice.kept] == ["it is kept for release 1.1"]


def test_what_a_lock_names_stays(entry: Entry, tmp_path: Path) -> None:
    wheels = nightlies(entry)
    wheels[0] = replace(wheels[0], lock=Lock("a" * 64, True))
    wheels[1] = replace(wheels[1], lock=Lock("b" * 64, False))
    (tmp_path / "uv.lock").write_text(f'{{url = "x", hash = "sha256:{wheels[3].sha256}"}}')
    (tmp_path / "other.lock").write_text("c" * 64)
    choice = choose(Index(tuple(wheels)), 1, named_by([tmp_path / "uv.lock", tmp_path / "other.lock"]))
    assert versions(choice.gone) == ["1.2.0", "1.3.0"]
    assert [one.why for one in choice.kept] == [
        f"{tmp_path}/uv.lock names it",
        "it was built --locked, from aaaaaaaaaaaa",
    ]


def test_a_lock_of_ours_names_what_was_built_from_it(entry: Entry, tmp_path: Path) -> None:
    ours = locks.Lock("canary", {"x": 1}, 5, (Input("tool", "cmake", "", {"sha256": "d" * 64}, None, "3"),))
    (tmp_path / "trtllm.lock").write_text(ours.render())
    wheels = nightlies(entry)
    wheels[2] = replace(wheels[2], lock=Lock(ours.digest, False))
    choice = choose(Index(tuple(wheels)), 1, named_by([tmp_path / "trtllm.lock"]))
    assert versions(choice.gone) == ["1.1.0", "1.2.0", "1.4.0"]


@pytest.mark.parametrize("content", [None, b"", b"no hash", b"\xff\xfe"])
def test_a_lock_that_names_nothing_is_refused(content: bytes | None, tmp_path: Path) -> None:
    """Silently it would protect nothing."""
    path = tmp_path / "x.lock"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError):
        named_by([path])
