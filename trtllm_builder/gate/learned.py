"""What compiles took that were measured: per source, architectures and compiler. A small JSON document that grows
from build to build and from machine to machine.

Merging takes the newest of each, so it does not matter in which order documents come together, or how often. What was
measured just now needs no date to be believed: clocks are wrong at times.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from trtllm_builder.gate.compiles import Compile

SCHEMA = 1
MOST = 20_000
"""Files that are remembered; TensorRT-LLM has a few thousand."""
_LARGEST_DOCUMENT = 64 * 2**20

Key = tuple[str, tuple[str, ...], int, str]


@dataclass(frozen=True, order=True)
class Measured:
    """``when`` in seconds since 1970, ``peak`` in bytes, ``course`` the share of it in each tenth of ``seconds``, empty
    where it was not seen. ``kind`` is that of the table."""

    when: int
    peak: int
    seconds: float
    course: tuple[float, ...] = ()
    kind: str = "other"


def key_of(compile: Compile) -> Key:
    """What makes two compiles alike. ``compiler`` should be a digest: another version is another compiler."""
    return (compile.source, compile.architectures, compile.threads, compile.compiler)


@dataclass(frozen=True)
class Learned:
    entries: Mapping[Key, Measured] = field(default_factory=dict)

    def of(self, compile: Compile) -> Measured | None:
        return self.entries.get(key_of(compile))

    def merge(self, other: Learned) -> Learned:
        """The newest of each, the heavier one of two as new; no more than MOST of all, the newest ones."""
        return _newest([*self.entries.items(), *other.entries.items()])

    def then(self, measured: Learned) -> Learned:
        """What was measured now in the place of what was known, whatever the clock said; no more than MOST of all."""
        return _newest({**self.entries, **measured.entries}.items())

    def to_json(self) -> dict[str, object]:
        """The document of ``schemas/learned.json``, the same text for the same content."""
        return {
            "schema": SCHEMA,
            "files": [
                {
                    "source": source,
                    "architectures": list(architectures),
                    "threads": threads,
                    "compiler": compiler,
                    "kind": one.kind,
                    "when": one.when,
                    "peak": one.peak,
                    "seconds": one.seconds,
                    "course": list(one.course),
                }
                for (source, architectures, threads, compiler), one in sorted(self.entries.items())
            ],
        }


def _newest(pairs: Iterable[tuple[Key, Measured]]) -> Learned:
    newest: dict[Key, Measured] = {}
    for key, one in pairs:
        if key not in newest or one > newest[key]:
            newest[key] = one
    if len(newest) > MOST:
        kept = sorted(newest.items(), key=lambda pair: (pair[1], pair[0]), reverse=True)[:MOST]
        newest = dict(kept)
    return Learned(newest)


def learn(pairs: Iterable[tuple[Compile, Measured]]) -> Learned:
    """From compiles that ended well; those without a source teach nothing."""
    return _newest((key_of(compile), one) for compile, one in pairs if compile.source)


def course_of(samples: Sequence[tuple[float, int]], seconds: float, peak: int) -> tuple[float, ...]:
    """The most that was held in each tenth of ``seconds``, as a share of ``peak``, rounded up to twentieths.

    ``samples`` are (seconds since the start, bytes). Empty when they are too few to tell.
    """
    if seconds <= 0 or peak <= 0:
        return ()
    tenths: list[int | None] = [None] * 10
    for age, held in samples:
        place = min(9, max(0, int(10 * age / seconds)))
        tenths[place] = max(tenths[place] or 0, held)
    if sum(one is not None for one in tenths) < 5:
        return ()
    filled: list[int] = []
    for place, one in enumerate(tenths):
        near = [other for other in tenths[max(0, place - 1) : place + 2] if other is not None]
        filled.append(one if one is not None else max(near, default=peak))
    # What lasts a moment is seen by no sample: the highest tenth holds the peak.
    filled[filled.index(max(filled))] = peak
    return tuple(min(1.0, math.ceil(20 * one / peak) / 20) for one in filled)


def from_json(text: str) -> tuple[Learned, str]:
    """What a document says, and a sentence about what is wrong with it ("" for nothing). A damaged one says nothing;
    entries that cannot be meant are left out. A date to come is that of a clock that was ahead: it counts as now."""
    if len(text) > _LARGEST_DOCUMENT:
        return Learned(), "The learned peaks are larger than they can be; they are not used."
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Learned(), f"The learned peaks cannot be read ({str(error)[:80]}); they are not used."
    if not isinstance(document, dict) or not isinstance(document.get("files"), list):
        return Learned(), "The learned peaks are no document of ours; they are not used."
    if document.get("schema") != SCHEMA:
        return Learned(), f"The learned peaks are of version {str(document.get('schema'))[:20]}, not {SCHEMA}."
    found = list(_entries(document["files"], int(time.time())))
    wrong, entries = len(document["files"]) - len(found), len(document["files"])
    return _newest(found), f"{wrong} of {entries} learned peaks cannot be meant and were left out." if wrong else ""


def _entries(files: Sequence[Any], now: int) -> Iterator[tuple[Key, Measured]]:
    for one in files:
        try:
            key = (one["source"], tuple(one["architectures"]), one["threads"], one["compiler"])
            texts = (key[0], key[3], one["kind"], *key[1])
            measured = Measured(one["when"], one["peak"], float(one["seconds"]), tuple(one["course"]), one["kind"])
            numbers = (measured.when, measured.peak, key[2])
            fine = (
                all(isinstance(text, str) and len(text) < 4096 for text in texts)
                and all(type(number) is int and 0 <= number < 2**53 for number in numbers)
                and 0 <= measured.seconds < 1e6
                and len(measured.course) in (0, 10)
                and all(type(share) in (int, float) and 0 <= share <= 1 for share in measured.course)
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        if fine and key[0]:
            yield key, replace(measured, when=min(measured.when, now))
