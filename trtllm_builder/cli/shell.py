"""``trtllm-build shell RUN`` and ``retarget RUN TARGET...``: for whoever edits one file and tries again."""

from __future__ import annotations

from typing import Annotated

import typer

from trtllm_builder.cli.output import say

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run, as `runs` shows it, or how that begins or ends.")]


def shell(
    run: Run,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="A command instead of a shell.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Only show the environment, as one JSON document.")] = False,
) -> None:
    """Open your shell, or run a command, in the exact environment of the build, in its checkout.

    Its exit status is the command's. The workspace is not held meanwhile: `retarget` and `resume` work beside it, and
    what you edit is found and marked dirty. Refused while the run is at work.
    """
    import json
    import os
    import shutil

    from trtllm_builder.build.registry import find
    from trtllm_builder.build.world import read_world
    from trtllm_builder.errors import UsageError

    world = read_world(find(run, os.environ), os.environ)
    if as_json:
        say(json.dumps({"schema": 1, **world.to_json()}, indent=2))
        return
    if world.left_out:
        typer.echo(f"note: not set, for their values held credentials: {', '.join(world.left_out)}", err=True)
    environment = dict(world.environment)
    words = list(command or ())
    if not words:
        words, prompt = _shell(os.environ.get("SHELL", ""), world.entry.identifier)
        environment |= prompt | {name: os.environ[name] for name in ("TERM", "COLORTERM") if name in os.environ}
        typer.echo(f"run {world.entry.identifier} ({world.entry.profile}); `exit` leaves", err=True)
    os.chdir(world.workspace.source)
    program = shutil.which(words[0], path=environment.get("PATH", os.defpath))
    if program is None:
        raise UsageError(
            f"there is no program {words[0]} on the build's PATH", remedy=f"it is {environment.get('PATH')}"
        )
    world.workspace.temporary.mkdir(parents=True, exist_ok=True)
    os.execve(program, words, environment)  # noqa: S606 - an argv list, no shell in between


def _shell(program: str, run: str) -> tuple[list[str], dict[str, str]]:
    """The user's shell without start-up files, which would change the environment, and a prompt that names the run."""
    import os
    from pathlib import Path

    if not os.access(program, os.X_OK):
        program = "/bin/sh"
    name = Path(program).name
    if name == "bash":
        return [program, "--noprofile", "--norc", "-i"], {"PS1": rf"[{run}] \w \$ "}
    if name == "zsh":
        return [program, "-f", "-i"], {"PS1": f"[{run}] %~ %# "}
    if name == "fish":
        return [program, "--no-config", "-C", f"function fish_prompt; echo '[{run}] > '; end"], {}
    return [program, "-i"], {"PS1": f"[{run}] $ "}


def retarget(
    run: Run,
    targets: Annotated[
        list[str], typer.Argument(metavar="TARGET...", help="Targets of CMake, or source files of the checkout.")
    ],
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", "-j", min=1, help="So many compilers, without gate, retry and learning; else as in the run."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Build one target again after an edit, and say how long it took. `resume` then makes the wheel of it."""
    import json
    import os

    from trtllm_builder.build import retarget as retargeting
    from trtllm_builder.build.registry import find
    from trtllm_builder.build.world import read_world
    from trtllm_builder.units import format_duration

    world = read_world(find(run, os.environ), os.environ)
    done = retargeting.retarget(world, targets, jobs=jobs, on_line=_silent if as_json else say)
    if as_json:
        say(json.dumps({"schema": 1, "run": world.entry.identifier, **done.to_json()}, indent=2))
        return
    what = f"{done.steps} steps" if done.steps else "nothing to do"
    say(f"{' '.join(targets)}: {what} in {format_duration(done.seconds)}")
    say(f"trtllm-build resume {world.entry.identifier} makes the wheel of it")


def _silent(line: str) -> None:
    """JSON is one document: the log has the lines."""
