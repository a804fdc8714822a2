"""Workflow files for a CI, from a matrix: whole files, to be committed as they are.

Every value is written as a JSON string, which YAML reads as the same text, and reaches a shell only as a variable.
What a platform would evaluate inside a string (``${{ }}``, ``$VARIABLE``) is refused.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from trtllm_builder.ci.matrix import Matrix
from trtllm_builder.ci.schedule import require_cron
from trtllm_builder.errors import UsageError
from trtllm_builder.profile.model import UPSTREAM_URL

Platform = Literal["github", "gitlab"]
FILES: Mapping[Platform, Mapping[str, str]] = {
    "github": {
        "trtllm-nightly.yml": "github-nightly.yml.jinja",
        "trtllm-wheel.yml": "github-wheel.yml.jinja",
    },
    "gitlab": {"trtllm-nightly.gitlab-ci.yml": "gitlab-nightly.yml.jinja"},
}
# Our extra `upload`. What pip was given to install us with may be anything that an extra cannot be written behind.
UPLOADER = "twine>=6.2"
_HERE = Path(__file__).parent
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,99}", re.ASCII)


@dataclass(frozen=True)
class Wishes:
    """``words`` are the command's own, shown at the top of the files; ``install`` is what pip gets, or ``.`` for the
    repository itself; ``options`` are options of the build, each a name and a value; ``image`` is what GitLab's jobs
    run in. Without ``publish`` nothing is published and no secret is used."""

    words: str
    install: str
    python: str = "3.12"
    schedule: str = "17 2 * * *"
    options: tuple[str, ...] = ()
    publish: bool = True
    image: str = "python:3.12-bookworm"


def render(matrix: Matrix, platform: Platform, wishes: Wishes) -> dict[str, str]:
    """The files, by name. Raises UsageError for a value that would not stay a plain value in them."""
    _check(matrix, wishes)
    return {
        name: _environment().get_template(template).render(
            matrix=matrix, wishes=wishes, actions=_actions(), upstream=UPSTREAM_URL, uploader=UPLOADER,
            expected=",".join(job.profile for job in matrix.jobs),
        )
        for name, template in FILES[platform].items()
    }  # fmt: skip


def _check(matrix: Matrix, wishes: Wishes) -> None:
    require_cron(wishes.schedule)
    if not re.fullmatch(r"3\.1[0-3]", wishes.python):
        raise UsageError(f"--python {wishes.python!r} is none of 3.10 to 3.13", remedy="such as --python 3.12")
    for what, text in (
        ("--install", wishes.install),
        ("--image", wishes.image),
        *((wishes.options[at - 1], text) for at, text in enumerate(wishes.options) if at % 2),
    ):
        if not text.strip() or text.startswith("-") or "$" in text or not text.isprintable():
            raise UsageError(
                f"{what} {text!r} cannot stand in a workflow", remedy="plain text without `$`, not beginning with `-`"
            )
    for job in matrix.jobs:
        if not _NAME.fullmatch(job.profile):
            raise UsageError(
                f"the profile {job.profile!r} cannot be the name of a job",
                remedy="name it with letters, digits and . _ + - alone",
            )


def _quoted(value: object) -> str:
    """A YAML scalar, or a flow sequence of such: JSON in ASCII is both."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def _comment(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split()).replace("${{", "$ {{")


@cache
def _actions() -> dict[str, str]:
    """Each action as ``uses:`` takes it, with the tag as a comment."""
    told: dict[str, Any] = yaml.safe_load((_HERE / "data" / "actions.yaml").read_text("utf-8"))
    return {name: f"{one['repository']}@{one['commit']} # {one['tag']}" for name, one in told.items()}


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - YAML: every value goes through the filter `quoted`
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # The platforms have {{ }} of their own.
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
    )
    environment.filters.update(quoted=_quoted, comment=_comment, shell=shlex.quote)
    return environment


def to_set_up(matrix: Matrix, platform: Platform, wishes: Wishes) -> list[str]:
    """What the files expect of the project and its runners, a line each."""
    github = platform == "github"
    labels = sorted({",".join(job.runner.labels) for job in matrix.jobs})
    last = f"{','.join(matrix.publisher)} for {'publishing' if wishes.publish else 'the report'}"
    lines = [f"runners  {'; '.join(labels)}, and {last}"]
    if not github:
        lines.append("schedule  a scheduled pipeline, and .gitlab-ci.yml that includes the file and has its stages")
    if wishes.publish:
        lines += [
            "variable TRTLLM_INDEX  the index: a URL to upload to, or a directory of the machine that publishes: "
            "one of your own then (--runners)",
            "variable TRTLLM_INDEX_NEW  1 for the first night of an index in a directory, then remove it",
            f"environment trtllm-publish  with the {'secret' if github else 'masked, protected variable'} "
            "TRTLLM_INDEX_TOKEN, for an index that is uploaded to",
            "variable TRTLLM_KEEP_LAST  optional: good wheels of each profile that stay in a directory; what a lock "
            "file in locks/ names stays too",
        ]
    name = "secret TRTLLM_NOTIFY" if github else "variable TRTLLM_BUILDER_NOTIFY"
    return [*lines, f"{name}  optional: a webhook, or a program in the repository, that is told how it went"]


def write(files: Mapping[str, str], directory: Path) -> Sequence[Path]:
    """Write them; one that holds this text already is left alone. Raises UsageError when that fails."""
    written = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            path = directory / name
            if not path.is_file() or path.read_text("utf-8", errors="replace") != text:
                partial = path.with_name(f".{name}.partial")
                partial.write_text(text, encoding="utf-8")
                partial.replace(path)
            written.append(path)
    except OSError as error:
        raise UsageError(
            f"{error.filename or directory} cannot be written: {error.strerror or error}", remedy="give another --out"
        ) from error
    return written
