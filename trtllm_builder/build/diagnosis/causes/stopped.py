"""Stopped from outside: by a person, by a signal, by a question that nobody could answer."""

from __future__ import annotations

from trtllm_builder.build.diagnosis.model import signature

SIGNATURES = (
    signature(
        "interrupted",
        "ninja: build stopped: interrupted by user",
        ("KeyboardInterrupt", r"^KeyboardInterrupt\b"),
        ("Interrupt", r"^g?make(?:\[\d+\])?: \*\*\* (?:\[(?:[^\]]*: )?(?P<step>[^\]\s]+)\] )?Interrupt"),
        ("SIGINT", r"died with <Signals\.(?P<subject>SIGINT)"),
        ("aborted by user", r"ERROR: Operation cancelled by user|aborted by user"),
        ("cancelled by user", r"Operation cancelled by user"),
        says="It was interrupted: by hand (Ctrl-C), or by a signal from outside.",
        remedy="give the same command again: what is compiled stays compiled",
        explains=("python-error", "archive-damaged", "cmake-error"),
    ),
    signature(
        "terminated",
        ("Terminated", r"^(?:\S+: line \d+: +\d+ )?Terminated(?:$|  +\S)"),
        ("Terminated", r"^g?make(?:\[\d+\])?: \*\*\* .*\bTerminated$"),
        ("Terminated signal terminated program", r"(?P<signal>Terminated) signal terminated program"),
        ("died with <Signals.", r"died with <Signals\.(?P<signal>SIGTERM|SIGHUP)"),
        ("Hangup", r"(?:^|\*\*\* .*)(?P<signal>Hangup)$"),
        ("The runner has received a shutdown signal", r"(?P<signal>shutdown signal)"),
        ("The operation was canceled", r"(?P<signal>operation was canceled)"),
        says=(
            "It was ended from outside ({signal}): by a person, a closed terminal, or a machine that was shut down.",
            "It was ended from outside (SIGTERM): by a person, a job scheduler, or a machine that was shut down.",
        ),
        remedy="give the same command again: what is compiled stays compiled; `--detach` outlives the terminal",
        explains=("python-error",),
    ),
    signature(
        "prompt",
        ("EOFError", r"^EOFError: EOF when reading a line"),
        ("could not read Username", r"could not read Username for '(?P<subject>[^']+)'"),
        ("could not read Password", r"could not read Password for '(?P<subject>[^']+)'"),
        ("terminal is required", r"sudo: a terminal is required"),
        says=(
            "git asked for a name and password for {subject}, and nobody was there to answer: the repository is "
            "private, "
            "or it does not exist.",
            "It asked a question, and nobody was there to answer.",
        ),
        remedy=(
            "check the URL ({subject}); for a private repository give https://USER:TOKEN@..., or ssh",
            "in an NVIDIA PyTorch container upstream's script asks when the venv has another PyTorch: unset "
            "NVIDIA_PYTORCH_VERSION (our own builds do), or install into the container's Python with --no-venv",
        ),
        explains=("python-error", "download-failed"),
    ),
)
