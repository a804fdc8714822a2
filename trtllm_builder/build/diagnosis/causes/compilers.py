"""Compilers that do not know, do not fit or do not find."""

from __future__ import annotations

from trtllm_builder.build.diagnosis.model import Rank, signature

_TOOLKITS = (
    "sm_100 and sm_120 need CUDA 12.8 or later, sm_103 and sm_121 need 12.9; CUDA 13 dropped everything below sm_75"
)
SIGNATURES = (
    signature(
        "architecture-unknown",
        ("Unsupported gpu architecture", r"Unsupported gpu architecture '(?P<subject>[\w]+)'"),
        (
            "is not defined for option 'gpu-",
            r"Value '(?P<subject>sm_\w+|compute_\w+)' is not defined for option "
            "'gpu-",
        ),
        ("Unknown CUDA arch", r"Unknown CUDA arch \((?P<subject>[\w.+]+)\)"),
        ("Unsupported CUDA architecture", r"Unsupported CUDA architecture:? '?(?P<subject>[\w.]+)"),
        ("not supported by the CUDA compiler", r"architecture '?(?P<subject>[\w.]+)'? .*not supported by the CUDA"),
        says="This nvcc does not know {subject}.",
        remedy=f"take another toolkit (cuda.toolkit in the profile) or other GPUs (cuda.architectures): {_TOOLKITS}",
        explains=("cuda-compiler-broken", "compile-error", "cmake-error", "ptxas"),
    ),
    signature(
        "host-compiler-does-not-fit",
        (
            "unsupported GNU version",
            r"unsupported GNU version! gcc versions later than (?P<subject>\d+) are not supported",
        ),
        ("unsupported GNU version", r"unsupported GNU version"),
        ("unsupported clang version", r"unsupported clang version"),
        ("unsupported Microsoft Visual Studio", r"unsupported Microsoft"),
        ("is not supported by NVCC", r"(?P<what>gcc|clang|g\+\+).*is not supported by NVCC"),
        says=(
            "This nvcc takes gcc up to version {subject}, and the one it found is newer.",
            "This nvcc and the host's C++ compiler do not fit together.",
        ),
        remedy=(
            "install gcc-{subject} and g++-{subject} and set CC, CXX and CUDAHOSTCXX to them (build.environment "
            "in the profile), "
            "or take a newer toolkit (cuda.toolkit)",
            "install an older compiler and set CC, CXX and CUDAHOSTCXX to it (build.environment in the profile), "
            "or take a newer "
            "toolkit (cuda.toolkit)",
        ),
        explains=("cuda-compiler-broken", "compile-error", "cmake-error"),
    ),
    signature(
        "host-compiler-other-system",
        ("targets unsupported OS", r"Host compiler targets unsupported OS"),
        ("Unsupported host compiler", r"[Uu]nsupported host compiler"),
        says="nvcc's host compiler makes code for another system than this one (a cross or 32-bit compiler).",
        remedy="set CC, CXX and CUDAHOSTCXX to this machine's own 64-bit gcc and g++ (build.environment in "
        "the profile)",
        explains=("cuda-compiler-broken", "cmake-error"),
    ),
    signature(
        "host-compiler-missing",
        ("host compiler", r"Failed to preprocess host compiler properties"),
        ("PATH", r"nvcc fatal.*Could not (?:open|find) (?P<what>gcc|g\+\+|c\+\+|compiler)"),
        ("g++: not found", r"g\+\+: (?:command )?not found"),
        ("gcc: not found", r"gcc: (?:command )?not found"),
        ("CMAKE_CXX_COMPILER", r"No CMAKE_CX?X?_COMPILER could be found"),
        ("CMAKE_C_COMPILER", r"No CMAKE_CX?X?_COMPILER could be found"),
        ("cc1plus", r"(?:cannot|fatal error: .*cannot) exec(?:ute|vp:)? ['‘]?cc1plus"),
        says="There is no usable C++ compiler.",
        remedy="apt-get install build-essential, or set CC and CXX to another one (build.environment in the profile)",
        explains=("cuda-compiler-broken", "cmake-error"),
    ),
    signature(
        "toolkit-version",
        (
            "mismatches the version that was used to compile",
            r"detected CUDA version \((?P<subject>[\d.]+)\) mismatches",
        ),
        (
            "CUDA version",
            r"(?:CUDA [Vv]ersion|CUDA compiler).{0,40}(?:must be|at least|required).{0,40}?(?P<other>\d+\.\d+)",
        ),
        (
            "unsuitable version",
            r"Could NOT find CUDA(?:Toolkit)?: Found unsuitable version \"(?P<subject>[\d.]+)\".*at least "
            r"\"(?P<other>[\d.]+)\"",
        ),
        says=(
            "The CUDA toolkit is {subject}, and {other} is wanted.",
            "The CUDA toolkit is {subject}, and PyTorch was compiled with another.",
            "Another CUDA toolkit is wanted: {other}.",
        ),
        remedy="name a toolkit that fits in cuda.toolkit of the profile, or a PyTorch that was built for this one",
        explains=("cmake-error", "package-not-found", "cuda-not-found", "python-error"),
    ),
    signature(
        "cuda-not-found",
        ("No CMAKE_CUDA_COMPILER could be found", r"No CMAKE_CUDA_COMPILER could be found"),
        ("Failed to find nvcc", r"Failed to find nvcc"),
        ("nvcc: not found", r"nvcc: (?:command )?not found"),
        ("nvcc", r"No such file or directory: '(?:\S*/)?nvcc'"),
        ("CMAKE_CUDA_COMPILER", r"CMAKE_CUDA_COMPILER: (?P<subject>\S+) is not a full path to an existing compiler"),
        (
            "CUDA_TOOLKIT_ROOT_DIR",
            r"(?:CUDA_TOOLKIT_ROOT_DIR not found|CMake Error.*Could NOT find CUDA(?:Toolkit)? \(missing)",
        ),
        ("Could NOT find CUDAToolkit", r"CMake Error.*Could NOT find CUDAToolkit"),
        (
            "environment variable CUDACXX",
            r"Could not find compiler set in environment variable CUDACXX:\s+(?P<subject>\S+?)\.?(?:\s|$)",
        ),
        ("CUDA_HOME environment variable is not set", r"CUDA_HOME environment variable is not set"),
        says=("CUDACXX or CMAKE_CUDA_COMPILER names {subject}, which is not there.", "No CUDA toolkit was found."),
        remedy="set CUDACXX to its nvcc and CUDA_HOME to its directory, or cuda.root in the profile; "
        "`trtllm-build plan` shows "
        "which toolkit is taken",
        explains=("cmake-error", "package-not-found", "program-missing", "python-error"),
    ),
    signature(
        "compiler-too-old",
        ("is not defined for option 'std'", r"Value '(?P<subject>[\w+]+)' is not defined for option 'std'"),
        ("command-line option", r"unrecognized command[- ]line option ['‘\"“](?P<subject>-[^'’\"”]+)"),
        ("unrecognized option", r"(?:as|ld|assembler).*: unrecognized option '?(?P<subject>-[^\s']+)"),
        ("Unknown option", r"nvcc fatal\s+: Unknown option '(?P<subject>[^']+)'"),
        ("CXX_STANDARD", r"(?P<subject>CXX_STANDARD is set to invalid value|CUDA_STANDARD is set to invalid value)"),
        ("no such instruction", r"Error: no such instruction: [`'](?P<subject>[^'`]+)"),
        says="A compiler here does not know {subject}: it is older than this code expects, or the flag is misspelt.",
        remedy="take a newer one (gcc 11 or later, and a toolkit that the release asks for: `trtllm-build "
        "plan` shows both)",
        explains=("compile-error", "cmake-error"),
    ),
    signature(
        "temporary-of-nvcc",
        ("Could not open output file", r"nvcc (?:error|fatal)\s+: Could not open output file '?(?P<subject>[^\s']+)"),
        ("could not open temporary", r"(?P<subject>nvcc|cicc|cudafe\+\+).*could not open temporary"),
        ("cannot open source file", r"cannot open source file \"(?P<subject>\S*tmpxft\S*)\""),
        ("could not be opened", r"(?P<subject>/\S*tmpxft\S+).*could not be opened"),
        says="nvcc cannot write its temporary files ({subject}).",
        remedy="set TMPDIR to a directory that exists, may be written to and has room",
        host=True,
    ),
    signature(
        "ptxas",
        ("ptxas fatal", r"ptxas fatal\s+: (?P<what>.*)"),
        ("ptxas error", r"ptxas (?:\S+, line \d+; )?error\s*: (?P<what>.*)"),
        ("ptxas /", r"ptxas (?P<file>/\S+), line \d+; (?:error|fatal)\s*: (?P<what>.*)"),
        says="ptxas refuses the code that nvcc made: {what}",
        remedy="the kernel does not fit this architecture or this toolkit: try the toolkit version that the "
        "release asks for, "
        "or leave the architecture out (cuda.architectures)",
        rank=Rank.PLAIN,
    ),
    signature(
        "cuda-compiler-broken",
        ("is not able to compile a", r"The (?P<subject>CUDA|CXX|C|C\+\+) compiler .*is not able to compile a"),
        ("default CUDA architecture", r"Failed to detect a default (?P<subject>CUDA) architecture"),
        (
            "identification source file",
            r"Compiling the (?P<subject>CUDA|CXX|C) compiler identification source file .*failed",
        ),
        says="CMake's first test of the {subject} compiler failed.",
        remedy="the compiler's own message stands below that line and in CMakeFiles/CMakeError.log or "
        "CMakeConfigureLog.yaml of "
        "the build directory",
        rank=Rank.WRAPPER,
    ),
    signature(
        "ccache",
        ("ccache: error:", r"ccache: error: (?P<what>.*)"),
        ("ccache: failed", r"ccache: failed (?P<what>.*)"),
        says="ccache failed: {what}",
        remedy="see that build.ccache.dir can be written to and has room; build.ccache.enabled: false builds without",
    ),
)
