from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from trtllm_builder.build import requirements
from trtllm_builder.build.requirement import Requirement
from trtllm_builder.build.requirements import listed, wanted
from trtllm_builder.errors import ProfileError

SHA = "7" * 64
ARCHIVE = {"url": "https://host/packages/My_Tool-1.2-py3-none-any.whl", "archive_info": {"hashes": {"sha256": SHA}}}


@pytest.mark.parametrize(
    ("where", "sha256", "commit", "file", "url"),
    [
        (ARCHIVE, SHA, "", "My_Tool-1.2-py3-none-any.whl", ""),
        ({"url": "file:///a%20b/x-1.tar.gz", "archive_info": {}}, "", "", "x-1.tar.gz", ""),
        (
            {"url": "https://me:secret@host/x.git", "vcs_info": {"vcs": "git", "commit_id": "1" * 40}},
            "", "1" * 40, "", "https://***@host/x.git",
        ),
    ],
)  # fmt: skip
def test_what_pip_reports(where: dict[str, object], sha256: str, commit: str, file: str, url: str) -> None:
    found = requirements._read({"download_info": where, "metadata": {"name": "My.Tool", "version": "1.2"}})
    assert found == Requirement("my-tool", "1.2", file, sha256, commit, url)
    assert Requirement.from_input(found.to_input()) == found


def test_what_has_to_be_built_and_what_it_is_built_with() -> None:
    wheel = Requirement("a", "1", "a-1-py3-none-any.whl", SHA)
    source, repository = replace(wheel, file="a-1.tar.gz"), Requirement("a", "1", "", "", "1" * 40, "https://host/a")
    backend = replace(source, needed_by="b")
    assert [one.is_built for one in (wheel, source, repository, backend)] == [False, True, True, False]
    assert source.line == f"a==1 --hash=sha256:{SHA}" and repository.line == f"a @ git+https://host/a@{'1' * 40}"
    one = backend.to_input()
    assert (one.kind, one.name) == ("backend", "b/a") and Requirement.from_input(one) == backend


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


def test_of_a_locked_package_the_files_name_counts_too() -> None:
    """Which the lock tells of, and pip is not asked for."""
    one = Requirement("a", "1", "a-1-py3-none-any.whl", SHA)
    requirements._check_names([one], [one, replace(one, name="b", file="b.whl")])
    requirements._check_names([one], [])
    with pytest.raises(ProfileError, match=r"requirement a: other\.whl, and the lock has a-1-py3-none-any\.whl"):
        requirements._check_names([one], [replace(one, file="other.whl")])


def test_a_list_that_names_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "requirements-dev.txt").write_text("-r requirements-dev.txt\n-r ./requirements-dev.txt\n")
    assert list(listed(tmp_path)) == ["requirements-dev.txt"]
