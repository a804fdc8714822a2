"""RECORD: what a wheel says about its own files.

Source: PyPA's "Recording installed projects" and "Binary distribution format": rows of path, hash and size; RECORD
itself and its signatures carry neither. The hash must be sha256 or better, in URL-safe base64 without padding.
"""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterable, Mapping

from trtllm_builder.binary.findings import Findings

STRONG = ("sha256", "sha384", "sha512")
_UNSIGNED = ("RECORD.jws", "RECORD.p7s")
_ROWS = 200_000

Record = Mapping[str, tuple[str, str]]


def read_record(data: bytes, name: str, findings: Findings) -> Record:
    """Path -> hash and size as written. ``name`` is RECORD's own path."""
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8", "replace", newline="")
    record: dict[str, tuple[str, str]] = {}
    try:
        for row in csv.reader(text):
            if not row:
                continue
            if len(record) == _ROWS:
                findings.add("record", name, f"more than {_ROWS} lines: the others are not read")
                break
            if len(row) != 3:
                findings.add("record", row[0], f"a RECORD line of {len(row)} columns, not 3")
                continue
            if row[0] in record:
                findings.add("duplicate", row[0], "named twice in RECORD")
            record[row[0]] = (row[1], row[2])
    except csv.Error as error:
        findings.add("record", name, f"not readable as CSV: {error}")
    return record


def algorithms(record: Record, name: str) -> tuple[str, ...]:
    """Which hashes of a member are needed: sha256 always, and what RECORD uses if it is a strong one."""
    stated = record.get(name, ("", ""))[0].partition("=")[0]
    return ("sha256", stated) if stated in STRONG and stated != "sha256" else ("sha256",)


def check_record(
    record: Record, name: str, members: Iterable[tuple[str, int, Mapping[str, bytes]]], findings: Findings
) -> None:
    """``members`` are name, size in bytes and digests by algorithm; without digests a member could not be read."""
    present = {}
    for member, size, digests in members:
        present[member] = (size, digests)
        if member not in record and not in_dist_info(member, *_UNSIGNED):
            findings.add("record", member, "in the archive but not in RECORD")
    for member, (digest, size_text) in record.items():
        if member not in present:
            findings.add("record", member, "in RECORD but not in the archive")
            continue
        size, digests = present[member]
        if member == name or not digests:
            continue
        _check_digest(member, digest, digests, findings)
        if size_text and size_text != str(size):
            findings.add("record", member, f"RECORD says {size_text} bytes, the archive holds {size}")


def _check_digest(member: str, digest: str, digests: Mapping[str, bytes], findings: Findings) -> None:
    algorithm, _, value = digest.partition("=")
    if not digest:
        if not in_dist_info(member, *_UNSIGNED):
            findings.add("record", member, "RECORD gives no hash")
    elif algorithm not in STRONG:
        findings.add("record", member, f"RECORD gives a hash by {algorithm}; sha256 or better is required")
    elif value.rstrip("=") != base64.urlsafe_b64encode(digests[algorithm]).rstrip(b"=").decode():
        findings.add("record", member, "the contents do not have the hash that RECORD gives")


def in_dist_info(name: str, *files: str) -> bool:
    """Whether this is one of ``files`` in a ``.dist-info`` directory at the archive's root."""
    directory, _, rest = name.partition("/")
    return rest in files and directory.endswith(".dist-info")
