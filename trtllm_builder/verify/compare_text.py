"""A comparison as lines for a terminal of 80 columns: what it comes to first, then the details."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from trtllm_builder.text import clean
from trtllm_builder.units import format_size
from trtllm_builder.verify.capability import order
from trtllm_builder.verify.compare import Comparison, MemberChange
from trtllm_builder.verify.compare_archive import ArchiveChange
from trtllm_builder.verify.compare_elf import CodeChange, LibraryChange, Names, SectionChange
from trtllm_builder.verify.report_text import wrapped

_KEEP = 12  # names or files of one kind
_VALUE, _KERNEL = 200, 60  # characters of a header, and of a name that cannot be made readable
_INDENT = " " * 14
_CODE, _NEEDS = "GPU code", "needs"
_SIGNS = {"removed": "-", "added": "+", "changed": "~", "moved": ">"}
# Sections that only say where things came to stand, or which build it was.
_FOLLOWING = frozenset({
    ".note.gnu.build-id", ".symtab", ".strtab", ".dynsym", ".dynstr", ".gnu.hash", ".gnu.version", ".gnu.version_r",
    ".rela.dyn", ".rela.plt", ".dynamic", ".got", ".got.plt", ".eh_frame", ".eh_frame_hdr", ".gcc_except_table",
    ".shstrtab", ".comment", ".plt", ".plt.got", ".plt.sec", ".init", ".fini", ".init_array", ".fini_array",
})  # fmt: skip


def comparison_lines(found: Comparison, *, verbose: bool = False) -> list[str]:
    """``-`` is A's, ``+`` is B's; with ``verbose`` nothing is left out."""
    keep = 1_000_000 if verbose else _KEEP
    lines = [
        f"{sign} {side.wheel}\n    {format_size(side.size)}, {side.files} files, sha256 {side.sha256[:16]}"
        for sign, side in (("-", found.a), ("+", found.b))
    ]
    lines = [part for line in lines for part in line.splitlines()]
    lines += ["", *wrapped(summary(found), "", "")]
    overall = _overall(found, keep)
    return [clean(line) for line in (*lines, *([""] if overall else []), *overall, *_members(found.members, keep))]


def summary(found: Comparison) -> str:
    """The whole in one sentence."""
    if found.identical:
        return "The same, byte for byte."
    if found.same_contents:
        what = ", ".join(dict.fromkeys(_PACKING.get(one.what, one.what) for one in found.archive))
        return f"The same contents, packed differently: {what or 'the archive differs outside of its members'}."
    counts: Counter[str] = Counter(one.kind for one in found.members)
    told = [f"{counts[kind]} {word}" for kind, word in _WORDS.items() if counts[kind]]
    text = f"Different: of {found.a.files} files {', '.join(told)}"
    real = [one for one in found.members if not _is_record(one)]
    if len(real) == 1 and real[0].kind == "changed":
        why = _why(real[0])
        return f"{text}. All comes from {real[0].name}" + (f": {why}." if why else ".")
    return text + "."


_WORDS = {"changed": "changed", "removed": "only in the first", "added": "only in the second", "moved": "moved"}
_PACKING = {"date": "other dates", "order": "another order", "mode": "other modes", "packed size": "another compressor",
            "compression": "another compression", "system": "made on another system"}  # fmt: skip


def _is_record(change: MemberChange) -> bool:
    """RECORD follows from all others."""
    return change.name.endswith(".dist-info/RECORD")


def _why(change: MemberChange) -> str:
    library = change.library
    if library is None:
        return ""
    if library.unread:
        return f"it cannot be read ({library.unread})"
    parts = [f"{_code_told(library.code)}"] if library.code else []
    parts += [f"other {name}" for name, change_ in library.sets().items() if change_]
    if parts:
        return ", ".join(parts)
    telling = [one.name for one in library.sections if one.name not in _FOLLOWING]
    if telling:
        return f"other bytes in {', '.join(telling[:4])}"
    return "only sections that follow from the build (its id, addresses)" if library.sections else "bytes of no section"


def _code_told(code: Sequence[CodeChange]) -> str:
    targets = ", ".join(dict.fromkeys(one.target for one in code))
    kernels = _kernels({name for one in code for name in one.kernels})
    if kernels:
        return f"GPU code for {targets} (kernel{'s' * (len(kernels) > 1)} {_few(kernels, 3)})"
    return f"GPU code for {targets}"


def _overall(found: Comparison, keep: int) -> list[str]:
    lines = []
    for change in found.archive:
        lines += wrapped(_packed(change), f"{'archive':<13} ", _INDENT)
    for name, both in (*found.headers, (_CODE, found.architectures), (_NEEDS, found.needed)):
        lines += _both(name, both, keep)
    return lines


def _packed(change: ArchiveChange) -> str:
    files = f"{change.count} file{'s' * (change.count != 1)}"
    return f"{change.what} of {files}, as {PurePosixPath(change.member).name}: {change.a} / {change.b}"


def _both(name: str, both: Names, keep: int) -> list[str]:
    """Header by header; libraries and architectures, which are short, in one line."""
    lines: list[str] = []
    for sign, each in (("-", both.only_a), ("+", both.only_b)):
        values = [" ".join(value.split())[:_VALUE] for value in each]
        rest = [f"and {len(values) - keep} more"] if len(values) > keep else []
        if name in (_CODE, _NEEDS) and values:
            values, rest = [_few(sorted(values, key=order), keep)], []
        for value in (*values[:keep], *rest):
            lines += wrapped(f"{sign} {value}", _INDENT if lines else f"{name:<13} ", _INDENT + "  ")
    return lines


def _members(changes: Sequence[MemberChange], keep: int) -> Iterator[str]:
    for kind in ("changed", "moved", "removed", "added"):
        these = sorted((one for one in changes if one.kind == kind), key=lambda one: (_is_record(one), one.name))
        if these:
            yield ""
        for one in these[:keep]:
            yield from _member(one)
        if len(these) > keep:
            size = sum((one.size_b if one.size_a is None else one.size_a) or 0 for one in these[keep:])
            yield f"{_SIGNS[kind]} and {len(these) - keep} files more, {format_size(size)} (--verbose names them)"


def _member(change: MemberChange) -> Iterator[str]:
    a, b = (format_size(size) if size is not None else "" for size in (change.size_a, change.size_b))
    sizes = a or b if a == b or not (a and b) else f"{a} -> {b}"
    if change.size_a is not None and change.size_b is not None and a == b and change.size_a != change.size_b:
        sizes += f", {change.size_b - change.size_a:+} bytes"
    to = f" -> {change.other}" if change.other != change.name else ""
    yield f"{_SIGNS[change.kind]} {change.name}{to}  ({sizes})"
    if change.library:
        yield from _library(change.library)
    elif not change.name.endswith((".dist-info/RECORD", ".dist-info/METADATA")):
        for line in change.text:
            yield f"      {line[:200]}"


def _library(change: LibraryChange) -> Iterator[str]:
    if change.unread:
        yield from wrapped(f"cannot be read: {change.unread}", "      ", "        ")
    for one in change.code:
        yield from wrapped(_code_change(one), "      ", "        ")
    for name, both in change.sets().items():
        for sign, each in (("-", both.only_a), ("+", both.only_b)):
            if each:
                yield from wrapped(f"{sign} {_few(each, 6)}", f"      {name} ", "        ")
    if change.sections:
        telling = [one for one in change.sections if one.name not in _FOLLOWING]
        rest = len(change.sections) - len(telling)
        told = ", ".join(_section(one) for one in telling[:8]) + (" and more" if len(telling) > 8 else "")
        also = f"{rest} that follow from it or from the build" if telling else f"only {rest} that follow from the build"
        yield from wrapped("sections " + "; ".join(filter(None, [told, also if rest else ""])), "      ", "        ")
    elif not change.unread:
        yield "      no section differs: headers, or bytes between sections"


def _code_change(one: CodeChange) -> str:
    kind = {"cubin": "machine code", "ptx": "PTX", "lto": "LTO code"}.get(one.kind, "code")
    kernels = f": {_few(_kernels(one.kernels), 6)}" if one.kernels else ""
    if one.count_a == one.count_b:
        pieces = f"{one.count_a} piece{'s' * (one.count_a > 1)} of {kind} recompiled"
    else:
        pieces = f"{one.count_a} pieces of {kind} replaced by {one.count_b}"
        if not one.count_a or not one.count_b:
            count = one.count_a or one.count_b
            which = "first" if one.count_a else "second"
            pieces = f"{count} piece{'s' * (count > 1)} of {kind} only in the {which}"
    return f"GPU {one.target}: {pieces}{kernels}"


def _kernels(mangled: Iterable[str]) -> list[str]:
    """Names for people: ``cutlass::device_kernel<...> (46 of them)``. The JSON document has them whole."""
    counts = Counter(readable(name) for name in mangled)
    return [name + (f" ({count} of them)" if count > 1 else "") for name, count in sorted(counts.items())]


def readable(mangled: str) -> str:
    """The qualified name without template arguments and parameters (Itanium C++ ABI, 5.1.3), or what was given."""
    match = re.match(r"_ZN?K?", mangled)
    at, parts = match.end() if match else 0, []
    while match and (length := re.match(r"\d+", mangled[at:])):
        begin = at + length.end()
        at = begin + int(length[0])
        # A name that begins so is that of an unnamed namespace.
        parts.append("(anonymous)" if mangled[begin:at].startswith("_GLOBAL__N_") else mangled[begin:at])
    if not parts or at > len(mangled):
        return mangled if len(mangled) <= _KERNEL else f"{mangled[:_KERNEL]}..."
    return "::".join(parts) + ("<...>" if mangled[at : at + 1] == "I" else "")


def _section(one: SectionChange) -> str:
    if one.size_a is None or one.size_b is None:
        return f"{one.name} only in the {'second' if one.size_a is None else 'first'}"
    if one.size_a == one.size_b:
        return f"{one.name} (same size)"
    return f"{one.name} ({one.size_b - one.size_a:+} bytes)"


def _few(items: Sequence[str], keep: int) -> str:
    return ", ".join(items[:keep]) + (f" and {len(items) - keep} more" if len(items) > keep else "")
