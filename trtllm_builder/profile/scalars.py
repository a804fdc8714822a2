"""From the text of a scalar to a typed value. Each ``parse_*`` raises ValueError with a whole sentence.

The field decides the type: ``python: 3.10`` is a version, ``ref: 1.10`` is a ref, ``OFF`` is false only where a
truth value is expected. Values that already have the type (made in Python, not read from a file) pass as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from trtllm_builder.profile.marks import shown
from trtllm_builder.text import nearest
from trtllm_builder.units import parse_duration, parse_size

BUILD_TYPES = ("Release", "RelWithDebInfo", "Debug")
GENERATORS = ("Ninja", "Unix Makefiles")
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "host")
# What upstream's architecture normaliser takes in one release or another; the plan says when it is another.
ARCHITECTURES = (80, 86, 87, 89, 90, 100, 101, 103, 120, 121)

_TRUE = frozenset({"true", "yes", "on"})
_FALSE = frozenset({"false", "no", "off"})
_SM = re.compile(r"sm_[0-9]{2,3}[af]?\Z", re.ASCII)
_ARCHITECTURE_LIKE = re.compile(r"(?:sm_|compute_)?(\d+)[.]?(\d*)[af]?(?:-real|-virtual)?\Z", re.ASCII)


def kind(value: object) -> str:
    """What a value is, in the words of a message."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "keys and values"
    return "a list" if isinstance(value, (list, tuple)) else shown(str(value))


def fault(what: str, *at: str | int) -> PydanticCustomError:
    """An error of the value under ``at`` (keys and indices) below the one that is being validated."""
    return PydanticCustomError("fault", "{what}", {"what": what, "at": at})


def typed(parse: Callable[[str], Any], native: type | tuple[type, ...], expected: str) -> PlainValidator:
    """``parse`` for text; values of type ``native`` pass; anything else is told what was ``expected``."""

    def convert(value: object) -> object:
        if isinstance(value, str):
            return parse(value)
        if isinstance(value, native):
            return value
        raise ValueError(f"expected {expected}, not {kind(value)}")

    return PlainValidator(convert)


def choose(text: str, names: tuple[str, ...]) -> str:
    if text in names:
        return text
    near = nearest(text, names)
    hint = f"; did you mean {shown(near)}?" if near else ""
    raise ValueError(f"expected one of {', '.join(names)}, not {shown(text)}{hint}")


def parse_schema(text: str) -> int:
    if text != "1":
        raise ValueError(f"expected 1, the only schema that this version reads, not {shown(text)}")
    return 1


def parse_text(text: str) -> str:
    if not text.strip():
        raise ValueError("expected text, not nothing")
    return text


def parse_bool(text: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise ValueError(f"expected true or false, not {shown(text)}")


def parse_count(text: str) -> int:
    """A whole number from 1 to 9999, in decimal digits."""
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text, re.ASCII):
        raise ValueError(f"expected a whole number from 1 to 9999, not {shown(text)}")
    return int(text)


def parse_jobs(text: str) -> int | str:
    try:
        return text if text == "auto" else parse_count(text)
    except ValueError as error:
        raise ValueError(str(error).replace("expected", "expected `auto` or", 1)) from None


def positive_size(text: str) -> int:
    return round(_positive(parse_size, text, "a size such as 6 GiB or 500 MB"))


def positive_duration(text: str) -> float:
    return _positive(parse_duration, text, "a duration such as 120 s or 2 min")


def _positive(parse: Callable[[str], float], text: str, expected: str) -> float:
    try:
        # A few hundred digits would be infinity to float and an OverflowError to round.
        value = parse(text) if len(text) <= 40 else 0
    except ValueError:
        value = 0
    if value <= 0:
        raise ValueError(f"expected {expected}, not {shown(text)}")
    return value


def parse_architecture(text: str) -> int:
    """A compute capability as upstream wants it: plain digits, such as 89."""
    if text.isascii() and text.isdigit() and len(text) <= 3:
        return known_architecture(int(text))
    like = _ARCHITECTURE_LIKE.match(text)
    if like and int((like[1] + like[2])[:4]) in ARCHITECTURES:
        raise ValueError(f"expected plain digits, not {shown(text)}; write {like[1]}{like[2]}")
    if ";" in text or "," in text:
        words = ", ".join(word.strip() for word in re.split("[;,]", text) if word.strip())
        raise ValueError(f"expected one number an item, not {shown(text)}; write [{words}]")
    raise ValueError(f"expected an architecture such as 89 or 120, not {shown(text)}")


def known_architecture(number: int) -> int:
    if number in ARCHITECTURES:
        return number
    if number < 80:
        name = {75: "Turing", 70: "Volta", 72: "Volta"}.get(number, "anything older than Ampere")
        raise ValueError(f"TensorRT-LLM has no kernels for {name} ({number}); the oldest that it has is 80")
    close = min(ARCHITECTURES, key=lambda known: abs(known - number))
    every = ", ".join(map(str, ARCHITECTURES))
    raise ValueError(f"{number} is not an architecture that upstream builds ({every}); did you mean {close}?")


def parse_sm_names(value: object) -> str | tuple[str, ...]:
    """``auto``, or GPU targets as a fatbin names them."""
    if value == "auto":
        return "auto"
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"expected `auto` or a list such as [sm_89], not {kind(value)}")
    for index, name in enumerate(value):
        if not isinstance(name, str) or not _SM.match(name):
            digits = name if isinstance(name, str) and re.fullmatch(r"[0-9]{2,3}[af]?", name, re.ASCII) else "89"
            raise fault(f"expected a target such as sm_{digits}, not {kind(name)}", index)
    return tuple(value)


def parse_python(text: str) -> str:
    if re.fullmatch(r"3\.\d+\.\d+", text, re.ASCII):
        raise ValueError(f"expected major and minor only, not {shown(text)}; write {text.rpartition('.')[0]}")
    return choose(text, PYTHONS)


def parse_specifier(text: str) -> str:
    """A version specifier as packaging reads it, such as ``>=12.9,<13``."""
    try:
        if text.strip() and SpecifierSet(text):
            return text
    except InvalidSpecifier:
        pass
    hint = ""
    try:
        if text.strip():
            hint = f"; for this version write =={Version(text)}.*"
    except InvalidVersion:
        pass
    raise ValueError(f"expected a version range such as `>=12.9,<13`, not {shown(text)}{hint}")


_PATH_TROUBLE = re.compile(r"[\s'\"$`\\;&|<>()*?\[\]{}!#:]")


def parse_path(text: str) -> str:
    """An absolute path or one under ``~/`` (the home directory of whoever builds; expanded at use)."""
    if not text.startswith(("/", "~/")):
        raise ValueError(f"expected an absolute path or one that begins with `~/`, not {shown(text)}")
    if _PATH_TROUBLE.search(text):
        raise ValueError(f"{shown(text)} has a character that upstream's unquoted shell lines would break at")
    return text


def parse_workspace(text: str) -> str:
    if text == "cache":
        return text
    try:
        return parse_path(text)
    except ValueError as error:
        raise ValueError(str(error).replace("expected", "expected the word `cache`,", 1)) from None


def parse_root(text: str) -> str:
    return text if text == "auto" else parse_path(text)


def parse_root_or_none(text: str) -> str:
    return text if text == "none" else parse_root(text)


def _json(schema: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema(schema)


_TEXT = _json({"type": ["string", "number", "boolean"]})
_STRING = _json({"type": "string"})


def text_type(parse: Callable[[str], str], expected: str) -> Any:
    """The metadata of a text field with its own rule."""
    return typed(parse, str, expected)


Schema = Annotated[int, typed(parse_schema, int, "1"), _json({"const": 1})]
Plain = Annotated[str, text_type(parse_text, "text"), _TEXT]
MaybeEmpty = Annotated[str, text_type(str, "text"), _TEXT]
Bool = Annotated[bool, typed(parse_bool, bool, "true or false"), _json({"type": "boolean"})]
Jobs = Annotated[
    int | Literal["auto"],
    typed(parse_jobs, int, "`auto` or a number"),
    _json({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": 9999}]}),
]
Size = Annotated[int, typed(positive_size, int, "a size"), _json({"type": ["string", "integer"]})]
Seconds = Annotated[float, typed(positive_duration, (int, float), "a duration"), _json({"type": ["string", "number"]})]
Architecture = Annotated[int, typed(parse_architecture, int, "an architecture"), _json({"enum": list(ARCHITECTURES)})]
SmNames = Annotated[
    Literal["auto"] | tuple[str, ...],
    PlainValidator(parse_sm_names),
    _json({"anyOf": [{"const": "auto"}, {"type": "array", "items": {"type": "string", "pattern": r"^sm_\d+[af]?$"}}]}),
]
Python = Annotated[
    str,
    text_type(parse_python, "a Python version"),
    _json({"enum": [*PYTHONS, *(float(name) for name in PYTHONS if name != "host")]}),
]
Specifier = Annotated[str, text_type(parse_specifier, "a version range"), _STRING]
PathText = Annotated[str, text_type(parse_path, "a path"), _STRING]
WorkspaceText = Annotated[str, text_type(parse_workspace, "a path or the word `cache`"), _STRING]
Root = Annotated[str, text_type(parse_root, "`auto` or a path"), _STRING]
RootOrNone = Annotated[str, text_type(parse_root_or_none, "`auto`, `none` or a path"), _STRING]
BuildType = Annotated[
    Literal["Release", "RelWithDebInfo", "Debug"],
    text_type(lambda text: choose(text, BUILD_TYPES), "a build type"),
    _json({"enum": list(BUILD_TYPES)}),
]
Generator = Annotated[
    Literal["Ninja", "Unix Makefiles"],
    text_type(lambda text: choose(text, GENERATORS), "a generator"),
    _json({"enum": list(GENERATORS)}),
]
