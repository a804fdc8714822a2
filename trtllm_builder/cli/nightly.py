"""``trtllm-build nightly``: what a CI's job or a node of a cluster does for one profile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from trtllm_builder.cli.output import say

NotifyOption = Annotated[
    str | None,
    typer.Option(
        "--notify",
        metavar="URL|PROGRAM",
        envvar="TRTLLM_BUILDER_NOTIFY",
        help="Tell this webhook, or this program on its standard input, how it went.",
    ),
]


def nightly(
    profile: Annotated[str, typer.Option("--profile", "-p", help="Profile to build: a name, or a path.")],
    directory: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="All of it lies here; the same command goes on from there.")
    ],
    lock: Annotated[
        Path | None, typer.Option("--lock", metavar="FILE", help="Build from this lock; without it one is made.")
    ] = None,
    deadline: Annotated[
        str | None, typer.Option("--deadline", metavar="TIME", help="Stop in time, resumable: 5 h, 50 min.")
    ] = None,
    link: Annotated[
        str | None, typer.Option("--link", metavar="URL", help="The page of this job, to be shown.")
    ] = None,
    index: Annotated[
        str | None,
        typer.Option("--index", metavar="DIR|URL", help="An index that may have the wheel already; empty is none."),
    ] = None,
    outputs: Annotated[
        Path | None,
        typer.Option("--outputs", metavar="FILE", help="Add state=done|unfinished|failed and exit_code=N to it."),
    ] = None,
    notify: NotifyOption = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change one value of the profile.")
    ] = None,
    profile_dirs: Annotated[
        list[Path] | None, typer.Option("--profile-dir", help="Look for profiles here first.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of text.")] = False,
) -> None:
    """Lock, build from the lock, verify, report: DIR/report has the result, a summary, and the wheel or the logs.

    Exit status: the build's; 143 when its time was over, and the same command goes on.
    """
    import json
    import os
    from functools import partial

    from trtllm_builder.build.run import told_as_sentences
    from trtllm_builder.ci.attempt import Task, attempt
    from trtllm_builder.ci.hold import held
    from trtllm_builder.ci.notify import notify as tell
    from trtllm_builder.plan.survey import check_plain

    task = Task(
        profile=profile,
        directory=directory.expanduser().absolute(),
        lock=lock.expanduser().absolute() if lock else None,
        words=_words(overrides, profile_dirs),
        deadline=_seconds(deadline),
        link=link,
        index=index or None,
    )
    check_plain(task.directory, "--dir")
    check_notify(notify)
    show = _Lines()
    with told_as_sentences(str(task.directory), "--dir"):
        with held(task.directory, task.workspace, partial(_refuse, task.directory)) as hold:
            result = attempt(task, os.environ, _say_json if as_json else show, hold)
        if outputs is not None:
            state = "done" if result.good else "unfinished" if result.resumable else "failed"
            with outputs.open("a", encoding="utf-8") as stream:
                stream.write(f"state={state}\nexit_code={result.exit_code}\n")
    problem = tell(notify, [result], os.environ) if notify else None
    if as_json:
        if problem:
            _say_json({"event": "note", "text": problem})
        say(json.dumps({"schema": 1, "event": "result", "result": result.to_json()}))
    else:
        show.end(result, task.report, problem)
    raise typer.Exit(result.exit_code)


def check_notify(target: str | None) -> None:
    """Raises UsageError before hours of building for what can tell nobody."""
    from trtllm_builder.ci.notify import unfit
    from trtllm_builder.errors import UsageError

    wrong = unfit(target) if target else None
    if wrong is not None:
        raise UsageError(f"--notify: {wrong}", remedy="such as --notify https://..., or the path of a program")


def _refuse(directory: Path, process: int | None) -> None:
    from trtllm_builder.errors import HostError

    whose = "another machine or user" if process is None else f"process {process}"
    raise HostError(
        f"another build works in {directory}: {whose}",
        remedy="wait for it, or give another directory with --dir",
    )


def _words(overrides: list[str] | None, profile_dirs: list[Path] | None) -> tuple[str, ...]:
    words: list[str] = []
    for value in overrides or ():
        words += ["--set", value]
    for directory in profile_dirs or ():
        words += ["--profile-dir", str(directory.absolute())]
    return tuple(words)


def _seconds(text: str | None) -> float | None:
    from trtllm_builder.errors import UsageError
    from trtllm_builder.units import parse_duration

    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--deadline {text}: {error}", remedy="such as --deadline '5 h'") from None


def _say_json(event: dict[str, Any]) -> None:
    import json

    say(json.dumps({"schema": 1, **event}))


class _Lines:
    """The events as the lines that a build prints by itself."""

    def __init__(self) -> None:
        from trtllm_builder.cli.views import PlainView

        self._view = PlainView()

    def __call__(self, event: dict[str, Any]) -> None:
        from trtllm_builder.build.events import replay

        if event["event"] == "command":
            say(f"$ {event['text']}")
        elif event["event"] == "progress":
            cache = event.get("cache") or {}
            replay({"event": "progress", "line": None, "progress": {**event, **cache}}, self._view)
        else:
            replay(event, self._view)

    def end(self, result: Any, report: Path, problem: str | None) -> None:
        from trtllm_builder.text import clean, redact
        from trtllm_builder.units import format_duration

        lines = ["", f"{result.profile}: {result.result} in {format_duration(result.seconds)}"]
        lines += [f"  {result.fault}"] if result.fault else []
        lines += [f"  {result.remedy}"] if result.remedy else []
        lines += [f"note: {problem}"] if problem else []
        lines += [f"report  {report}"]
        for line in lines:
            say(redact(clean(line)))
