"""Which runs of a ScheduledJob to add, skip or take back: a pure function.

Every run that is due is decided once, and `decidedUntil` in the status says up to when. With policy Allow the next run
is already in Redis as a delayed job, so it is on time even if no operator runs then; Forbid and Replace have to look
at the last run first and are decided when due. A job's id names its run, so that whatever is done twice adds one
job: the jobs go to Redis first, the status after them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from crewline_operator.kube.conditions import find_condition
from crewline_operator.model.moments import parse_timestamp, timestamp
from crewline_operator.model.note import Note
from crewline_operator.scheduledjob.draft import Add, RunDraft
from crewline_operator.scheduledjob.observed import RunState
from crewline_operator.scheduledjob.schedule import COUNT_MAX, Schedule
from crewline_operator.scheduledjob.spec import ScheduledJob
from crewline_operator.scheduledjob.status import build_run_status


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


def plan_runs(
    scheduled: ScheduledJob, schedule: Schedule, status: Mapping[str, Any], runs: Mapping[str, RunState], now: datetime
) -> RunPlan:
    """What to do now. `runs` has the placed run and the status' active ones as they are in Redis."""
    draft = RunDraft()
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
        status=build_run_status(
            scheduled, status, runs, draft, placed=placed, decided_until=decided_until, next_run=next_run
        ),
        notes=draft.notes,
        next_run=next_run,
    )


def run_of(job_id: str) -> datetime:
    """The run that a job id names."""
    return datetime.fromtimestamp(int(job_id.rpartition("-")[2]) / 1000, UTC)


def _decided_until(scheduled: ScheduledJob, status: Mapping[str, Any], now: datetime) -> datetime:
    """Up to when runs are decided. What passed while suspended, or under another schedule, is not made up for."""
    if "decidedUntil" not in status:
        # The API server's clock may be ahead of Redis'.
        return min(scheduled.created, now)
    was_suspended = find_condition(status, "Suspended").get("status") == "True"
    if was_suspended != scheduled.suspend or status.get("decidedFor") != scheduled.decided_for:
        return now
    return parse_timestamp(status["decidedUntil"])


def _take_placed(status: Mapping[str, Any], now: datetime, draft: RunDraft) -> datetime | None:
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
    draft: RunDraft,
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
    scheduled: ScheduledJob, status: Mapping[str, Any], runs: Mapping[str, RunState], run: datetime, draft: RunDraft
) -> bool:
    """Apply the concurrency policy."""
    unfinished = {
        job_id: runs[job_id].state for job_id in draft.tracked(status) if job_id in runs and runs[job_id].unfinished
    }
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
    draft: RunDraft,
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


def _scheduled_note(job_id: str, run: datetime) -> Note:
    return Note("Normal", "JobScheduled", f"job {job_id} was due at {timestamp(run)}")


def _note_missed(count: int, draft: RunDraft, why: str = "") -> None:
    if count <= 0:
        return
    draft.missed += count
    number = f"{count} or more" if count >= COUNT_MAX else str(count)
    draft.notes.append(Note("Warning", "MissedRun", f"{number} run(s) were missed{why or ' and not made up for'}"))
