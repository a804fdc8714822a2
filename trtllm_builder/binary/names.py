"""Names and modes of an archive's members that no wheel needs and that only serve to mislead."""

from __future__ import annotations

import stat
import unicodedata
from collections.abc import Sequence

from trtllm_builder.binary.findings import Findings
from trtllm_builder.binary.zip_directory import Entry

_UNSEEN = {"Cc", "Cf", "Zl", "Zp"}


def check_names(entries: Sequence[Entry], findings: Findings) -> None:
    """Findings of the kinds path, duplicate, alike, link and mode."""
    seen: set[str] = set()
    folded: dict[str, str] = {}
    files = {entry.name for entry in entries if not entry.directory}
    for entry in entries:
        name = entry.name
        _check_path(name, findings)
        _check_mode(entry, findings)
        like = folded.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if name in seen:
            findings.add("duplicate", name, "the archive holds this name twice")
        elif like != name:
            findings.add("alike", name, f"differs from {like} only by case or Unicode form")
        seen.add(name)
        parent = next((parent for parent in _parents(name) if parent in files), None)
        if parent is not None:
            findings.add("duplicate", name, f"{parent} is a file and a directory")


def _check_path(name: str, findings: Findings) -> None:
    parts = name.removesuffix("/").split("/")
    drive = len(name) > 1 and name[1] == ":"
    if name.startswith("/") or drive or "\\" in name or ".." in parts:
        findings.add("path", name, "the name leaves the directory it is installed into")
    elif "." in parts or "" in parts:
        findings.add("path", name, "the name has empty parts, which tools resolve differently")
    if any(unicodedata.category(char) in _UNSEEN for char in name):
        findings.add("path", name, "the name holds control or invisible characters")


def _check_mode(entry: Entry, findings: Findings) -> None:
    kind = stat.S_IFMT(entry.mode)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a symbolic link" if kind == stat.S_IFLNK else "neither a file nor a directory"
        findings.add("link", entry.name, what)
    elif (kind == stat.S_IFDIR) != entry.directory and kind:
        findings.add("link", entry.name, "its mode and its name disagree on whether it is a directory")
    elif entry.mode & (stat.S_ISUID | stat.S_ISGID) or (entry.mode & stat.S_ISVTX and not entry.directory):
        findings.add("mode", entry.name, f"its mode is {stat.S_IMODE(entry.mode):o}")
    if entry.directory and entry.size:
        findings.add("hidden", entry.name, f"a directory that holds {entry.size} bytes")


def _parents(name: str) -> list[str]:
    parts = name.removesuffix("/").split("/")
    # A name of thousands of parts would make thousands of names of its size.
    return ["/".join(parts[:depth]) for depth in range(1, min(len(parts), 64))]
