"""The canary of a chosen size: the same source for ever, no file like another, and a URL that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from trtllm_builder import canary
from trtllm_builder.canary.generated import DIRECTORY, kernel_files
from trtllm_builder.profile.names import canary_size, parse_source_url


def test_a_size_is_a_commit(tmp_path: Path) -> None:
    three = canary.materialise(tmp_path / "one", 3)
    assert three == canary.materialise(tmp_path / "two", 3)
    assert len({three, canary.materialise(tmp_path / "four", 4), canary.materialise(tmp_path / "none")}) == 3
    assert sorted(path.name for path in (tmp_path / "one" / DIRECTORY).iterdir()) == [
        "blend0.cu", "blend1.cu", "blend2.cu",
    ]  # fmt: skip
    assert not (tmp_path / "none" / DIRECTORY).exists()
    # So that no wheel takes the place of one that was made of another source.
    versions = [(tmp_path / name / "tensorrt_llm/version.py").read_text() for name in ("none", "one", "four")]
    assert [text.split('"')[1] for text in versions] == [
        "0.0.0+canary", "0.0.0+canary.size3", "0.0.0+canary.size4",
    ]  # fmt: skip


def test_no_two_files_are_alike_and_more_files_change_none() -> None:
    texts = kernel_files(40)
    assert len(set(texts.values())) == 40 and kernel_files(7).items() <= texts.items()


def test_the_stand_in_serves_it_under_its_own_name(tmp_path: Path) -> None:
    commit = canary.serve(tmp_path, 2)
    assert (tmp_path / "canary-2.git" / DIRECTORY / "blend1.cu").is_file() and len(commit) == 40
    assert canary.builtin(canary.url(2)) == "builtin:canary-2" and canary.builtin(canary.url()) == "builtin:canary"
    assert canary.builtin("https://elsewhere/x.git") == "https://elsewhere/x.git"


@pytest.mark.parametrize(
    ("url", "size"), [("builtin:canary", 0), ("builtin:canary-1", 1), ("builtin:canary-9999", 9999)]
)
def test_urls_of_ours(url: str, size: int) -> None:
    assert canary_size(parse_source_url(url)) == size


@pytest.mark.parametrize(
    "url", ["builtin:canary-0", "builtin:canary-", "builtin:canary-10000", "builtin:canary-1\n", "builtin:x"]
)
def test_urls_that_are_none(url: str) -> None:
    assert canary_size(url) is None
    with pytest.raises(ValueError, match="the only built-in sources are"):
        parse_source_url(url)
