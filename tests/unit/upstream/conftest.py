"""Small trees of our own text in the shape of upstream's generations: a piece of script for each thing that changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

_HEAD = """
import os
from argparse import ArgumentParser
from functools import partial
from multiprocessing import cpu_count
from pathlib import Path
from subprocess import check_output, run

build_run = partial(run, shell=True, check=True)
"""

_FLAGS = """
def add_arguments(parser: ArgumentParser):
    parser.add_argument("--build_type", "-b", default="Release", choices=["Release", "RelWithDebInfo", "Debug"])
    parser.add_argument("--job_count", "-j", const=cpu_count(), nargs="?")
    parser.add_argument("--extra-cmake-vars", "-D", action="append", default=[])
    parser.add_argument("--extra-make-targets", nargs="+", default=[])
    parser.add_argument("--build_dir", type=Path)
    parser.add_argument("--benchmarks", action="store_true")
    parser.add_argument("--micro_benchmarks", action="store_true")
"""

# Each piece: (where it stands, text). Places: top, main (before configure), build, pack (after the build), flags.
_PIECES: dict[str, tuple[str, str]] = {
    "pip freeze": (
        "main",
        """
    listed = [line.decode() for line in check_output(["python3", "-m", "pip", "freeze"]).split()]
    if "tensorrt" not in listed:
        raise RuntimeError("no tensorrt")
""",
    ),
    "pip show": ("main", '\n    check_output([str(python), "-m", "pip", "show", "tensorrt"])\n'),
    "submodules": ("main", '\n    if not Path(".git").exists():\n        build_run("git submodule update --init")\n'),
    "set": (
        "main",
        """
    if len(extra_cmake_vars):
        pieces = []
        for var in extra_cmake_vars:
            pieces += var.split(";")
        extra_cmake_vars = ['"-D{}"'.format(piece) for piece in pieces]
        cmake_def_args.extend(set(extra_cmake_vars))
""",
    ),
    "ordered": (
        "main",
        """
    if len(extra_cmake_vars):
        pieces = []
        for var in extra_cmake_vars:
            pieces += var.split(";")
        extra_cmake_vars = ['"-D{}"'.format(piece) for piece in pieces]
        cmake_def_args.extend(dict.fromkeys(extra_cmake_vars))
""",
    ),
    "first build by directory": ("main", "\n    first_build = not build_dir.exists()\n"),
    "first build by CMakeFiles": ("main", '\n    first_build = not Path(build_dir, "CMakeFiles").exists()\n'),
    "fingerprint": ("top", "\ndef configure_fingerprint(arguments):\n    return str(arguments)\n"),
    "generator": ("main", '\n    if generator:\n        cmake_generator = "-G" + generator\n'),
    "generator flag": ("flags", '    parser.add_argument("--generator", "-G", default="")\n'),
    "targets in command": (
        "build",
        """
    th_common_lib = "" if cpp_only else "th_common"
    benchmarks_lib = "benchmarks" if benchmarks else ""
    worker = "" if on_windows else "executorWorker "
    build_run(
        f"cmake --build . --parallel {job_count} "
        f"--target tensorrt_llm nvinfer_plugin_tensorrt_llm {th_common_lib} {benchmarks_lib} {worker} "
        f'{" ".join(extra_make_targets)}')
""",
    ),
    "targets 0.19": (
        "build",
        """
    targets = ["tensorrt_llm", "nvinfer_plugin_tensorrt_llm"]
    if cpp_only:
        build_pyt = "OFF"
    else:
        targets.extend(["th_common", "bindings"])
    if benchmarks:
        targets.append("benchmarks")
    if not on_windows:
        targets.append("executorWorker")
    build_run(f"cmake --build . --parallel {job_count} --target build_wheel_targets")
""",
    ),
    "targets 1.0": (
        "build",
        """
    targets = ["tensorrt_llm", "nvinfer_plugin_tensorrt_llm"]
    if not cpp_only:
        targets.extend(["th_common", "bindings", "deep_ep", "deep_gemm"])
    if micro_benchmarks:
        targets.append("micro_benchmarks")
    if not on_windows:
        targets.append("executorWorker")
""",
    ),
    "targets 1.2": (
        "build",
        """
    targets = ["tensorrt_llm", "nvinfer_plugin_tensorrt_llm"]
    if not cpp_only:
        targets.extend(["th_common", "bindings", "deep_ep", "deep_gemm", "pg_utils", "flash_mla"])
    if not on_windows:
        targets.append("executorWorker")
""",
    ),
    "targets 2026": (
        "build",
        """
    targets = ["tensorrt_llm", "th_common", "bindings", "deep_ep", "deep_gemm", "pg_utils", "flash_mla"]
    with_nccl = has_sm90_or_newer(cuda_architectures)
    if with_nccl:
        targets.append("nccl_extensions_wheel")
""",
    ),
    "generated tree": (
        "build",
        """
    fmha_v2_cu_dir = Path("fmha_v2_cu")
    if clean:
        generate_fmha_cu(fmha_v2_cu_dir)
    elif not fmha_v2_cu_dir.exists():
        generate_fmha_cu(fmha_v2_cu_dir)
""",
    ),
    "stamped tree": (
        "build",
        """
    if clean or not fmha_stamp(fmha_v2_cu_dir).exists():
        generate_fmha_cu(fmha_v2_cu_dir)
""",
    ),
    "home cache": (
        "pack",
        """
    cache_dir = Path(os.getenv("TRTLLM_DG_CACHE_DIR") or Path.home() / ".tensorrt_llm")
    if cache_dir.exists():
        clear_folder(cache_dir)
""",
    ),
    "deep_ep": (
        "pack",
        """
    with (build_dir / "tensorrt_llm" / "deep_ep" /
          "cuda_architectures.txt").open() as f:
        deep_ep = f.read()
    if deep_ep:
        install_file(get_binding_lib("deep_ep", "deep_ep_cpp_tllm"))
""",
    ),
    "deep_gemm": ("pack", '\n    install_file(get_binding_lib("deep_gemm", "deep_gemm_cpp_tllm"))\n'),
    "flash_mla": (
        "pack",
        """
    with (build_dir / "tensorrt_llm" / "flash_mla" / "cuda_architectures.txt").open() as f:
        flash_mla = f.read()
""",
    ),
    "deep_gemm stubs": (
        "pack",
        """
    if deep_ep:
        build_run(f'"{python}" -m pybind11_stubgen -o . deep_ep_cpp_tllm')
    build_run(f'"{python}" -m pybind11_stubgen -o . deep_gemm_cpp_tllm')
""",
    ),
    "system stubs": ("pack", '\n    build_run(f"ln -s {stub} {path}/libnvidia-ml.so.1")\n'),
    "prompt": (
        "top",
        """
def setup_venv():
    if os.environ.get("NVIDIA_PYTORCH_VERSION"):
        input("continue?")
""",
    ),
    "requirements": (
        "pack",
        """
    def modify_requirements_for_cuda():
        file = Path("requirements.txt")
        if os.environ.get("CUDA_VERSION", "").startswith("12."):
            with open(file, "w") as stream:
                stream.write("torch")

    modify_requirements_for_cuda()
""",
    ),
    "msa": (
        "pack",
        """
    msa = build_dir / "msa" / "fmha_sm100"
    if not (msa / "cute" / "interface.py").is_file():
        raise FileNotFoundError(msa)
""",
    ),
    "extension": ("pack", "\n    build_kv_cache_manager_v2(python)\n"),
    "wheel": ("pack", "\n    build_run(f'\"{python}\" -m build {project_dir} --wheel')\n"),
    "second wheel": ("pack", "\n    build_run(f'\"{python}\" -m build {project_dir} --wheel', env=env)\n"),
    "yes": ("flags", '    parser.add_argument("--yes", "-y", action="store_true", default=False)\n'),
    "cpp_only": ("flags", '    parser.add_argument("--cpp_only", "-l", action="store_true")\n'),
}

_MIDDLE = ("pip show", "set", "first build by CMakeFiles", "generator", "generator flag", "home cache", "submodules")
_OPTIONAL = ("deep_ep", "deep_gemm", "deep_gemm stubs", "prompt")

GENERATIONS: dict[str, tuple[str, ...]] = {
    "0.13": ("pip freeze", "submodules", "set", "first build by directory", "targets in command", "wheel", "cpp_only"),
    "0.19": (*_MIDDLE, "targets 0.19", "wheel", "cpp_only"),
    "1.0": (
        *_MIDDLE, *_OPTIONAL, "targets 1.0", "generated tree", "system stubs", "requirements", "wheel", "cpp_only",
    ),
    "1.2": (
        *_MIDDLE, *_OPTIONAL, "flash_mla", "targets 1.2", "generated tree", "requirements", "wheel", "cpp_only",
    ),
    "mid-2026": (
        "set", "first build by CMakeFiles", "generator", "generator flag", "home cache", "submodules", *_OPTIONAL,
        "flash_mla", "targets 1.2", "stamped tree", "extension", "wheel", "second wheel", "yes", "cpp_only",
    ),
    "autumn-2026": (
        "ordered", "fingerprint", "first build by CMakeFiles", "generator", "generator flag", "home cache", *_OPTIONAL,
        "flash_mla", "targets 2026", "stamped tree", "msa", "wheel", "yes",
    ),
}  # fmt: skip


def script(pieces: tuple[str, ...]) -> str:
    """A build script made of pieces, in the order in which a script runs."""

    def part(place: str) -> str:
        return "".join(text for name in pieces for where, text in (_PIECES[name],) if where == place)

    main = "\ndef main(*, extra_cmake_vars=(), **rest):\n    cmake_def_args = []\n"
    return _HEAD + part("top") + main + part("main") + part("build") + part("pack") + _FLAGS + part("flags")


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Path]:
    """Writes a checkout: ``tree({"path": text or bytes})``; a build script and version.py are added when not given."""

    def write(files: dict[str, str | bytes] | None = None, generation: str = "1.2") -> Path:
        root = tmp_path / "checkout"
        contents: dict[str, str | bytes] = {
            "scripts/build_wheel.py": script(GENERATIONS[generation]),
            "tensorrt_llm/version.py": '# a comment\n__version__ = "1.2.0"\n',
            **(files or {}),
        }
        for name, content in contents.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return root

    return write
