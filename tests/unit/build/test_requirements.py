from __future__ import annotations

from pathlib import Path

import pytest

from trtllm_builder.build import requirements
from trtllm_builder.build.requirements import Requirement, listed, wanted

SHA = "7" * 64
ARCHIVE = {"url": "https://host/packages/My_Tool-1.2-py3-none-any.whl", "archive_info": {"hashes": {"sha256": SHA}}}


@pytest.mark.parametrize(
    ("where", "sha256", "commit", "file"),
    [
        (ARCHIVE, SHA, "", "My_Tool-1.2-py3-none-any.whl"),
        ({**ARCHIVE, "archive_info": {"hash": f"sha256={SHA}"}}, SHA, "", "My_Tool-1.2-py3-none-any.whl"),
        ({"url": "file:///a%20b/x-1.tar.gz", "archive_info": {}}, "", "", "x-1.tar.gz"),
        ({"url": "https://host/x.git", "vcs_info": {"vcs": "git", "commit_id": "1" * 40}}, "", "1" * 40, "x.git"),
    ],
)
def test_what_pip_reports_of_any_age(where: dict[str, object], sha256: str, commit: str, file: str) -> None:
    found = requirements._read({"download_info": where, "metadata": {"name": "My.Tool", "version": "1.2"}})
    assert found == Requirement("my-tool", "1.2", file, sha256, commit)
    assert Requirement.from_input(found.to_input()) == found


def test_the_words_for_pip_are_the_list_and_what_the_script_names(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts" / "build_wheel.py"
    script.write_text('build_run(f"{python} -m pip install conan==2.14.0")\nbuild_run("x -m pip install -r y")\n')
    assert wanted(tmp_path) == ["conan==2.14.0"]
    (tmp_path / "requirements-dev.txt").write_text("-r requirements.txt\n--extra-index-url https://host/cu130\nbuild\n")
    (tmp_path / "requirements.txt").write_text("-r ../outside.txt\n  -f https://host/links\n--no-binary x\ntorch\n")
    (tmp_path.parent / "outside.txt").write_text("evil\n")
    assert wanted(tmp_path) == ["--requirement", "requirements-dev.txt", "conan==2.14.0"]
    assert list(listed(tmp_path)) == ["requirements-dev.txt", "requirements.txt"]
    assert list(requirements._places(tmp_path)) == ["--extra-index-url https://host/cu130", "-f https://host/links"]


def test_a_list_that_names_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "requirements-dev.txt").write_text("-r requirements-dev.txt\n-r ./requirements-dev.txt\n")
    assert list(listed(tmp_path)) == ["requirements-dev.txt"]
