"""The shipped set on imitations of build_wheel.py of each generation, which are then run with parts switched off."""

from __future__ import annotations

import os
import shutil
import textwrap
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from trtllm_builder.cli.patches import app
from trtllm_builder.errors import PatchError
from trtllm_builder.patching.sets import PatchPlan, apply, check, load_set, set_dirs
from trtllm_builder.process import run as run_process

HEAD = """\
from contextlib import suppress
from shutil import copy, copytree, rmtree

LOG = []


def build_run(command, env=None):
    LOG.append(command)


def has_sm90_or_newer(architectures):
    return True

"""
STUBS = """
def generate_python_stubs_linux(venv_python, deep_ep, flash_mla, env_stub_gen):
    build_run(f"\\"{venv_python}\\" -m nanobind.stubgen -m bindings -r -O .", env=env_stub_gen)
    build_run(
        f"\\"{venv_python}\\" -m pybind11_stubgen -o . deep_gemm_cpp_tllm --exit-code",
        env=env_stub_gen)
    if flash_mla:
        build_run(
            f"\\"{venv_python}\\" -m pybind11_stubgen -o . flash_mla_cpp_tllm --exit-code",
            env=env_stub_gen)
    if deep_ep:
        build_run(
            f"\\"{venv_python}\\" -m pybind11_stubgen -o . deep_ep_cpp_tllm --exit-code",
            env=env_stub_gen)

"""
STUBS_2026 = STUBS.replace(
    '''f"\\"{venv_python}\\" -m pybind11_stubgen -o . deep_gemm_cpp_tllm --exit-code"''',
    '''f"\\"{venv_python}\\" -c 'import torch; from pybind11_stubgen import main; main()' "
        "-o . deep_gemm_cpp_tllm --exit-code"''',
)
BINDINGS = """
    def get_binding_lib(subdirectory, name):
        found = list((build_dir / "tensorrt_llm" / subdirectory).glob(f"{name}.*.so"))
        assert len(found) == 1, f"Exactly one binding library should be present: {found}"
        return found[0]

    install_file, install_tree = copy, copytree
    deep_ep_dir = pkg_dir / "deep_ep"
    deep_gemm_dir = pkg_dir / "deep_gemm"
"""
DEEP_EP = """
        with (build_dir / "tensorrt_llm" / "deep_ep" /
              "cuda_architectures.txt").open() as f:
            deep_ep_cuda_architectures = f.read().strip().strip(";")
        if deep_ep_cuda_architectures:
            install_file(get_binding_lib("deep_ep", "deep_ep_cpp_tllm"),
                         pkg_dir)
"""
DEEP_GEMM = """
        install_file(get_binding_lib("deep_gemm", "deep_gemm_cpp_tllm"),
                     pkg_dir)
        install_tree(build_dir / "tensorrt_llm" / "deep_gemm" / "python" /
                     "deep_gemm",
                     deep_gemm_dir,
                     dirs_exist_ok=True)
"""
FLASH_MLA = """
        with (build_dir / "tensorrt_llm" / "flash_mla" /
              "cuda_architectures.txt").open() as f:
            flash_mla_cuda_architectures = f.read().strip().strip(";")
        if flash_mla_cuda_architectures:
            install_file(get_binding_lib("flash_mla", "flash_mla_cpp_tllm"),
                         pkg_dir)
"""
MAIN = """
def main(build_dir, pkg_dir, cpp_only=False, cuda_architectures="90"):
    targets = ["tensorrt_llm", "plugin"]

    if cpp_only:
        build_deep_ep = "OFF"
    else:
        targets.extend({targets})
        build_deep_ep = "ON"
"""
CALL = """
        generate_python_stubs_linux("python", bool(deep_ep_cuda_architectures),
                                    bool(flash_mla_cuda_architectures), {})
    return targets, LOG
"""
TARGETS_12 = """[
            "th_common", "bindings", "deep_ep", "deep_gemm", "pg_utils",
            "flash_mla"
        ]"""
V10 = (
    HEAD
    + MAIN.format(targets='["th_common", "bindings", "deep_ep", "deep_gemm"]')
    + BINDINGS
    + "\n    if not cpp_only:\n"
    + DEEP_EP
    + DEEP_GEMM
    + """
        env_ld = {}
        if deep_ep_cuda_architectures:
            build_run("stubs -o . deep_ep_cpp_tllm --exit-code", env=env_ld)
        build_run(
            f"\\"python\\" -m pybind11_stubgen -o . deep_gemm_cpp_tllm --exit-code",
            env=env_ld)
    return targets, LOG
"""
)
V12 = (
    HEAD
    + STUBS
    + MAIN.format(targets=TARGETS_12)
    + BINDINGS
    + "\n    if not cpp_only:\n"
    + DEEP_EP
    + DEEP_GEMM
    + FLASH_MLA
    + CALL
)
V2026 = V12.replace(STUBS, STUBS_2026)
AUTUMN = (
    HEAD
    + STUBS_2026
    + """
def main(build_dir, pkg_dir, cpp_only=False, cuda_architectures="90"):
    targets = [
        "tensorrt_llm", "th_common", "bindings", "deep_ep", "deep_gemm",
        "pg_utils", "flash_mla"
    ]
    build_nccl_extensions_enabled = has_sm90_or_newer(cuda_architectures)
    if build_nccl_extensions_enabled:
        targets.append("nccl_extensions_wheel")
        if not list(build_dir.glob("nccl_extensions*.whl")):
            raise RuntimeError("Expected exactly one source-built nccl-extensions wheel")
"""
    + BINDINGS
    + "    if True:"
    + DEEP_EP
    + DEEP_GEMM.replace(",\n                     dirs_exist_ok=True", "")
    + FLASH_MLA
    + CALL
)
MSA = """
    msa_src = build_dir / "_deps" / "msa-src" / "python" / "fmha_sm100"
    cutlass_src = build_dir / "_deps" / "cutlass-src"
    msa_dst = wheel_project_dir / "3rdparty" / "fmha_sm100"
    if not (msa_src / "cute" / "interface.py").is_file():
        raise FileNotFoundError(f"no MSA in {msa_src}")
    if msa_dst.is_symlink():
        msa_dst.unlink()
    elif msa_dst.exists():
        rmtree(msa_dst)
    msa_dst.mkdir(parents=True)
    for python_source in msa_src.glob("*.py"):
        copy(python_source, msa_dst)
    for source_dir, relative_dir in (
        (msa_src / "cute", Path("cute")),
        (cutlass_src / "include", Path("cutlass/include")),
    ):
        copytree(source_dir, msa_dst / relative_dir)
    install_file(cutlass_src / "LICENSE.txt", msa_dst / "cutlass")
"""
STAGING = f"""\
from pathlib import Path
from shutil import copy, copytree, rmtree


def main(build_dir, wheel_project_dir, python_only=False):
    install_file = copy
{MSA}"""
# The same below an else, as in the generation that could leave everything compiled out.
NESTED = STAGING.replace(MSA, "    if not python_only:\n" + textwrap.indent(MSA, "    "))
LISTED = """\
cmake_minimum_required(VERSION 3.18)
project(x NONE)
include(FetchContent)
FetchContent_Declare(msa GIT_REPOSITORY https://nowhere.invalid/msa GIT_TAG 1)
FetchContent_MakeAvailable(msa)
"""
GENERATIONS = {"1.0": V10, "1.2": V12, "2026": V2026, "autumn 2026": AUTUMN}
PARTS = ("deep_ep", "deep_gemm", "flash_mla")
SUBSETS = [*((part,) for part in PARTS), PARTS]


def option(part: str) -> str:
    return f"BUILD_{part.upper()}"


def planned(tree: Path, *off: str, **more: str) -> PatchPlan:
    facts = {option(part): "OFF" if part in off else "ON" for part in PARTS}
    return check([load_set("optional-modules", set_dirs())], tree, {**facts, **more})


def run(tree: Path, tmp_path: Path, off: tuple[str, ...]) -> tuple[list[str], list[str], list[str]]:
    """Targets, commands and packaged names of the build script, over a build directory that lacks what is off."""
    build, package = tmp_path / "build", tmp_path / "package"
    package.mkdir()
    for part in PARTS:
        if part not in off:
            (build / "tensorrt_llm" / part / "python" / part).mkdir(parents=True)
            (build / "tensorrt_llm" / part / f"{part}_cpp_tllm.x.so").write_text("")
            (build / "tensorrt_llm" / part / "cuda_architectures.txt").write_text("90;")
    build.mkdir(exist_ok=True)
    (build / "nccl_extensions-1.whl").write_text("")
    names: dict[str, Any] = {}
    exec(compile((tree / "scripts/build_wheel.py").read_text(), "build_wheel.py", "exec"), names)
    targets, log = names["main"](build, package)
    return targets, log, sorted(path.name for path in package.iterdir())


@pytest.fixture(params=sorted(GENERATIONS))
def tree(request: pytest.FixtureRequest, make_tree: Any) -> Path:
    root: Path = make_tree({"scripts/build_wheel.py": GENERATIONS[request.param]})
    return root


@pytest.mark.parametrize("off", SUBSETS, ids="+".join)
def test_what_is_off_is_neither_built_nor_packaged_nor_stubbed(
    tree: Path, tmp_path: Path, off: tuple[str, ...]
) -> None:
    text = (tree / "scripts/build_wheel.py").read_text()
    present = [part for part in PARTS if f"{part}_cpp_tllm" in text]
    if not set(off) & set(present):
        assert planned(tree, *off).sets[0].status == "not needed"
        return
    (tmp_path / "before").mkdir()
    with pytest.raises((FileNotFoundError, AssertionError)):
        run(tree, tmp_path / "before", off)
    plan = planned(tree, *off)
    apply(plan, tree)
    (tmp_path / "after").mkdir()
    targets, commands, packaged = run(tree, tmp_path / "after", off)
    for part in present:
        is_on = part not in off
        assert (part in targets) is is_on
        assert any(f"{part}_cpp_tllm" in command for command in commands) is is_on
        assert (f"{part}_cpp_tllm.x.so" in packaged) is is_on
    assert ("deep_gemm" in packaged) is ("deep_gemm" not in off)
    again = planned(tree, *off)
    assert not again.needed
    assert again.sets[0].status == "applied already"
    assert again.digest == plan.digest


def test_without_anything_off_nothing_is_needed(tree: Path) -> None:
    assert planned(tree).sets[0].status == "not needed"
    assert check([load_set("optional-modules", set_dirs())], tree).sets[0].status == "not needed"


@pytest.mark.parametrize("tree", ["autumn 2026"], indirect=True)
@pytest.mark.parametrize("fact", ["ENABLE_MULTI_DEVICE", "BUILD_NCCL_EXTENSIONS"])
def test_the_nccl_extensions_go_with_multi_device(tree: Path, tmp_path: Path, fact: str) -> None:
    apply(planned(tree, **{fact: "0"}), tree)
    assert "nccl_extensions_wheel" not in run(tree, tmp_path, ())[0]


@pytest.mark.parametrize("tree", ["1.2"], indirect=True)
def test_an_earlier_builds_deep_gemm_leaves_the_package(tree: Path, tmp_path: Path) -> None:
    apply(planned(tree, "deep_gemm"), tree)
    (tmp_path / "package/deep_gemm").mkdir(parents=True)
    (tmp_path / "package/deep_gemm/old.py").write_text("")
    names: dict[str, Any] = {}
    exec(compile((tree / "scripts/build_wheel.py").read_text(), "build_wheel.py", "exec"), names)
    for part in ("deep_ep", "flash_mla"):
        (tmp_path / "build/tensorrt_llm" / part).mkdir(parents=True)
        (tmp_path / "build/tensorrt_llm" / part / "cuda_architectures.txt").write_text("")
    names["main"](tmp_path / "build", tmp_path / "package")
    assert not (tmp_path / "package/deep_gemm").exists()


def staged(tree: Path, build: Path) -> Path:
    names: dict[str, Any] = {}
    exec(compile((tree / "scripts/build_wheel.py").read_text(), "build_wheel.py", "exec"), names)
    names["main"](build, tree)
    return tree / "3rdparty/fmha_sm100"


@pytest.mark.parametrize("script", [STAGING, NESTED], ids=["in main", "below an else"])
def test_without_msa_there_is_a_package_that_says_so(make_tree: Any, tmp_path: Path, script: str) -> None:
    files = {
        "scripts/build_wheel.py": script,
        "3rdparty/CMakeLists.txt": LISTED,
        "3rdparty/fetch_content.json": '{"dependencies": [{"name": "msa"}]}',
    }
    tree = make_tree(files)
    assert planned(tree).sets[0].status == "not needed"
    assert planned(tree, BUILD_MSA="ON").sets[0].status == "not needed"
    with pytest.raises(FileNotFoundError, match="no MSA in"):
        staged(tree, tmp_path)
    plan = planned(tree, BUILD_MSA="OFF")
    apply(plan, tree)
    package = staged(tree, tmp_path)
    assert [path.name for path in package.iterdir()] == ["__init__.py"]
    with pytest.raises(ImportError, match="built without MSA's kernels"):
        exec((package / "__init__.py").read_text(), {})
    assert planned(tree, BUILD_MSA="OFF").sets[0].status == "applied already"


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake on PATH")
def test_without_msa_cmake_does_not_fetch_it(make_tree: Any, tmp_path: Path) -> None:
    tree = make_tree(
        {
            "scripts/build_wheel.py": STAGING,
            "3rdparty/CMakeLists.txt": LISTED,
            "3rdparty/fetch_content.json": '{"dependencies": [{"name": "msa"}]}',
        }
    )
    apply(planned(tree, BUILD_MSA="OFF"), tree)
    ran = run_process(
        ["cmake", "-S", str(tree / "3rdparty"), "-B", str(tmp_path / "b")], env=dict(os.environ), timeout=60
    )
    assert ran.ok, ran.stderr
    assert not (tmp_path / "b/_deps/msa-src").exists()


def test_a_submodule_that_no_wheel_has_is_not_asked_for(make_tree: Any) -> None:
    script = """\
        def apply_msa_patch(project_dir):
            \"\"\"What the checkout uses.\"\"\"
            if not (project_dir / "3rdparty" / "MSA").is_dir():
                raise FileNotFoundError("initialize it")
        """
    tree = make_tree({"scripts/build_wheel.py": script})
    apply(planned(tree, BUILD_MSA="OFF"), tree)
    names: dict[str, Any] = {}
    exec((tree / "scripts/build_wheel.py").read_text(), names)
    assert names["apply_msa_patch"](tree) is None


def test_without_deep_gemm_the_package_can_be_imported(make_tree: Any) -> None:
    tree = make_tree(
        {
            "scripts/build_wheel.py": "",
            "tensorrt_llm/_torch/sparse/dsa.py": """\
                from tensorrt_llm import deep_gemm
                from tensorrt_llm.deep_gemm import fp8_logits, metadata as m

                def use():
                    return deep_gemm.get()
                """,
            "tensorrt_llm/_torch/pyexecutor/model_engine.py": """\
                DONE = False


                def _configure_deep_gemm_pdl() -> None:
                    global DONE

                    from tensorrt_llm import deep_gemm

                    deep_gemm.set_pdl(True)
                    DONE = True
                """,
        }
    )
    plan = planned(tree, "deep_gemm")
    assert [operation.id for operation in plan.sets[0].operations if operation.status == "applies"] == [
        "deep-gemm-imports",
        "deep-gemm-engine",
    ]
    apply(plan, tree)
    names: dict[str, Any] = {}
    exec((tree / "tensorrt_llm/_torch/sparse/dsa.py").read_text(), names)
    assert (names["deep_gemm"], names["fp8_logits"], names["m"]) == (None, None, None)
    exec((tree / "tensorrt_llm/_torch/pyexecutor/model_engine.py").read_text(), names)
    assert names["_configure_deep_gemm_pdl"]() is None


def test_the_set_fits_the_canary() -> None:
    import trtllm_builder.canary

    plan = planned(Path(trtllm_builder.canary.__file__).parent / "tree", *PARTS, ENABLE_MULTI_DEVICE="0")
    for change in plan.changes:
        compile(change.after, change.path, "exec")
    applied = {operation.id for operation in plan.sets[0].operations if operation.status == "applies"}
    assert applied == {
        *(f"{part}-{step}" for part in ("deep-ep", "flash-mla") for step in ("target", "packaging")),
        *(f"deep-gemm-{step}" for step in ("target", "binding", "python", "stubs", "imports")),
    }


# A tree that stages MSA in another way than any that was seen.
RENAMED = STAGING.replace("msa_dst", "target")


@pytest.mark.parametrize("command", ["check", "apply"])
def test_a_trap_that_no_operation_closes_is_no_success(make_tree: Any, command: str) -> None:
    tree = make_tree({"scripts/build_wheel.py": RENAMED})
    words = [command, str(tree), "--patch", "optional-modules", "--fact"]
    assert CliRunner().invoke(app, [*words, "BUILD_MSA=ON"]).exit_code == 0
    error = CliRunner().invoke(app, [*words, "BUILD_MSA=OFF"]).exception
    assert isinstance(error, PatchError) and error.exit_code == 5 and "the trap msa-staging is there" in error.what
    assert (tree / "scripts/build_wheel.py").read_text() == RENAMED


@pytest.mark.parametrize(
    ("name", "facts", "trap"),
    [
        ("deep_ep_cuda_architectures", {"BUILD_DEEP_EP": "OFF"}, "deep-ep-architectures-file"),
        ("flash_mla_cuda_architectures", {"BUILD_FLASH_MLA": "OFF"}, "flash-mla-architectures-file"),
        ("build_nccl_extensions_enabled", {"ENABLE_MULTI_DEVICE": "0"}, "nccl-extensions-wheel"),
    ],
)
def test_another_name_than_the_operations_know_is_a_misfit(
    make_tree: Any, name: str, facts: dict[str, str], trap: str
) -> None:
    script = GENERATIONS["autumn 2026"].replace(name, "another_name")
    with pytest.raises(PatchError, match=f"the trap {trap} is there .* no operation of the set closes it") as caught:
        planned(make_tree({"scripts/build_wheel.py": script}), **facts)
    assert caught.value.exit_code == 5 and caught.value.where and caught.value.where.line
