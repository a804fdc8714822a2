"""Check of a provenance statement beside the wheel.

Sources: the in-toto Statement (``subject`` with names and digests), version 1, and DSSE envelopes around it. Who signed
it is not looked at here: only whether it speaks of these bytes.
"""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Any

from trtllm_builder.verify.checks import Check, judged, skipped

_LIMIT = 16 << 20  # bytes
_TITLE = "the provenance beside it is of this wheel"


def provenance_check(wheel: Path, sha256: str) -> Check:
    """provenance: ``WHEEL.intoto.json`` or ``WHEEL.intoto.jsonl`` beside the wheel, when there is one."""
    for suffix in (".intoto.json", ".intoto.jsonl"):
        path = wheel.with_name(wheel.name + suffix)
        if path.is_file():
            return _judge(path, wheel.name, sha256)
    return skipped("provenance", _TITLE, f"there is no {wheel.name}.intoto.json beside it", severity="info")


def _judge(path: Path, name: str, sha256: str) -> Check:
    remedy = "It was made for another file, or one of the two was changed: fetch both again from where they came."
    try:
        statements = _statements(path)
        subjects = [
            (str(one["name"]), str(one["digest"]["sha256"]).lower()) for each in statements for one in each["subject"]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        return judged("provenance", _TITLE, [f"{path.name} is no in-toto statement: {error!r}"[:300]], remedy=remedy)
    if any(digest == sha256 for _, digest in subjects):
        kinds = sorted({str(each.get("predicateType", "?")) for each in statements})
        return judged("provenance", _TITLE, [], seen=f"{path.name}: {', '.join(kinds)}; who signed it was not checked")
    of = next((digest for subject, digest in subjects if subject == name), None)
    found = f"it gives {name} the sha256 {of}" if of else f"none of its {len(subjects)} subjects is this wheel"
    return judged("provenance", _TITLE, [f"{path.name}: {found}; the wheel has {sha256}"], remedy=remedy)


def _statements(path: Path) -> list[dict[str, Any]]:
    if path.stat().st_size > _LIMIT:
        raise ValueError(f"more than {_LIMIT >> 20} MiB")
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines() if path.name.endswith("l") else [text]
    found = []
    for line in filter(str.strip, lines):
        document = json.loads(line)
        if "payload" in document:
            document = json.loads(base64.b64decode(document["payload"], validate=True))
        found.append(document)
    if not found:
        raise ValueError("it is empty")
    return found
