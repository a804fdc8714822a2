"""From a request to a plan: with a checkout, from the catalogue, and where neither will do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trtllm_builder import canary
from trtllm_builder.errors import SourceError
from trtllm_builder.plan import make
from trtllm_builder.plan.make import make_plan, plan_checkout
from trtllm_builder.plan.request import Request
from trtllm_builder.plan.show import text_lines
from trtllm_builder.plan.survey import Survey
from trtllm_builder.upstream.catalogue import row_for

MakeRequest = Callable[..., Request]
CANARY = """\
schema: 1
extends: canary
python: "3.10"
"""


@pytest.fixture(autouse=True)
def this_machine(monkeypatch: pytest.MonkeyPatch, make_survey: Callable[..., Survey]) -> None:
    """The survey has tests of its own, and depends on the machine."""
    monkeypatch.setattr(make, "take_survey", lambda request, row, needed, takes_tensorrt: make_survey())


@pytest.mark.parametrize("ref", ["feature/x", "abc", "a" * 40, "v9.9"])
def test_a_ref_that_the_catalogue_does_not_know_is_planned_as_main_and_said(
    make_request: MakeRequest, ref: str
) -> None:
    plan, material = make_plan(make_request(overrides=(f"source.ref={ref}",)))
    told = f"the catalogue has no row for {ref}; that of main is used until the checkout is there"
    assert plan.warnings == (told,) and plan.notes[0] == told
    assert text_lines(plan)[1] == f"warning: {told}" and "\n".join(text_lines(plan)).count("no row for") == 1
    assert material.row == row_for("main") and plan.source.ref == ref
    known, _ = make_plan(make_request(overrides=("source.ref=main",)))
    assert known.warnings == ()


def test_a_tree_of_an_unknown_ref_keeps_the_row_that_it_began_with(make_request: MakeRequest, tmp_path: Path) -> None:
    canary.materialise(tmp_path / "given")
    request = make_request(CANARY, source="https://host/fork.git", overrides=("source.ref=mine",))
    plan, material = plan_checkout(request, tmp_path / "given")
    assert material.row == row_for("main") and not plan.assumed


@pytest.mark.parametrize("version", ["0.13", "0.14", "0.15", "0.16", "0.17", "0.18"])
def test_a_release_that_cannot_be_built_single_device_is_refused_by_its_number(
    make_request: MakeRequest, version: str
) -> None:
    with pytest.raises(SourceError, match=r"prebuilt MPI-linked archives") as caught:
        make_plan(make_request(overrides=(f"source.ref=release/{version}",)))
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("ref", ["0.12", "v0.5.0", "release/0.12", "refs/tags/v0.1"])
def test_a_release_older_than_the_catalogue_is_refused(make_request: MakeRequest, ref: str) -> None:
    with pytest.raises(SourceError, match=r"is older than all that the catalogue knows") as caught:
        make_plan(make_request(overrides=(f"source.ref={ref}",)))
    assert caught.value.exit_code == 4 and "0.19 or newer" in caught.value.remedy


@pytest.mark.parametrize("ref", ["release/0.20", "v1.1.0", "release/1.2", "main"])
def test_known_releases_are_planned_without_a_checkout(
    make_request: MakeRequest, validate: Callable[[str, object], None], ref: str
) -> None:
    plan, material = make_plan(make_request(overrides=(f"source.ref={ref}",)))
    validate("plan", plan.to_json())
    assert material.patches is None and plan.assumed
    assert {patch.outcome for patch in plan.patches} == {"decided after fetch"}
    assert all("catalogue" in part.origin for part in plan.command[1:])


def test_a_directory_is_probed_where_it_is_and_not_written_to(
    make_request: MakeRequest, validate: Callable[[str, object], None], tmp_path: Path
) -> None:
    source = tmp_path / "given"
    canary.materialise(source)
    before = sorted((path, path.stat().st_mtime_ns) for path in source.rglob("*"))
    plan, material = make_plan(make_request(CANARY, source=str(source)))
    assert sorted((path, path.stat().st_mtime_ns) for path in source.rglob("*")) == before
    validate("plan", plan.to_json())
    assert plan.source.directory == str(source) and plan.source.origin == "--source"
    assert [patch.outcome for patch in plan.patches] == ["applies", "not needed", "applies"]
    applied = [patch for patch in plan.patches if patch.outcome == "applies"]
    assert all("; " in patch.reason and patch.reason.endswith(" operations") for patch in applied)
    assert material.patches is not None and material.patches.needed
    assert not plan.assumed and plan.upstream.value == "0.0.0+canary"
    # The estimates are for the built-in one; of a directory nothing is known but its files.
    assert "not known" in plan.disk.source


def test_a_directory_that_is_no_checkout(make_request: MakeRequest, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not a TensorRT-LLM checkout") as caught:
        make_plan(make_request(source=str(tmp_path)))
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("source", "directory"),
    [
        ("https://host/x.git", None),
        ("deploy@host:x.git", None),
        ("builtin:canary", None),
        ("/a/b", "/a/b"),
        ("./me@host", "./me@host"),
    ],
)
def test_what_a_source_is(make_request: MakeRequest, source: str, directory: str | None) -> None:
    request = make_request(source=source)
    assert request.directory == (None if directory is None else Path(directory).absolute())
    assert request.url == source
