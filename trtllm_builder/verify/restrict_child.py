"""Runs before the tested interpreter: shuts it into what a rented container is, measures that, and starts it.

It stays as the parent, so that a wheel that kills its parent kills this process and not the verifier; then the tested
process dies too, before it can meet another parent.

Started as ``python restrict_child.py TASK PROGRAM ARGUMENT...``. Only the standard library. Where the host allows no
namespaces it goes on without; what was measured, not what was tried, is told on the pipe named in TASK.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import signal
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

SHM = 64 << 20  # bytes: what Docker gives a container unless asked, and what the field reports had
# unshare(2), mount(2), prctl(2), netdevice(7), capabilities(7)
_NEWNS, _NEWIPC, _NEWUSER, _NEWNET = 0x00020000, 0x08000000, 0x10000000, 0x40000000
_NOSUID, _NODEV = 2, 4
_SET_PDEATHSIG, _SET_NO_NEW_PRIVS = 1, 38
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1
_CAPABILITY_VERSION_3 = 0x20080522
_DEV_SHM = "/dev/shm"  # noqa: S108 - a mount point
_PMIX = ("/run/pmix", "/var/run/pmix")
# Reserved for documentation (RFC 5737, RFC 3849): nobody is there. Connecting a datagram socket sends nothing.
_ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
libc = ctypes.CDLL(None, use_errno=True)


def check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def mount_tmpfs(target: str, options: str) -> None:
    check(libc.mount(b"tmpfs", target.encode(), b"tmpfs", _NOSUID | _NODEV, options.encode()))


def enter_namespaces() -> None:
    """User, mount, network and IPC. The user stays who it is; inside the new user namespace it may mount.

    Tried in a child first: root without CAP_SETFCAP may make a user namespace that it then cannot map itself into.
    """
    trial = os.fork()
    if trial == 0:
        try:
            unshare()
            os._exit(0)
        except OSError as error:
            os._exit(error.errno or errno.EPERM)
    failed = os.waitstatus_to_exitcode(os.waitpid(trial, 0)[1])
    if failed:
        raise OSError(failed, os.strerror(failed))
    unshare()


def unshare() -> None:
    user, group = os.geteuid(), os.getegid()
    check(libc.unshare(_NEWUSER | _NEWNS | _NEWNET | _NEWIPC))
    # user_namespaces(7): without privileges in the parent, only our own ids can be mapped, and no setgroups(2).
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def raise_loopback() -> None:
    """Workers talk to each other over 127.0.0.1, which a rented container has too."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = bytearray(struct.pack("16sH14x", b"lo", 0))
        fcntl.ioctl(sock, _GET_FLAGS, request)
        (flags,) = struct.unpack_from("H", request, 16)
        struct.pack_into("H", request, 16, flags | _UP)
        fcntl.ioctl(sock, _SET_FLAGS, request)


def hide_process_manager() -> None:
    """Nothing of /run can be kept: a directory mounted over would still be there."""
    if any(os.path.lexists(path) for path in _PMIX):
        mount_tmpfs("/run", "mode=0755,size=1m")


def drop_privileges() -> None:
    """No capability now, and none from any program that is started later."""
    check(libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    check(libc.capset(struct.pack("Ii", _CAPABILITY_VERSION_3, 0), bytes(24)))


def restrict() -> dict[str, str]:
    """What could not be done, and why."""
    refused: dict[str, str] = {}
    steps = (
        ("network", enter_namespaces),
        ("loopback", raise_loopback),
        ("shm", lambda: mount_tmpfs(_DEV_SHM, f"mode=1777,size={SHM}")),
        ("pmix", hide_process_manager),
        ("privileges", drop_privileges),
    )
    for name, step in steps:
        if "network" in refused and name in ("loopback", "shm", "pmix"):
            refused[name] = refused["network"]  # not in a namespace of our own: it would change the host
            continue
        try:
            step()
        except (OSError, AttributeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            refused[name] = f"no namespaces: {reason}" if name == "network" else reason
    return refused


def shared_memory() -> int | None:
    """Bytes of /dev/shm, None without one."""
    try:
        facts = os.statvfs(_DEV_SHM)
    except OSError:
        return None
    return facts.f_blocks * facts.f_frsize


def reaches_elsewhere() -> bool:
    for family, address in _ELSEWHERE:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((address, 9))
            return True
    return False


def privileges() -> tuple[int, bool]:
    """Effective capabilities as a bit set, and whether none can be gained."""
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return int(status["CapEff"], 16), status.get("NoNewPrivs") == "1"


def measure() -> dict[str, object]:
    capabilities, none_gained = privileges()
    return {
        "shm": shared_memory(),
        "pmix": any(os.path.lexists(path) for path in _PMIX),
        "network": reaches_elsewhere(),
        "capabilities": capabilities,
        "no_new_privileges": none_gained,
        "user": os.geteuid(),
    }


def become(argv: list[str]) -> NoReturn:
    check(libc.prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    try:
        os.execv(argv[0], argv)  # noqa: S606
    except OSError as error:
        # Root without its privileges may not enter another user's directories.
        sys.exit(f"{argv[0]} cannot be started without privileges: {error.strerror}")


def main() -> None:
    progress = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["progress"]
    refused = restrict()
    with open(progress, "w", encoding="utf-8", closefd=False) as stream:
        stream.write(json.dumps({"event": "world", **measure(), "refused": refused}) + "\n")
    child = os.fork()
    if child == 0:
        become(sys.argv[2:])
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with open(progress, "w", encoding="utf-8", closefd=False) as stream:
        stream.write(json.dumps({"event": "ended", "status": status}) + "\n")


if __name__ == "__main__":
    main()
