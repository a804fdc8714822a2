"""Errors a person can act on: where, what happened, what to do next, and the exit code it ends with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True)
class Where:
    """A place in a file. Lines and columns count from 1; a plain text or an empty file is 1:1."""

    path: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


class BuilderError(Exception):
    """Base of all errors that end a command. ``exit_code`` is the process's exit status (design.md, "Exit codes").

    ``others`` are further errors of the same kind found in the same look (a profile with three typos names all three).
    ``diagnosis`` is why upstream's build stopped, as plain values, where that was looked for.
    """

    exit_code: ClassVar[int] = 70

    def __init__(
        self,
        what: str,
        *,
        remedy: str = "",
        where: Where | None = None,
        log: Path | None = None,
        others: tuple[BuilderError, ...] = (),
        diagnosis: dict[str, object] | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.where = where
        self.log = log
        self.others = others
        self.diagnosis = diagnosis

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what

    @property
    def status(self) -> int:
        """The exit status of this very error."""
        return self.exit_code

    def to_json(self) -> dict[str, object]:
        where = self.where
        return {
            "exit_code": self.status,
            "what": self.what,
            "remedy": self.remedy,
            "where": {"path": where.path, "line": where.line, "column": where.column} if where else None,
            "log": str(self.log) if self.log else None,
            "others": [other.to_json() for other in self.others],
            **({"diagnosis": self.diagnosis} if self.diagnosis else {}),
        }


class UsageError(BuilderError):
    """A command line that cannot be meant."""

    exit_code = 2


class ProfileError(BuilderError):
    """A profile that is not valid, or a locked input that differs."""

    exit_code = 2


class HostError(BuilderError):
    """This machine cannot do it, or the workspace is busy."""

    exit_code = 3


class SourceError(BuilderError):
    """The source was not obtained, or this upstream cannot be built this way."""

    exit_code = 4


class PatchError(BuilderError):
    """A patch does not fit."""

    exit_code = 5


class BuildError(BuilderError):
    """Upstream's build failed."""

    exit_code = 6


class VerifyError(BuilderError):
    """The wheel is not what was asked for."""

    exit_code = 7


class PublishError(BuilderError):
    """Publishing was refused, or failed; or an index is not as it should be."""

    exit_code = 8


class Interrupted(BuilderError):
    """Stopped by a signal; the run can be resumed."""

    exit_code = 130

    def __init__(self, what: str, *, signal: int, remedy: str = "") -> None:
        super().__init__(what, remedy=remedy)
        self.signal = signal

    @property
    def status(self) -> int:
        """130 for SIGINT, 143 for SIGTERM: 128 and the signal's number, as shells say it."""
        return 128 + self.signal


def error_from_json(document: Mapping[str, Any]) -> BuilderError:
    """The error that ``to_json`` made ``document`` of, in another process. Raises KeyError, TypeError, ValueError."""
    kinds = {kind.exit_code: kind for kind in BuilderError.__subclasses__() if kind is not Interrupted}
    where = document["where"]
    return kinds.get(document["exit_code"], BuilderError)(
        str(document["what"]),
        remedy=str(document["remedy"]),
        where=Where(str(where["path"]), int(where["line"]), int(where["column"])) if where else None,
        log=Path(document["log"]) if document["log"] else None,
        others=tuple(error_from_json(other) for other in document["others"]),
        diagnosis=document.get("diagnosis"),
    )
