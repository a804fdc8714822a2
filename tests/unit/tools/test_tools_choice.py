"""Which tool is taken: fake programs on a PATH of their own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from trtllm_builder.errors import HostError, UsageError
from trtllm_builder.tools.catalogue import TOOLS
from trtllm_builder.tools.choose import ToolWant, choose
from trtllm_builder.tools.locate import locate
from trtllm_builder.tools.ranges import parse_range
from trtllm_builder.tools.store import RECEIPT


def program(directory: Path, name: str, body: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def says(directory: Path, name: str, text: str) -> Path:
    return program(directory, name, f"echo '{text}'")


def path_of(*directories: Path) -> dict[str, str]:
    return {"PATH": ":".join([*map(str, directories), "/usr/bin", "/bin"])}


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_every_lock_pins_one_version_in_range_by_hash_and_names_no_index(name: str) -> None:
    tool = TOOLS[name]
    text = tool.lock.read_text()
    assert parse_range(tool.specifier, name).holds(tool.version)
    requirements = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    assert requirements
    for requirement in requirements:
        assert re.match(r"[a-z0-9-]+==[\d.]+ \\\n", requirement)
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", requirement)
    assert "://" not in text
    assert "--index" not in text


def test_the_first_fit_one_on_path_is_taken_and_the_unfit_before_it_are_told(tmp_path: Path) -> None:
    says(tmp_path / "old", "cmake", "cmake version 3.25.1")
    fit = says(tmp_path / "fit", "cmake", "cmake version 3.28.3")
    says(tmp_path / "later", "cmake", "cmake version 3.29.0")
    environ = path_of(tmp_path / "old", tmp_path / "fit", tmp_path / "later")
    choice = choose(ToolWant("cmake"), environ, data_dir=tmp_path)
    assert (choice.path, choice.version, choice.origin, choice.size) == (fit, "3.28.3", "machine", 0)
    assert "old/cmake: 3.25.1 is not >=3.27,<3.31" in choice.reason
    assert "later" not in choice.reason


@pytest.mark.parametrize(
    ("directory", "body", "why"),
    [
        ("shims", "echo cmake version 3.28.3", "a version manager's shim"),
        (
            "bin",
            "echo 'pyenv: cmake: command not found' >&2; exit 127",
            "exit status 127: pyenv: cmake: command not found",
        ),
        ("bin", "exec sleep 60", "did not answer within 0.2 s"),
        ("bin", "echo hello", "prints no version"),
        ("bin", "echo cmake version 3.31.2", "3.31.2 is not >=3.27,<3.31"),
    ],
)
def test_a_tool_that_cannot_be_used_is_unfit_with_the_reason(
    tmp_path: Path, directory: str, body: str, why: str
) -> None:
    path = program(tmp_path / directory, "cmake", body)
    wanted = parse_range(TOOLS["cmake"].specifier, "cmake")
    found = locate(TOOLS["cmake"], wanted, path_of(tmp_path / directory), timeout=0.2)
    assert found[0].path == path
    assert why in (found[0].unfit or "")


def test_a_file_that_is_no_program_is_unfit(tmp_path: Path) -> None:
    (tmp_path / "ninja").write_bytes(b"\x7fELF not really")
    (tmp_path / "ninja").chmod(0o755)
    found = locate(TOOLS["ninja"], parse_range("", "ninja"), {"PATH": str(tmp_path)})
    assert "does not start" in (found[0].unfit or "")


def test_one_program_under_two_names_is_asked_once(tmp_path: Path) -> None:
    says(tmp_path / "a", "ninja", "1.13.0.git.kitware.jobserver-pipe-1")
    (tmp_path / "b").symlink_to("a")
    found = locate(TOOLS["ninja"], parse_range(">=1.13", "ninja"), {"PATH": f"{tmp_path}/a:{tmp_path}/b:a"})
    assert [(candidate.version, candidate.unfit) for candidate in found] == [("1.13.0", None)]


def test_a_ccache_that_is_a_script_is_not_taken(tmp_path: Path) -> None:
    says(tmp_path, "ccache", "ccache version 4.12")
    choice = choose(ToolWant("ccache"), {"PATH": str(tmp_path)}, data_dir=tmp_path)
    assert choice.origin == "ours"
    assert "at every single compile" in choice.reason


def test_a_tool_beside_the_toolkit_comes_before_path(tmp_path: Path) -> None:
    release = "Cuda compilation tools, release {0}, V{0}.88"
    says(tmp_path / "path", "cuobjdump", release.format("13.1"))
    beside = says(tmp_path / "cuda/bin", "cuobjdump", release.format("13.0"))
    environ = path_of(tmp_path / "path")
    choice = choose(ToolWant("cuobjdump"), environ, data_dir=tmp_path, beside=[tmp_path / "cuda/bin"])
    assert (choice.path, choice.version) == (beside, "13.0.88")


def test_without_any_ours_is_promised_and_once_installed_its_path_is_known(tmp_path: Path) -> None:
    tool = TOOLS["ninja"]
    promised = choose(ToolWant("ninja"), {"PATH": ""}, data_dir=tmp_path)
    assert (promised.path, promised.origin, promised.version) == (None, "ours", tool.version)
    assert promised.size == tool.installed
    assert promised.reason == "ours by hashed lock; no ninja on PATH"
    assert list(tmp_path.iterdir()) == []

    binary = tool.directory(tmp_path) / tool.binary
    binary.parent.mkdir(parents=True)
    binary.write_bytes(b"four")
    assert choose(ToolWant("ninja"), {"PATH": ""}, data_dir=tmp_path).path is None
    receipt = {"schema": 1, "facts": {}, "files": {tool.binary: 4}}
    (tool.directory(tmp_path) / RECEIPT).write_text(json.dumps(receipt))
    there = choose(ToolWant("ninja"), {"PATH": ""}, data_dir=tmp_path)
    assert (there.path, there.size) == (binary, 0)
    assert there.to_json()["path"] == str(binary)


def test_a_range_that_nothing_meets_is_one_sentence_with_both_versions(tmp_path: Path) -> None:
    says(tmp_path, "cmake", "cmake version 3.28.3")
    with pytest.raises(HostError) as caught:
        choose(ToolWant("cmake", ">=5"), path_of(tmp_path), data_dir=tmp_path)
    assert "3.28.3 is not >=5" in caught.value.what
    assert TOOLS["cmake"].version in caught.value.what
    assert caught.value.remedy


@pytest.mark.parametrize(("want", "part"), [(ToolWant("ninjo"), "ninja"), (ToolWant("cmake", "3.27+"), "3.27+")])
def test_what_is_no_tool_and_no_range_is_a_usage_error(want: ToolWant, part: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose(want, {"PATH": ""})
    assert part in caught.value.what + caught.value.remedy
