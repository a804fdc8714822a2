"""client.c for a machine without a C compiler; run with ``-I -S``, and only with modules that load at once."""

from __future__ import annotations

# What ``socket`` and ``signal`` add takes longer to load than all else that is done here.
import _signal  # type: ignore[import-not-found]
import _socket
import fcntl
import os
import select
import sys
import time

UNANSWERED = 60_000  # ms
GUARD = "TRTLLM_BUILDER_GATE"

child = 0
told = False


def pass_on(number: int, _frame: object) -> None:
    global told
    told = True
    if child > 0:
        os.kill(child, number)
    else:
        _signal.signal(number, _signal.SIG_DFL)
        os.kill(os.getpid(), number)


def start(argv: list[str]) -> int:
    # Python ignores these two, and what is ignored stays so in the program that comes next.
    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
    _signal.signal(_signal.SIGXFSZ, _signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)  # noqa: S606
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
    return 127


def reach_broker(directory: str) -> _socket.socket | None:
    """A path of a socket is at most 108 bytes long, one of a directory is not."""
    place = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    broker = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        broker.connect(f"/proc/self/fd/{place}/broker")
    except OSError:
        broker.close()
        return None
    finally:
        os.close(place)
    os.set_inheritable(broker.fileno(), True)
    return broker


def listen_to(broker: _socket.socket) -> bytes:
    """The broker's next word but ``w``; nothing when there is no broker any more."""
    ready = select.poll()
    ready.register(broker.fileno(), select.POLLIN)
    word = b"w"
    while word == b"w":
        try:
            word = broker.recv(1) if ready.poll(UNANSWERED) else b""
        except OSError:
            return b""
    return word


def take_free_slot(directory: str) -> bool:
    """Whether there was one to be had."""
    number = 0
    while True:
        try:
            slot = os.open(f"{directory}/slot.{number}", os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(slot)
            number += 1
            continue
        except OSError:
            # Some network file systems know no locks: waiting for one there would be for ever.
            pass
        os.set_inheritable(slot, True)
        return True


def count_in(directory: str) -> None:
    """Whom the broker lets in counts for those who find none later: in a slot, or else as one beyond them."""
    if take_free_slot(directory):
        return
    try:
        beyond = os.open(f"{directory}/beyond", os.O_RDONLY)
        os.set_inheritable(beyond, True)
        fcntl.flock(beyond, fcntl.LOCK_SH)
    except OSError:
        pass


def is_any_beyond(beyond: int) -> bool:
    """Nobody can become one while ``beyond`` stays open, when it says no."""
    try:
        fcntl.flock(beyond, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def take_slot(directory: str) -> None:
    """Without a broker as many run as there are slots, when nobody runs beyond them any more; the file ``lost`` tells
    the build that it has come to that."""
    try:  # noqa: SIM105
        os.close(os.open(f"{directory}/lost", os.O_WRONLY | os.O_CREAT, 0o644))
    except OSError:
        pass
    while True:
        try:
            beyond = os.open(f"{directory}/beyond", os.O_RDONLY)
        except OSError:
            beyond = -1
        taken = (beyond < 0 or not is_any_beyond(beyond)) and take_free_slot(directory)
        if beyond >= 0:
            os.close(beyond)
        if taken:
            return
        time.sleep(0.1)


def attempt(argv: list[str]) -> tuple[int, int, bytes]:
    """Runs the command with its stderr held back: its wait status, what it took, and what it wrote."""
    global child
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 2)
        os._exit(start(argv))
    os.close(writer)
    held = []
    while data := os.read(reader, 65536):
        held.append(data)
    os.close(reader)
    _, status, usage = os.wait4(child, 0)
    child = 0
    return status, usage.ru_maxrss, b"".join(held)


def looks_killed(code: int, held: bytes) -> bool:
    """A driver says with 137, or in words, that a child of its own got signal 9. A crash is none of that."""
    if told:
        return False
    return code in (-_signal.SIGKILL, 137) or (0 < code < 128 and b"Killed" in held)


def main(argv: list[str]) -> int:
    directory = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120
    # What a compiler starts belongs to it: were it to wait for the room its parent has, both would wait for ever.
    if not os.path.exists(f"{directory}/slot.0") or GUARD in os.environ:  # noqa: PTH110
        return start(argv)
    os.environ[GUARD] = "1"
    if _signal.getsignal(_signal.SIGINT) != _signal.SIG_IGN:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    broker = reach_broker(directory)
    if broker is not None and listen_to(broker) != b"g":
        broker.close()
        broker = None
    if broker is None:
        take_slot(directory)
    else:
        count_in(directory)
    for number in (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP, _signal.SIGQUIT):
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, pass_on)
    while True:
        status, most, held = attempt(argv)
        code = os.waitstatus_to_exitcode(status)
        if broker is None:
            break
        killed = looks_killed(code, held)
        try:
            broker.send(b"%d %d %d" % (code, most, killed))
        except OSError:
            break
        if not killed or listen_to(broker) != b"r" or told or listen_to(broker) != b"g":
            break
    while held:
        held = held[os.write(2, held) :]
    if code >= 0:
        return code
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if code not in (-_signal.SIGKILL, -_signal.SIGSTOP):
        _signal.signal(-code, _signal.SIG_DFL)
    os.kill(os.getpid(), -code)
    return 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
