"""``trtllm-build verify WHEEL``: what is in a CUDA wheel, and whether it imports."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer


def verify(
    wheel: Annotated[Path, typer.Argument(help="The wheel: ours, NVIDIA's or anyone's.")],
    arch: Annotated[
        list[str] | None, typer.Option("--arch", metavar="sm_89", help="GPU code that must be there. Repeatable.")
    ] = None,
    run_import: Annotated[
        bool,
        typer.Option("--import/--no-import", help="Install it in a fresh environment and import it: runs its code."),
    ] = False,
    cross_check: Annotated[
        bool, typer.Option("--cross-check/--no-cross-check", help="Compare with NVIDIA's cuobjdump.")
    ] = False,
    python: Annotated[Path | None, typer.Option("--python", help="Interpreter for --import; ours by default.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="All evidence, also of passed checks.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Audit a wheel: archive, GPU code, what it links, and with --import whether it can be used. Exit 7 if it fails."""
    from trtllm_builder.build.signals import interruptible
    from trtllm_builder.errors import Interrupted, VerifyError
    from trtllm_builder.verify.audit import audit, require_file
    from trtllm_builder.verify.expect import asked_for, expectation_for
    from trtllm_builder.verify.verdict import make_report, try_stranger

    require_file(wheel)
    expectation = asked_for(expectation_for(wheel), arch or ())
    tool = _cuobjdump() if cross_check else None
    try:
        with interruptible():
            found = audit(wheel, expectation, cuobjdump=tool, cross_check=cross_check)
            smoke = try_stranger(found, python or Path(sys.executable), os.environ) if run_import else None
    except Interrupted as stop:
        raise Interrupted(
            stop.what, signal=stop.signal, remedy="nothing was kept; the same command starts anew"
        ) from None
    report = make_report(found, smoke, expectation, why_no_smoke="not asked for: give --import to run the wheel's code")
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        for line in report.lines(verbose=verbose):
            typer.echo(line)
    if not report.passed:
        raise typer.Exit(VerifyError.exit_code)


def _cuobjdump() -> Path:
    """Ours, whose version is known, before any other; HostError when there is none."""
    from trtllm_builder.data import data_dir
    from trtllm_builder.errors import HostError
    from trtllm_builder.tools.install import installed
    from trtllm_builder.verify.cuobjdump import find_cuobjdump

    found = installed("cuobjdump", data_dir(os.environ)) or find_cuobjdump(os.environ)
    if found is None:
        raise HostError(
            "--cross-check needs NVIDIA's cuobjdump, and there is none here",
            remedy="run: python -m pip install nvidia-cuda-cuobjdump in trtllm-build's own environment, "
            "or put the bin directory of a CUDA toolkit on PATH",
        )
    return found
