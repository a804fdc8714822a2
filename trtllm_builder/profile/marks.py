"""User-written YAML in which every value remembers where it stood and keeps the text that was written.

YAML 1.1 would read ``3.10`` as 3.1, ``OFF`` as false and ``6:30`` as 390. Here a scalar is always text;
whoever owns the field gives it a type. Read from PyYAML's parser events, never from its constructors.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from trtllm_builder.errors import ProfileError, Where
from trtllm_builder.text import clean, redact

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
# Counted after aliases are expanded, so that a few lines of anchors cannot become a million values.
MAX_VALUES = 10_000

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


class Text(str):
    """A scalar: its text, and where it stood. ``plain`` means unquoted."""

    where: Where
    plain: bool

    def __new__(cls, text: str, where: Where, plain: bool = True) -> Text:
        self = super().__new__(cls, text)
        self.where = where
        self.plain = plain
        return self

    @property
    def is_null(self) -> bool:
        """Unquoted ``null`` or ``~``, or nothing at all. A quoted "null" is text."""
        return self.plain and self in _NULLS


class List(list["Value"]):
    """A sequence and where it starts."""

    def __init__(self, where: Where, items: list[Value] | None = None) -> None:
        super().__init__(items or [])
        self.where = where


class Map(dict[str, "Value"]):
    """A mapping, where it starts, and where each of its keys stood."""

    def __init__(self, where: Where) -> None:
        super().__init__()
        self.where = where
        self.key_where: dict[str, Where] = {}

    def put(self, key: str, where: Where, value: Value) -> None:
        self[key] = value
        self.key_where[key] = where


Value: TypeAlias = "Text | List | Map"


def shown(text: str) -> str:
    """``text`` quoted for a message: one line, no escapes or credentials, at most 60 characters."""
    encodable = text.encode("utf-8", "backslashreplace").decode()
    line = " ".join(redact(clean(encodable)).split())
    return f"`{line[:57]}...`" if len(line) > 60 else f"`{line}`"


def read_value(path: Path) -> Value:
    """The one YAML document in a regular file. Raises ProfileError with the place of the fault."""
    return parse_value(read_bytes(path), str(path))


def read_map(path: Path) -> Map:
    """Like :func:`read_value`, for a document that has to be keys and values."""
    value = read_value(path)
    if not isinstance(value, Map):
        raise ProfileError("expected keys and values at the top of the file", where=value.where)
    return value


def parse_value(data: bytes, path: str) -> Value:
    """The one YAML document in ``data``, which is UTF-8 (a byte order mark is allowed)."""
    if len(data) > MAX_BYTES:
        raise ProfileError(f"the file is larger than {MAX_BYTES:,} bytes, so it was not read", where=Where(path))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", errors="replace")
        raise ProfileError(
            f"byte 0x{data[error.start]:02x} is not UTF-8",
            where=_at(path, before, len(before)),
            remedy="save the file as UTF-8",
        ) from None
    return parse_text(text, path)


def parse_text(text: str, path: str, *, column: int = 1) -> Value:
    """The one YAML document in ``text``, whose first line starts at ``column`` of what ``path`` names."""
    return _Reader(text, path, column).document()


def read_bytes(path: Path) -> bytes:
    """At most one byte more than MAX_BYTES of a regular file. Raises ProfileError."""
    where = Where(str(path))
    try:
        # Non-blocking, so that a FIFO is refused and not waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ProfileError(f"the file cannot be read: {reason}", where=where) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ProfileError("this is not a regular file", where=where)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ProfileError(f"the file cannot be read: {error.strerror}", where=where) from None
    finally:
        os.close(descriptor)


def _at(path: str, text: str, position: int) -> Where:
    before = text[:position]
    return Where(path, before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)


# PyYAML's own words, and ours for the mistakes that people make.
_PROBLEMS = (
    ("found character '\\t'", "a tab where YAML expects spaces or a value"),
    (
        "mapping values are not allowed",
        "a `:` where no key can stand; quote the value or mend the indentation",
    ),
    ("could not find expected ':'", "expected `key: value`"),
    ("chomping or indentation", "`>` and `|` begin a block of text in YAML; put the value in quotes"),
    ("found undefined alias", "an alias whose anchor does not stand before it"),
    ("that cannot start any token", "a value cannot start with this character; put it in quotes"),
    ("found unexpected end of stream", "the file ends inside a quoted text"),
    ("did not find expected <document start>", "expected one document of keys and values"),
)


@dataclass
class _Reader:
    text: str
    path: str
    column: int
    _count: int = 0
    _depth: int = 0
    _anchors: dict[str, tuple[Value, int]] = field(default_factory=dict)
    _open: set[str] = field(default_factory=set)

    def document(self) -> Value:
        try:
            return self._document()
        except yaml.reader.ReaderError as error:
            where = self._shift(_at(self.path, self.text, error.position))
            code = ord(self.text[error.position])
            raise self._fault(f"character U+{code:04X} is not allowed in YAML", where) from None
        except yaml.MarkedYAMLError as error:
            problem = error.problem or error.context or "not valid YAML"
            ours = [sentence for theirs, sentence in _PROBLEMS if theirs in problem]
            what = ours[0] if ours else f"not valid YAML: {clean(problem)}"
            raise self._fault(what, self._mark(error.problem_mark or error.context_mark)) from None
        except (yaml.YAMLError, ValueError, OverflowError):
            # PyYAML converts the digits of escapes and directives without checking their range.
            where = self._mark(self._events.get_mark())
            raise self._fault("not valid YAML: a number here is out of range", where) from None

    def _document(self) -> Value:
        # The constructor of the reader already checks the characters, hence inside the try.
        self._events = yaml.SafeLoader(self.text)
        self._next()  # stream start
        if self._events.check_event(yaml.StreamEndEvent):
            raise self._fault("the file is empty; expected keys and values", Where(self.path, 1, self.column))
        self._next()  # document start
        value = self._value()
        self._next()  # document end
        following = self._next()
        if not isinstance(following, yaml.StreamEndEvent):
            raise self._fault("a second document; expected only one", self._mark(following.start_mark))
        return value

    def _next(self) -> Any:
        # PyYAML's stubs know neither the method nor which event has a tag and an anchor.
        return self._events.get_event()  # type: ignore[no-untyped-call]

    def _value(self) -> Value:
        event = self._next()
        where = self._mark(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), where)
        self._add(1, where)
        if event.tag is not None:
            raise self._fault(f"tags such as {shown(event.tag)} are not used here; leave it out", where)
        anchor = event.anchor
        before = self._count - 1
        if anchor is not None:
            self._open.add(anchor)
        value: Value
        if isinstance(event, yaml.ScalarEvent):
            value = self._text(event, where)
        else:
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise self._fault(f"nested more than {MAX_DEPTH} levels deep", where)
            value = self._list(where) if isinstance(event, yaml.SequenceStartEvent) else self._map(where)
            self._depth -= 1
        if anchor is not None:
            self._open.discard(anchor)
            self._anchors[anchor] = (value, self._count - before)
        return value

    def _alias(self, name: str, where: Where) -> Value:
        if name in self._open:
            raise self._fault(f"the alias {shown('*' + name)} contains itself", where)
        if name not in self._anchors:
            raise self._fault(f"the alias {shown('*' + name)} has no anchor before it", where)
        value, size = self._anchors[name]
        self._add(size, where)
        return value

    def _text(self, event: yaml.ScalarEvent, where: Where) -> Text:
        text = str(event.value)
        if clean(text) != text or any("\ud800" <= character <= "\udfff" for character in text):
            raise self._fault("a control character or half of a character in this text", where)
        return Text(text, where, plain=event.style is None)

    def _list(self, where: Where) -> List:
        return List(where, list(self._items(yaml.SequenceEndEvent)))

    def _items(self, end: type[yaml.Event]) -> Iterator[Value]:
        while not self._events.check_event(end):
            yield self._value()
        self._next()

    def _map(self, where: Where) -> Map:
        result = Map(where)
        while not self._events.check_event(yaml.MappingEndEvent):
            key = self._value()
            if not isinstance(key, Text) or not key:
                raise self._fault("a key has to be text", key.where)
            if key == "<<" and key.plain:
                raise self._fault("merge keys (`<<`) are not used here; use `extends`", key.where)
            if key in result:
                first = result.key_where[key]
                raise self._fault(f"the key {shown(key)} stands twice, first in line {first.line}", key.where)
            result.put(str(key), key.where, self._value())
        self._next()
        return result

    def _add(self, values: int, where: Where) -> None:
        self._count += values
        if self._count > MAX_VALUES:
            raise self._fault(f"more than {MAX_VALUES:,} values, aliases expanded", where)

    def _mark(self, mark: Any) -> Where:
        return self._shift(Where(self.path, mark.line + 1, mark.column + 1) if mark else Where(self.path))

    def _shift(self, where: Where) -> Where:
        return Where(where.path, where.line, where.column + self.column - 1) if where.line == 1 else where

    def _fault(self, what: str, where: Where) -> ProfileError:
        return ProfileError(what, where=where)
