"""The command line: ``trtllm-build --profile NAME`` builds; everything else is a sub-command."""

from __future__ import annotations

import errno
import json
import re
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from trtllm_builder import __version__
from trtllm_builder.cli.commands import SETTINGS, Commands
from trtllm_builder.cli.output import open_missing_streams, silence
from trtllm_builder.cli.request import make_request, take_peaks
from trtllm_builder.errors import BuilderError, HostError, UsageError
from trtllm_builder.text import clean, redact

app = typer.Typer(
    name="trtllm-build",
    help="From a YAML profile to a TensorRT-LLM wheel that works in the container people actually have.",
    cls=Commands,
    **SETTINGS,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trtllm-builder {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    profile: Annotated[str | None, typer.Option("--profile", "-p", help="Profile to build: a name, or a path.")] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="Upstream from this directory or URL instead of the profile's.")
    ] = None,
    workspace: Annotated[
        Path | None, typer.Option("--workspace", help="Directory to build in, instead of the profile's choice.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Where the wheel and its record go.")] = Path("dist"),
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change one value of the profile.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="So many compilers, without gate, retry and learning.")
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Begin from a clean source and build directory; reuse no wheel.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Go on without this terminal once the run has begun; see attach.")
    ] = False,
    bundle: Annotated[
        Path | None,
        typer.Option("--from-bundle", metavar="FILE", help="Build without a network, from what fetch --bundle wrote."),
    ] = None,
    locked: Annotated[
        Path | None,
        typer.Option(
            "--locked",
            metavar="FILE",
            help="Build what a lock says and nothing else, from no edited sources; see lock. "
            "The wheel's name gets a build tag of the lock. --set needs --profile, too.",
        ),
    ] = None,
    index: Annotated[
        str | None,
        typer.Option("--index", metavar="DIR|URL", help="Look here, too, for a wheel that was built from the same."),
    ] = None,
    peaks: Annotated[
        list[Path] | None,
        typer.Option(
            "--peaks",
            metavar="FILE",
            help="What compilers took on another machine: a WHEEL.record.json or peaks.json; kept for later builds.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and build nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of text.")] = False,
    profile_dirs: Annotated[
        list[Path] | None, typer.Option("--profile-dir", help="Look for profiles here first.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Build the wheel of a profile and prove that it works: trtllm-build --profile autodl-4090"""
    if context.invoked_subcommand is not None:
        _refuse_given(context)
        return
    if profile is None and locked is None:
        if len(sys.argv) > 1:
            raise UsageError("--profile is missing", remedy="`trtllm-build profiles list` shows them")
        typer.echo(context.get_help())
        raise typer.Exit(2)
    request = make_request(
        profile=profile or "",
        source=source,
        workspace=workspace,
        out=out,
        overrides=overrides,
        jobs=jobs,
        profile_dirs=profile_dirs,
        bundle=bundle,
        locked=locked,
        index=index,
    )
    if peaks:
        take_peaks(peaks, request, keep=not dry_run)
    if dry_run and detach:
        raise UsageError("--detach and --dry-run do not go together", remedy="leave out one of them")
    if dry_run:
        from trtllm_builder.build.bundle_use import with_bundle
        from trtllm_builder.cli.plan import show_plan

        show_plan(with_bundle(request), "json" if as_json else "text")
    else:
        from trtllm_builder.cli.build import build

        build(request, rebuild=rebuild, as_json=as_json, detach=detach)


def _refuse_given(context: typer.Context) -> None:
    """Options of the build itself say nothing to a sub-command."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            flag, name = parameter.opts[0], context.invoked_subcommand or ""
            assert isinstance(context.command, Commands)  # noqa: S101
            command = context.command.get_command(context, name)
            known = command is not None and any(flag in one.opts for one in command.params)
            raise typer.BadParameter(
                f"{flag} stands before '{name}'; "
                + ("it belongs behind it" if known else f"it is the build's own, and '{name}' has none"),
                param_hint=flag,
            )


def _report(error: BuilderError, as_json: bool) -> None:
    if as_json:
        typer.echo(
            json.dumps({"schema": 1, "event": "error", "error": json.loads(redact(json.dumps(error.to_json())))})
        )
        return
    for each in (error, *error.others):
        typer.echo(redact(clean(f"error: {each}" if each.where is None else str(each))), err=True)
        if each.remedy:
            typer.echo(redact(clean(f"  {each.remedy}")), err=True)
    if error.log is not None:
        typer.echo(f"  log: {error.log}", err=True)


def main() -> None:
    """Entry point of the console scripts: every ending has its exit code (design.md, "Exit codes")."""
    as_json = "--json" in sys.argv
    open_missing_streams()
    try:
        status = app(standalone_mode=False)
        code = status if isinstance(status, int) else 0
        sys.stdout.flush()
    except BuilderError as error:
        _report(error, as_json)
        code = error.status
    except (BrokenPipeError, SystemExit):
        # Whoever read our output has gone: the command-line library says so with SystemExit.
        silence()
        code = 141
    except KeyboardInterrupt:
        code = 130
    except typer.Abort:
        code = 130
    except TyperException as error:
        _report(UsageError(_plain(error.format_message()), remedy=f"see {_command(error)} --help"), as_json)
        code = UsageError.exit_code
    except Exception as error:  # noqa: BLE001
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EIO) and error.filename is None:
            silence()
            error = HostError(f"standard output cannot be written to: {error.strerror}")
            _report(error, False)
            raise SystemExit(HostError.exit_code) from None
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            error = HostError("too many files are open here", remedy="raise the limit (ulimit -n 1024) and try again")
            _report(error, as_json)
            raise SystemExit(HostError.exit_code) from None
        code = _internal(error, as_json)
    raise SystemExit(code)


def _command(error: TyperException) -> str:
    """The command that did not understand its words."""
    context, words = getattr(error, "ctx", None), list[str]()
    while context is not None and context.parent is not None:
        words.append(context.info_name)
        context = context.parent
    return " ".join(["trtllm-build", *reversed(words)])


def _plain(message: str) -> str:
    """What the command-line library says of a number, in words of ours."""
    for theirs, ours in (
        (r"Input should be a valid integer, .*", "expected a whole number"),
        (r"Input should be a valid number, .*", "expected a number"),
        (r"Input should be greater than or equal to (\S+)", r"expected \1 or more"),
        (r"Input should be less than or equal to (\S+)", r"expected \1 or less"),
    ):
        message = re.sub(theirs, ours, message)
    return message


def _internal(error: Exception, as_json: bool) -> int:
    import traceback

    _report(
        BuilderError(
            f"internal error: {type(error).__name__}: {error}",
            remedy="this is a fault of trtllm-builder; please report it with the lines below",
        ),
        as_json,
    )
    typer.echo(redact(clean("".join(traceback.format_exception(error)))), err=True)
    return BuilderError.exit_code
