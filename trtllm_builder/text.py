"""Text from elsewhere made safe to show, log and keep: terminal escapes out, credentials out."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

# ECMA-48: CSI, OSC (ended by BEL or ST), other ESC pairs; then lone C0/C1 controls except tab and newline.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x9b[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|\Z)"
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# A password may hold an apostrophe (RFC 3986, "sub-delims"), never a double quote.
_CREDENTIALS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,40}://)[^\s/@\"<>]*(?:@[^\s/@\"<>]*)*@")
_QUERY_SECRETS = re.compile(r"(?i)([?&](?:[\w-]*(?:token|secret|password|signature|key|auth)[\w-]*)=)[^&\s'\"#]+")


def clean(text: str) -> str:
    """``text`` without terminal escapes, control characters (tab and newline stay) and direction overrides."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n")))


def redact(text: str) -> str:
    """``text`` with the user part of every URL and secret-looking query values replaced by ``***``."""
    return _QUERY_SECRETS.sub(r"\1***", _CREDENTIALS.sub(r"\g<scheme>***@", text))


def has_credentials(url: str) -> bool:
    """Whether ``url`` carries a user name or password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return True
    return bool(parts.password or (parts.username and parts.scheme not in ("ssh", "git+ssh")))


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str | None:
    """The known name closest to ``name``, or None when none is near."""
    import difflib

    lowered = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    return lowered[close[0]] if close else None
