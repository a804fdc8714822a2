"""``trtllm-build probe DIR``: what a checkout of upstream offers, in a view that is read in a minute."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trtllm_builder.upstream.model import Flag, Probe

_WIDTH = 110


def probe(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A checkout of TensorRT-LLM.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Show what a checkout offers: flags, options, targets, traps. Nothing of it is run."""
    import json

    from trtllm_builder.text import clean
    from trtllm_builder.upstream.probe import probe as read

    found = read(directory)
    refusal = found.refusal()
    if as_json:
        typer.echo(json.dumps({"schema": 1, **found.to_json()}, indent=2))
        if refusal is not None:
            raise typer.Exit(refusal.exit_code)
        return
    for line in _lines(found):
        # A file name may hold bytes that are not UTF-8.
        typer.echo(clean(line).encode("utf-8", "replace").decode())
    if refusal is not None:
        raise refusal


def _lines(found: Probe) -> Iterator[str]:
    yield f"TensorRT-LLM {found.version} in {found.root}"
    yield ""
    yield from _wrapped("flags", [_shown(flag) for flag in found.flags])
    yield from _wrapped("targets", list(found.targets))
    yield from _wrapped("options", [f"{option.name}={_brief(option.default)}" for option in found.options])
    split = "split on ';', " if found.has_trap("extra-cmake-split") else ""
    order = {"set": "random order", "ordered": "order kept"}.get(found.extra_cmake_handling, "order not known")
    yield _row("-D values", split + order)
    yield _row("cmake", f"{found.cmake_minimum or 'unknown'} at least")
    bases = ", ".join(str(number) for number in found.architecture_bases)
    yield _row("GPU code", f"for bases {bases}" if bases else "for architectures as they are given")
    yield from _files("LFS pointers", found.lfs_pointers, "none: large files are there or not used")
    yield from _files("submodules missing", found.missing_submodules, f"none of {len(found.submodules)}")
    yield ""
    yield f"traps ({len(found.traps)}):" if found.traps else "no known traps"
    for trap in found.traps:
        yield f"  {trap.id:<31} {trap.file}:{trap.line}"
        yield f"      {trap.what}"
    for note in found.notes:
        yield f"note: {note}"
    yield ""
    unread = [note for note in found.notes if "not looked into" in note]
    if found.refusal() is None and unread:
        yield f"verdict: not known: {len(unread)} of the files that decide could not be read (see the notes)"
    elif found.refusal() is None:
        yield "verdict: nothing speaks against a single-device build"
    else:
        yield "verdict: cannot be built single-device"


def _row(name: str, text: str) -> str:
    return f"{name:<12} {text}"


def _wrapped(name: str, words: list[str]) -> Iterator[str]:
    line = _row(name, "")
    for word in words or ["none found"]:
        if len(line) + len(word) > _WIDTH and line.strip() and line.strip() != name:
            yield line.rstrip()
            line = _row("", "")
        line += f"{word}  "
    yield line.rstrip()


def _files(name: str, paths: tuple[str, ...], none: str) -> Iterator[str]:
    yield f"{name}: {len(paths) if paths else none}"
    for path in paths:
        yield f"  {path}"


def _shown(flag: Flag) -> str:
    values = {"0": "", "1": " X", "?": " [X]", "+": " X..", "*": " [X..]"}.get(flag.arity, f" {flag.arity}")
    default = f" (default {_brief(flag.default)})" if flag.default not in (None, "", "False", "[]", "None") else ""
    return f"{', '.join(flag.spellings)}{values}{default}"


def _brief(text: str | None) -> str:
    flat = " ".join((text or "").split())
    return flat if len(flat) <= 40 else f"{flat[:37]}..."
