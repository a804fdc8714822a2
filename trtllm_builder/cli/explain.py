"""``trtllm-build explain LOGFILE``: why a build stopped, from its log; anybody's log, not only ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def explain(
    log: Annotated[str, typer.Argument(metavar="LOGFILE", help="A build's log, also gzip, bzip2 or xz; - reads it.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Say why a build stopped: the root cause, what to do, and the lines of the log that show it.

    Works on any log of a TensorRT-LLM build (or another CUDA, CMake or pip build), with or without the time stamps of
    Docker or a CI. Exit status 0 when the log could be read, also when the cause is unknown.
    """
    import json
    import sys

    from trtllm_builder.build.diagnosis.engine import diagnose_stream
    from trtllm_builder.build.diagnosis.show import lines_of
    from trtllm_builder.cli.output import say
    from trtllm_builder.errors import UsageError

    if log == "-" and sys.stdin is None:
        raise UsageError("there is no standard input to read", remedy="name the log's file")
    try:
        if log == "-":
            diagnosis = diagnose_stream(sys.stdin.buffer)
        else:
            with Path(log).open("rb") as stream:
                diagnosis = diagnose_stream(stream)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(
            f"{log} cannot be read: {reason}", remedy="give the file that the build's output went to"
        ) from None
    if as_json:
        say(json.dumps({"schema": 1, "log": log, "diagnosis": diagnosis.to_json()}, indent=2))
    else:
        for line in lines_of(diagnosis):
            say(line)
