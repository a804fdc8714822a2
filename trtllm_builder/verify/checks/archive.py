"""Checks of the archive itself: soundness, RECORD, the tags it was given, and its size."""

from __future__ import annotations

from packaging.tags import parse_tag

from trtllm_builder.binary.wheel import Finding, Wheel
from trtllm_builder.units import format_size
from trtllm_builder.verify.checks import Check, Evidence, few, judged, noted, skipped
from trtllm_builder.verify.expect import Expectation

_LARGEST = 5  # members to name


def archive_checks(wheel: Wheel, expectation: Expectation) -> tuple[Check, ...]:
    """archive, record, tags and size."""
    return (_archive(wheel), _record(wheel), _tags(wheel, expectation), _size(wheel, expectation))


def _archive(wheel: Wheel) -> Check:
    return judged(
        "archive",
        "the archive is sound",
        [_told(finding) for finding in wheel.findings if finding.kind != "record"],
        seen=f"{len(wheel.members)} files, {format_size(sum(m.size for m in wheel.members))} unpacked",
        remedy="Do not install it. Build again, or fetch it again from where it was published.",
    )


def _record(wheel: Wheel) -> Check:
    return judged(
        "record",
        "RECORD names every file with its hash and size",
        [*_without_record(wheel), *(_told(finding) for finding in wheel.findings if finding.kind == "record")],
        remedy="The wheel was changed after it was made, or is damaged. Do not install it.",
    )


def _told(finding: Finding) -> Evidence:
    return Evidence(f"{finding.kind}: {finding.what}", finding.member)


def _without_record(wheel: Wheel) -> list[str]:
    """Why no file could be compared with RECORD at all."""
    records = {m.name for m in wheel.members if m.name.endswith(".dist-info/RECORD") and m.name.count("/") == 1}
    if not records:
        return ["there is no RECORD"]
    unread = [f for f in wheel.findings if f.member in records and f.kind in ("unreadable", "bomb")]
    return [f"{finding.member} cannot be read: {finding.what}" for finding in unread]


def _tags(wheel: Wheel, expectation: Expectation) -> Check:
    """The "Binary distribution format" wants the file name's tags, expanded, and its build tag in WHEEL, and purelib
    without libraries.

    Installers go by the file name; a wheel that was renamed after it was made says otherwise inside.
    """
    title = "WHEEL says what the file name says"
    member, headers = wheel_file(wheel)
    if not member:
        unread = any(m.name.endswith(".dist-info/WHEEL") and m.name.count("/") == 1 for m in wheel.members)
        why = "the WHEEL file was not read" if unread else "there is no WHEEL file to compare with"
        return skipped("tags", title, why, severity="warning")
    inside = frozenset(tag for text in headers.get("tag", []) for tag in parse_tag(text))
    problems = []
    if wheel.tags and inside != wheel.tags:
        made, says = (few(sorted(map(str, tags)), 3) or "nothing" for tags in (inside, wheel.tags))
        problems.append(Evidence(f"made as {made}, the file name says {says}: it was renamed afterwards", member))
    build = headers.get("build", [""])[0]
    if wheel.name and _number_first(build) != wheel.build:
        made, says = (f"build {one}" if one else "no build" for one in (build, wheel.build))
        problems.append(Evidence(f"made as {made}, the file name says {says}: it was renamed afterwards", member))
    libraries = [one.name for one in wheel.members if one.elf]
    if libraries and headers.get("root-is-purelib", [""])[0].lower() == "true":
        problems.append(Evidence(f"said to be pure Python, and holds {few(libraries, 2)}", member))
    return judged(
        "tags",
        title,
        problems,
        severity="error" if expectation.strict else "warning",
        seen=", ".join(sorted(map(str, wheel.tags))),
        remedy="Installers believe the file name: whether that holds is for symbol-versions and extensions to say. "
        "`wheel tags` renames a wheel inside and out.",
    )


def _number_first(build: str) -> str:
    """As packaging reads a build tag: a number, and text behind it."""
    digits = build[: len(build) - len(build.lstrip("0123456789"))]
    return f"{int(digits)}{build[len(digits) :]}" if digits and len(digits) < 100 else build


def wheel_file(wheel: Wheel) -> tuple[str, dict[str, list[str]]]:
    """The WHEEL file's name and its headers, lower-case name -> values; empty when there is none."""
    for name, text in wheel.texts.items():
        directory, _, rest = name.partition("/")
        if rest == "WHEEL" and directory.endswith(".dist-info"):
            headers: dict[str, list[str]] = {}
            for line in text.splitlines():
                key, colon, value = line.partition(":")
                if colon:
                    headers.setdefault(key.strip().lower(), []).append(value.strip())
            return name, headers
    return "", {}


def _size(wheel: Wheel, expectation: Expectation) -> Check:
    largest = sorted(wheel.members, key=lambda member: -member.packed)[:_LARGEST]
    told = [Evidence(f"{format_size(m.packed)}, {format_size(m.size)} unpacked", m.name) for m in largest]
    size = format_size(wheel.size)
    if expectation.max_size is None:
        return noted("size", "how large it is", [size, *told])
    most = format_size(expectation.max_size)
    return judged(
        "size",
        "not larger than allowed",
        [f"{size}, more than {most}; the largest members:", *told] if wheel.size > expectation.max_size else [],
        seen=f"{size} of {most}",
        remedy="Build for fewer architectures, or raise verify.max_size in the profile.",
    )
