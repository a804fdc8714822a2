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


def tree_of(version: str, root: Path, requirements: str = "") -> Path:
    """The canary's files under another version, with another requirements.txt."""
    canary.materialise(root)
    (root / "tensorrt_llm/version.py").write_text(f'__version__ = "{version}"\n')
    (root / "requirements.txt").write_text(f"torch\n{requirements}")
    return root


@pytest.mark.parametrize(
    ("ref", "version", "family", "warned"),
    [
        ("release/1.1", "1.2.0rc2", "1.2", True),
        ("v1.1.0", "1.1.0rc3", "1.1", True),
        ("main", "1.1.0", "1.1", True),
        ("release/1.1", "1.1.0rc3", "1.1", False),
        ("v1.1.0", "1.1.0", "1.1", False),
        ("a" * 40, "1.2.0rc2", "1.2", False),
        ("mine", "unknown", None, False),
    ],
)
def test_a_directory_is_planned_as_the_release_that_it_holds(
    make_request: MakeRequest, tmp_path: Path, ref: str, version: str, family: str | None, warned: bool
) -> None:
    source = tree_of(version, tmp_path / "given")
    plan, material = make_plan(make_request(source=str(source), overrides=(f"source.ref={ref}",)))
    assert (material.row.family if material.row else None) == family
    told = [one for one in plan.warnings if "of the profile" in one]
    assert bool(told) is warned
    if warned:
        assert told[0].startswith(f"{source} holds {version}, not the {ref} of the profile (--set")
        assert told[0].endswith(f": it is planned with what {family} needs")
        assert text_lines(plan)[1] == f"warning: {told[0]}"
    assert any("not used: the directory is taken as it is" in line for line in text_lines(plan))


@pytest.mark.parametrize(
    ("requirements", "wanted"),
    [
        ("tensorrt~=10.13.0\n", ">=10.13,<10.15"),
        ("mpi4py\ntensorrt~=10.16.1  # newer\n", "~=10.16.1"),
        ("# <For CUDA 12.9>tensorrt~=10.11.0\ntensorrt~=10.16.0\n", ">=10.13,<10.15"),
        ("tensorrt\n-r other.txt\n", ">=10.13,<10.15"),
    ],
)
def test_the_trees_own_requirements_have_the_last_word_on_tensorrt(
    make_request: MakeRequest, tmp_path: Path, requirements: str, wanted: str
) -> None:
    source = tree_of("1.2.0rc2", tmp_path / "given", requirements)
    plan, material = make_plan(make_request(source=str(source)))
    assert material.row is not None and material.row.tensorrt == wanted
    told = [one for one in plan.notes if "requirements.txt asks for" in one]
    assert bool(told) is (wanted == "~=10.16.1")


def test_a_directory_comes_through_no_mirror(make_request: MakeRequest, tmp_path: Path) -> None:
    source = tree_of("1.1.0", tmp_path / "given")
    mirrored = ("source.mirrors=[china]",)
    there, _ = make_plan(make_request(overrides=mirrored))
    assert any("comes through a mirror" in note for note in there.notes)
    here, _ = make_plan(make_request(source=str(source), overrides=mirrored))
    assert not any("comes through a mirror" in note for note in here.notes)
