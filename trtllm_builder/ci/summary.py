"""What was built, in Markdown, for the page of a CI's job. Every text from a build is escaped: it may be a log's."""

from __future__ import annotations

import re
from collections.abc import Sequence

from trtllm_builder.ci.notify import headline
from trtllm_builder.ci.result import Result
from trtllm_builder.text import clean, redact
from trtllm_builder.units import format_duration, format_size

# GitHub refuses a summary of more than 1 MiB.
_MOST = 2**20 - 2**10
# Sentences stay readable where the text is seen as it is, as in GitLab's log: a colon leads to something, or a number
# sign, only with the right letter behind it.
_SPECIAL = re.compile(r"[\\`*\[\]<>|~$&@]|:(?=[:/\w])|#(?=\d)|^#")
_TOLD = {
    "built": "✅ built",
    "reused": "✅ was there",
    "failed": "❌ failed",
    "interrupted": "⏸ not finished",
    "died": "💥 died",
    "lost": "❓ lost",
}


def markdown(results: Sequence[Result]) -> str:
    """A headline, a row a profile, then what went wrong and what to do."""
    lines = [f"### {escape(headline(results))}", ""]
    lines += ["| profile | | wheel | size | took | cache | memory | checks |", "|---|---|---|---|---|---|---|---|"]
    lines += [_row(one) for one in results]
    for one in results:
        if one.fault:
            lines += ["", f"**{escape(one.profile)}**{_stage(one)}: {escape(one.fault)}"]
            if one.remedy:
                lines += ["", f"> {escape(one.remedy)}"]
    drifted = {one.drift for one in results if one.drift}
    if drifted:
        lines += ["", f"⚠️ upstream's main has {max(drifted)} changes that matter against what is known of it"]
    wheels = [one for one in results if one.sha256]
    if wheels:
        lines += ["", "```text", *(f"{one.sha256}  {_fenced(one.wheel or '')}" for one in wheels), "```"]
    text = "\n".join(lines) + "\n"
    while len(text.encode()) > _MOST:
        text = text[: len(text) * 3 // 4] + "\n\nand more\n"
    return text


def escape(text: str) -> str:
    """``text`` so that Markdown and HTML show it letter by letter, in one line."""
    flat = " ".join(redact(clean(text)).split())
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", flat)


def _row(one: Result) -> str:
    told = _TOLD[one.result]
    if one.link and re.fullmatch(r"https?://[\w./:?=&%#~+-]+", redact(one.link)):
        told = f"[{told}]({redact(one.link)})"
    calls = (one.hits or 0) + (one.misses or 0)
    cells = (
        escape(one.profile),
        told,
        escape(one.wheel or "-"),
        format_size(one.size) if one.size is not None else "-",
        format_duration(one.seconds) if one.result != "lost" else "-",
        f"{one.hits or 0} of {calls}" if calls else "-",
        format_size(one.peak_memory) if one.peak_memory else "-",
        escape(_checks(one)),
    )
    return f"| {' | '.join(cells)} |"


def _checks(one: Result) -> str:
    told = one.verdict or "-"
    return f"{told}: {', '.join(one.failed_checks)}" if one.failed_checks else told


def _stage(one: Result) -> str:
    run = f", run {escape(one.run)}" if one.run else ""
    return (f" in {escape(one.stage)}" if one.stage else "") + run


def _fenced(text: str) -> str:
    return clean(text).replace("`", "'").replace("\n", " ")
