"""FetchContent's declarations, in both shapes, and which of them a build will not ask for."""

from __future__ import annotations

import json
from pathlib import Path

from trtllm_builder.upstream.fetch_content import LIST, Declared, is_switched_off, not_beforehand, read_declarations


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_the_list_of_2026(tmp_path: Path) -> None:
    listed = [
        {"name": "small", "git_repository": "https://host/small", "git_tag": "v1", "git_shallow": True},
        {"name": "bare", "git_repository": "https://host/bare.git", "git_tag": "v2", "git_submodules": ""},
        {"name": "packed", "git_repository": "${github_base_url}/a/packed", "git_tag": "c0ffee", "use_url": True},
        {"name": "odd", "git_repository": "${elsewhere}/odd", "git_tag": "v3"},
    ]
    write(tmp_path, {LIST: json.dumps({"schema_version": 1, "dependencies": listed}, indent=1)})
    got = read_declarations(tmp_path)
    assert got.found == (
        Declared("small", "git", "https://host/small", "v1", True, LIST, 5),
        Declared("bare", "git", "https://host/bare.git", "v2", False, LIST, 11),
        Declared("packed", "archive", "https://github.com/a/packed/archive/c0ffee.tar.gz", "", False, LIST, 17),
    )
    assert got.notes == (f"{LIST}:23: where odd comes from is not known before CMake runs",)


def test_a_list_that_is_none_is_a_note(tmp_path: Path) -> None:
    for text in ("[]", "{", '{"dependencies": [1]}', '{"dependencies": [{"name": "x"}]}'):
        got = read_declarations(write(tmp_path, {LIST: text}))
        assert not got.found and len(got.notes) == 1 and "not a list that we understand" in got.notes[0]


def test_cmake_code_with_variables_of_its_own_file(tmp_path: Path) -> None:
    code = """
    set(COMMIT 0123)
    FetchContent_Declare(one GIT_REPOSITORY "${github_base_url}/a/one" GIT_TAG ${COMMIT} GIT_SHALLOW TRUE)
    fetchcontent_declare(two
      URL ${github_base_url}/a/two/archive/${COMMIT}.tar.gz  # the archive
      URL_HASH SHA256=00)
    FetchContent_Declare(three GIT_REPOSITORY https://host/three GIT_SUBMODULES "")
    FetchContent_Declare(${FETCH_ARGS})
    FetchContent_Declare(here SOURCE_DIR ${CMAKE_CURRENT_SOURCE_DIR}/here)
    """
    files = {
        "cpp/CMakeLists.txt": code,
        "cpp/build/CMakeLists.txt": code.replace("three", "four"),
        "3rdparty/module/CMakeLists.txt": code.replace("three", "five"),
        "3rdparty/module/.git": "gitdir: elsewhere",
        "cpp/broken.cmake": "FetchContent_Declare(",
    }
    got = read_declarations(write(tmp_path, files))
    assert [(one.name, one.kind, one.url, one.tag, one.submodules) for one in got.found] == [
        ("one", "git", "https://github.com/a/one", "0123", True),
        ("two", "archive", "https://github.com/a/two/archive/0123.tar.gz", "", False),
        ("three", "git", "https://host/three", "master", False),
    ]
    assert [one.line for one in got.found] == [3, 4, 7]
    assert len(got.notes) == 1 and got.notes[0].startswith("cpp/broken.cmake:1:")


def test_what_nobody_can_fetch_beforehand_is_said(tmp_path: Path) -> None:
    script = "build_run(f'conan install --remote=ours')\n"
    root = write(tmp_path, {"scripts/build_wheel.py": script})
    (conan,) = not_beforehand(root, [("ENABLE_UCX", "0")])
    assert conan.startswith("scripts/build_wheel.py:1 asks a conan server")
    assert "rapids-cmake" in not_beforehand(root, [("ENABLE_UCX", "1")])[1]
    write(tmp_path, {"scripts/build_wheel.py": script.replace("--remote=ours", "--no-remote")})
    assert not_beforehand(root, []) == ()
    write(
        tmp_path, {"requirements.txt": "torch\n# git+https://host/x\netcd3 @ git+https://host/etcd3.git@e58a  # why\n"}
    )
    cloned = "requirements.txt:3 has pip clone git+https://host/etcd3.git@e58a, which is not among these"
    assert not_beforehand(root, []) == (cloned,)


def test_what_options_switch_off_by_name() -> None:
    def off(name: str, file: str, **options: str) -> bool:
        return is_switched_off(Declared(name, "git", "https://h/x", "v", True, file, 1), options.items())

    assert off("deep_ep_download", LIST, BUILD_DEEP_EP="OFF")
    assert off("deepgemm", LIST, BUILD_DEEP_GEMM="0")
    assert off("ucxx", LIST, ENABLE_UCX="0")
    assert off("googletest", LIST, BUILD_TESTS="off")
    assert off("anything", "cpp/tensorrt_llm/deep_ep/CMakeLists.txt", BUILD_DEEP_EP="OFF")
    assert not off("deep_ep_download", LIST, BUILD_DEEP_EP="ON", BUILD_PYT="OFF")
    assert not off("cutlass", LIST, ENABLE_MULTI_DEVICE="0", BUILD_TESTS="OFF", NVTX_DISABLE="OFF")
