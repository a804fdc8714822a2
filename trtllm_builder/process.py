"""Child processes: argv lists, explicit environments, their own group, and an end that is certain."""

from __future__ import annotations

import os
import pickle
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, cast

from trtllm_builder.text import clean, redact

_PIPE = 1 << 16  # bytes read or written at once


@dataclass(frozen=True)
class Completed:
    """A finished child. Output is text with undecodable bytes replaced, cleaned of escapes, credentials redacted."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    timed_out: bool = False
    flooded: bool = False

    @property
    def ok(self) -> bool:
        return self.returncode == 0 and not self.timed_out and not self.flooded

    @property
    def last_line(self) -> str:
        """The last line that says something, of stderr or else of stdout: what to show beside a sentence of ours."""
        if self.flooded:
            return "it wrote without end, and was ended"
        for stream in (self.stderr, self.stdout):
            lines = [line.strip() for line in stream.splitlines() if line.strip()]
            if lines:
                return lines[-1]
        return f"exit status {self.returncode}"


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    timeout: float | None = None,
    input: str | None = None,
    pass_fds: Sequence[int] = (),
    on_start: Callable[[int], None] | None = None,
    most: int = 8 << 20,
) -> Completed:
    """Run to the end, capturing both streams; at ``timeout`` seconds the whole process group is killed.

    ``pass_fds`` stay open in the child: a lock held by descriptor then outlives us for as long as the child lives.
    ``on_start`` gets the number of the child's session. A child that writes more than ``most`` bytes to one stream is
    ended as well: the beginning of what it wrote is kept, and the result says ``flooded``.
    Raises FileNotFoundError or PermissionError when the program cannot be started.
    """
    words = [os.fspath(word) for word in argv]
    child = subprocess.Popen(
        words,
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        pass_fds=tuple(pass_fds),
    )
    try:
        if on_start is not None:
            on_start(child.pid)
        until = None if timeout is None else time.monotonic() + timeout
        out, err, ending = _talk(child, (input or "").encode("utf-8", "replace"), until, most)
        if ending is not None:
            end_group(child.pid, grace=1.0)
            child.wait(timeout=5)
        if ending == "flooded":
            out, err = out[:_PIPE], err[:_PIPE]
    except BaseException:
        end_group(child.pid, grace=1.0)
        child.wait()
        raise
    finally:
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
    return Completed(
        tuple(words), child.returncode, _text(out), _text(err), timed_out=ending == "late", flooded=ending == "flooded"
    )


def _talk(
    child: subprocess.Popen[bytes], message: bytes, until: float | None, most: int
) -> tuple[bytearray, bytearray, Literal["late", "flooded"] | None]:
    """What it writes until it closes both streams and has ended, ``until`` (monotonic) or beyond ``most`` bytes."""
    out, err = bytearray(), bytearray()
    kept = {stream.fileno(): data for stream, data in ((child.stdout, out), (child.stderr, err)) if stream}
    with selectors.DefaultSelector() as ready:
        for stream in kept:
            ready.register(stream, selectors.EVENT_READ)
        if child.stdin is not None:
            os.set_blocking(child.stdin.fileno(), False)
            ready.register(child.stdin, selectors.EVENT_WRITE)
        while ready.get_map():
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return out, err, "late"
            for key, _ in ready.select(left):
                if key.fd not in kept:
                    with suppress(BrokenPipeError):
                        message = message[os.write(key.fd, message[:_PIPE]) :] if message else b""
                        if message:
                            continue
                    ready.unregister(key.fileobj)
                    child.stdin.close()  # type: ignore[union-attr]
                    continue
                data = os.read(key.fd, _PIPE)
                if not data:
                    ready.unregister(key.fileobj)
                kept[key.fd] += data
                if len(kept[key.fd]) > most:
                    return out, err, "flooded"
    try:
        child.wait(None if until is None else max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        return out, err, "late"
    return out, err, None


def _text(data: bytearray) -> str:
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    return redact(clean(text))


def group_members(group: int) -> tuple[int, ...]:
    """Living processes of a group and of the session of that number.

    ninja puts every compiler into a group of its own: the session is what they all share with their leader.
    """
    return tuple(pid for pid, stat in processes().items() if group in (stat.group, stat.session))


@dataclass(frozen=True)
class Stat:
    """What we use of /proc/PID/stat (proc(5)); ``start`` and ``cpu`` are in clock ticks."""

    state: str
    parent: int
    group: int
    session: int
    cpu: int
    start: int


def read_stat(pid: int) -> Stat | None:
    """None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The command name stands in parentheses and may itself hold spaces and parentheses.
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(
        state=fields[0],
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        cpu=int(fields[11]) + int(fields[12]),
        start=int(fields[19]),
    )


def processes() -> dict[int, Stat]:
    """All living (not zombie) processes that we can see."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            stat = read_stat(int(entry.name))
            if stat and stat.state not in "ZX":
                found[int(entry.name)] = stat
    return found


def is_alive(pid: int, start: int) -> bool:
    """Whether the process of that number and start time (clock ticks, proc(5)) still lives; a zombie does not."""
    stat = read_stat(pid)
    return stat is not None and stat.start == start and stat.state not in "ZX"


def end_group(group: int, *, grace: float = 5.0) -> None:
    """SIGTERM to the group and its session, SIGKILL to what is left after ``grace`` seconds. No error when gone."""
    for number, wait in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        deadline = time.monotonic() + wait
        signalled: set[int] = set()
        while members := group_members(group):
            # SIGKILL goes to those too that were started meanwhile; SIGTERM once to each.
            for pid in members:
                if number == signal.SIGKILL or pid not in signalled:
                    signalled.add(pid)
                    with suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, number)
            if time.monotonic() >= deadline:
                break
            time.sleep(0.02)
        else:
            return


T = TypeVar("T")


def apart(work: Callable[[], T]) -> T:
    """The result of ``work``, done in a child of ours, so that the memory it takes goes with it: what a process once
    took for large trees it seldom gives back, and we stay for hours. Raises what ``work`` raises."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        # Nothing of the parent's clean-up may run here, so it ends without a word to anybody else.
        status = 1
        try:
            os.close(reader)
            try:
                answer: tuple[bool, object] = (True, work())
            except Exception as error:  # noqa: BLE001
                answer = (False, error)
            with os.fdopen(writer, "wb") as stream:
                pickle.dump(answer, stream)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as stream:
            data = stream.read()
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        _, ended = os.waitpid(child, 0)
    if ended != 0:
        raise RuntimeError(f"a child of ours ended with {os.waitstatus_to_exitcode(ended)}")
    done, result = pickle.loads(data)  # noqa: S301 - our own child's
    if not done:
        raise result
    return cast(T, result)
