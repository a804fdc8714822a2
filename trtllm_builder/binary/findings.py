"""What is wrong with an archive, as values."""

from __future__ import annotations

from dataclasses import dataclass, field

_KEPT = 1000
_NAME = 300  # characters


@dataclass(frozen=True)
class Finding:
    """Something wrong with a member (empty: with the archive as a whole). ``kind`` is a stable word of ``KINDS``."""

    kind: str
    member: str
    what: str


KINDS = {
    "alike": "two names that differ only by case or Unicode form",
    "bomb": "it unpacks to more than is allowed",
    "compression": "packed in a way that installers do not know",
    "directory": "the archive's directory contradicts itself",
    "duplicate": "a name twice",
    "encrypted": "an encrypted member",
    "hidden": "bytes that belong to no member: before, between or after them",
    "link": "a symbolic link, a device, a pipe",
    "local": "a member's own header contradicts the directory",
    "missing": "no RECORD, METADATA or WHEEL",
    "mode": "set-user-ID, set-group-ID or sticky",
    "name": "a file name that is no wheel's",
    "overlap": "members that share bytes",
    "path": "a name that leaves the directory it is unpacked into, or that shells and tools read differently",
    "record": "RECORD and the members differ",
    "size": "another size or checksum than stated",
    "unreadable": "damaged",
}


@dataclass
class Findings:
    """Findings in order of discovery; a hostile archive cannot fill memory with them."""

    found: list[Finding] = field(default_factory=list)
    more: int = 0

    def add(self, kind: str, member: str, what: str) -> None:
        if len(self.found) < _KEPT:
            self.found.append(Finding(kind, member[:_NAME], what[: 2 * _NAME]))
        else:
            self.more += 1

    def all(self) -> tuple[Finding, ...]:
        last = (Finding("directory", "", f"{self.more} more findings are not listed"),) if self.more else ()
        return (*self.found, *last)
