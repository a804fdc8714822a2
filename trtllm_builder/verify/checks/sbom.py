"""Check of the bills of materials inside a wheel.

Sources: PEP 770 (``.dist-info/sboms/`` holds documents of any format, named in RECORD as every file is); CycloneDX's
JSON (``bomFormat``, ``specVersion``, ``metadata.component``), SPDX 2's (``spdxVersion``) and 3's (``@context``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from packaging.utils import canonicalize_name

from trtllm_builder.attest.statement import StatementError, read_json
from trtllm_builder.binary.wheel import Wheel
from trtllm_builder.verify.checks import Check, Evidence, Seen, few, judged, skipped

_OURS = "trtllm-builder.cdx.json"
_TITLE = "its bills of materials can be read and are of this wheel"


def sbom_check(wheel: Wheel) -> Check:
    """sbom: every document in ``.dist-info/sboms/``."""
    names = [member.name for member in wheel.members if _is_sbom(member.name)]
    if not names:
        return skipped("sbom", _TITLE, "there is no .dist-info/sboms in it", severity="info")
    problems: list[Seen] = []
    seen: list[Evidence] = []
    for name in names:
        problems += [Evidence(f"{one.kind}: {one.what}", name) for one in wheel.findings if one.member == name]
        if name not in wheel.texts:
            problems.append(Evidence("it is too large to be read here", name))
        elif name.endswith((".json", ".jsonld")):
            try:
                document = read_json(wheel.texts[name].encode())
                problems += [Evidence(fault, name) for fault in _faults(document, name, wheel)]
                seen.append(Evidence(_told(document), name))
            except StatementError as error:
                problems.append(Evidence(str(error), name))
        else:
            seen.append(Evidence("not JSON: not looked into", name))
    return judged(
        "sbom",
        _TITLE,
        problems,
        severity="error" if any(name.endswith(f"/{_OURS}") for name in names) else "warning",
        seen=seen,
        remedy="Scanners will not know what is in it, or know it wrongly. Build it again.",
    )


def _is_sbom(name: str) -> bool:
    directory, _, rest = name.partition("/")
    return directory.endswith(".dist-info") and rest.startswith("sboms/")


def _told(document: Any) -> str:
    if not isinstance(document, dict):
        return "JSON of no known kind"
    if document.get("bomFormat") == "CycloneDX":
        components = document.get("components")
        return (
            f"CycloneDX {document.get('specVersion')}, {len(components) if isinstance(components, list) else 0} parts"
        )
    return f"SPDX {document['spdxVersion']}" if "spdxVersion" in document else "JSON of no known kind"


def _faults(document: Any, name: str, wheel: Wheel) -> Iterator[str]:
    if not isinstance(document, dict):
        yield "it is no JSON object"
        return
    if not name.endswith(".cdx.json"):
        return
    if document.get("bomFormat") != "CycloneDX" or not isinstance(document.get("specVersion"), str):
        yield "named as CycloneDX, and is none"
        return
    components = document.get("components", [])
    if not isinstance(components, list) or not all(
        isinstance(one, dict) and isinstance(one.get("name"), str) for one in components
    ):
        yield "its components are no list of things with names"
    if name.endswith(f"/{_OURS}"):
        metadata = document.get("metadata")
        of = metadata.get("component") if isinstance(metadata, dict) else None
        said = (of.get("name"), of.get("version")) if isinstance(of, dict) else ("nothing", "")
        if not (canonicalize_name(str(said[0])) == canonicalize_name(wheel.name) and said[1] == wheel.version):
            yield f"it describes {said[0]} {said[1]}"
        yield from _other_members(components if isinstance(components, list) else [], wheel)


def _other_members(components: list[Any], wheel: Wheel) -> Iterator[str]:
    """Libraries that it describes by their place in the wheel, and that are others there."""
    held = {member.name: member.sha256 for member in wheel.members}
    for one in components:
        with suppress(KeyError, TypeError, AttributeError, IndexError):
            place = one["evidence"]["occurrences"][0]["location"]
            if held.get(place) not in [each["content"] for each in one["hashes"]]:
                yield f"{few([str(place)])} is not the one that it describes"
