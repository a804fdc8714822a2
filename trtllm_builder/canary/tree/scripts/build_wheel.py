#!/usr/bin/env python3
"""Builds the canary's wheel, with upstream's command line and upstream's traps (see README.md for the list)."""

import os
import re
import sys
import sysconfig
import tempfile
import warnings
from argparse import ArgumentParser
from contextlib import contextmanager
from functools import partial
from multiprocessing import cpu_count
from pathlib import Path
from shutil import copy, copytree, move, rmtree
from subprocess import CalledProcessError, check_output, run

build_run = partial(run, shell=True, check=True)


@contextmanager
def working_directory(path):
    before = Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


def get_project_dir():
    return Path(__file__).parent.resolve().parent


def get_source_dir():
    return get_project_dir() / "cpp"


def get_build_dir(build_dir, build_type):
    if build_dir is None:
        return get_source_dir() / ("build" if build_type == "Release" else f"build_{build_type}")
    return Path(build_dir).resolve()


def clear_folder(folder):
    for item in Path(folder).iterdir():
        try:
            if item.is_dir() and not item.is_symlink():
                rmtree(item)
            else:
                item.unlink()
        except OSError as error:
            print(f"Could not remove {item}: {error}", file=sys.stderr)


def create_venv(project_dir):
    prefix = project_dir / f".venv-{sys.version_info.major}.{sys.version_info.minor}"
    print(f"-- Using virtual environment at: {prefix}")
    if not prefix.exists():
        build_run(f'"{sys.executable}" -m venv --system-site-packages "{prefix}"')
    return prefix


def setup_venv(project_dir, requirements_file, no_venv):
    """The interpreter that builds: the current environment's if it is a virtual one (or was asked for), else our own."""
    if no_venv or sys.prefix != sys.base_prefix:
        reason = "Asked for" if no_venv else "Already inside a virtual environment"
        print(f"-- {reason}: using {sys.prefix} as it is.")
        venv_prefix = Path(sys.prefix)
    else:
        venv_prefix = create_venv(project_dir)
    venv_python = venv_prefix / sys.executable.removeprefix(sys.prefix)[1:]

    if os.environ.get("NVIDIA_PYTORCH_VERSION"):
        purelib = Path(sysconfig.get_path("purelib", vars={"base": str(venv_prefix)}))
        if str(venv_prefix) != sys.base_prefix and (purelib / "torch").exists():
            warnings.warn(f"An NVIDIA PyTorch container, and another PyTorch inside {venv_prefix}: they may not agree.")
            input("Press Ctrl+C to stop, any key to continue...\n")

    print(f"-- Installing requirements from {requirements_file} into {venv_prefix}...")
    build_run(f'"{venv_python}" -m pip install -r "{requirements_file}"')
    return venv_python


def generate_fmha_cu(project_dir):
    fmha_v2_cu_dir = project_dir / "cpp/tensorrt_llm/kernels/contextFusedMultiHeadAttention/fmha_v2_cu"
    fmha_v2_cu_dir.mkdir(parents=True, exist_ok=True)
    fmha_v2_dir = project_dir / "cpp/kernels/fmha_v2"
    rmtree(fmha_v2_dir / "generated", ignore_errors=True)
    build_run("python3 setup.py", env=os.environ.copy(), cwd=fmha_v2_dir)

    generated = set()
    for source in (fmha_v2_dir / "generated").glob("*sm*.cu"):
        target = fmha_v2_cu_dir / source.name
        # A file with the same text keeps its time, so that it is not compiled again.
        if not target.exists() or target.read_bytes() != source.read_bytes():
            move(source, target)
        generated.add(target)
    for target in fmha_v2_cu_dir.iterdir():
        if target not in generated:
            target.unlink()


def check_missing_libs(library):
    lines = build_run(f"ldd {library}", capture_output=True, text=True).stdout.splitlines()
    return sorted({line.split()[0] for line in lines if "not found" in line})


def create_cuda_stub_links(cuda_stub_dir, missing_libs):
    """Versioned names for the toolkit's stub libraries, in a directory of their own."""
    link_dir = tempfile.mkdtemp(prefix="cuda_stub_links_")
    for name in missing_libs:
        stub = Path(cuda_stub_dir) / re.sub(r"\.\d+", "", name)
        if stub.exists():
            (Path(link_dir) / name).symlink_to(stub)
    return link_dir


def generate_python_stubs_linux(binding_type, venv_python, deep_ep, flash_mla, binding_lib_name):
    env_stub_gen = os.environ.copy()
    cuda_home_dir = env_stub_gen.get("CUDA_HOME") or env_stub_gen.get("CUDA_PATH") or "/usr/local/cuda"
    missing_libs = check_missing_libs(binding_lib_name)
    cuda_stub_dir = f"{cuda_home_dir}/lib64/stubs"
    link_dir = None
    if missing_libs and Path(cuda_stub_dir).exists():
        link_dir = create_cuda_stub_links(cuda_stub_dir, missing_libs)
        env_stub_gen["LD_LIBRARY_PATH"] = ":".join(
            filter(None, [link_dir, cuda_stub_dir, env_stub_gen.get("LD_LIBRARY_PATH")]))
    stubgen = get_project_dir() / "scripts/stubgen.py"
    try:
        build_run(f'"{venv_python}" "{stubgen}" -o . bindings', env=env_stub_gen)
        build_run(f'"{venv_python}" "{stubgen}" -o . deep_gemm_cpp_tllm', env=env_stub_gen)
        if flash_mla:
            build_run(f'"{venv_python}" "{stubgen}" -o . flash_mla_cpp_tllm', env=env_stub_gen)
        if deep_ep:
            build_run(f'"{venv_python}" "{stubgen}" -o . deep_ep_cpp_tllm', env=env_stub_gen)
    finally:
        if link_dir:
            rmtree(link_dir)


def main(*, build_type="Release", generator="", build_dir=None, dist_dir=None, cuda_architectures=None, job_count=None,
         extra_cmake_vars=(), extra_make_targets=(), trt_root="/usr/local/tensorrt", nccl_root=None, nixl_root=None,
         internal_cutlass_kernels_root=None, clean=False, clean_wheel=False, configure_cmake=False, use_ccache=False,
         fast_build=False, cpp_only=False, install=False, skip_building_wheel=False, linking_install_binary=False,
         binding_type="nanobind", benchmarks=False, micro_benchmarks=False, nvtx=False, skip_stubs=False,
         generate_fmha=False, no_venv=False, nvrtc_dynamic_linking=False):
    if clean:
        clean_wheel = True
    project_dir = get_project_dir()
    os.chdir(project_dir)

    with open(project_dir / ".gitmodules") as submodules_f:
        submodules = [line.split("=")[1].strip() for line in submodules_f if "path = " in line]
    if any(not (project_dir / submodule / ".git").exists() for submodule in submodules):
        build_run("git submodule update --init --recursive")

    venv_python = setup_venv(project_dir, project_dir / "requirements-dev.txt", no_venv)

    if cuda_architectures is not None and "70-real" in cuda_architectures:
        raise RuntimeError("Volta is no longer supported.")
    cuda_architectures = cuda_architectures or "all"
    cmake_cuda_architectures = f'"-DCMAKE_CUDA_ARCHITECTURES={cuda_architectures}"'
    cmake_generator = "-G" + generator if generator else ""
    if job_count is None:
        job_count = cpu_count()

    cmake_def_args = []
    if len(extra_cmake_vars):
        expanded_args = []
        for var in extra_cmake_vars:
            expanded_args += var.split(";")
        extra_cmake_vars = ['"-D{}"'.format(var) for var in expanded_args]
        # No duplicates
        cmake_def_args.extend(set(extra_cmake_vars))
    if trt_root is not None:
        cmake_def_args.append(f"-DTensorRT_ROOT={trt_root}")
    if nccl_root is not None:
        cmake_def_args.append(f"-DNCCL_ROOT={nccl_root}")
    if nixl_root is not None:
        cmake_def_args.append(f"-DNIXL_ROOT={nixl_root}")

    build_dir = get_build_dir(build_dir, build_type)
    first_build = not Path(build_dir, "CMakeFiles").exists()
    if clean and build_dir.exists():
        clear_folder(build_dir)
    build_dir.mkdir(parents=True, exist_ok=True)

    if use_ccache:
        cmake_def_args.append("-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache")
    if fast_build:
        cmake_def_args.append("-DFAST_BUILD=ON")
    if nvrtc_dynamic_linking:
        cmake_def_args.append("-DNVRTC_DYNAMIC_LINKING=ON")
    if internal_cutlass_kernels_root:
        cmake_def_args.append(f"-DINTERNAL_CUTLASS_KERNELS_PATH={internal_cutlass_kernels_root}")

    targets = ["tensorrt_llm"]
    if cpp_only:
        build_pyt = "OFF"
        build_deep_ep = "OFF"
        build_deep_gemm = "OFF"
        build_flash_mla = "OFF"
    else:
        targets.extend(["th_common", "bindings", "deep_ep", "deep_gemm", "pg_utils", "flash_mla"])
        build_pyt = "ON"
        build_deep_ep = "ON"
        build_deep_gemm = "ON"
        build_flash_mla = "ON"
    if benchmarks:
        targets.append("benchmarks")
    build_micro_benchmarks = "ON" if micro_benchmarks else "OFF"
    disable_nvtx = "OFF" if nvtx else "ON"
    source_dir = get_source_dir()

    fmha_v2_cu_dir = project_dir / "cpp/tensorrt_llm/kernels/contextFusedMultiHeadAttention/fmha_v2_cu"
    if clean or generate_fmha or not fmha_v2_cu_dir.exists():
        generate_fmha_cu(project_dir)

    with working_directory(build_dir):
        if clean or first_build or configure_cmake:
            cmake_def_args = " ".join(cmake_def_args)
            cmake_configure_command = (
                f'cmake -DCMAKE_BUILD_TYPE="{build_type}" -DBUILD_PYT="{build_pyt}" -DBINDING_TYPE="{binding_type}"'
                f' -DBUILD_DEEP_EP="{build_deep_ep}" -DBUILD_DEEP_GEMM="{build_deep_gemm}"'
                f' -DBUILD_FLASH_MLA="{build_flash_mla}"'
                f' -DNVTX_DISABLE="{disable_nvtx}" -DBUILD_MICRO_BENCHMARKS={build_micro_benchmarks}'
                f' -DBUILD_WHEEL_TARGETS="{";".join(targets)}"'
                f' -DPython_EXECUTABLE={venv_python} -DPython3_EXECUTABLE={venv_python}'
                f' {cmake_cuda_architectures} {cmake_def_args} {cmake_generator} -S "{source_dir}"')
            print("CMake Configure command: ")
            print(cmake_configure_command)
            sys.stdout.flush()
            build_run(cmake_configure_command)

        cmake_build_command = (f"cmake --build . --config {build_type} --parallel {job_count} "
                               f'--target build_wheel_targets {" ".join(extra_make_targets)}')
        print("CMake Build command: ")
        print(cmake_build_command)
        sys.stdout.flush()
        build_run(cmake_build_command)

    if cpp_only:
        assert not install, "There is nothing to install after --cpp_only"
        return

    pkg_dir = project_dir / "tensorrt_llm"
    lib_dir = pkg_dir / "libs"
    include_dir = pkg_dir / "include"
    for directory in (lib_dir, include_dir):
        if directory.exists():
            clear_folder(directory)
        directory.mkdir(parents=True, exist_ok=True)

    cache_dir = os.getenv("TRTLLM_DG_CACHE_DIR")
    if cache_dir is not None:
        cache_dir = Path(cache_dir)
    elif os.getenv("HOME") is not None:
        cache_dir = Path(os.getenv("HOME")) / ".tensorrt_llm"
    else:
        cache_dir = Path(tempfile.gettempdir()) / "tensorrt_llm"
    if cache_dir.exists():
        clear_folder(cache_dir)

    install_file = copy
    install_tree = copytree
    if skip_building_wheel and linking_install_binary:

        def link(source, target, dirs_exist_ok=True):
            target = Path(target)
            target = target / Path(source).name if target.is_dir() and Path(source).is_file() else target
            if target.is_symlink() or target.is_file():
                target.unlink()
            target.symlink_to(Path(source).resolve())

        install_file = install_tree = link

    install_tree(source_dir / "include/tensorrt_llm/deep_gemm", include_dir / "deep_gemm", dirs_exist_ok=True)
    install_file(build_dir / "tensorrt_llm/libtensorrt_llm.so", lib_dir / "libtensorrt_llm.so")
    install_file(build_dir / "tensorrt_llm/thop/libth_common.so", lib_dir / "libth_common.so")
    install_file(build_dir / "tensorrt_llm/runtime/libpg_utils.so", lib_dir / "libpg_utils.so")

    deep_ep_dir = pkg_dir / "deep_ep"
    deep_gemm_dir = pkg_dir / "deep_gemm"
    flash_mla_dir = pkg_dir / "flash_mla"
    for directory in (deep_ep_dir, deep_gemm_dir, flash_mla_dir):
        if directory.is_symlink():
            directory.unlink()
        elif directory.is_dir():
            rmtree(directory)

    def get_binding_lib(subdirectory, name):
        binding_lib = list((build_dir / "tensorrt_llm" / subdirectory).glob(f"{name}.*.so"))
        assert len(binding_lib) == 1, f"Exactly one binding library should be present: {binding_lib}"
        return binding_lib[0]

    binding_lib_dir = get_binding_lib("nanobind", "bindings")
    binding_lib_file_name = binding_lib_dir.name
    install_file(binding_lib_dir, pkg_dir)

    with (build_dir / "tensorrt_llm" / "deep_ep" / "cuda_architectures.txt").open() as f:
        deep_ep_cuda_architectures = f.read().strip().strip(";")
    if deep_ep_cuda_architectures:
        install_file(get_binding_lib("deep_ep", "deep_ep_cpp_tllm"), pkg_dir)
        install_tree(build_dir / "tensorrt_llm" / "deep_ep" / "python" / "deep_ep", deep_ep_dir, dirs_exist_ok=True)

    install_file(get_binding_lib("deep_gemm", "deep_gemm_cpp_tllm"), pkg_dir)
    install_tree(build_dir / "tensorrt_llm" / "deep_gemm" / "python" / "deep_gemm", deep_gemm_dir, dirs_exist_ok=True)

    with (build_dir / "tensorrt_llm" / "flash_mla" / "cuda_architectures.txt").open() as f:
        flash_mla_cuda_architectures = f.read().strip().strip(";")
    if flash_mla_cuda_architectures:
        install_file(get_binding_lib("flash_mla", "flash_mla_cpp_tllm"), pkg_dir)
        install_tree(build_dir / "tensorrt_llm" / "flash_mla" / "python" / "flash_mla", flash_mla_dir, dirs_exist_ok=True)

    if not skip_stubs:
        with working_directory(pkg_dir):
            generate_python_stubs_linux(binding_type, venv_python, bool(deep_ep_cuda_architectures),
                                        bool(flash_mla_cuda_architectures), binding_lib_file_name)

    if not skip_building_wheel:
        dist_dir = project_dir / "build" if dist_dir is None else Path(dist_dir)
        dist_dir.mkdir(parents=True, exist_ok=True)
        if clean_wheel:
            clear_folder(dist_dir)

        def modify_requirements_for_cuda():
            if not os.environ.get("CUDA_VERSION", "").startswith("12."):
                return
            print("CUDA 12: rewriting requirements.txt")
            requirements_file = project_dir / "requirements.txt"
            lines = requirements_file.read_text().splitlines(keepends=True)
            for number, line in enumerate(lines):
                if line.startswith("# ") and "<For CUDA 12.9>" in line:
                    lines[number] = line.replace("# ", "", 1)
                    lines[number + 1] = "# " + lines[number + 1]
            requirements_file.write_text("".join(lines))

        modify_requirements_for_cuda()
        build_run(f'"{venv_python}" -m build {project_dir} --skip-dependency-check --no-isolation --wheel'
                  f' --outdir "{dist_dir}"')

    if install:
        build_run(f'"{sys.executable}" -m pip install -e .[devel]')


def add_arguments(parser: ArgumentParser):
    parser.add_argument("--build_type", "-b", default="Release", choices=["Release", "RelWithDebInfo", "Debug"],
                        help="CMake's build type")
    parser.add_argument("--generator", "-G", default="", help="CMake's generator; CMake's own default if empty")
    parser.add_argument("--cuda_architectures", "-a", help="GPU architectures, separated by ';', e.g. 89-real;90-real")
    parser.add_argument("--install", "-i", action="store_true", help="Install the package in editable mode")
    parser.add_argument("--clean", "-c", action="store_true", help="Empty the build directory first")
    parser.add_argument("--clean_wheel", action="store_true", help="Empty dist_dir first (--clean implies it)")
    parser.add_argument("--configure_cmake", action="store_true", help="Configure, even if it was done before")
    parser.add_argument("--use_ccache", "-ccache", default=False, action="store_true", help="Compile through ccache")
    parser.add_argument("--fast_build", "-f", default=False, action="store_true", help="Compile fewer kernels")
    parser.add_argument("--job_count", "-j", const=cpu_count(), nargs="?", help="Parallel jobs (default: all CPUs)")
    parser.add_argument("--cpp_only", "-l", action="store_true", help="Build the C++ library and nothing else")
    parser.add_argument("--extra-cmake-vars", "-D", action="append", default=[],
                        help="A CMake definition, KEY=VALUE; may be repeated")
    parser.add_argument("--extra-make-targets", nargs="+", default=[], help="More targets to build")
    parser.add_argument("--trt_root", default="/usr/local/tensorrt", help="TensorRT's directory (taken and not used)")
    parser.add_argument("--nccl_root", help="NCCL's directory (taken and not used)")
    parser.add_argument("--nixl_root", help="NIXL's directory (taken and not used)")
    parser.add_argument("--internal-cutlass-kernels-root", default="", help="Taken and not used")
    parser.add_argument("--build_dir", type=Path, help="Where C++ is built (default: cpp/build or cpp/build_TYPE)")
    parser.add_argument("--dist_dir", type=Path, help="Where the wheel goes (default: build/)")
    parser.add_argument("--skip_building_wheel", "-s", action="store_true", help="Stop before the wheel")
    parser.add_argument("--linking_install_binary", action="store_true", help="Link the binaries instead of copying")
    parser.add_argument("--binding_type", choices=["pybind", "nanobind"], default="nanobind",
                        help="The binding generator's name (both are the plain C API here)")
    parser.add_argument("--benchmarks", action="store_true", help="Build the C++ benchmarks")
    parser.add_argument("--micro_benchmarks", action="store_true", help="Build the micro benchmarks")
    parser.add_argument("--nvtx", action="store_true", help="Keep NVTX ranges")
    parser.add_argument("--skip-stubs", action="store_true", help="Make no Python stubs")
    parser.add_argument("--generate_fmha", action="store_true", help="Generate the attention kernels again")
    parser.add_argument("--no-venv", action="store_true", help="Use the current interpreter as it is")
    parser.add_argument("--nvrtc_dynamic_linking", action="store_true", help="Taken and not used")


if __name__ == "__main__":
    parser = ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args()
    main(**vars(args))
