"""What a compiler's command line is about to do: source, kind of work, GPU architectures, threads.

Options as in nvcc's manual ("NVCC Command Options"), gcc's ("Overall Options") and clang's ("CUDA support"). Whatever
is not understood makes a poorer guess, never an error: it is the build's own command line, and it runs in any case.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Work = Literal["compile", "link", "device link", "archive", "other"]

_SUFFIXES = (".cu", ".cpp", ".cc", ".cxx", ".c++", ".C", ".c")
_LANGUAGES = {"cu": ".cu", "cuda": ".cu", "c++": ".cpp", "c": ".c"}
# Their value is the next word, and not a source whatever it looks like.
_VALUED = frozenset(
    """
    -o -I -L -l -D -U -isystem -iquote -idirafter -include -imacros -MF -MT -MQ -Xcompiler -Xlinker -Xptxas -Xcudafe
    -Xfatbin -Xnvlink -Xarchive -Xassembler -Xpreprocessor -Xclang -ccbin --compiler-bindir --output-file -odir
    --output-directory --include-path --define-macro --compiler-options --ptxas-options --keep-dir -keep-dir
    --system-include --pre-include --dependency-output -maxrregcount --objdir --sysroot -target -T -u -z
    """.split()  # noqa: SIM905 - a table of words
)
_TARGETS = frozenset({"-arch", "--gpu-architecture", "--offload-arch", "--cuda-gpu-arch"})
_READ = _TARGETS | {
    "-gencode", "--generate-code", "-code", "--gpu-code", "-t", "--threads", "-split-compile", "--split-compile", "-x"
}  # fmt: skip
_ARCHITECTURE = re.compile(r"(?:compute|sm|lto)_([0-9]{1,3}[af]?)\Z")
_CODE_GENERATION = re.compile(r"arch=(?:compute|sm)_([0-9]{1,3}[af]?)\b")
_RESPONSE_LIMIT = 2**20
_RESPONSE_DEPTH = 4
_MOST_WORDS = 100_000
_MOST_THREADS = 1024
_ALL, _ALL_MAJOR = 12, 7
"""Architectures that ``all`` and ``all-major`` stand for in nvcc 12 and 13, about."""


@dataclass(frozen=True)
class Compile:
    """``source`` is relative to the checkout where it is in it, "" for none; ``suffix`` what its language is usually
    called. ``architectures`` are those device code is made for one after another (``90a``), sorted; ``count`` of them,
    where a word such as ``all`` names many. ``threads`` is how many of them are worked on at once."""

    work: Work
    source: str
    suffix: str = ""
    architectures: tuple[str, ...] = ()
    count: int = 0
    threads: int = 1
    compiler: str = ""


def read_compile(argv: Sequence[str], directory: str, root: Path) -> Compile:
    """What ``argv``, started in ``directory``, does in the checkout ``root``. Reads response files, small ones."""
    words = list(_words(argv[1:], directory, _RESPONSE_DEPTH))[:_MOST_WORDS]
    program = Path(argv[0]).name if argv else ""
    sources: list[str] = []
    architectures: set[str] = set()
    language, count, threads, split = "", 0, 1, 1
    flags: set[str] = set()
    index = 0
    while index < len(words):
        name, equals, value = words[index].partition("=")
        index += 1
        if not name.startswith("-") or name == "-":
            if (name + equals + value).endswith(_SUFFIXES):
                sources.append(name + equals + value)
            continue
        following = words[index] if index < len(words) else ""
        if name in _READ:
            if not equals:
                value, index = following, index + 1
            if name in ("-t", "--threads"):
                threads = _threads(value)
            elif name.endswith("split-compile"):
                split = _threads(value)
            elif name == "-x":
                language = _LANGUAGES.get(value, "")
            elif name in ("-gencode", "--generate-code"):
                architectures.update(_CODE_GENERATION.findall(value))
            elif name in _TARGETS:
                count = max(count, {"all": _ALL, "all-major": _ALL_MAJOR, "native": 1}.get(value, 0))
                found = (_ARCHITECTURE.match(word) for word in value.strip("[]").split(","))
                architectures.update(match[1] for match in found if match)
        elif re.fullmatch(r"-t[0-9]{1,4}", name):
            threads = _threads(name[2:])
        elif name in _VALUED and not equals:
            index += 1
        else:
            flags.add(name)
    source = sources[0] if sources else ""
    count = max(count, len(architectures))
    at_once = min(threads, max(1, count)) * split
    return Compile(
        work=_work(program, flags, bool(sources)),
        source=_relative(source, directory, root),
        suffix=(language or Path(source).suffix) if source else "",
        architectures=tuple(sorted(architectures)),
        count=count,
        threads=min(at_once, _MOST_THREADS),
        compiler=program,
    )


def _work(program: str, flags: set[str], has_source: bool) -> Work:
    if flags & {"-dlink", "--device-link"}:
        return "device link"
    if has_source:
        return "compile"
    if re.fullmatch(r"(?:.*-)?(?:ar|ranlib)(?:-[0-9.]+)?", program) or flags & {"-lib", "--lib"}:
        return "archive"
    if flags & {"-c", "--compile", "-E", "-M", "-MM", "--version", "-V", "-v", "--help", "-dryrun", "--dryrun"}:
        return "other"
    return "link" if re.search(r"nvcc|gcc|g\+\+|clang|cc\b|c\+\+|(?:^|-)ld\b|lld|gold|mold", program) else "other"


def _threads(value: str) -> int:
    """nvcc: 0 is as many as the machine has."""
    if not re.fullmatch(r"[0-9]{1,4}", value):
        return 1
    return int(value) or os.cpu_count() or 1


def _relative(source: str, directory: str, root: Path) -> str:
    if not source:
        return ""
    whole = os.path.normpath(Path(directory, source))
    inside = os.path.relpath(whole, root)
    return whole if inside == ".." or inside.startswith("../") else inside


def _words(argv: Sequence[str], directory: str, depth: int) -> Iterator[str]:
    """The words with response files in their places: ``@FILE``, ``-optf FILE``, ``--options-file=FILE,FILE``."""
    waiting = iter(argv)
    for word in waiting:
        name, equals, value = word.partition("=")
        if word.startswith("@") and len(word) > 1:
            names = [word[1:]]
        elif name in ("-optf", "--options-file"):
            names = (value if equals else next(waiting, "")).split(",")
        else:
            yield word
            continue
        for one in names:
            found = _response(Path(directory, one)) if depth else None
            if found is None:
                yield word
            else:
                yield from _words(found, directory, depth - 1)


def _response(path: Path) -> list[str] | None:
    """The words of a response file; None for what is none: no plain file, too large, quotes that do not close."""
    try:
        if not path.is_file() or path.stat().st_size > _RESPONSE_LIMIT:
            return None
        with path.open(encoding="utf-8", errors="replace") as stream:
            return shlex.split(stream.read(_RESPONSE_LIMIT))
    except (OSError, ValueError):
        return None
