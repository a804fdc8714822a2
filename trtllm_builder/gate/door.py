"""The door of the gate: a socket, who stands at the other end of a connection, and what that one is about to run."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.gate.launcher import BROKER, CLIENT


@dataclass(frozen=True)
class Caller:
    """A client of ours: its process, the command that it was given, and the directory it runs in."""

    pid: int
    argv: tuple[str, ...]
    directory: str

    @property
    def output(self) -> str:
        """The file that is made, as the command names it; "" where it does not."""
        words = iter(self.argv)
        return next((next(words, "") for word in words if word == "-o"), "")


def listen(directory: Path) -> socket.socket:
    """A socket in ``directory``. The path of one is at most 108 bytes long (unix(7)), that of a directory is not.

    Raises OSError."""
    place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with suppress(FileNotFoundError):
            (directory / BROKER).unlink()
        listener.bind(f"/proc/self/fd/{place}/{BROKER}")
        listener.listen(1024)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(place)
    return listener


def caller(connection: socket.socket) -> Caller | None:
    """Asked of the kernel (SO_PEERCRED, unix(7)) and of /proc; None for a process that is gone or none of ours."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, user, _group = struct.unpack("3i", credentials)
    if user != os.getuid():
        return None
    try:
        words = [os.fsdecode(word) for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]]
        directory = os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115
    except OSError:
        return None
    if not words or words[0].rpartition("/")[2] != CLIENT:
        return None
    return Caller(pid, tuple(words[1:]), directory)


def say(connection: socket.socket, word: bytes) -> bool:
    """Whether it could be said; who is gone is heard of later, and who does not read gets no more."""
    try:
        connection.send(word, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except OSError:
        return False
    return True


def has_told(connection: socket.socket) -> bool:
    """Something was said at the other end that was not heard yet."""
    try:
        return bool(connection.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK))
    except OSError:
        return False
