"""The machine: disks, permissions, clocks."""

from __future__ import annotations

from trtllm_builder.build.diagnosis.model import Rank, signature

_GO_ON = "the same command goes on from there"
# A path as programs print it, and the quotes that they put around it.
_NAME = r"[^\s:'\"‘’“”]+"
_QUOTE = r"['\"‘’“”]"
SIGNATURES = (
    signature(
        "temporary-full",
        ("No space left on device", r"(?P<subject>/(?:var/)?tmp/|/dev/shm/)[^\s:']*'?: ?No space left on device"),
        ("No space left on device", r"No space left on device:? '(?P<subject>/(?:var/)?tmp/|/dev/shm/)"),
        ("No space left on device", r"(?P<subject>/[^\s:']*/)tmpxft_[^\s:']*'?:? ?No space left on device"),
        ("Cannot create temporary file", r"Cannot create temporary file in (?P<subject>\S+?):? "),
        says="The place for temporary files is full: {subject}",
        remedy="free it, or set TMPDIR to a directory on a larger disk (our own builds keep theirs in the workspace); "
        f"{_GO_ON}",
        explains=("disk-full", "not-an-archive", "compile-error", "link-error", "python-error"),
        host=True,
    ),
    signature(
        "disk-full",
        ("No space left on device", rf"(?P<file>{_NAME}/{_NAME}){_QUOTE}?:? (?:\S+: )?'?No space left on device"),
        ("No space left on device", rf"(?P<file>/{_NAME}){_QUOTE}?:? (?:\S+: )?'?No space left on device"),
        "No space left on device",
        ("quota exceeded", r"[Dd]isk quota exceeded"),
        ("No space left", r"\[Errno 28\]|ENOSPC"),
        ("Wrote only", r"tar: (?P<file>[^:]+): Wrote only \d+ of \d+ bytes"),
        says=("The disk is full (it failed at {file}).", "The disk is full."),
        remedy=f"free some room on the workspace's disk, or move to a larger one with --workspace; {_GO_ON}",
        explains=("not-an-archive", "compile-error", "link-error", "git-damaged", "archive-damaged", "python-error"),
        host=True,
    ),
    signature(
        "read-only",
        ("Read-only file system", rf"(?P<subject>{_NAME}){_QUOTE}?: ?Read-only file system"),
        ("Read-only file system", rf"Read-only file system: {_QUOTE}?(?P<subject>{_NAME})"),
        ("read-only file system", rf"(?P<subject>{_NAME}){_QUOTE}?: ?read-only file system"),
        "Read-only file system",
        says=("{subject} is on a file system that cannot be written to.", "A file system cannot be written to."),
        remedy="choose another --workspace; a disk that became read-only by itself (see `dmesg`) is failing",
        host=True,
    ),
    signature(
        "noexec",
        ("Permission denied", rf"\bsh: (?:\d+: |line \d+: )?(?P<subject>{_NAME}): Permission denied"),
        ("Permission denied", rf"^g?make(?:\[\d+\])?: (?P<subject>{_NAME}): Permission denied"),
        ("failed to map segment", rf"(?P<subject>{_NAME}): failed to map segment from shared object"),
        says="{subject} may not be executed.",
        remedy="either the file lacks its x bit, or its disk is mounted noexec (`findmnt -T` on it tells): "
        "take a workspace "
        "and a TMPDIR on a disk that may execute",
        host=True,
    ),
    signature(
        "permission-denied",
        ("Permission denied", rf"Permission denied: {_QUOTE}?(?P<subject>{_NAME})"),
        (
            "Permission denied",
            rf"(?:error|fatal|cannot|can't|opening|Fatal).* {_QUOTE}?(?P<subject>{_NAME}){_QUOTE}?: Permission denied",
        ),
        ("Permission denied", r"(?:error|fatal|cannot|can't|opening|PermissionError).*Permission denied(?! \()"),
        says=("{subject} may not be read or written by this user.", "A file may not be read or written by this user."),
        remedy="check its owner and mode: files of an earlier build as root are a common reason (`sudo "
        "chown -R $USER` on the "
        "workspace, or a new --workspace)",
        host=True,
    ),
    signature(
        "not-writable",
        ("Unable to (re)create", r"Unable to \(re\)create the private pkgRedirects directory"),
        says="CMake cannot write to its build directory.",
        remedy="its owner is another user, or its disk is read-only: take a new --workspace",
        host=True,
    ),
    signature(
        "text-busy",
        ("Text file busy", rf"(?P<subject>{_NAME}){_QUOTE}?: Text file busy"),
        ("Text file busy", rf"Text file busy: {_QUOTE}?(?P<subject>{_NAME})"),
        says="{subject} was overwritten while it ran.",
        remedy="another process uses the same tool or directory: see that no second build runs there, then "
        "give the same "
        "command again",
    ),
    signature(
        "clock",
        ("not in the future", r"manifest 'build\.ninja' still dirty after \d+ tries"),
        ("still dirty after", r"manifest '(?P<subject>\S+)' still dirty after"),
        says="ninja configures again and again, because a file is newer than now: the clock is wrong, or was.",
        remedy="set the clock right, then `find WORKSPACE -newermt now -exec touch {{}} +`; the same command goes on",
        host=True,
    ),
    signature(
        "clock-skew",
        ("Clock skew detected", r"Clock skew detected"),
        rank=Rank.HINT,
        says="Files are newer than now: the clock is wrong, or the disk's server has another time. Builds "
        "then repeat or "
        "leave out steps.",
        remedy="set the clock right (`date`), then touch the files that are in the future",
    ),
    signature(
        "no-containers",
        ("operation not permitted", r"failed to mount overlay"),
        ("iptables", r"iptables.*Permission denied"),
        says="Docker cannot run inside this container: the provider gives it no privileges.",
        remedy="build without it: `trtllm-build --profile NAME` needs no Docker",
        host=True,
    ),
)
