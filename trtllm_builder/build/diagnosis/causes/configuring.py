"""CMake, ninja and make: versions, build directories, rules."""

from __future__ import annotations

from trtllm_builder.build.diagnosis.model import Rank, signature

SIGNATURES = (
    signature(
        "no-makefile",
        "No targets specified and no makefile found",
        ("build.ninja", r"loading 'build\.ninja': No such file"),
        ("CMakeLists.txt", r"The source directory \"(?P<file>[^\"]+)\" does not appear to contain CMakeLists"),
        ("could not load cache", r"Error: could not load cache"),
        says="The build directory was never configured to the end, and upstream's script goes on as if it "
        "had been: an earlier "
        "configuring failed.",
        remedy="mend why that failed (often a download), then run build_wheel.py with --configure_cmake or "
        "--clean; our own "
        "builds always configure",
        explains=("cmake-error", "no-rule"),
    ),
    signature(
        "cmake-too-old",
        (
            "or higher is required.  You are running",
            r"CMake (?P<want>[\d.]+) or higher is required\.\s+You are running version (?P<have>[\d.]+)",
        ),
        (
            "or higher is required. You are running",
            r"CMake (?P<want>[\d.]+) or higher is required\.\s+You are running version (?P<have>[\d.]+)",
        ),
        says="CMake {have} is too old: {want} is wanted.",
        remedy="pip install 'cmake>={want}' in the environment that builds, or let our own build bring it "
        "(tools.cmake)",
        explains=("cmake-error",),
    ),
    signature(
        "cmake-too-new",
        ("Compatibility with CMake <", r"Compatibility with CMake < (?P<want>[\d.]+) has been removed"),
        says="This CMake (4 or later) no longer takes what a dependency asks for: behaviour from before {want}.",
        remedy="tools.cmake: '<4' in the profile, or CMAKE_POLICY_VERSION_MINIMUM: {want} in build.environment",
        explains=("cmake-error",),
    ),
    signature(
        "another-build-directory",
        ("CMakeCache.txt directory", r"CMakeCache\.txt directory (?P<what>\S+) is different"),
        ("does not match the source", r"The source \"(?P<what>[^\"]+)\" does not match the source"),
        (
            "Does not match the generator used previously",
            r"^Does not match the generator used previously: (?P<what>.*)",
        ),
        says="The build directory belongs to another checkout or generator ({what}).",
        remedy="delete it, or run build_wheel.py with --clean; ours: --rebuild",
        explains=("cmake-error",),
    ),
    signature(
        "no-rule",
        ("unknown target", r"ninja: error: unknown target '(?P<subject>[^']+)'"),
        ("missing and no known rule to make it", r"ninja: error: '(?P<subject>[^']+)', needed by '[^']+'"),
        ("No rule to make target", r"No rule to make target '(?P<subject>[^']+)'"),
        says="{subject} is wanted, and nothing says how to make it.",
        remedy="a file or a submodule is missing, or a module that is switched off is still asked for: the patch set "
        "optional-modules, source.submodules: true, and --configure_cmake are what to look at",
    ),
    signature(
        "argument-list",
        "Argument list too long",
        says="A command line is longer than this system allows.",
        remedy="build in a directory with a short path (--workspace)",
    ),
    signature(
        "cmake-error",
        ("CMake Error", r"CMake Error(?: at (?P<file>[^\s:]+:\d+))?(?: \(\w+\))?: ?(?P<what>.*)"),
        rank=Rank.WRAPPER,
        says=("CMake stopped at {file}: {what}", "CMake stopped: {what}", "CMake stopped."),
        remedy="the message is the author's own; CMakeFiles/CMakeError.log or CMakeConfigureLog.yaml in the "
        "build directory has "
        "the details",
    ),
)
