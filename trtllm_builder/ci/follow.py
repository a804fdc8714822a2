"""Following a fleet: what each of its jobs does, and what is done when one is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from trtllm_builder import __version__
from trtllm_builder.build.events import Tail, read_event
from trtllm_builder.ci.clusters import Handle, JobState, Refused
from trtllm_builder.ci.fleet import Fleet, Member
from trtllm_builder.ci.result import Result, read_result
from trtllm_builder.ci.seen import Seen
from trtllm_builder.errors import HostError
from trtllm_builder.units import format_duration

_WAITS = "waiting for"


@dataclass
class LastJob:
    """The last job of a member, as the fleet's journal has it."""

    handle: Handle | None = None
    began: float = 0.0
    place: str = ""
    attempts: int = 0
    over: str = ""
    refused: bool = False
    excluded: tuple[str, ...] = ()


class Follower:
    """``keep`` says whether lost jobs are submitted again; a mere look does not."""

    def __init__(self, fleet: Fleet, *, keep: bool, note: Callable[[str], None]) -> None:
        self._fleet = fleet
        self._keep = keep
        self._note = note
        self._tails: dict[str, Tail] = {}
        self._doing: dict[str, str] = {}
        self._node: dict[str, str] = {}
        self._told: set[str] = set()

    def look(self) -> list[Seen]:
        """One look at all members."""
        jobs = self.jobs()
        handles = [job.handle for job in jobs.values() if job.handle is not None and not job.over]
        states = self._fleet.cluster.states(handles) if handles else {}
        return [self._seen(member, jobs[member.profile], states) for member in self._fleet.members]

    def follow(self, poll: float) -> Iterator[list[Seen]]:
        """A look each ``poll`` seconds, until all members are over."""
        while True:
            seen = self.look()
            yield seen
            if all(one.phase == "over" for one in seen):
                return
            time.sleep(poll)

    def jobs(self) -> dict[str, LastJob]:
        """The last job of each member."""
        jobs = {member.profile: LastJob() for member in self._fleet.members}
        for event in self._fleet.journal.events():
            job = jobs.get(str(event.get("profile")))
            if job is None:
                continue
            if event["event"] == "submitted":
                job.handle, job.over = Handle(str(event["job"]), int(event.get("start") or 0)), ""
                job.began, job.attempts = float(event.get("began") or 0.0), job.attempts + 1
                job.place = str(event.get("place"))
                job.excluded = tuple(map(str, event.get("excluded") or ()))
            elif event["event"] in ("refused", "over"):
                job.over, job.refused = str(event.get("why")), event["event"] == "refused"
            elif event["event"] == "again":
                job.attempts, job.over = 0, ""
        return jobs

    def _seen(self, member: Member, job: LastJob, states: dict[Handle, JobState]) -> Seen:
        if job.handle is None:
            why = job.over or "it was never submitted"
            return Seen(member.profile, "over", None, "", job.attempts, why, 0.0, _none(member, job, "died", why))
        self._read_events(member, job)
        seconds = max(0.0, time.time() - job.began) if job.began else 0.0
        seen = Seen(
            member.profile, "over", job.handle.job, self._node.get(member.profile, ""), job.attempts, "", seconds
        )
        if job.over:
            kept = None if job.refused else self._fleet.collected(member) or self._result(member, job)
            result = kept or _none(member, job, "died", job.over)
            return replace(seen, doing=job.over, seconds=result.seconds, result=result)
        state = states.get(job.handle, JobState("unknown"))
        if state.node:
            seen = replace(seen, node=state.node)
        if state.state == "waiting":
            return replace(seen, phase="waiting", node="", doing=state.told)
        if state.state == "unknown":
            if state.told not in self._told:
                self._told.add(state.told)
                self._note(f"the cluster does not say how jobs fare: {state.told}; it is asked again")
            return replace(seen, phase="running", doing=f"unknown: {state.told}")
        if state.state == "running":
            doing = self._doing.get(member.profile, "started")
            return replace(seen, phase="waiting" if doing.startswith(_WAITS) else "running", doing=doing)
        return self._ended(member, job, state, seen)

    def _ended(self, member: Member, job: LastJob, state: JobState, seen: Seen) -> Seen:
        """The cluster is done with it: with a result of this job, or without one because something took it away."""
        result = self._result(member, job)
        if state.state == "cancelled" or (self._stopped_by_us(member) and (result is None or result.resumable)):
            why = f"cancelled; `trtllm-build fleet resume {self._fleet.identifier}` goes on with it"
            return self._over(member, job, seen, why, result, ("interrupted", "its job was cancelled"))
        if result is not None and not result.resumable:
            return self._over(member, job, seen, result.result, result)
        what = f"lost: {state.told or 'it ended without a word'}" if result is None else str(result.fault)
        if not self._keep:
            return replace(seen, doing=f"{what}; `trtllm-build fleet attach` submits it again", phase="waiting")
        if job.attempts > self._fleet.retries:
            why = f"{what}; given up after {job.attempts} jobs"
            return self._over(member, job, seen, why, result, ("died", what))
        return self._again(member, job, seen, what, lost=result is None)

    def _again(self, member: Member, job: LastJob, seen: Seen, what: str, *, lost: bool) -> Seen:
        """Submitted once more, elsewhere if its node was lost; the build goes on from what is shared."""
        node = seen.node if lost else ""
        excluded = tuple(dict.fromkeys((*job.excluded, *((node,) if node else ()))))
        self._note(f"{member.profile}: {what}; submitted again, it goes on from its workspace")
        try:
            try:
                handle = self._fleet.submit(member, excluded)
            except Refused:
                if not excluded:
                    raise
                # There may be no other node.
                handle = self._fleet.submit(member)
        except (Refused, HostError) as error:
            self._fleet.journal.append("refused", profile=member.profile, why=f"the cluster refused it: {error}")
            return replace(
                seen, doing=f"the cluster refused it: {error}", result=_none(member, job, "died", f"refused: {error}")
            )
        return replace(seen, phase="waiting", job=handle.job, attempts=job.attempts + 1, doing=f"again, after {what}")

    def _over(
        self,
        member: Member,
        job: LastJob,
        seen: Seen,
        why: str,
        told: Result | None,
        otherwise: tuple[Literal["died", "interrupted"], str] = ("died", ""),
    ) -> Seen:
        """``otherwise`` is what is to be said of a job that ``told`` nothing."""
        result = told or _none(member, job, *otherwise)
        reported = self._fleet.task(member, job.place).report if told is not None else None
        if self._keep:
            try:
                self._fleet.collect(member, result, reported)
            except OSError as error:
                self._note(f"{member.profile}: its report cannot be kept: {error.strerror or error}")
            self._fleet.journal.append("over", profile=seen.profile, why=why)
        return replace(seen, phase="over", doing=why, seconds=result.seconds, result=result)

    def _stopped_by_us(self, member: Member) -> bool:
        last = [event["event"] for event in self._fleet.journal.events() if event.get("profile") == member.profile]
        return bool(last) and last[-1] == "cancel"

    def _result(self, member: Member, job: LastJob) -> Result | None:
        """What the last job left."""
        try:
            return read_result(self._fleet.task(member, job.place).result)
        except (OSError, ValueError):
            return None

    def _read_events(self, member: Member, job: LastJob) -> None:
        profile = member.profile
        if job.place not in self._tails:
            self._tails[job.place] = Tail(self._fleet.task(member, job.place).events)
            self._doing.pop(profile, None)
        for line in self._tails[job.place].lines():
            event = read_event(line)
            if event is None:
                continue
            if event["event"] == "node":
                self._node[profile] = str(event.get("node"))
                self._doing[profile] = _node(event)
            elif event["event"] == "stage":
                self._doing[profile] = f"{event.get('stage')}"
            elif event["event"] == "progress":
                self._doing[profile] = _progress(event)


def _node(event: dict[str, Any]) -> str:
    if event.get("state") == "busy":
        by = event.get("by")
        return f"{_WAITS} another build in its directory" + (f", process {by}" if isinstance(by, int) else "")
    return f"{_WAITS} its turn" if event.get("state") == "waiting" else "started"


def _progress(event: dict[str, Any]) -> str:
    steps = f" [{event.get('done')}/{event.get('total')}]" if event.get("total") else ""
    eta = event.get("eta")
    left = f", {format_duration(eta)} to go" if isinstance(eta, (int, float)) else ""
    return f"compile: {event.get('phase')}{steps}{left}"


def _none(member: Member, job: LastJob, ending: Literal["died", "interrupted"], why: str) -> Result:
    """For a job that could not tell anything itself."""
    code = 137 if ending == "died" else 143
    took = max(0.0, time.time() - job.began) if job.began else 0.0
    return Result(member.profile, ending, code, job.began or time.time(), took, __version__, fault=why)


def cancel_all(fleet: Fleet) -> list[str]:
    """End every job that is not over; the profiles of those."""
    follower = Follower(fleet, keep=False, note=lambda text: None)
    jobs = follower.jobs()
    ended = []
    for one in follower.look():
        handle = jobs[one.profile].handle
        if one.phase != "over" and handle is not None:
            fleet.journal.append("cancel", profile=one.profile)
            fleet.cluster.cancel(handle)
            ended.append(one.profile)
    return ended


def resume_all(fleet: Fleet) -> None:
    """Submit every member again that is over and has no wheel. What the cluster refuses is written down."""
    for member, one in zip(fleet.members, Follower(fleet, keep=True, note=lambda text: None).look(), strict=True):
        if one.phase == "over" and not (one.result is not None and one.result.good):
            fleet.journal.append("again", profile=member.profile)
            try:
                fleet.submit(member)
            except Refused as error:
                fleet.journal.append("refused", profile=member.profile, why=f"the cluster refused it: {error}")
