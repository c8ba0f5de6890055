"""Which runs of a ScheduledJob to add, skip or take back: a pure function.

Every run that is due is decided once, and `decidedUntil` in the status says up to when. With policy Allow the next run
is already in Redis as a delayed job, so it is on time even if no operator runs then; Forbid and Replace have to look
at the last run first and are decided when due. A job's id names its run, so that whatever is done twice adds one
job: the jobs go to Redis first, the status after them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from crewline_operator.conditions import find_condition, parse_timestamp, timestamp, timestamp_ms
from crewline_operator.plan import Note
from crewline_operator.schedule import COUNT_MAX, Schedule
from crewline_operator.scheduledjob import ScheduledJob

#: Runs that have not ended and are followed.
ACTIVE_MAX = 20
UNFINISHED = ("waiting", "active", "delayed", "waiting-children")


@dataclass(frozen=True)
class RunState:
    """A run's job in Redis. `state` is "unknown" if there is no such job."""

    state: str
    finished_ms: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Add:
    """Add the job of a run; a run that lies ahead waits for its time."""

    run: datetime
    job_id: str


@dataclass(frozen=True)
class RunPlan:
    """What to do in Redis, in this order: remove, add; then what to write."""

    remove: list[str]
    #: A JobQueue and the id of a run placed there before spec.queueRef was changed.
    remove_elsewhere: tuple[str, str] | None
    add: list[Add]
    status: dict[str, Any]
    notes: list[Note]
    next_run: datetime | None


@dataclass
class _Draft:
    """A plan in the making."""

    remove: list[str] = field(default_factory=list)
    add: list[Add] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    missed: int = 0
    skipped: int = 0
    last_run: datetime | None = None
    started: list[str] = field(default_factory=list)


def plan_runs(
    scheduled: ScheduledJob, schedule: Schedule, status: Mapping[str, Any], runs: Mapping[str, RunState], now: datetime
) -> RunPlan:
    """What to do now. `runs` has the placed run and the status' active ones as they are in Redis."""
    draft = _Draft()
    decided_until = _decided_until(scheduled, status, now)
    next_run = None if scheduled.suspend else schedule.next_after(now)
    placed_run = _take_placed(status, now, draft)
    if not scheduled.suspend:
        due = schedule.due(decided_until, now)
        if due.latest is not None:
            on_time = 1 if placed_run is not None and placed_run > decided_until else 0
            decided_until = due.latest
            if placed_run is None or placed_run < due.latest:
                _decide(scheduled, status, runs, due.latest, due.count - on_time, now, draft)
            else:
                _note_missed(due.count - on_time, draft)
    placed = _place(scheduled, status, runs, next_run, now, draft)
    before = status.get("placed", {})
    moved = before and before.get("queueRef") != scheduled.queue_ref and run_of(before["id"]) > now
    return RunPlan(
        remove=draft.remove,
        remove_elsewhere=(before["queueRef"], before["id"]) if moved else None,
        add=draft.add,
        status=_status(scheduled, status, runs, draft, placed, decided_until, next_run),
        notes=draft.notes,
        next_run=next_run,
    )


def run_of(job_id: str) -> datetime:
    """The run that a job id names."""
    return datetime.fromtimestamp(int(job_id.rpartition("-")[2]) / 1000, UTC)


def _decided_until(scheduled: ScheduledJob, status: Mapping[str, Any], now: datetime) -> datetime:
    """Up to when runs are decided. What passed while suspended, or under another schedule, is not made up for."""
    if "decidedUntil" not in status:
        return scheduled.created
    was_suspended = find_condition(status, "Suspended").get("status") == "True"
    if was_suspended != scheduled.suspend or status.get("decidedFor") != scheduled.decided_for:
        return now
    return parse_timestamp(status["decidedUntil"])


def _take_placed(status: Mapping[str, Any], now: datetime, draft: _Draft) -> datetime | None:
    """Note that the placed run has become due: it was in Redis before, so it is on time, whoever was away."""
    placed_id = status.get("placed", {}).get("id")
    if not placed_id or run_of(placed_id) > now:
        return None
    draft.last_run = run_of(placed_id)
    draft.started.append(placed_id)
    draft.notes.append(_scheduled_note(placed_id, draft.last_run))
    return draft.last_run


def _decide(
    scheduled: ScheduledJob,
    status: Mapping[str, Any],
    runs: Mapping[str, RunState],
    latest: datetime,
    count: int,
    now: datetime,
    draft: _Draft,
) -> None:
    """Decide `count` runs that are due and not in Redis: the latest one may be added, the earlier ones were missed."""
    deadline = scheduled.deadline_seconds
    if deadline is not None and (now - latest).total_seconds() > deadline:
        _note_missed(count, draft, f", later than startingDeadlineSeconds {deadline}")
        return
    _note_missed(count - 1, draft)
    if _may_start(scheduled, status, runs, latest, draft):
        job_id = scheduled.job_id(latest)
        draft.add.append(Add(latest, job_id))
        draft.started.append(job_id)
        draft.last_run = latest
        draft.notes.append(_scheduled_note(job_id, latest))


def _may_start(
    scheduled: ScheduledJob, status: Mapping[str, Any], runs: Mapping[str, RunState], run: datetime, draft: _Draft
) -> bool:
    """Apply the concurrency policy."""
    unfinished = {job_id: runs[job_id].state for job_id in _tracked(status, draft) if _unfinished(runs, job_id)}
    if not unfinished or scheduled.concurrency_policy == "Allow":
        return True
    named = ", ".join(f"{job_id} is {state}" for job_id, state in unfinished.items())
    if scheduled.concurrency_policy == "Forbid":
        draft.skipped += 1
        draft.notes.append(
            Note("Normal", "RunSkipped", f"run {timestamp(run)} is skipped, concurrencyPolicy is Forbid: {named}")
        )
        return False
    for job_id, state in unfinished.items():
        if state == "active":
            draft.notes.append(
                Note("Normal", "RunNotReplaced", f"run {job_id} is active and is left to end beside its successor")
            )
        else:
            draft.remove.append(job_id)
    return True


def _place(
    scheduled: ScheduledJob,
    status: Mapping[str, Any],
    runs: Mapping[str, RunState],
    next_run: datetime | None,
    now: datetime,
    draft: _Draft,
) -> dict[str, Any] | None:
    """Have the next run, and no other, in Redis ahead of its time."""
    before = status.get("placed")
    wanted: dict[str, Any] | None = None
    if next_run is not None and scheduled.concurrency_policy == "Allow":
        wanted = {
            "id": scheduled.job_id(next_run),
            "queueRef": scheduled.queue_ref,
            "job": scheduled.job_digest,
        }
    if before and before != wanted and run_of(before["id"]) > now and before.get("queueRef") == scheduled.queue_ref:
        draft.remove.append(before["id"])
    if wanted and next_run is not None:
        in_redis = before == wanted and runs.get(wanted["id"], RunState("unknown")).state != "unknown"
        if not in_redis:
            draft.add.append(Add(next_run, wanted["id"]))
    return wanted


def _status(
    scheduled: ScheduledJob,
    status: Mapping[str, Any],
    runs: Mapping[str, RunState],
    draft: _Draft,
    placed: dict[str, Any] | None,
    decided_until: datetime,
    next_run: datetime | None,
) -> dict[str, Any]:
    active = [
        {"id": job_id, "state": runs[job_id].state if job_id in runs else "waiting"}
        for job_id in _tracked(status, draft)
        if job_id not in draft.remove and (job_id not in runs or _unfinished(runs, job_id) or _is_new(draft, job_id))
    ]
    for run in active:
        run["state"] = "waiting" if run["state"] == "unknown" else run["state"]
    wanted: dict[str, Any] = {
        "observedGeneration": scheduled.generation,
        "decidedUntil": timestamp(decided_until),
        "decidedFor": scheduled.decided_for,
        "missedRuns": status.get("missedRuns", 0) + draft.missed,
        "skippedRuns": status.get("skippedRuns", 0) + draft.skipped,
        "activeCount": len(active),
    }
    if active:
        wanted["active"] = active[-ACTIVE_MAX:]
    last = timestamp(draft.last_run) if draft.last_run is not None else status.get("lastScheduleTime")
    if last is not None:
        wanted["lastScheduleTime"] = last
    if next_run is not None:
        wanted["nextScheduleTime"] = timestamp(next_run)
    if placed is not None:
        wanted["placed"] = placed
    result = _last_result(status, runs, draft)
    if result is not None:
        wanted["lastResult"] = result
    return wanted


def _last_result(status: Mapping[str, Any], runs: Mapping[str, RunState], draft: _Draft) -> Any:
    """The run that ended last among those that were active, else what was known before."""
    ended = [
        (runs[job_id].finished_ms or 0, job_id)
        for job_id in _tracked(status, draft)
        if job_id in runs and not _unfinished(runs, job_id) and not _is_new(draft, job_id)
    ]
    if not ended:
        return status.get("lastResult")
    _, job_id = max(ended)
    state = runs[job_id]
    result: dict[str, Any] = {"id": job_id, "state": "removed" if state.state == "unknown" else state.state}
    finished = timestamp_ms(state.finished_ms) if state.finished_ms is not None else None
    if finished is not None:
        result["finishedAt"] = finished
    if state.reason:
        result["reason"] = state.reason[:1024]
    return result


def _tracked(status: Mapping[str, Any], draft: _Draft) -> list[str]:
    """Runs to follow, the oldest first."""
    return list(dict.fromkeys([run["id"] for run in status.get("active") or ()] + draft.started))


def _unfinished(runs: Mapping[str, RunState], job_id: str) -> bool:
    return job_id in runs and runs[job_id].state in UNFINISHED


def _is_new(draft: _Draft, job_id: str) -> bool:
    """Whether this plan adds the job, so that Redis could not know it yet."""
    return any(add.job_id == job_id for add in draft.add)


def _scheduled_note(job_id: str, run: datetime) -> Note:
    return Note("Normal", "JobScheduled", f"job {job_id} was due at {timestamp(run)}")


def _note_missed(count: int, draft: _Draft, why: str = "") -> None:
    if count <= 0:
        return
    draft.missed += count
    number = f"{count} or more" if count >= COUNT_MAX else str(count)
    draft.notes.append(Note("Warning", "MissedRun", f"{number} run(s) were missed{why or ' and not made up for'}"))
