"""``trtllm-build patches audit``: what it says of a checkout, of the same once patched, and of a wheel."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import trtllm_builder.canary
from trtllm_builder.cli.patches import app
from trtllm_builder.errors import PatchError, UsageError, VerifyError
from trtllm_builder.patching.sets import apply, check, load_set, set_dirs

CANARY = Path(trtllm_builder.canary.__file__).parent / "tree"
Validate = Callable[[str, object], None]


def audit(*words: str | Path) -> str:
    result = CliRunner().invoke(app, ["audit", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def wheel_of(tree: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted((*tree.glob("*/**/*.py"), *tree.glob("*.dist-info/entry_points.txt"))):
            if file.relative_to(tree).parts[0] not in ("scripts", "cpp"):
                archive.write(file, file.relative_to(tree).as_posix())
        archive.writestr("tensorrt_llm-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tensorrt-llm\nVersion: 1\n")
        archive.writestr("tensorrt_llm-1.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr("tensorrt_llm-1.dist-info/RECORD", "")
    return path


@pytest.fixture
def patched(tmp_path: Path) -> Path:
    root = tmp_path / "patched"
    for file in CANARY.glob("**/*"):
        if file.is_file() and "__pycache__" not in file.parts:
            target = root / file.relative_to(CANARY)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    apply(check([load_set("single-device", set_dirs())], root), root)
    return root


def test_upstream_s_way_to_mpi_is_told_with_the_set_that_closes_it(validate: Validate) -> None:
    text = audit(CANARY)
    assert "import tensorrt_llm: touches MPI" in text
    assert "tensorrt_llm/_utils.py:5 imports MPI from mpi4py (certain); closed by single-device" in text
    assert "LLM(...) on one GPU: touches MPI, closed by a set" in text
    assert text.splitlines()[-1] == "closed, once single-device is applied; places that reach MPI until then: 5"
    document = json.loads(audit(CANARY, "--json"))
    validate("patches-audit", document)
    assert not document["free"]
    assert not document["open"]
    assert {touch["closed_by"] for one in document["entries"] for touch in one["touches"]} == {"single-device"}


def test_the_patched_tree_and_its_wheel_are_free(patched: Path, tmp_path: Path, validate: Validate) -> None:
    for target in (patched, wheel_of(patched, tmp_path / "tensorrt_llm-1-py3-none-any.whl")):
        document = json.loads(audit(target, "--json"))
        validate("patches-audit", document)
        assert document["free"], document
        assert [one["verdict"] for one in document["entries"]] == ["free of MPI", "free of MPI", "absent"]


def test_a_wheel_that_touches_mpi_ends_with_7_and_says_that_a_set_would_have_closed_it(tmp_path: Path) -> None:
    wheel = wheel_of(CANARY, tmp_path / "tensorrt_llm-1-py3-none-any.whl")
    result = CliRunner().invoke(app, ["audit", str(wheel)])
    assert isinstance(result.exception, VerifyError)
    assert "closed by single-device" in result.stdout


def test_a_way_that_no_set_closes_ends_with_5(patched: Path) -> None:
    new = patched / "tensorrt_llm" / "logger.py"
    new.write_text(new.read_text() + "\nimport importlib\nimportlib.import_module('mpi4py.MPI')\n")
    result = CliRunner().invoke(app, ["audit", str(patched)])
    assert isinstance(result.exception, PatchError)
    assert "logger.py" in result.stdout
    assert "NOT closed by a shipped set" in result.stdout


def test_an_installed_package_and_a_wheel_without_one(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    for file in CANARY.glob("tensorrt_llm/**/*.py"):
        (site / file.relative_to(CANARY)).parent.mkdir(parents=True, exist_ok=True)
        (site / file.relative_to(CANARY)).write_bytes(file.read_bytes())
    assert "closed by single-device" in audit(site)
    empty = wheel_of(tmp_path, tmp_path / "tensorrt_llm-1-py3-none-any.whl")
    with pytest.raises(UsageError, match=r"py3-none-any\.whl has no tensorrt_llm"):
        audit(empty)


def test_for_many_devices_mpi_is_meant_and_nothing_is_said_of_patches() -> None:
    result = CliRunner().invoke(app, ["audit", str(CANARY), "--multi-device"])
    assert "touches MPI" in result.stdout
    assert "closed by single-device" not in result.stdout


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no tensorrt_llm"):
        audit(tmp_path)
    (tmp_path / "no.whl").write_bytes(b"nothing")
    with pytest.raises(UsageError, match="cannot be read as a wheel"):
        audit(tmp_path / "no.whl")


def small(root: Path, **files: str) -> Path:
    for name, text in {"tensorrt_llm/__init__.py": "", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_the_last_line_says_closed_or_open(patched: Path, tmp_path: Path) -> None:
    assert audit(patched).splitlines()[-1] == "closed: nothing here reaches MPI"
    root = small(tmp_path / "small", **{"tensorrt_llm/__init__.py": "import importlib\nimportlib.import_module(x())\n"})
    result = CliRunner().invoke(app, ["audit", str(root)])
    assert "import tensorrt_llm: unknown, open (1 modules)" in result.stdout
    assert result.stdout.splitlines()[-1] == (
        "open: places that reach MPI and that no set closes: 0; unknown shapes: 1"
    )


def test_a_tree_that_cannot_be_built_or_patched_as_it_lies_is_told(tmp_path: Path) -> None:
    archive = "cpp/tensorrt_llm/executor/x86_64-linux-gnu/libtensorrt_llm_executor_static.a"
    root = small(tmp_path, **{"tensorrt_llm/__init__.py": "from mpi4py import MPI\n", archive: ""})
    text = audit(root, "--patch", "single-device")
    assert "cannot be built single-device" in text
    assert archive in text
    assert "no requirements.txt here, so that `patches apply` refuses this directory" in text
    assert "no requirements.txt" not in audit(CANARY)
    assert "cannot be built" not in audit(CANARY)


def test_no_step_of_a_way_is_told_twice(tmp_path: Path) -> None:
    text = "(lambda: (lambda: __import__('mpi4py'))())()\n"
    small(tmp_path, **{"tensorrt_llm/__init__.py": "from . import a\n", "tensorrt_llm/a.py": text})
    result = CliRunner().invoke(app, ["audit", str(tmp_path), "--json"])
    (touch,) = json.loads(result.stdout)["entries"][0]["touches"]
    assert touch["trail"] == ["tensorrt_llm/__init__.py:1", "tensorrt_llm/a.py:1"]


def test_a_wheel_s_own_console_script_and_the_packages_beside_are_followed(tmp_path: Path) -> None:
    script = {"tensorrt_llm-1.dist-info/entry_points.txt": "[console_scripts]\ntrtllm-serve = tllm_serve:main\n"}
    root = small(tmp_path / "tree", **script, **{"tllm_serve/__init__.py": "def main():\n    import mpi4py\n"})
    result = CliRunner().invoke(app, ["audit", str(wheel_of(root, tmp_path / "tensorrt_llm-1-py3-none-any.whl"))])
    assert "import tensorrt_llm: free of MPI" in result.stdout
    assert "trtllm-serve serve: touches MPI, open" in result.stdout
    assert "by way of tensorrt_llm-1.dist-info/entry_points.txt:2 > tllm_serve/__init__.py:1" in result.stdout
