"""Killed, crashed, or refused memory. A crash is never taken for a lack of memory."""

from __future__ import annotations

from trtllm_builder.build.diagnosis.model import signature

_GO_ON = "the same command goes on from there"
SIGNATURES = (
    signature(
        "killed",
        # Of gcc, of nvcc, of collect2, of clang, of ninja 1.12 and later, of make, of the shell, of upstream's script.
        ("Killed signal terminated program", r"fatal error: Killed signal terminated program (?P<program>\S+)"),
        ("died due to signal 9", r"'(?P<program>\w+)' died due to signal 9"),
        ("terminated with signal 9", r"(?P<program>\S+) terminated with signal 9"),
        "internal compiler error: Killed",
        "unable to execute command: Killed",
        ("code=137", r"FAILED: \[code=137\] (?P<step>\S+)"),
        ("Error 137", r"\*\*\* \[(?:[^\]]*: )?(?P<step>[^\]\s]+)\] Error 137"),
        ("Killed", r"^(?:\S+: line \d+: +\d+ )?Killed(?:$|  +\S)"),
        ("Killed", r"\*\*\* \[(?:[^\]]*: )?(?P<step>[^\]\s]+)\] Killed"),
        ("SIGKILL", r"died with <Signals\.SIGKILL"),
        ("exit status", r"returned non-zero exit status (?:137|-9)\b"),
        # Both sentence and remedy depend on what was measured: see verdict.py.
        says="A process of the build was killed by signal 9.",
        remedy="run fewer compilers at once",
        explains=("compiler-crashed", "memory-refused", "link-error", "not-an-archive"),
    ),
    signature(
        "compiler-crashed",
        ("died due to signal", r"'?(?P<subject>\w[\w+-]*)'? died due to signal (?P<signal>\d+)"),
        ("internal compiler error", r"internal compiler error: (?P<what>.*)"),
        ("terminated program", r"fatal error: (?P<what>[\w ]+) signal terminated program (?P<subject>\S+)"),
        ("terminated with signal", r"(?P<subject>\S+) terminated with signal (?P<signal>\d+)"),
        ("unable to execute command: Segmentation fault", r"unable to execute command: (?P<what>Segmentation fault)"),
        ("died with <Signals", r"died with <Signals\.(?P<what>SIG(?:SEGV|BUS|ILL|ABRT|FPE))"),
        (
            "Segmentation fault",
            r"^(?:\S+: line \d+: +\d+ )?(?P<what>Segmentation fault)(?: \(core dumped\))?(?:$|  +\S)",
        ),
        says=(
            "{subject} crashed on {step} ({what}); that is a fault of the compiler, not a lack of memory.",
            "{subject} crashed on {step} (signal {signal}); that is a fault of the compiler, not a lack of memory.",
            "{subject} crashed (signal {signal}); that is a fault of the compiler, not a lack of memory.",
            "The compiler crashed on {step} ({what}); that is a fault of the compiler, not a lack of memory.",
            "The compiler crashed ({what}); that is a fault of the compiler, not a lack of memory.",
            "The compiler crashed; that is a fault of the compiler, not a lack of memory.",
        ),
        remedy="give the same command again: one that crashes twice at the same file needs another version "
        "of the compiler "
        "(cuda.toolkit in the profile, or another gcc); one that crashes at different files points at the "
        "machine's memory",
    ),
    signature(
        "memory-refused",
        "virtual memory exhausted",
        ("out of memory allocating", r"(?P<subject>\S+): out of memory allocating"),
        ("memory exhausted", r"(?P<subject>\S*ld): .*memory exhausted"),
        "LLVM ERROR: out of memory",
        ("bad_alloc", r"std::bad_alloc"),
        ("MemoryError", r"^MemoryError\b"),
        ("Cannot allocate memory", r"Cannot allocate memory"),
        says=("The system refused {subject} more memory.", "The system refused a compiler more memory."),
        remedy="a limit on address space (`ulimit -v`) or a machine without overcommit does this: raise the "
        "limit, or run "
        f"fewer compilers at once (--jobs); {_GO_ON}",
    ),
    signature(
        "too-many-processes",
        (
            "Resource temporarily unavailable",
            r"(?:v?fork|clone|posix_spawn|pthread_create|thread).*Resource temporarily",
        ),
        ("start new thread", r"can't start new thread"),
        says="No more processes may be started: a limit on processes (`ulimit -u`, or the cgroup's "
        "pids.max) is reached.",
        remedy=f"run fewer compilers at once (--jobs), or raise the limit; {_GO_ON}",
    ),
    signature(
        "too-many-open-files",
        "Too many open files",
        says="Too many files are open at once: the limit (`ulimit -n`) is reached.",
        remedy=f"raise it with `ulimit -n 65536` before the build; {_GO_ON}",
    ),
    signature(
        "too-large-to-link",
        ("relocation truncated to fit", r"(?P<subject>relocation) truncated to fit"),
        says="The library is too large to link: addresses in it no longer fit (relocation truncated to fit).",
        remedy="build for fewer architectures (cuda.architectures): each adds its own copy of every kernel; "
        "debug and line "
        "information have the same effect",
    ),
)
