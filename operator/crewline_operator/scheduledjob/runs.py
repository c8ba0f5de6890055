"""Which runs of a ScheduledJob to add, skip or take back: a pure function.

Every run that is due is decided once, and `decidedUntil` in the status says up to when. With policy Allow the next run
is already in Redis as a delayed job, so it is on time even if no operator runs then; Forbid and Replace have to look
at the last run first and are decided when due. The jobs go to Redis first, the status after them, and Redis keeps what
was decided, so that whatever is done twice adds one job. Where Redis knows more than the status, that was not written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crewline_operator.kube.conditions import find_condition
from crewline_operator.model.marks import Mark
from crewline_operator.model.moments import epoch_ms, moment_ms, parse_timestamp, timestamp
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
    #: The run ahead, which is taken back before another one is added.
    take_back: str | None
    #: A JobQueue and the id of a run placed there before spec.queueRef was changed.
    remove_elsewhere: tuple[str, str] | None
    add: list[Add]
    status: dict[str, Any]
    notes: list[Note]
    next_run: datetime | None


def plan_runs(
    scheduled: ScheduledJob,
    schedule: Schedule,
    status: Mapping[str, Any],
    runs: Mapping[str, RunState],
    now: datetime,
    mark: Mark | None = None,
) -> RunPlan:
    """What to do now. `runs` has the status' and the mark's runs as they are in Redis."""
    draft = RunDraft()
    decided_until = _decided_until(scheduled, status, now)
    next_run = None if scheduled.suspend else schedule.next_after(now)
    taken = _take_added(scheduled, status, mark, decided_until, now, draft)
    placed_run = max(taken, default=None)
    if not scheduled.suspend:
        due = schedule.due(decided_until, now)
        if due.latest is not None:
            on_time = sum(1 for run in taken if run > decided_until)
            decided_until = due.latest
            if placed_run is None or placed_run < due.latest:
                _decide(scheduled, status, runs, due.latest, due.count - on_time, now, draft)
            else:
                _note_missed(due.count - on_time, draft)
    before = _placed(scheduled, status, mark, now) or {}
    placed = _place(scheduled, before, runs, next_run, now, draft)
    moved = before and before.get("queueRef") != scheduled.queue_ref and run_of(before["id"]) > now
    return RunPlan(
        remove=draft.remove,
        take_back=draft.take_back,
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
    return moment_ms(int(job_id.rpartition("-")[2]))


def _decided_until(scheduled: ScheduledJob, status: Mapping[str, Any], now: datetime) -> datetime:
    """Up to when runs are decided. What passed while suspended, or under another schedule, is not made up for."""
    if "decidedUntil" not in status:
        # The API server's clock may be ahead of Redis'.
        return min(scheduled.created, now)
    was_suspended = find_condition(status, "Suspended").get("status") == "True"
    if was_suspended != scheduled.suspend or status.get("decidedFor") != scheduled.decided_for:
        return now
    return parse_timestamp(status["decidedUntil"])


def _take_added(
    scheduled: ScheduledJob,
    status: Mapping[str, Any],
    mark: Mark | None,
    decided_until: datetime,
    now: datetime,
    draft: RunDraft,
) -> list[datetime]:
    """Note runs that were added and have become due: those in Redis before are on time, whoever was away."""
    placed = status.get("placed", {})
    added = {run_of(placed["id"])} if placed and _is_known(scheduled, placed, mark) else set()
    # What is told by the status as well is told already.
    added |= {run for run in _marked(mark) if run > decided_until}
    taken = sorted(run for run in added if run <= now)
    for run in taken:
        job_id = scheduled.job_id(run)
        draft.last_run = run
        draft.started.append(job_id)
        draft.notes.append(_scheduled_note(job_id, run))
    return taken


def _is_known(scheduled: ScheduledJob, placed: Mapping[str, Any], mark: Mark | None) -> bool:
    """Whether a run that the status tells of went to Redis and was not lost there since; another queue is not read."""
    if placed.get("queueRef") != scheduled.queue_ref:
        return True
    return mark is not None and mark.knows(epoch_ms(run_of(placed["id"])))


def _marked(mark: Mark | None) -> list[datetime]:
    return [moment_ms(ms) for ms in (mark.decided_ms, mark.ahead_ms) if ms] if mark is not None else []


def _placed(scheduled: ScheduledJob, status: Mapping[str, Any], mark: Mark | None, now: datetime) -> Any:
    """The run ahead that Redis has: what it says itself, else what the status says."""
    placed = status.get("placed")
    if mark is None or mark.ahead_ms is None or moment_ms(mark.ahead_ms) <= now:
        return placed
    if placed and placed.get("queueRef") != scheduled.queue_ref:
        # It was in another queue, and is to be taken back there first.
        return placed
    return {"id": scheduled.job_id_ms(mark.ahead_ms), "queueRef": scheduled.queue_ref, "job": mark.digest}


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
    before: Mapping[str, Any],
    runs: Mapping[str, RunState],
    next_run: datetime | None,
    now: datetime,
    draft: RunDraft,
) -> dict[str, Any] | None:
    """Have the next run, and no other, in Redis ahead of its time."""
    wanted: dict[str, Any] | None = None
    if next_run is not None and scheduled.concurrency_policy == "Allow":
        wanted = {
            "id": scheduled.job_id(next_run),
            "queueRef": scheduled.queue_ref,
            "job": scheduled.job_digest,
        }
    if before and before != wanted and run_of(before["id"]) > now and before.get("queueRef") == scheduled.queue_ref:
        draft.take_back = before["id"]
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
