"""``trtllm-build releases``: what each release of upstream needs, and which of them a machine can build and run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trtllm_builder.plan.recommend import Recommendation
    from trtllm_builder.plan.releases import Verdict
    from trtllm_builder.plan.situation import Situation
    from trtllm_builder.upstream.catalogue import Row


def releases(
    for_host: Annotated[bool, typer.Option("--for-host", help="Which of them this machine can build and run.")] = False,
    host: Annotated[
        Path | None,
        typer.Option(
            "--host",
            metavar="FILE",
            help="The same for the machine that a JSON object describes; its keys, all of which may be left out: "
            'driver (570.195.03), gpus (["8.9"]), cuda (12.4), glibc (2.35), pythons (["3.10"]), disk_free (50 GB), '
            "place (/workspace), memory (64 GiB), machine (x86_64 or aarch64).",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Show what is known of each release: CUDA, TensorRT, GPUs, and whether it was built single-device. Exit 0 also
    where none fits: recommendation.release of --json is null then."""
    import json
    import os

    from trtllm_builder.plan.described import read_situation
    from trtllm_builder.plan.recommend import recommend
    from trtllm_builder.plan.releases import judge
    from trtllm_builder.plan.situation import this_machine
    from trtllm_builder.upstream.catalogue import rows

    machine = read_situation(host) if host is not None else this_machine(os.environ) if for_host else None
    if machine is None:
        document: dict[str, object] = {"releases": [row.to_json() for row in rows()]}
        lines = list(_table(rows()))
    else:
        verdicts = tuple(judge(row, machine) for row in rows())
        advice = recommend(verdicts, machine)
        document = {
            "releases": [{**verdict.row.to_json(), "verdict": verdict.to_json()} for verdict in verdicts],
            "host": machine.to_json(),
            "recommendation": advice.to_json(),
        }
        lines = [*_machine(machine), "", *_verdicts(verdicts), "", *_advice(advice)]
    if as_json:
        typer.echo(json.dumps({"schema": 1, **document}, indent=2))
        return
    for line in lines:
        typer.echo(line)


def _table(rows: tuple[Row, ...]) -> Iterator[str]:
    marks = {"verified": "", "reported": "~", "inferred": "?"}

    def cell(row: Row, name: str, value: str) -> str:
        return value + marks[row.sureness[name].level]

    yield _line("release", "CUDA", "TensorRT", "torch", "gcc", "glibc", "cmake", "single-device")
    for row in rows:
        yield _line(
            row.family,
            cell(row, "cuda", row.cuda),
            cell(row, "tensorrt", row.tensorrt or "none"),
            cell(row, "torch", row.torch),
            cell(row, "gcc", row.gcc),
            cell(row, "glibc", row.glibc),
            cell(row, "cmake", row.cmake),
            cell(row, "single_device", row.single_device),
        )
        yield f"    Python {', '.join(row.python)}; made with CUDA {cell(row, 'toolkit', row.toolkit)}; {_gpus(row)}"
        yield f"    {row.sureness['single_device'].source}"
    yield ""
    yield "~ reported by upstream's documents or a third party, ? inferred by us, no mark: read in upstream's own files"
    yield "each cell's source: --json; which of them this machine can build and run: --for-host"


def _line(*words: str) -> str:
    widths = (18, 13, 15, 18, 7, 9, 15, 0)
    return " ".join(f"{word:<{width}}" for word, width in zip(words, widths, strict=True)).rstrip()


def _gpus(row: Row) -> str:
    return "GPUs " + " ".join(f"sm_{number}" for number in row.architectures)


def _machine(machine: Situation) -> Iterator[str]:
    from trtllm_builder.units import format_size

    gpus = ", ".join(f"sm_{number}" for number in machine.architectures)
    parts = {
        "driver": machine.driver,
        "GPUs": gpus or None,
        "CUDA here": machine.cuda,
        "glibc": machine.glibc,
        "Python": ", ".join(machine.pythons) or None,
        "disk": f"{format_size(machine.disk)} free{f' in {machine.place}' if machine.place else ''}"
        if machine.disk is not None
        else None,
        "memory": format_size(machine.memory) if machine.memory is not None else None,
    }
    yield f"machine: {machine.machine}; " + "; ".join(f"{name} {value or 'not known'}" for name, value in parts.items())


def _verdicts(verdicts: tuple[Verdict, ...]) -> Iterator[str]:
    for verdict in verdicts:
        status = f"fits, with CUDA {verdict.toolkit}; single-device: {verdict.single_device}"
        yield f"{verdict.row.family:<18} {status if verdict.fits else 'no'}"
        yield from (f"    {one.what}" for one in verdict.against)
        yield from (f"    note: {note}" for note in verdict.notes if verdict.fits)


def _advice(advice: Recommendation) -> Iterator[str]:
    if advice.release is None:
        yield f"recommended: none: {advice.reason}"
    else:
        yield f"recommended: {advice.release} with CUDA {advice.toolkit}: {advice.reason}"
    yield from (f"  - {step}" for step in advice.steps)
