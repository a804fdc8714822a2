"""What the compiler, the linker or Python says where no common cause is known."""

from __future__ import annotations

from trtllm_builder.build.diagnosis.model import Rank, signature

SIGNATURES = (
    signature(
        "warnings-as-errors",
        ("[-Werror", r"^(?P<file>[^\s:]+):\d+:(?:\d+:)? error: .*\[-Werror=(?P<subject>[\w-]+)"),
        ("warnings being treated as errors", r"warnings being treated as errors"),
        says=("{file} has a warning that counts as an error ({subject}).", "A warning counts as an error."),
        remedy="WARNING_IS_ERROR: OFF in build.cmake; a newer compiler than upstream's finds more to warn of",
        rank=Rank.PLAIN,
    ),
    signature(
        "compile-error",
        ("error", r"^(?P<file>[^\s:]+\.\w+):(?P<line>\d+):(?:\d+:)? (?:fatal )?error: (?P<what>.*)"),
        (
            "error",
            r"^(?P<file>[^\s(:]+)\((?P<line>\d+)\): (?:catastrophic |fatal )?error(?: #\d+(?:-D)?)?: (?P<what>.*)",
        ),
        rank=Rank.PLAIN,
        says="The compiler refuses line {line} of {file}: {what}",
        remedy="no common cause is known for it: if the tree is unchanged, the compiler, the toolkit or a "
        "dependency is another "
        "version than upstream builds with (`trtllm-build releases`)",
    ),
    signature(
        "link-error",
        ("ld returned", r"collect2: error: ld returned (?P<what>\d+) exit status"),
        ("linker command failed", r"clang\S*: error: linker command (?P<what>failed)"),
        rank=Rank.WRAPPER,
        says="The linker failed.",
        remedy="its own message stands just above",
    ),
    signature(
        "python-error",
        ("Error", r"^(?!subprocess\.CalledProcessError)(?P<what>(?:[\w.]+\.)?[A-Z]\w*Error: .*)"),
        rank=Rank.WRAPPER,
        says="A Python script failed: {what}",
        remedy="its traceback stands above that line",
    ),
)
