"""Texts of the tested process, made fit to show and to keep."""

from __future__ import annotations

import re
from pathlib import Path

from trtllm_builder.text import clean, redact

_TAIL = 40  # lines of output kept as evidence
STACK_LIMIT, _LINE_LIMIT = 20_000, 2_000  # characters


def shown(text: str, place: Path) -> str:
    """Safe to show and keep, and without the temporary directory that nobody will find again."""
    site = re.escape(str(place)) + r"/env/lib/python[\d.]+/site-packages/"
    shown = redact(clean(re.sub(site, "", text))).replace(str(place), "(smoke)")
    return "\n".join(line[:_LINE_LIMIT] for line in shown.split("\n"))


def tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-_TAIL:])[-STACK_LIMIT:]
