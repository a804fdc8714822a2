"""Tell others how builds fared: a program of the user's gets the results on standard input, a webhook by POST.

A notification that fails is a sentence for the caller to show; it never makes a build fail.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from trtllm_builder.ci.result import Result
from trtllm_builder.ci.web import Unreachable, fetch
from trtllm_builder.process import run
from trtllm_builder.text import redact
from trtllm_builder.units import format_duration

_PATIENCE = 30.0
# What a program needs to run at all. It says by NOTIFY_ in a name what else is meant for it.
_PASSED = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
)  # fmt: skip


def notify(target: str, results: Sequence[Result], environ: Mapping[str, str], *, pause: float = 1.0) -> str | None:
    """Tell ``target``, an http(s) URL or the path of a program; None when it took it, else what was wrong. ``pause``
    is the time in seconds before a second try."""
    document = json.dumps(payload(results))
    if "://" in target:
        try:
            fetch(target, body=document.encode(), within=_PATIENCE, pause=pause)
        except Unreachable as error:
            # Of many chat servers' webhooks the path is the secret.
            place = "/".join(redact(target).split("/")[:3])
            return f"the notification was not taken: {str(error).replace(redact(target), place)}"
        return None
    wrong = unfit(target)
    if wrong is not None:
        return f"nobody was notified: {wrong}"
    program = Path(target).expanduser()
    kept = {name: value for name, value in environ.items() if name in _PASSED or name.startswith("NOTIFY_")}
    try:
        done = run([program.absolute()], env=kept, timeout=_PATIENCE, input=document)
    except OSError as error:
        return f"nobody was notified: {program} cannot be run: {error.strerror or error}"
    if done.timed_out:
        return f"the notification took more than {format_duration(_PATIENCE)} and was ended: {program}"
    return None if done.ok else f"{program} ended with exit status {done.returncode}: {done.last_line}"


def unfit(target: str) -> str | None:
    """Why nobody can be told at ``target``; None when it is worth a try."""
    program = Path(target).expanduser()
    url = target.startswith(("http://", "https://"))
    if url or ("://" not in target and program.is_file() and os.access(program, os.X_OK)):
        return None
    return f"{redact(target)} is neither an http(s) URL nor a program"


def payload(results: Sequence[Result]) -> dict[str, object]:
    """What is sent: the results, and one line of ``text``, which chat servers show."""
    return {"schema": 1, "text": headline(results), "results": [one.to_json() for one in results]}


def headline(results: Sequence[Result]) -> str:
    """``2 of 3 profiles have a wheel; failed: gpugeek-multi (out of memory)``."""
    good = sum(one.good for one in results)
    text = f"{good} of {len(results)} {'profile has' if len(results) == 1 else 'profiles have'} a wheel"
    for ending, told in (("failed", "failed"), ("interrupted", "not finished"), ("died", "died"), ("lost", "lost")):
        names = [
            one.profile + (f" ({one.diagnosis})" if one.diagnosis else "") for one in results if one.result == ending
        ]
        if names:
            text += f"; {told}: {', '.join(names)}"
    return redact(text)
