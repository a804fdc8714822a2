"""Of a log without a failure: whether it is a log at all, and how it ends."""

from __future__ import annotations

import re

from trtllm_builder.build.diagnosis.model import NONE, Cause, LogLine, Rank
from trtllm_builder.build.diagnosis.reading import HotLines

UNFINISHED = "unfinished"
# Of ninja with its own words for the status, and of CMake's makefiles. A finished build says more after its last step.
_STEP = re.compile(r"\[(?P<done>\d+)/(?P<all>\d+)\] |\[ *(?P<percent>\d+)%\] (?:Building|Linking|Generating)")
_WENT_ON = re.compile(
    r"^-- |^running |^adding |^creating |[Ss]uccess|^\[100%\]|^ninja: no work|^Requirement|^#\d+ DONE"
)
_DROPPED = re.compile(r"client_loop: send disconnect|Connection to \S+ closed|Connection closed by|Connection reset by")
# What no terminal is sent; letters of another encoding than UTF-8 do not count.
_NO_TEXT = re.compile(r"[\x00-\x07\x0e-\x1a\x1c-\x1f]")


def no_log(lines: HotLines) -> Cause | None:
    """What is read is empty, or something else than text."""
    remedy = "give the file that the build's output went to"
    if not lines.sample.strip():
        return Cause(NONE, Rank.HINT, "The log is empty.", remedy, ())
    text = lines.sample.decode("utf-8", "replace")
    if len(_NO_TEXT.findall(text)) > len(text) // 32:
        return Cause(NONE, Rank.HINT, "This is not a text log: it holds binary data.", remedy, ())
    return None


def unfinished(lines: HotLines) -> Cause | None:
    """The log ends in the middle of a build."""
    dropped = None
    for number, text in reversed(lines.tail):
        if _WENT_ON.search(text):
            return None
        if _DROPPED.search(text):
            dropped = LogLine(number, text[:300])
        if step := _STEP.match(text):
            if step["percent"] is None and int(step["done"]) >= int(step["all"]):
                return None
            at = f"{step['percent']} %" if step["percent"] else f"step {step['done']}/{step['all']}"
            return Cause(
                UNFINISHED,
                Rank.HINT,
                f"Unfinished: the log ends in the middle of a build at {at}"
                + (", when the connection to the terminal broke." if dropped else "."),
                "the build still runs, or it was killed, or the log was cut off: give the same command again, what is "
                "compiled stays compiled; `--detach` outlives the terminal",
                (LogLine(number, text[:300]), *([dropped] if dropped else [])),
            )
    return None
