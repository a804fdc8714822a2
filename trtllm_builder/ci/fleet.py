"""A fleet: one job a profile on a cluster, and what is written down of it, so that anybody can follow it later.

``fleet.json`` says what was asked; ``jobs.jsonl`` gets a line for whatever happens to a job. The builds themselves lie
in directories of their own, one a profile, which the next fleet goes on in.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from trtllm_builder.build.journal import Journal
from trtllm_builder.ci.attempt import Task
from trtllm_builder.ci.clusters import Cluster, Handle, Local, Size, Slurm
from trtllm_builder.ci.node import NodeJob
from trtllm_builder.ci.result import Result, read_result
from trtllm_builder.data import cache_dir, state_dir
from trtllm_builder.errors import HostError, UsageError

Kind = Literal["slurm", "local"]
_SCHEMA = 1
# A build stops by itself before the cluster ends it.
_MARGIN = 300.0


@dataclass(frozen=True)
class Member:
    """One profile of a fleet: what it builds with and what its job asks for. ``words`` are options of the build."""

    profile: str
    words: tuple[str, ...]
    cores: int
    memory: int


@dataclass(frozen=True)
class Fleet:
    """``root`` is seen by all nodes; ``seconds`` is how long a job may take, 0 for the cluster's own limit; ``retries``
    is how often a job that was lost is submitted again; ``at_once`` limits the builds of this machine."""

    identifier: str
    kind: Kind
    root: Path
    members: tuple[Member, ...]
    seconds: float
    retries: int
    at_once: int
    options: Mapping[str, str]
    environ: Mapping[str, str]

    @property
    def directory(self) -> Path:
        return self.root / "fleets" / self.identifier

    @property
    def reports(self) -> Path:
        """A directory a profile, with what its last job reported."""
        return self.directory / "reports"

    @property
    def journal(self) -> Journal:
        return Journal(self.directory / "jobs.jsonl")

    @property
    def cluster(self) -> Cluster:
        return Local() if self.kind == "local" else Slurm(self.options)

    def task(self, member: Member, place: str) -> Task:
        """What its job does that tells of itself in ``place``, which is of this job alone: other fleets, and earlier
        jobs of this one, build in the same directory."""
        return Task(
            member.profile,
            self.root / "builds" / member.profile,
            shown=self.directory / "jobs" / place,
            words=member.words,
            deadline=max(60.0, self.seconds - _MARGIN) if self.seconds else None,
            jobs=member.cores,
            option="--shared",
        )

    def submit(self, member: Member, excluded: Sequence[str] = ()) -> Handle:
        """Give its job to the cluster, not to the ``excluded`` nodes, and write it down. Raises Refused, HostError."""
        place = f"{member.profile}-{secrets.token_hex(4)}"
        slots = self.root / "slots" if self.at_once else None
        job = NodeJob(self.task(member, place), self.environ, slots, self.at_once)
        cluster = self.cluster
        if isinstance(cluster, Slurm) and excluded and "exclude" not in self.options:
            cluster = Slurm({**self.options, "exclude": ",".join(excluded)})
        began = time.time()
        size = Size(member.cores, member.memory, self.seconds)
        handle = cluster.submit(f"trtllm-{member.profile}", job, size, self.directory / "logs")
        self.journal.append(
            "submitted",
            profile=member.profile,
            job=handle.job,
            start=handle.start,
            began=began,
            place=place,
            excluded=list(excluded),
        )
        return handle

    def collect(self, member: Member, result: Result, reported: Path | None) -> None:
        """Keep how a member ended, with all that its last job ``reported``, if it came to that. Raises OSError."""
        collected = self.reports / member.profile
        shutil.rmtree(collected, ignore_errors=True)
        if reported is not None:
            unlike = shutil.ignore_patterns("result.json")
            shutil.copytree(reported, collected, ignore=unlike, copy_function=_link)
        collected.mkdir(parents=True, exist_ok=True)
        (collected / "result.json").write_text(json.dumps(result.to_json(), indent=2) + "\n")

    def collected(self, member: Member) -> Result | None:
        """How a member ended, None where that is not kept."""
        try:
            return read_result(self.reports / member.profile / "result.json")
        except (OSError, ValueError):
            return None

    def write(self, environ: Mapping[str, str]) -> None:
        """Keep what was asked, and where, so that it is found by its name. Raises HostError."""
        document = {**asdict(self), "schema": _SCHEMA, "root": str(self.root)}
        try:
            self.directory.mkdir(parents=True)
            (self.directory / "fleet.json").write_text(json.dumps(document, indent=2) + "\n")
            known = _known(environ)
            known.mkdir(parents=True, exist_ok=True)
            (known / self.identifier).write_text(f"{self.directory}\n")
        except OSError as error:
            raise HostError(
                f"the fleet cannot be kept in {self.root}: {error.strerror or error}",
                remedy="give a directory that all nodes can write to with --shared",
            ) from error


def new_fleet(
    kind: Kind,
    members: Sequence[Member],
    *,
    shared: Path | None,
    seconds: float,
    retries: int,
    at_once: int,
    options: Mapping[str, str],
    environ: Mapping[str, str],
) -> Fleet:
    """With ``shared`` compile cache and sources lie there too, for all nodes; without, all is in our own cache."""
    root = shared if shared is not None else cache_dir(environ) / "fleet"
    identifier = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
    added = {"XDG_CACHE_HOME": str(shared / "cache")} if shared is not None else {}
    return Fleet(identifier, kind, root, tuple(members), seconds, retries, at_once, dict(options), added)


def find(identifier: str | None, environ: Mapping[str, str]) -> Fleet:
    """The fleet of that name, or the newest. Raises UsageError."""
    known = sorted(path.name for path in _known(environ).glob("*-*")) if _known(environ).is_dir() else []
    if not known:
        raise UsageError("no fleet was started here", remedy="such as: trtllm-build fleet --profiles 'canary*'")
    chosen = [name for name in known if identifier is None or name.startswith(identifier) or name.endswith(identifier)]
    if not chosen or (identifier is not None and len(chosen) > 1):
        raise UsageError(f"{identifier!r} names {len(chosen)} fleets", remedy=f"the newest are {', '.join(known[-5:])}")
    directory = Path((_known(environ) / chosen[-1]).read_text().strip())
    try:
        return _read(json.loads((directory / "fleet.json").read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"the fleet {chosen[-1]} cannot be read in {directory}: {error}",
            remedy=f"is the directory mounted here? Else forget it: rm {_known(environ) / chosen[-1]}",
        ) from None


def _link(source: str, target: str) -> None:
    """A wheel is large, and nobody writes into one that is finished."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _known(environ: Mapping[str, str]) -> Path:
    return state_dir(environ) / "fleets"


def _read(document: Any) -> Fleet:
    if document["schema"] != _SCHEMA:
        raise ValueError("it is of another version")
    members = tuple(
        Member(str(one["profile"]), tuple(map(str, one["words"])), int(one["cores"]), int(one["memory"]))
        for one in document["members"]
    )
    if document["kind"] not in ("slurm", "local") or not Path(document["root"]).is_absolute():
        raise ValueError("its cluster or its directory cannot be one")
    return Fleet(
        identifier=str(document["identifier"]),
        kind=document["kind"],
        root=Path(document["root"]),
        members=members,
        seconds=float(document["seconds"]),
        retries=int(document["retries"]),
        at_once=int(document["at_once"]),
        options={str(name): str(value) for name, value in document["options"].items()},
        environ={str(name): str(value) for name, value in document["environ"].items()},
    )
