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
        "build-tool-ended",
        # CMake's words when the program it started did not exit by itself: what failed in a build is told otherwise.
        ("Subprocess killed", r"^(?P<signal>Subprocess killed)$"),
        ("execution of make failed", r"execution of make failed\. Make command was: (?:\S*/)?(?P<tool>[\w.-]+)"),
        says=(
            "{tool} ended without a word (killed?).",
            "ninja or make ended without a word (killed?).",
        ),
        remedy="somebody, or a program that guards this machine, killed it, or memory was short (`dmesg` tells); "
        "nothing is wrong with the build: the same command, or `trtllm-build resume`, goes on from there",
        explains=("cmake-error",),
    ),
    signature(
        "prompt-of-apt",
        ("[Y/n]", r"Do you want to continue\? \[Y/n\] ?(?:Abort\.)?$"),
        ("Geographic area:", r"^Geographic area: ?$"),
        says="apt asked a question, and nobody was there to answer.",
        remedy="give it the answers beforehand: `DEBIAN_FRONTEND=noninteractive apt-get install -y ...` (in a "
        "Dockerfile: ENV DEBIAN_FRONTEND=noninteractive)",
        settled=True,
    ),
    signature(
        "prompt-of-ssh",
        ("(yes/no", r"Are you sure you want to continue connecting \(yes/no(?:/\[fingerprint\])?\)\? ?$"),
        ("assphrase for key", r"Enter passphrase for key '?(?P<subject>[^':]+)'?: ?$"),
        says=(
            "ssh asked for the passphrase of {subject}, and nobody was there to answer.",
            "ssh asked whether to trust a server, and nobody was there to answer.",
        ),
        remedy="fetch by https:// instead of git@ or ssh://, or prepare ssh: `ssh-keyscan HOST >> ~/.ssh/known_hosts`, "
        "and an agent that holds the key",
        settled=True,
    ),
    signature(
        "prompt",
        ("EOFError", r"^EOFError: EOF when reading a line"),
        ("could not read Username", r"could not read Username for '(?P<subject>[^']+)'"),
        ("could not read Password", r"could not read Password for '(?P<subject>[^']+)'"),
        ("Username for", r"^Username for '(?P<subject>[^']+)': ?$"),
        ("Password for", r"^Password for '(?P<subject>[^']+)': ?$"),
        ("assword", r"^\[sudo\] password for \S+: ?$"),
        ("terminal is required", r"sudo: a terminal is required"),
        says=(
            "git asked for a name and password for {subject}, and nobody was there to answer: the repository is "
            "private, or it does not exist.",
            "It asked a question, and nobody was there to answer.",
        ),
        remedy=(
            "check the URL ({subject}); a private repository wants ssh, or credentials beforehand (git's "
            "credential.helper, or https://USER:TOKEN@...); GIT_TERMINAL_PROMPT=0 makes git fail instead of asking",
            "run it where it need not ask (sudo: as root); in an NVIDIA PyTorch container upstream's script asks when "
            "the venv has another PyTorch: unset NVIDIA_PYTORCH_VERSION (our own builds do), or install into the "
            "container's Python with --no-venv",
        ),
        explains=("python-error", "download-failed"),
        settled=True,
    ),
)
