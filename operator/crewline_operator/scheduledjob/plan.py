"""From what a ScheduledJob asks for and what was observed to what is to be done: a pure function.

Jobs are taken back and added first, the status is written after them: Redis keeps what was decided, so that what was
added before the operator died is not added twice when the plan is made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crewline_operator.effects.actions import INVALID_JOB, Action, AddRun, RemoveJob, TakeBackRun, WriteStatus
from crewline_operator.effects.unreadable import say_unreadable
from crewline_operator.kube.conditions import Condition, find_condition
from crewline_operator.kube.status import is_material, merge_patch
from crewline_operator.model.fault import FAULT_CHECK_SECONDS, Fault
from crewline_operator.model.key import Object
from crewline_operator.model.note import Note
from crewline_operator.model.owner import Owner
from crewline_operator.model.settings import Settings
from crewline_operator.model.urgency import Urgency
from crewline_operator.scheduledjob.conditions import NEVER_RUNS, build_conditions
from crewline_operator.scheduledjob.observed import Observed, Placed, Runs
from crewline_operator.scheduledjob.runs import RunPlan, plan_runs
from crewline_operator.scheduledjob.schedule import InvalidSchedule, Schedule
from crewline_operator.scheduledjob.spec import ScheduledJob

#: Runs that have not ended are looked at this often.
FOLLOW_SECONDS = 2.0
#: A timer of the operator must not come before Redis' clock says that a run is due.
LATE_SECONDS = 0.02
#: Fields that move on their own, and are therefore written at intervals only.
NUMBERS = ("active", "activeCount")
INVALID_SCHEDULE = "InvalidSchedule"


@dataclass(frozen=True)
class Plan:
    """What to do for a ScheduledJob, in this order."""

    actions: Sequence[Action]
    #: For the plan that takes it back when the object is gone.
    placed: Placed | None
    #: Seconds after which to look again, if nothing happens before.
    check_after_seconds: float | None = None


def plan(scheduled: ScheduledJob, observed: Observed, settings: Settings) -> Plan:
    """What to do for a ScheduledJob now."""
    try:
        schedule = Schedule(scheduled.schedule, scheduled.time_zone)
    except InvalidSchedule as error:
        return _stopped(scheduled, observed, Fault(INVALID_SCHEDULE, str(error)), settings)
    if observed.refusal is not None:
        return _stopped(scheduled, observed, observed.refusal, settings)
    if isinstance(observed.runs, Fault):
        return _stopped(scheduled, observed, observed.runs, settings)
    return _scheduled(scheduled, schedule, observed, observed.runs, settings)


def plan_unreadable(obj: Object, fault: Fault, now: datetime) -> list[Action]:
    """What to do for a ScheduledJob that can't be read: say so, and leave its runs as they are."""
    return say_unreadable(obj, [Condition("Ready", False, fault.reason, fault.message)], now)


def plan_gone(placed: Placed | None) -> list[Action]:
    """What to do when a ScheduledJob is gone: its next run must not come. Nothing holds up a deletion."""
    return [TakeBackRun(placed.queue, placed.uid, forget=True, optional=True)] if placed is not None else []


def _stopped(scheduled: ScheduledJob, observed: Observed, fault: Fault, settings: Settings) -> Plan:
    """Nothing can be decided: leave the runs as they are, and say why."""
    writes, _ = _status_writes(scheduled, observed, dict(observed.status), fault, settings)
    waits_for_an_edit = fault.reason in (INVALID_SCHEDULE, INVALID_JOB)
    return Plan(
        actions=[*writes, *_fault_notes(observed, fault)],
        placed=observed.placed,
        check_after_seconds=None if waits_for_an_edit else FAULT_CHECK_SECONDS,
    )


def _scheduled(scheduled: ScheduledJob, schedule: Schedule, observed: Observed, runs: Runs, settings: Settings) -> Plan:
    planned = plan_runs(scheduled, schedule, observed.status, runs.states, runs.now, runs.mark)
    fault = NEVER_RUNS if planned.next_run is None and not scheduled.suspend else None
    checks = [FOLLOW_SECONDS] if planned.status["activeCount"] else []
    if planned.next_run is not None:
        checks.append(max(0.0, (planned.next_run - runs.now).total_seconds()) + LATE_SECONDS)
    writes, written_in = _status_writes(scheduled, observed, planned.status, fault, settings)
    actions: list[Action] = [
        *_removes(scheduled, planned, observed, runs),
        *_adds(scheduled, planned, runs, observed.me),
        *writes,
    ]
    actions += _fault_notes(observed, fault)
    actions += planned.notes
    return Plan(
        actions=actions,
        placed=Placed(runs.queue, scheduled.uid),
        check_after_seconds=min([*checks, *([written_in] if written_in is not None else [])], default=None),
    )


def _removes(
    scheduled: ScheduledJob, planned: RunPlan, observed: Observed, runs: Runs
) -> list[RemoveJob | TakeBackRun]:
    removes: list[RemoveJob | TakeBackRun] = [RemoveJob(runs.queue, job_id) for job_id in planned.remove]
    if planned.take_back is not None:
        removes.append(TakeBackRun(runs.queue, scheduled.uid))
    if planned.remove_elsewhere is not None and observed.earlier_queue is not None:
        removes.append(TakeBackRun(observed.earlier_queue, scheduled.uid, forget=True, optional=True))
    return removes


def _adds(scheduled: ScheduledJob, planned: RunPlan, runs: Runs, me: Owner) -> list[AddRun]:
    attempts = {} if scheduled.attempts is None else {"attempts": scheduled.attempts}
    return [
        AddRun(
            queue=runs.queue,
            owner=me,
            run=add.run,
            name=scheduled.job_name,
            data=scheduled.data,
            options={"job_id": add.job_id, "priority": scheduled.priority} | attempts,
            digest=scheduled.job_digest,
        )
        for add in planned.add
    ]


def _status_writes(
    scheduled: ScheduledJob, observed: Observed, status: dict[str, Any], fault: Fault | None, settings: Settings
) -> tuple[list[WriteStatus], float | None]:
    """Write what moved of the status with its conditions, or say in how many seconds it may be."""
    status["observedGeneration"] = scheduled.generation
    status["conditions"] = build_conditions(scheduled, observed.status, fault, observed.now)
    patch = merge_patch(observed.status, status)
    if not patch:
        return [], None
    if is_material(patch, NUMBERS):
        return [WriteStatus(patch, Urgency.MATERIAL)], None
    if observed.status_age_seconds >= settings.status_seconds:
        return [WriteStatus(patch, Urgency.NUMBERS)], None
    return [], settings.status_seconds - observed.status_age_seconds


def _fault_notes(observed: Observed, fault: Fault | None) -> list[Note]:
    """An Event when what is wrong is something else than in the status."""
    if fault is None or find_condition(observed.status, "Ready").get("reason") == fault.reason:
        return []
    return [Note("Warning", fault.reason, fault.message)]
