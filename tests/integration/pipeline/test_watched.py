"""A build on a terminal: what is seen, what is kept of it for later, and the state the terminal is left in."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration


class Terminal:
    """A command on a terminal of its own, and all that it has drawn there."""

    def __init__(self, argv: list[str], environ: dict[str, str], columns: int) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        self.child = subprocess.Popen(
            argv, env={**environ, "TERM": "xterm-256color"}, stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.drawn = ""

    def read_until(self, wanted: str, limit: float = 120) -> None:
        deadline = time.monotonic() + limit
        while not re.search(wanted, self.drawn):
            assert time.monotonic() < deadline, self.drawn[-2000:]
            if not self.read():
                pytest.fail(f"ended without {wanted!r}: {self.drawn[-2000:]}")

    def read(self) -> bool:
        try:
            self.drawn += os.read(self.master, 65536).decode("utf-8", "replace")
        except OSError:
            return False
        return True

    def end(self) -> int:
        while self.read():
            pass
        os.close(self.master)
        return self.child.wait(30)


def test_a_build_is_seen_kept_and_learned_from(builder: Any, validate: Callable[[str, object], None]) -> None:
    terminal = Terminal(builder.argv(), builder.environ, 100)
    builder.started.append(terminal.child)
    terminal.read_until(r"requirements.*━")
    terminal.read_until(r"\d+/24")
    assert terminal.end() == 0
    # Whatever comes next, the last word on the cursor is that it is seen.
    assert terminal.drawn.rindex("\x1b[?25h") > terminal.drawn.rindex("\x1b[?25l")
    assert "memory" in terminal.drawn and "disk" in terminal.drawn

    record = builder.record
    page = Path(record["measured"]["timeline"])
    assert page.is_file() and "libtensorrt_llm.so" in page.read_text()
    events = json.loads(page.with_name("timeline.trace.json").read_text())["traceEvents"]
    assert len([event for event in events if event["ph"] == "X" and event["pid"] == 2]) == 24
    command = [*builder.argv()[:3], "timeline", "--json"]
    shown = subprocess.run(command, env=builder.environ, capture_output=True, text=True, check=True)
    document = json.loads(shown.stdout)
    validate("timeline", document)
    assert [span["name"] for span in document["stages"]][-1] == "record" and len(document["steps"]) == 24
    assert document["cache"]["calls"] == 20
    assert 0 < max(step["end"] for step in document["steps"]) <= document["seconds"]
    # Another workspace's plan knows what this one took.
    plan = subprocess.run(
        [*builder.argv()[:3], "plan", "--profile", "canary", "--json", "--workspace", str(builder.workspace) + "-2"],
        env=builder.environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    planned = json.loads(plan.stdout)
    assert record["run"] in planned["disk"]["source"] and record["run"] in planned["memory"]["source"]
    assert planned["disk"]["low"] > 10_000_000


def test_a_terminal_is_left_as_it_was_when_the_build_is_ended(builder: Any) -> None:
    builder.words = ("--set", "build.ccache.enabled=false")
    terminal = Terminal(builder.argv(), builder.environ, 40)
    builder.started.append(terminal.child)
    terminal.read_until(r"build +\d+/24")
    terminal.child.send_signal(signal.SIGTERM)
    assert terminal.end() == 143
    assert terminal.drawn.rindex("\x1b[?25h") > terminal.drawn.rindex("\x1b[?25l")
    assert re.search(r"compile +ended at build \d+/24", terminal.drawn)
    (log,) = (builder.workspace / "logs").glob("*/compile.log")
    assert "\x1b" not in log.read_text()
