"""Which disk a build gets: the first of the profile's directories that is here, can be written to and has room."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trtllm_builder.errors import UsageError
from trtllm_builder.host.disk import Disk
from trtllm_builder.plan import survey
from trtllm_builder.plan.request import Request
from trtllm_builder.plan.survey import Place, take_survey

WORKSPACE = f"mine-py{sys.version_info.major}.{sys.version_info.minor}"

GB = 10**9
Choose = Callable[..., Place]


@pytest.fixture
def choose(make_request: Callable[..., Request], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Choose:
    """A profile with directories a, b and the cache; ``disks`` has free bytes, negative for a read-only disk."""

    def make(disks: dict[str, int], *, needed: int = 10 * GB, workspace: Path | None = None) -> Place:
        for name in disks:
            (tmp_path / name).mkdir(exist_ok=True)

        def probe(path: Path) -> Disk:
            name = path.relative_to(tmp_path).parts[0]
            free = disks.get(name, GB)
            return Disk(str(tmp_path / name), abs(free), abs(free), 1, free >= 0)

        # Whoever runs the tests as root can write everywhere, and disks cannot be filled for a test.
        monkeypatch.setattr(survey, "probe_disk", probe)
        # Nothing below is looked for on this machine.
        chosen = ("cuda.root=/nowhere", "tensorrt.root=none", f"workspace=[{tmp_path}/a, {tmp_path}/b, cache]")
        request = make_request(overrides=(*chosen, "python=host"), workspace=workspace)
        return take_survey(request, None, needed).place

    return make


def test_the_first_with_room(choose: Choose, tmp_path: Path) -> None:
    place = choose({"a": 50 * GB, "b": 90 * GB})
    assert place.root == tmp_path / "a/trtllm-builder/workspaces" / WORKSPACE
    assert place.caches == tmp_path / "a/trtllm-builder"
    assert place.why == f"--set: {tmp_path}/a, 46.6 GiB free"


def test_one_that_is_not_there_or_full_or_read_only_is_passed_over(choose: Choose, tmp_path: Path) -> None:
    assert choose({"b": 50 * GB}).caches == tmp_path / "b/trtllm-builder"
    assert choose({"a": 5 * GB, "b": 50 * GB}).caches == tmp_path / "b/trtllm-builder"
    assert choose({"a": -500 * GB, "b": 50 * GB}).caches == tmp_path / "b/trtllm-builder"


def test_a_workspace_that_was_begun_is_gone_on_with_whatever_the_room(choose: Choose, tmp_path: Path) -> None:
    begun = tmp_path / "a/trtllm-builder/workspaces" / WORKSPACE
    begun.mkdir(parents=True)
    (begun / "journal.jsonl").touch()
    assert choose({"a": GB, "b": 90 * GB}).root == begun


def test_when_none_has_room_the_roomiest_is_named_for_preflight_to_refuse(choose: Choose, tmp_path: Path) -> None:
    place = choose({"a": 2 * GB, "b": 3 * GB, "home": GB})
    assert place.caches == tmp_path / "b/trtllm-builder" and place.disk.free == 3 * GB


def test_when_none_can_be_written_to_it_is_said(choose: Choose, tmp_path: Path) -> None:
    place = choose({"a": -90 * GB, "home": -90 * GB})
    assert place.caches == tmp_path / "home/.cache/trtllm-builder"
    assert "none of " in place.why and "can be written to" in place.why and not place.disk.writable


def test_a_workspace_on_the_command_line_wins_and_the_caches_stay(choose: Choose, tmp_path: Path) -> None:
    place = choose({"a": 50 * GB, "mine": GB}, workspace=tmp_path / "mine/here")
    assert (place.root, place.why) == (tmp_path / "mine/here", "--workspace")
    assert place.caches == tmp_path / "a/trtllm-builder"
    assert place.disk.free == GB


@pytest.mark.parametrize("name", ["with space", "semi;colon", "dollar$x", "quote'"])
def test_a_workspace_that_upstream_would_tear_apart_is_refused(choose: Choose, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="has characters that upstream"):
        choose({"a": 50 * GB, "mine": GB}, workspace=tmp_path / "mine" / name)
