"""The status of a ScheduledJob, from what a plan of its runs came to. Pure, like the plan it is a part of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from crewline_operator.model.moments import timestamp, timestamp_ms
from crewline_operator.scheduledjob.draft import RunDraft
from crewline_operator.scheduledjob.observed import RunState
from crewline_operator.scheduledjob.spec import ScheduledJob

#: Runs that have not ended and are followed.
ACTIVE_MAX = 20
REASON_MAX_CHARS = 1024


def build_run_status(
    scheduled: ScheduledJob,
    status: Mapping[str, Any],
    runs: Mapping[str, RunState],
    draft: RunDraft,
    *,
    placed: dict[str, Any] | None,
    decided_until: datetime,
    next_run: datetime | None,
) -> dict[str, Any]:
    """The whole status to have, but for its conditions."""
    active = _active(status, runs, draft)
    last_run = timestamp(draft.last_run) if draft.last_run is not None else status.get("lastScheduleTime")
    optional = {
        "active": active[-ACTIVE_MAX:] or None,
        "lastScheduleTime": last_run,
        "nextScheduleTime": timestamp(next_run) if next_run is not None else None,
        "placed": placed,
        "lastResult": _last_result(status, runs, draft),
    }
    return {
        "observedGeneration": scheduled.generation,
        "decidedUntil": timestamp(decided_until),
        "decidedFor": scheduled.decided_for,
        "missedRuns": status.get("missedRuns", 0) + draft.missed,
        "skippedRuns": status.get("skippedRuns", 0) + draft.skipped,
        "activeCount": len(active),
    } | {name: value for name, value in optional.items() if value is not None}


def _active(status: Mapping[str, Any], runs: Mapping[str, RunState], draft: RunDraft) -> list[dict[str, str]]:
    active = []
    for job_id in draft.tracked(status):
        known = runs.get(job_id)
        if draft.adds(job_id):
            active.append({"id": job_id, "state": "waiting"})
        elif known is not None and known.unfinished and job_id not in draft.remove:
            active.append({"id": job_id, "state": known.state})
    return active


def _last_result(status: Mapping[str, Any], runs: Mapping[str, RunState], draft: RunDraft) -> Any:
    """The run that ended last among those that were active, else what was known before."""
    ended = [
        (runs[job_id].finished_ms or 0, job_id)
        for job_id in draft.tracked(status)
        if job_id in runs and not runs[job_id].unfinished and not draft.adds(job_id)
    ]
    if not ended:
        return status.get("lastResult")
    _, job_id = max(ended)
    run = runs[job_id]
    result: dict[str, Any] = {"id": job_id, "state": "removed" if run.state == "unknown" else run.state}
    finished = timestamp_ms(run.finished_ms) if run.finished_ms is not None else None
    if finished is not None:
        result["finishedAt"] = finished
    if run.reason:
        result["reason"] = run.reason[:REASON_MAX_CHARS]
    return result
