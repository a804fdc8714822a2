"""Edits of CMake files by command. Read as cmake-language(7) says: commands, quoted, bracket and unquoted arguments."""

from __future__ import annotations

import re
from dataclasses import dataclass

from trtllm_builder.patching.edited import Edited, Misfit
from trtllm_builder.patching.model import CMakeGuard, CMakeOption

_TOKEN = re.compile(
    r"""(?P<bracket_comment>\#\[(?P<c>=*)\[.*?\](?P=c)\])
    | (?P<comment>\#[^\n]*)
    | (?P<bracket>\[(?P<b>=*)\[.*?\](?P=b)\])
    | (?P<quoted>"(?:\\.|[^"\\])*")
    | (?P<open>\() | (?P<close>\))
    | (?P<space>\s+)
    | (?P<word>(?:\\.|"(?:\\.|[^"\\])*"|[^\s()#"\\])+)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Argument:
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Command:
    """One invocation: its name in lower case, its arguments, and where it stands in the text."""

    name: str
    arguments: tuple[Argument, ...]
    start: int
    end: int


def commands(text: str) -> list[Command]:
    """Every command invocation. Raises Misfit for what is not CMake."""
    found: list[Command] = []
    word: re.Match[str] | None = None
    start, depth = 0, 0
    arguments: list[Argument] = []
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise Misfit("this is not valid CMake", text.count("\n", 0, position) + 1)
        kind, position = token.lastgroup, token.end()
        if kind == "open":
            if depth == 0:
                if word is None:
                    raise Misfit("a `(` without a command before it", text.count("\n", 0, token.start()) + 1)
                start, arguments = word.start(), []
            else:
                arguments.append(Argument("(", token.start(), token.end()))
            depth += 1
        elif kind == "close":
            depth -= 1
            if depth < 0:
                raise Misfit("a `)` without its `(`", text.count("\n", 0, token.start()) + 1)
            if depth:
                arguments.append(Argument(")", token.start(), token.end()))
            elif word is not None:
                found.append(Command(word.group().lower(), tuple(arguments), start, token.end()))
                word = None
        elif kind in ("quoted", "bracket", "word"):
            if depth:
                arguments.append(Argument(_value(token), token.start(), token.end()))
            else:
                word = token
    if depth:
        raise Misfit("a `(` without its `)`", text.count("\n", 0, start) + 1)
    return found


def set_option(text: str, operation: CMakeOption) -> Edited:
    """Another default for an option."""
    edited = text
    todo = done = 0
    for command in reversed(commands(text)):
        if command.name != "option" or not command.arguments or command.arguments[0].text != operation.name:
            continue
        if len(command.arguments) == 3 and command.arguments[2].text == operation.default:
            done += 1
        elif len(command.arguments) == 3:
            todo += 1
            default = command.arguments[2]
            edited = edited[: default.start] + operation.default + edited[default.end :]
        else:
            raise Misfit(f"option({operation.name}) has no default to change", text.count("\n", 0, command.start) + 1)
    return Edited(edited, todo, done)


def guard(text: str, operation: CMakeGuard) -> Edited:
    """``if()`` around a command."""
    found = commands(text)
    condition = " ".join(argument.text for argument in commands(f"if({operation.condition})")[0].arguments)
    edited = text
    todo = done = 0
    for index in reversed(range(len(found))):
        command = found[index]
        first = command.arguments[0].text if command.arguments else ""
        if command.name != operation.command.lower() or first != operation.argument:
            continue
        before = found[index - 1] if index else None
        after = found[index + 1] if index + 1 < len(found) else None
        if before and after and before.name == "if" and after.name == "endif" and _words(before) == condition:
            done += 1
            continue
        todo += 1
        line = text.rfind("\n", 0, command.start) + 1
        indent = text[line : command.start]
        if indent.strip():
            raise Misfit("the command does not begin its line", text.count("\n", 0, command.start) + 1)
        body = text[command.start : command.end].replace("\n", "\n  ")
        block = f"if({operation.condition})\n{indent}  {body}\n{indent}endif()"
        edited = edited[: command.start] + block + edited[command.end :]
    return Edited(edited, todo, done)


def _value(token: re.Match[str]) -> str:
    text = token.group()
    if token.lastgroup == "quoted":
        return text[1:-1]
    return text


def _words(command: Command) -> str:
    return " ".join(argument.text for argument in command.arguments)
