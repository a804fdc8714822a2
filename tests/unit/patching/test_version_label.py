from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

from trtllm_builder.errors import PatchError, UsageError
from trtllm_builder.patching.version_label import labelled, set_version_label


def tree(tmp_path: Path, text: str) -> Path:
    (tmp_path / "tensorrt_llm").mkdir()
    (tmp_path / "tensorrt_llm/version.py").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("1.2.0rc2", "1.2.0rc2+sd.cu130.sm89"),
        ("0.0.0+canary", "0.0.0+canary.sd.cu130.sm89"),
        ("1.0+sd.cu128.sm90", "1.0+sd.cu130.sm89"),
        ("1.0+canary.sd.cu128.sm80.sm90", "1.0+canary.sd.cu130.sm89"),
        ("0.21.0.dev2025", "0.21.0.dev2025+sd.cu130.sm89"),
    ],
)
def test_the_label_stands_behind_upstreams_own(tmp_path: Path, before: str, after: str) -> None:
    root = tree(tmp_path, f'# licence\n__version__ = "{before}"  # here\n')
    assert set_version_label(root, "sd.cu130.sm89") == after
    file = root / "tensorrt_llm/version.py"
    assert file.read_text() == f'# licence\n__version__ = "{after}"  # here\n'
    stamp = file.stat().st_mtime_ns
    assert set_version_label(root, "sd.cu130.sm89") == after
    assert file.stat().st_mtime_ns == stamp


@settings(max_examples=100, deadline=None)
@given(
    st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}(rc[0-9])?(\+[a-z0-9]{1,4}(\.[a-z0-9]{1,4}){0,2})?", fullmatch=True)
)
def test_every_labelled_version_is_one_that_pep_440_knows(version: str) -> None:
    once = labelled(version, "sd.cu128.sm80.sm90")
    assert Version(once).public == Version(version).public
    assert str(Version(once)) == once
    assert labelled(once, "sd.cu128.sm80.sm90") == once


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("version = '1'\n", "found none"),
        ("__version__ = '1'\n__version__ = '2'\n", "found 2"),
        ("__version__ = f'{1}'\n", "expected one line"),
        ("__version__ = 'one'\n", "PEP 440"),
        ("__version__ = '\n", "not valid Python"),
    ],
)
def test_a_version_file_of_another_shape_is_an_error(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(PatchError, match=what) as error:
        set_version_label(tree(tmp_path, text), "sd.cu130.sm89")
    assert str(error.value.where).startswith(f"{tmp_path}/tensorrt_llm/version.py:")


def test_a_missing_version_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PatchError, match="not there"):
        set_version_label(tmp_path, "sd.cu130.sm89")


@pytest.mark.parametrize("label", ["cu130", "sd..x", "sd.X", "", "sd+x", "sd.cu130\n"])
def test_a_label_that_is_not_ours_is_a_usage_error(tmp_path: Path, label: str) -> None:
    with pytest.raises(UsageError):
        set_version_label(tree(tmp_path, "__version__ = '1.0'\n"), label)
