from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.build.record import RECORD_SCHEMA
from trtllm_builder.errors import PublishError, UsageError
from trtllm_builder.publish.rules import Allowed, judge

Make = Callable[..., Path]
STRICT, OTHERS = Allowed(), Allowed(unverified=True)


def edit(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        *way, last = path.split(".")
        for name in way:
            record = record[name]
        record[last] = value

    return change


def refused(wheel: Path, allowed: Allowed = STRICT) -> PublishError:
    with pytest.raises(PublishError) as caught:
        judge(wheel, allowed)
    assert caught.value.exit_code == 8 and caught.value.remedy
    return caught.value


def test_a_build_with_its_record_is_verified(make_build: Make) -> None:
    wheel = make_build()
    found = judge(wheel, STRICT)
    assert (found.project, found.version, found.standing) == ("tensorrt-llm", "1.2.0+sd.cu130.sm89", "verified")
    assert found.requires_python == ">=3.10, <4" and found.summary == "A toy TensorRT-LLM"
    assert found.metadata.startswith(b"Metadata-Version: 2.1\nName: tensorrt-llm\n")
    assert sorted(found.beside) == [".record.json", ".report.html"] and not found.provenance
    assert "sm_89" in found.needs.gpus


@pytest.mark.parametrize("headers", ["Classifier: Private :: Do Not Upload\n", "Classifier: private :: x\n"])
@pytest.mark.parametrize("allowed", [STRICT, Allowed(True, True)])
def test_what_says_that_it_is_private_is_never_published(make_build: Make, headers: str, allowed: Allowed) -> None:
    assert "it says so itself" in str(refused(make_build(headers=headers), allowed))


def test_a_canary_is_never_published_whatever_it_is_called(make_build: Make, make_wheel: Make) -> None:
    assert "is a canary" in str(refused(make_wheel("small", "0.0.0+canary"), Allowed(True, True)))
    assert "is a canary" in str(refused(make_wheel("small", "0.0.0+canary.sd.cu130.sm89"), Allowed(True, True)))
    built = make_build(record=edit("plan.source.url", "builtin:canary"))
    assert "built from builtin:canary" in str(refused(built, Allowed(True, True)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (edit("source", {"state": "dirty", "edited": {"cpp/a.cu": ""}, "uncommitted": {}, "pinned": True,
                         "served_by": "original", "dependencies": []}), "changed by hand (cpp/a.cu)"),
        (lambda r: r["source"].update(pinned=False, served_by="ghproxy"), "v1.2.0 is cccccccccccc as ghproxy says"),
        (lambda r: r["source"].update(pinned=False, served_by="cache"), "as cache says"),
        (edit("source.dependencies", [{"name": "fmt", "url": "", "commit": "d" * 40, "served_by": "ghproxy",
                                       "ref": "11.0"}]), "fmt 11.0 is dddddddddddd as ghproxy says"),
        (edit("measured.cache", {"remote": ["http://cache:8080"], "trusted": False}), "others may write to: http://cache"),
        (edit("source", {}), "its record is JSON of another kind"),
    ],
)  # fmt: skip
def test_a_build_that_cannot_be_trusted_is_refused(make_build: Make, change: Callable, told: str) -> None:
    assert told in str(refused(make_build(record=change), Allowed(True, True)))


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r["source"].update(pinned=False, served_by="original"),
        lambda r: r["source"].update(pinned=False, served_by="directory"),
        lambda r: r["source"].update(pinned=True, served_by="ghproxy"),
        lambda r: (
            r["source"].update(pinned=False, served_by="ghproxy"),
            r.update(lock={"sha256": "0" * 64, "locked": True}),
        ),
        edit("measured.cache", {"remote": ["http://cache:8080"], "trusted": True}),
        edit("measured.cache", {"remote": [], "trusted": False}),
        edit("source.dependencies", [{"name": "fmt", "url": "", "commit": "d" * 40, "served_by": "a", "ref": ""}]),
        edit(
            "source.dependencies",
            [{"name": "a", "url": "https://canary.invalid/a", "commit": "d" * 40, "served_by": "x", "ref": "1"}],
        ),
    ],
)
def test_a_mirror_is_fine_where_a_hash_decides(make_build: Make, change: Callable) -> None:
    assert judge(make_build(record=change), STRICT).standing == "verified"


@pytest.mark.parametrize("lock", [{"sha256": "../../x"}, {"sha256": ""}, {"sha256": None}, {"x": 1}, ["y"], "z", 5])
def test_a_lock_that_leads_elsewhere_is_none(make_build: Make, lock: object) -> None:
    """Its digest becomes the name of a page."""
    assert "JSON of another kind" in str(refused(make_build(record=edit("lock", lock)), Allowed(True, True)))


def test_a_build_tag_belongs_to_the_name(make_build: Make) -> None:
    """A --locked build has one (PEP 427)."""
    tagged = make_build(build="20260101_1a2b3c4d")
    assert "-20260101_1a2b3c4d-" in tagged.name and judge(tagged, STRICT).filename == tagged.name
    assert "the file name says build 2" in str(
        refused(make_build(file_name=tagged.name.replace("-20260101_1a", "-2_1a")))
    )


def checks(record: dict[str, Any], status: str) -> None:
    record["report"]["checks"][1]["status"] = status
    record["report"]["passed"] = status != "failed"


def test_an_import_that_was_not_tried_must_be_allowed(make_build: Make) -> None:
    wheel = make_build(record=lambda record: checks(record, "skipped"))
    assert "--allow-unimported" in refused(wheel, OTHERS).remedy
    assert judge(wheel, Allowed(unimported=True)).standing == "unimported"


def test_an_import_that_failed_is_never_allowed(make_build: Make) -> None:
    wheel = make_build(record=lambda record: checks(record, "failed"))
    assert "its verification failed: " in str(refused(wheel, Allowed(True, True)))


def test_what_failed_is_named_whatever_it_was(make_build: Make) -> None:
    def minor(record: dict[str, Any]) -> None:
        record["report"]["passed"] = False
        record["report"]["checks"][1].update(status="failed", severity="warning", fault="it is large")

    assert "its verification failed: it is large" in str(refused(make_build(record=minor)))
    silent = make_build(record=edit("report.passed", False))
    assert "names no check that failed" in str(refused(silent))


def test_the_report_must_be_of_these_bytes(make_build: Make, make_wheel: Make) -> None:
    told = str(refused(make_build(record=edit("report.sha256", "0" * 64))))
    assert "is of other bytes: sha256 000" in told
    # A record of other bytes: the label then promises what no record says.
    assert "is of other bytes" in str(refused(make_build(record=edit("wheel.sha256", "0" * 64))))
    wheel = make_wheel()
    wheel.with_name(f"{wheel.name}.report.json").write_text(
        '{"schema": 1, "sha256": "1", "passed": true, "checks": []}'
    )
    assert "is of other bytes" in str(refused(wheel, OTHERS))


def test_another_projects_wheel_needs_a_report_or_leave(make_wheel: Make) -> None:
    wheel = make_wheel()
    assert "--allow-unverified" in refused(wheel, Allowed(unimported=True)).remedy
    assert judge(wheel, OTHERS).standing == "unverified" and judge(wheel, OTHERS).beside == {}
    passed = [{"id": "import", "status": "passed"}]
    report = {"schema": 1, "sha256": judge(wheel, OTHERS).sha256, "passed": True, "checks": passed}
    wheel.with_name(f"{wheel.name}.report.json").write_text(json.dumps(report))
    assert judge(wheel, STRICT).standing == "verified"


def test_our_label_without_our_record_is_refused(make_build: Make) -> None:
    wheel = make_build()
    wheel.with_name(f"{wheel.name}.record.json").unlink()
    assert "says how, is not beside it" in str(refused(wheel, Allowed(True, True)))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"wheel": {}}', '{"wheel": 5}', "[" * 100_000, "\x00", '"' * 9])
def test_a_damaged_record_is_a_sentence(make_build: Make, text: str) -> None:
    wheel = make_build()
    wheel.with_name(f"{wheel.name}.record.json").write_text(text)
    refused(wheel, Allowed(True, True))


@pytest.mark.parametrize("schema", [99, "1", True, None])
def test_a_record_of_another_form_is_refused(make_build: Make, schema: object) -> None:
    error = refused(make_build(record=lambda record: record.update(schema=schema)), Allowed(True, True))
    assert f'record.json has "schema": {json.dumps(schema)}, and this program reads {RECORD_SCHEMA}' in str(error)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"inside": "1.1"}, "the file name says 1.0, METADATA 1.1"),
        ({"file_name": "other-1.0-py3-none-any.whl"}, "METADATA says small, the file name other"),
        ({"file_name": "small-1.0-cp39-cp39-linux_x86_64.whl"}, "it was renamed afterwards"),
        ({"file_name": "small-1.1-py3-none-any.whl"}, "the file name says 1.1"),
        ({"file_name": "small.whl"}, "the audit found"),
        ({"file_name": "sm all-1.0-py3-none-any.whl"}, "its name is none that an index can hold"),
        ({"file_name": ".small-1.0-py3-none-any.whl"}, "its name is none that an index can hold"),
        ({"file_name": "small-1.0-py3-none-any<b>.whl"}, "its name is none that an index can hold"),
        ({"file_name": "small-1.0-py3-none-any.whl\n.whl"}, "its name is none that an index can hold"),
        ({"file_name": f"small-1.0-py3-none-{'a' * 200}.whl"}, "its name is none that an index can hold"),
        ({"headers": "Requires-Python: <script>\n"}, "its Requires-Python is none: '<script>'"),
        ({"members": {"../up.py": ""}}, "the audit found: archive"),
        ({"members": {"other-2.dist-info/METADATA": "Name: other\nVersion: 2\n"}}, "the audit found: archive"),
    ],
)
def test_a_name_must_be_what_is_inside(make_wheel: Make, more: dict[str, Any], told: str) -> None:
    wheel = make_wheel(**more)
    assert told in str(refused(wheel, OTHERS))


def test_the_directory_of_metadata_bears_the_name(make_wheel: Make, tmp_path: Path) -> None:
    """Installers look for it there."""
    import zipfile

    good = make_wheel()
    bad = tmp_path / "renamed" / good.name
    bad.parent.mkdir()
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(bad, "w") as new:
        for name in old.namelist():
            data = old.read(name).replace(b"small-1.0.dist-info", b"small-2.0.dist-info")
            new.writestr(zipfile.ZipInfo(name.replace("small-1.0.", "small-2.0.")), data)
    assert "what it says of itself is in small-2.0.dist-info" in str(refused(bad, OTHERS))


def test_giant_metadata_is_refused(make_wheel: Make) -> None:
    assert "the audit found" in str(refused(make_wheel(headers="X: y\n" * 2_000_000), OTHERS))


def test_what_is_no_wheel_is_a_sentence(tmp_path: Path) -> None:
    text = tmp_path / "a-1-py3-none-any.whl"
    text.write_text("no archive")
    assert "no readable zip archive" in str(refused(text, OTHERS))
    os.mkfifo(tmp_path / "b-1-py3-none-any.whl")
    for name in ("b-1-py3-none-any.whl", "c-1-py3-none-any.whl", ""):
        with pytest.raises(UsageError):
            judge(tmp_path / name, OTHERS)


def test_a_summary_of_html_and_escapes_is_only_text(make_wheel: Make) -> None:
    wheel = make_wheel(headers="Summary: <b>\x1b[31mred" + "x" * 1000 + "\n")
    assert judge(wheel, OTHERS).summary.startswith("<b>redx") and len(judge(wheel, OTHERS).summary) == 300


def test_attestations_count_only_when_they_are_real(make_build: Make) -> None:
    wheel = make_build()
    beside = wheel.with_name(f"{wheel.name}.provenance")
    beside.write_text('{"version": 1, "attestation_bundles": []}')
    found = judge(wheel, STRICT)
    assert not found.provenance and ".provenance" not in found.beside
