"""Running a child: its output, and what happens when there is no end of it."""

from __future__ import annotations

import sys
import time

import pytest

from trtllm_builder.process import Completed, run


def python(code: str, **options: object) -> Completed:
    return run([sys.executable, "-I", "-S", "-c", code], env={}, **options)  # type: ignore[arg-type]


def test_both_streams_and_the_input_at_once() -> None:
    text = "line\r\n" * 50_000
    code = "import sys; data = sys.stdin.buffer.read(); sys.stderr.write('e' * 200_000); sys.stdout.buffer.write(data)"
    done = python(code, input=text)
    assert done.ok and done.stdout == text.replace("\r\n", "\n") and len(done.stderr) == 200_000


def test_a_child_that_reads_nothing_or_closes_its_output() -> None:
    assert python("pass", input="x" * 1_000_000).ok
    assert python("", input="").ok
    done = python("import os, time; os.close(1); os.close(2); time.sleep(0.2); os._exit(7)")
    assert done.returncode == 7 and not done.timed_out
    assert python("import os, time; os.close(1); os.close(2); time.sleep(60)", timeout=0.3).timed_out


@pytest.mark.parametrize("stream", [1, 2])
def test_a_flood_is_ended(stream: int) -> None:
    began = time.monotonic()
    done = python(f"import os\nwhile True: os.write({stream}, b'x' * 65536)", most=1 << 20)
    assert (
        done.flooded and not done.ok and not done.timed_out and done.last_line == "it wrote without end, and was ended"
    )
    assert max(len(done.stdout), len(done.stderr)) < 1 << 21
    assert time.monotonic() - began < 5


def test_what_was_written_before_the_deadline_is_kept() -> None:
    done = python("import time; print('first', flush=True); time.sleep(60)", timeout=1)
    assert done.timed_out and done.stdout == "first\n"
