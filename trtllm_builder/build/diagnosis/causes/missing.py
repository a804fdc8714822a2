"""Headers, libraries, programs and CMake packages that are not there, with what brings them."""

from __future__ import annotations

from trtllm_builder.build.diagnosis.model import Rank, signature

SIGNATURES = (
    signature(
        "header-missing",
        (
            "No such file or directory",
            r"^(?P<file>[^\s:]+):\d+:\d+: (?:fatal )?error: (?P<subject>[\w./+-]+): No such file or directory",
        ),
        (
            "No such file or directory",
            r"^(?P<file>[^\s:]+): fatal error: (?P<subject>[\w./+-]+\.(?:h|hpp|cuh|inc)): No such file or directory",
        ),
        ("file not found", r"^(?P<file>[^\s:]+):\d+:\d+: (?:fatal )?error: '(?P<subject>[\w./+-]+)' file not found"),
        (
            "cannot open source file",
            r"^(?P<file>[^\s(]+)\(\d+\): (?:catastrophic |fatal )?error(?: #\d+(?:-D)?)?: cannot open "
            r"source file \"(?P<subject>[^\"]+)\"",
        ),
        says=("{subject} is missing ({part}); {file} includes it.", "{subject} is missing; {file} includes it."),
        remedy=(
            "{advice}",
            "no package is known for it here: `apt-file search /{subject}` names Debian's, if there is one",
        ),
        parts=True,
        explains=("compile-error",),
    ),
    signature(
        "library-missing",
        (
            "cannot find",
            r"(?:ld|lld|gold)(?:\.\w+)?: (?:error: )?cannot find (?P<subject>-l[\w.+-]+|\S+\.(?:so|a)\S*)",
        ),
        ("unable to find library", r"ld(?:\.lld)?: error: unable to find library (?P<subject>-l\S+)"),
        (
            "missing and no known rule to make it",
            r"ninja: error: '(?P<subject>\S+\.(?:so[\d.]*|a))', needed by '(?P<step>[^']+)'",
        ),
        (
            "No rule to make target",
            r"No rule to make target '(?P<subject>\S+\.(?:so[\d.]*|a))', needed by '(?P<step>[^']+)'",
        ),
        says=("The linker does not find {subject} ({part}).", "The linker does not find {subject}."),
        remedy=(
            "{advice}",
            "no package is known for it here: `apt-file search` with the library's name names Debian's",
        ),
        parts=True,
        explains=("link-error",),
    ),
    signature(
        "cuda-major",
        (
            "cannot open shared object file",
            r"(?P<subject>lib(?:cublas|cudart|cufft|curand|cusolver|cusparse|nvrtc|nvJitLink)\w*\.so\.(?P<major>\d+))"
            r"[\d.]*: cannot open shared object file",
        ),
        says="{subject} cannot be loaded: something here was built for CUDA {major}, and its libraries are not there.",
        remedy="take the build of that package (often PyTorch) for the toolkit's own CUDA, or put the libraries "
        "of CUDA {major} into LD_LIBRARY_PATH (build.environment)",
        explains=("python-error",),
    ),
    signature(
        "library-missing-at-run-time",
        ("cannot open shared object file", r"(?P<subject>[\w.+-]+\.so[\w.]*): cannot open shared object file"),
        ("not found (required by", r"(?P<subject>[\w.+-]+\.so[\w.]*) => not found"),
        says=("{subject} ({part}) cannot be loaded while building.", "{subject} cannot be loaded while building."),
        remedy=(
            "{advice}",
            "install the package that has it, or add its directory to LD_LIBRARY_PATH (build.environment)",
        ),
        parts=True,
        explains=("python-error",),
    ),
    signature(
        "glibc",
        ("not found (required by", r"version [`'](?P<subject>GLIBC_[\d.]+)' not found"),
        ("@GLIBC_", r"undefined reference to [`']\w+@(?P<subject>GLIBC_[\d.]+)'"),
        ("`GLIBC_", r"version [`'](?P<subject>GLIBC_[\d.]+)' not found"),
        says="Something here was built on a newer system: it wants {subject} of the C library.",
        remedy="build on a system as new as that (Ubuntu 22.04 has 2.35, 24.04 has 2.39, Debian 12 has "
        "2.36), or take that "
        "library's build for older systems",
        explains=("link-error", "undefined-reference", "python-error"),
    ),
    signature(
        "libstdcxx",
        ("GLIBCXX_", r"[`'](?P<subject>GLIBCXX_[\d.]+)' not found"),
        ("CXXABI_", r"[`'](?P<subject>CXXABI_[\d.]+)' not found"),
        ("@GLIBCXX_", r"undefined reference to [`'][^']*@(?P<subject>GLIBCXX_[\d.]+)'"),
        says="Something here was built with a newer g++: it wants {subject} of libstdc++.",
        remedy="conda's libstdc++ in front of the system's is the common reason (LD_LIBRARY_PATH): leave "
        "that environment, or "
        "install a newer g++",
        explains=("link-error", "undefined-reference", "python-error"),
    ),
    signature(
        "cxx-abi",
        ("undefined reference to", r"undefined reference to [`'](?P<subject>[^']*(?:__cxx11|\[abi:cxx11\])[^']*)'"),
        ("undefined symbol", r"undefined symbol: (?P<subject>_ZN?K?\w*(?:c10|at|torch)\w*)"),
        says="The parts were compiled with different C++ string ABIs, or another PyTorch: {subject} is not defined.",
        remedy="PyTorch and every prebuilt library must have the same _GLIBCXX_USE_CXX11_ABI: "
        "`python -c 'import torch; print(torch.compiled_with_cxx11_abi())'` shows PyTorch's; take the PyTorch of "
        "upstream's "
        "requirements.txt",
        explains=("link-error", "undefined-reference", "python-error"),
    ),
    signature(
        "undefined-reference",
        ("undefined reference to", r"undefined reference to [`'](?P<what>[^']+)'"),
        ("undefined symbol", r"undefined symbol: (?P<what>\S+)"),
        rank=Rank.PLAIN,
        says="The linker finds no definition of {what}.",
        remedy="a library is missing from the link, or is another version than the headers",
        explains=("link-error",),
    ),
    signature(
        "program-missing",
        ("not found", r"^(?:/\S*/)?(?:ba|da)?sh: (?:line )?\d+: (?P<subject>[\w.+/-]+): (?:command )?not found"),
        ("command not found", r"(?P<subject>[\w.+/-]+): command not found"),
        (
            "No such file or directory: '",
            r"FileNotFoundError: \[Errno 2\] No such file or directory: '(?P<subject>[\w+-]+)'$",
        ),
        ("No such file or directory", r"^g?make(?:\[\d+\])?: (?P<subject>[\w+-]+): No such file or directory"),
        ("unable to find a build program", r"unable to find a build program corresponding to \"(?P<subject>[^\"]+)\""),
        ("No such file or directory", r"env: ['‘]?(?P<subject>[\w.+-]+)['’]?: No such file or directory"),
        says="The program {subject} is missing.",
        remedy="install it (on Debian and Ubuntu usually `apt-get install` with that name; Ninja is "
        "ninja-build, Unix Makefiles are of make), or let our "
        "own build bring its tools",
        explains=("python-error", "cmake-error"),
        settled=True,
    ),
    signature(
        "package-not-found",
        ("Could NOT find", r"CMake Error.*Could NOT find (?P<subject>[\w+-]+)"),
        ("Could not find a package configuration file", r"configuration file provided by \"(?P<subject>[^\"]+)\""),
        ("By not providing", r"configuration file provided by \"(?P<subject>[^\"]+)\""),
        (
            "Could not find",
            r"Could not find (?P<subject>[A-Z]\w*?)(?:_INCLUDE_DIRS?|_LIBRAR(?:Y|IES)|_LIB)? using the following",
        ),
        (
            "NOTFOUND",
            r"are used in this project, but they are set to NOTFOUND.*?: "
            r"(?P<variable>(?P<subject>\w+?)(?:_LIB\w*|_INCLUDE\w*)?)\b",
        ),
        ("library not found", r"(?P<subject>NUMA|numa|NCCL|nccl|MPI|UCX|mlx5) library not found"),
        says=(
            "CMake does not find {subject} ({part}): {variable} is NOTFOUND.",
            "CMake does not find {subject}: {variable} is NOTFOUND.",
            "CMake does not find {subject}.",
        ),
        remedy=(
            "{advice}",
            "install its development package, or name its directory with {subject}_ROOT (build.environment)",
        ),
        parts=True,
        explains=("cmake-error",),
    ),
)
