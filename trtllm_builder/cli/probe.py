"""``trtllm-build probe DIR``: what a checkout of upstream offers, in a view that is read in a minute, and what changed
against another one or against what is known of its release."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trtllm_builder.upstream.audit.model import MpiAudit
    from trtllm_builder.upstream.catalogue import Row
    from trtllm_builder.upstream.drift import Change
    from trtllm_builder.upstream.model import Component, Flag, Probe

_WIDTH = 110


def probe(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A checkout of TensorRT-LLM.")],
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="ROW|DIR2",
            help="Only what changed against a release of the catalogue (0.20, main) or a checkout; exit 1 if any.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Show what a checkout offers: flags, options, targets, traps. Nothing of it is run. Exit 4 when it cannot be built
    single-device, or when that is not known."""
    import json

    from trtllm_builder.errors import SourceError
    from trtllm_builder.text import clean
    from trtllm_builder.upstream.probe import probe as read

    found = read(directory)
    if against is not None:
        _drift(found, against, as_json)
        return
    refusal = found.refusal()
    if as_json:
        typer.echo(json.dumps({"schema": 1, **found.to_json()}, indent=2))
        if refusal is not None or found.undecided() is not None:
            raise typer.Exit(SourceError.exit_code)
        return
    for line in _lines(found):
        # A file name may hold bytes that are not UTF-8.
        typer.echo(clean(line).encode("utf-8", "replace").decode())
    if refusal is not None:
        raise refusal
    if found.undecided() is not None:
        raise typer.Exit(SourceError.exit_code)


def _drift(found: Probe, against: str, as_json: bool) -> None:
    import json

    from trtllm_builder.text import clean
    from trtllm_builder.upstream.drift import compare, compare_paths

    name, reference, row = _reference(against)
    changes = compare(reference, found)
    # A row may be about several releases: what differs among them is no news.
    varied = [change for change in changes if row is not None and change.name in row.varies]
    changes = tuple(change for change in changes if change not in varied)
    if not reference.assumed:
        changes += compare_paths(_audit(Path(reference.root)), _audit(Path(found.root)))
    if as_json:
        document = {
            "schema": 1,
            "root": found.root,
            "version": found.version,
            "against": {"name": name, "version": reference.version, "assumed": reference.assumed},
            "changes": [change.to_json() for change in changes],
            "varied": [change.to_json() for change in varied],
        }
        typer.echo(json.dumps(document, indent=2))
    else:
        for line in _changes(f"TensorRT-LLM {found.version} in {found.root} against {name}", changes):
            typer.echo(clean(line).encode("utf-8", "replace").decode())
        if varied and row is not None:
            names = ", ".join(change.name for change in varied)
            typer.echo(f"not counted, since the releases of {row.family} differ in it: {names}")
    if changes:
        raise typer.Exit(1)


def _audit(root: Path) -> MpiAudit:
    from trtllm_builder.upstream.audit.audit import audit
    from trtllm_builder.upstream.audit.package import Package
    from trtllm_builder.upstream.tree import Tree

    return audit(Package.of_tree(Tree(root)))


def _reference(against: str) -> tuple[str, Probe, Row | None]:
    from trtllm_builder.errors import UsageError
    from trtllm_builder.upstream.catalogue import row_named, rows
    from trtllm_builder.upstream.probe import probe as read

    if against and Path(against).is_dir():
        found = read(Path(against))
        return f"TensorRT-LLM {found.version} in {against}", found, None
    row = row_named(against)
    if row is None:
        raise UsageError(
            f"{against} is neither a directory nor a release of the catalogue",
            remedy=f"name a checkout, or one of: {', '.join(row.family for row in rows())}",
        )
    return f"what the catalogue expects of {row.family}", row.assumed_probe(), row


def _changes(title: str, changes: tuple[Change, ...]) -> Iterator[str]:
    yield title
    for kind in dict.fromkeys(change.kind for change in changes):
        yield ""
        yield kind
        alike = [change for change in changes if change.kind == kind]
        for matters in dict.fromkeys(change.matters for change in alike):
            yield from (f"  {change.what:<8} {_change(change)}" for change in alike if change.matters == matters)
            yield f"           {matters}"
    yield ""
    count = "1 change that matters" if len(changes) == 1 else f"{len(changes)} changes that matter"
    yield count if changes else "nothing that matters changed"


def _change(change: Change) -> str:
    if change.what == "changed":
        return f"{change.name}: {change.before} -> {change.after}"
    known = change.after if change.before is None else change.before
    return change.name if known in (change.name, "present") else f"{change.name}: {known}"


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
    yield from _wrapped("components", [_component(component) for component in found.components] or ["none"])
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
    if found.refusal() is not None:
        yield "verdict: cannot be built single-device"
    elif (undecided := found.undecided()) is not None:
        yield f"verdict: not known: {undecided}"
    else:
        yield "verdict: nothing speaks against a single-device build"


def _component(component: Component) -> str:
    if component.staged:
        used = ", ".join(f"sm_{number}" for number in component.only)
        return f"{component.name} (nothing is compiled; used on {used})"
    if component.minimum is not None:
        return f"{component.name} (from sm_{component.minimum} on)"
    if component.only:
        return f"{component.name} ({', '.join(f'sm_{number}' for number in component.only)})"
    return f"{component.name} ({'one C++ file' if component.one_file else 'every GPU'})"


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
