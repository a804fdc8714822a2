"""``trtllm-build verify WHEEL``: what is in a CUDA wheel, and whether it imports."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from trtllm_builder.attest.keys import PublicKey
    from trtllm_builder.binary.wheel import Wheel
    from trtllm_builder.verify.audit import Audit
    from trtllm_builder.verify.expect import Expectation
    from trtllm_builder.verify.tried import Smoke


def verify(
    wheel: Annotated[Path, typer.Argument(help="The wheel: ours, NVIDIA's or anyone's.")],
    profile: Annotated[
        str | None, typer.Option("--profile", "-p", help="Hold it to this profile: GPU code, Python, single device.")
    ] = None,
    arch: Annotated[
        list[str] | None,
        typer.Option("--arch", metavar="sm_89", help="A GPU that it must have machine code for. Repeatable."),
    ] = None,
    run_import: Annotated[
        bool | None,
        typer.Option(
            "--import/--no-import",
            help="Install it in a fresh environment and import it: runs its code. Done unasked only for a wheel with "
            "its matching record beside it.",
        ),
    ] = None,
    cross_check: Annotated[
        bool,
        typer.Option("--cross-check/--no-cross-check", help="Compare with NVIDIA's cuobjdump, and with auditwheel."),
    ] = False,
    python: Annotated[
        Path | None, typer.Option("--python", help="Interpreter for the import; else one of the wheel's tag.")
    ] = None,
    public_key: Annotated[
        list[Path] | None,
        typer.Option("--public-key", metavar="FILE", help="Its provenance must be signed with this key. Repeatable."),
    ] = None,
    profile_dirs: Annotated[
        list[Path] | None, typer.Option("--profile-dir", help="Look for profiles here first.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="All evidence, also of passed checks.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the report as one HTML page, too.")
    ] = None,
) -> None:
    """Audit a wheel: archive, GPU code, what it links and needs, and whether it can be used. Exit 7 if it fails."""
    from trtllm_builder.build.signals import interruptible
    from trtllm_builder.errors import Interrupted, VerifyError
    from trtllm_builder.verify.audit import audit, require_file
    from trtllm_builder.verify.auditwheel import find_auditwheel
    from trtllm_builder.verify.expect import asked_for, expectation_for
    from trtllm_builder.verify.verdict import make_report

    require_file(wheel)
    trusted = _public_keys(public_key or [])
    if html is not None:
        _require_writable(html)
    held = expectation_for(wheel) if profile is None else _of_profile(wheel, profile, profile_dirs)
    expectation = asked_for(held, arch or ())
    wanted = held.recorded if run_import is None else run_import
    why = "not asked for: give --import to run the wheel's code"
    try:
        with interruptible():
            found = audit(
                wheel,
                expectation,
                cuobjdump=_cuobjdump() if cross_check else None,
                auditwheel=find_auditwheel(os.environ) if cross_check else None,
                cross_check=cross_check,
                environ=os.environ,
                trusted=trusted,
            )
            tried, why = _try(found, python, expectation) if wanted else (None, why)
    except Interrupted as stop:
        raise Interrupted(
            stop.what, signal=stop.signal, remedy="nothing was kept; the same command starts anew"
        ) from None
    report = make_report(found, tried, expectation, why_no_smoke=why, smoke_asked=run_import is True)
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        for line in report.lines(verbose=verbose):
            typer.echo(line)
    if html is not None:
        _write(html, report.html())  # last: a full disk must not lose the report on the terminal
    if not report.passed:
        raise typer.Exit(VerifyError.exit_code)


def _public_keys(files: list[Path]) -> list[PublicKey]:
    """Nothing of cryptography is loaded where no key is given."""
    from trtllm_builder.attest.keys import read_public_key

    return [read_public_key(path.expanduser()) for path in files]


def _of_profile(wheel: Path, profile: str, profile_dirs: list[Path] | None) -> Expectation:
    """The plan that this profile resolves to here; what is not known without a checkout comes from the catalogue."""
    from dataclasses import replace

    from trtllm_builder.cli.request import make_request
    from trtllm_builder.plan.make import make_plan
    from trtllm_builder.verify.expect import from_plan

    request = make_request(
        profile=profile,
        source=None,
        workspace=None,
        out=Path("dist"),
        overrides=None,
        jobs=None,
        profile_dirs=profile_dirs,
    )
    plan, _ = make_plan(request)
    held = from_plan(plan.to_json(), version=None, origin=f"the profile {plan.profile}")
    # Another project's wheel may serve beside it: then only whether it runs there is asked, not what it is made of.
    return held if wheel.name.startswith("tensorrt_llm-") else replace(held, libraries=(), allowed=None, ptx=None)


def _try(found: Audit, python: Path | None, expectation: Expectation) -> tuple[Smoke | None, str]:
    """What came of the import, or why it could not be tried: that must not lose what the audit found."""
    from trtllm_builder.errors import HostError, VerifyError
    from trtllm_builder.verify.verdict import try_wheel

    interpreter = python or _interpreter(found.wheel)
    if interpreter is None:
        return None, "no Python of its tag runs on this machine: give one with --python"
    try:
        return try_wheel(found, interpreter, os.environ, expectation), ""
    except (HostError, VerifyError) as error:
        return None, error.what


def _interpreter(wheel: Wheel) -> Path | None:
    """Ours when the wheel's tags admit it, else the first that they do and that runs."""
    from packaging.tags import sys_tags

    from trtllm_builder.host.interpreters import find_python

    if not wheel.tags or {(t.interpreter, t.abi) for t in sys_tags()} & {(t.interpreter, t.abi) for t in wheel.tags}:
        return Path(sys.executable)
    for name in sorted({tag.interpreter for tag in wheel.tags if tag.interpreter.startswith("cp3")}):
        if name[3:].isdigit() and (found := find_python(f"3.{name[3:]}", os.environ)):
            return found.path
    return None


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


def _require_writable(page: Path) -> None:
    """Raises UsageError before minutes are spent."""
    from trtllm_builder.errors import UsageError

    directory = page.parent
    if str(page) == "-":
        raise UsageError("--html writes a file, and - is none", remedy="Name a file, such as --html report.html.")
    if page.is_dir() or not directory.is_dir() or not os.access(directory, os.W_OK):
        why = "is a directory" if page.is_dir() else f"cannot be written: {directory} is no directory that we may write"
        raise UsageError(f"--html {page} {why}", remedy="Name a file in a directory that exists.")


def _write(page: Path, text: str) -> None:
    from trtllm_builder.errors import HostError

    try:
        page.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        what = f"{page} could not be written: {error.strerror}"
        raise HostError(what, remedy="Free space, or name another file.") from error
