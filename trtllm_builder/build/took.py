"""Whether CMake options took: seen in the configured build directory, before hours are spent on the wrong build.

CMakeCache.txt holds ``NAME:TYPE=VALUE`` (manual cmake(1), "CMake Cache"). A type of UNINITIALIZED means that a -D was
given and no option() or find call ever claimed it. compile_commands.json is CMake's JSON compilation database.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from trtllm_builder.build.commands import read_commands
from trtllm_builder.plan.model import Setting

_ENTRY = re.compile(r"^([^:=#/][^:=]*):([A-Z]+)=(.*)$")
_MACRO = "ENABLE_MULTI_DEVICE"
_DEFINED = re.compile(rf"""(?:^|[\s"'])-D{_MACRO}=([^\s"']*)""")
# CMake's own notion of false (command if(), "Condition Syntax").
_FALSE = {"", "0", "OFF", "NO", "FALSE", "N", "IGNORE", "NOTFOUND"}
_TRUE = {"1", "ON", "YES", "TRUE", "Y"}


def read_cache(build_dir: Path) -> dict[str, tuple[str, str]]:
    """Name to (type, value). Empty when there is no CMakeCache.txt."""
    try:
        text = (build_dir / "CMakeCache.txt").read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    entries = (_ENTRY.match(line) for line in text.splitlines())
    return {match[1].strip('"'): (match[2], match[3]) for match in entries if match}


def _same(given: str, found: str) -> bool:
    for words in (_FALSE, _TRUE):
        if given.upper() in words:
            return found.upper() in words
    return given == found


def what_did_not_take(build_dir: Path, options: Sequence[Setting]) -> tuple[str, ...]:
    """One sentence for each option that CMake never took, or took with another value."""
    cache = read_cache(build_dir)
    if not cache:
        return (f"{build_dir} has no CMakeCache.txt: nothing was configured there",)
    problems = []
    for option in options:
        kind, value = cache.get(option.name, ("UNINITIALIZED", ""))
        if option.name not in cache or (kind == "UNINITIALIZED" and not option.name.startswith("CMAKE_")):
            problems.append(f"{option.name}={option.value} was given and no CMake file of this upstream declares it")
        elif not _same(option.value, value):
            problems.append(f"{option.name} is {value} in CMakeCache.txt and not {option.value}")
    wanted = next((option.value for option in options if option.name == _MACRO), None)
    if wanted is not None:
        problems += _macro_problems(build_dir, wanted)
    return tuple(problems)


def _macro_problems(build_dir: Path, wanted: str) -> list[str]:
    """ENABLE_MULTI_DEVICE must reach the compilers as a macro with exactly this value, in every command that has it."""
    try:
        values = {value for one in read_commands(build_dir) for value in _DEFINED.findall(one.command)}
    except (OSError, ValueError) as error:
        return [
            f"compile_commands.json cannot be read, so it is not known whether {_MACRO} reached a compiler: {error}"
        ]
    if not values:
        return [f"no compiler command defines the macro {_MACRO}"]
    return [f"compilers get {_MACRO}={value} and not {wanted}" for value in sorted(values - {wanted})]
