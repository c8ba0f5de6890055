"""The plan for a ScheduledJob: what goes to Redis, what the conditions say, and which Events are left."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from crewline_operator.effects.actions import INVALID_JOB, AddRun, TakeBackRun, WriteStatus
from crewline_operator.model.fault import FAULT_CHECK_SECONDS, Fault
from crewline_operator.model.key import Key
from crewline_operator.model.moments import epoch_ms, timestamp
from crewline_operator.model.note import Note
from crewline_operator.model.owner import Owner
from crewline_operator.model.queue_ref import QueueRef
from crewline_operator.model.settings import Settings
from crewline_operator.model.urgency import Urgency
from crewline_operator.scheduledjob.conditions import NEVER_RUNS, build_conditions
from crewline_operator.scheduledjob.observed import Observed, Placed, Runs, RunState
from crewline_operator.scheduledjob.plan import FOLLOW_SECONDS, LATE_SECONDS, Plan, plan_gone
from crewline_operator.scheduledjob.plan import plan as plan_with
from crewline_operator.scheduledjob.spec import ScheduledJob, parse_scheduledjob

from tests.unit.operator.factories import conditions, patched

A = TypeVar("A")
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FIVE = timedelta(minutes=5)
EMAILS = QueueRef(Key("JobQueue", "shop", "emails"), "bull", "emails")
ME = Owner("cluster-1", "shop", "digest", "uid-9")
PLACED = Placed(EMAILS, "uid-9")
UNREACHABLE = Fault("RedisUnreachable", "Redis of JobQueue 'emails' does not answer in time")


def scheduled(**spec: Any) -> ScheduledJob:
    defaults = {
        "queueRef": {"name": "emails"},
        "schedule": "*/5 * * * *",
        "job": {"name": "digest", "data": {"n": 1}, "priority": 3},
    }
    metadata = {"namespace": "shop", "name": "digest", "uid": "uid-9", "generation": 4}
    return parse_scheduledjob({"metadata": metadata | {"creationTimestamp": timestamp(NOON)}, "spec": defaults | spec})


def observed(after: timedelta = timedelta(seconds=1), *, states: Any = None, **parts: Any) -> Observed:
    """A queue whose Redis answers, `after` noon."""
    now = NOON + after
    return Observed(**({"now": now, "me": ME, "runs": Runs(EMAILS, now, states or {})} | parts))


def plan(scheduled: ScheduledJob, observed: Observed) -> Plan:
    return plan_with(scheduled, observed, Settings())


def actions(planned: Plan, kind: type[A]) -> list[A]:
    return [action for action in planned.actions if isinstance(action, kind)]


def notes(planned: Plan) -> list[tuple[str, str]]:
    return [(note.type, note.reason) for note in actions(planned, Note)]


def written(planned: Plan, status: dict[str, Any] | None = None) -> dict[str, Any]:
    """The status after the plan."""
    (write,) = actions(planned, WriteStatus)
    return patched(status or {}, dict(write.patch))


def id_at(run: datetime) -> str:
    return f"uid-9-{epoch_ms(run)}"


def test_the_next_run_goes_to_redis_with_its_time_and_the_status_after_it() -> None:
    planned = plan(scheduled(), observed())
    add, write = planned.actions
    options = {"job_id": id_at(NOON + FIVE), "priority": 3}
    assert add == AddRun(EMAILS, ME, NOON + FIVE, "digest", {"n": 1}, options, scheduled().job_digest)
    assert isinstance(write, WriteStatus)
    assert planned.placed == PLACED
    assert planned.check_after_seconds == 299 + LATE_SECONDS
    assert conditions(written(planned)) == {"Ready": ("True", "Scheduled"), "Suspended": ("False", "NotSuspended")}
    assert all(each["observedGeneration"] == 4 for each in written(planned)["conditions"])


def test_a_run_that_is_due_is_not_delayed_and_is_told_after_it_was_added() -> None:
    planned = plan(scheduled(concurrencyPolicy="Forbid", job={"name": "digest", "attempts": 7}), observed(FIVE))
    (add,) = actions(planned, AddRun)
    assert add.run == NOON + FIVE
    assert add.options == {"job_id": id_at(NOON + FIVE), "priority": 0, "attempts": 7}
    assert [type(action) for action in planned.actions] == [AddRun, WriteStatus, Note]
    assert notes(planned) == [("Normal", "JobScheduled")]
    assert planned.check_after_seconds == FOLLOW_SECONDS, "what has not ended is followed"


def test_a_steady_schedule_asks_for_nothing() -> None:
    first = plan(scheduled(), observed())
    placed = {id_at(NOON + FIVE): RunState("delayed")}
    again = plan(scheduled(), observed(timedelta(seconds=2), states=placed, status=written(first)))
    assert again.actions == []
    assert (again.placed, again.check_after_seconds) == (first.placed, 298 + LATE_SECONDS)


def test_suspending_takes_the_placed_run_back() -> None:
    first = plan(scheduled(), observed())
    held = plan(scheduled(suspend=True), observed(status=written(first), placed=first.placed))
    assert actions(held, TakeBackRun) == [TakeBackRun(EMAILS, "uid-9")]
    assert (held.placed, held.check_after_seconds) == (PLACED, None)
    seen = conditions(written(held, written(first)))
    assert seen == {"Ready": ("True", "Suspended"), "Suspended": ("True", "Suspended")}


def test_a_run_left_in_another_queue_is_taken_back_where_it_is_if_that_can_be_reached() -> None:
    first = plan(scheduled(), observed())
    reports = QueueRef(Key("JobQueue", "shop", "reports"), "bull", "reports")
    seen = observed(runs=Runs(reports, NOON, {}), status=written(first), earlier_queue=EMAILS)
    moved = plan(scheduled(queueRef={"name": "reports"}), seen)
    assert actions(moved, TakeBackRun) == [TakeBackRun(EMAILS, "uid-9", forget=True, optional=True)]
    assert [add.queue for add in actions(moved, AddRun)] == [reports]
    lost = plan(scheduled(queueRef={"name": "reports"}), replace(seen, earlier_queue=None))
    assert actions(lost, TakeBackRun) == []


def urgencies(planned: Plan) -> list[Urgency]:
    return [write.urgency for write in actions(planned, WriteStatus)]


def test_what_was_decided_is_written_at_once_and_how_a_run_gets_on_at_intervals() -> None:
    first = plan(scheduled(), observed())
    assert urgencies(first) == [Urgency.MATERIAL]
    placed = id_at(NOON + FIVE)
    due = plan(scheduled(), observed(FIVE, states={placed: RunState("waiting")}, status=written(first)))
    assert urgencies(due) == [Urgency.MATERIAL]
    status = written(due, written(first))
    following = {id_at(NOON + 2 * FIVE): RunState("delayed")}
    runs = {"states": following | {placed: RunState("active")}, "status": status}
    soon = plan(scheduled(), observed(FIVE + timedelta(seconds=2), status_age_seconds=1.5, **runs))
    assert (urgencies(soon), soon.check_after_seconds) == ([], FOLLOW_SECONDS)
    later = plan(scheduled(), observed(FIVE + timedelta(seconds=6), status_age_seconds=5.5, **runs))
    assert urgencies(later) == [Urgency.NUMBERS]
    ended = runs | {"states": following | {placed: RunState("completed", 5)}}
    result = plan(scheduled(), observed(FIVE + timedelta(seconds=7), status_age_seconds=1, **ended))
    assert urgencies(result) == [Urgency.MATERIAL]
    assert written(result, status)["lastResult"]["state"] == "completed"


FAULTS = [
    ({"runs": Fault("QueueNotFound", "create it")}, {}, "QueueNotFound", FAULT_CHECK_SECONDS),
    ({"runs": UNREACHABLE}, {}, "RedisUnreachable", FAULT_CHECK_SECONDS),
    ({"refusal": UNREACHABLE}, {}, "RedisUnreachable", FAULT_CHECK_SECONDS),
    ({"refusal": Fault(INVALID_JOB, "spec.job: too long")}, {}, INVALID_JOB, None),
    ({"runs": UNREACHABLE}, {"schedule": "0 0 30 2 *"}, "InvalidSchedule", None),
]


@pytest.mark.parametrize(("seen", "spec", "reason", "check"), FAULTS)
def test_a_fault_is_told_once_and_leaves_runs_and_suspension_as_they_were(
    seen: dict[str, Any], spec: dict[str, Any], reason: str, check: float | None
) -> None:
    before = plan(scheduled(), observed())
    known: dict[str, Any] = {"status": written(before), "placed": before.placed}
    stopped = plan(scheduled(suspend=True, **spec), observed(**known | seen))
    assert [type(action) for action in stopped.actions] == [WriteStatus, Note]
    assert notes(stopped) == [("Warning", reason)]
    status = written(stopped, written(before))
    assert conditions(status) == {"Ready": ("False", reason), "Suspended": ("False", "NotSuspended")}
    assert status | {"conditions": 0} == written(before) | {"conditions": 0}
    assert (stopped.placed, stopped.check_after_seconds) == (before.placed, check)
    still = plan(scheduled(suspend=True, **spec), observed(**known | seen | {"status": status}))
    assert still.actions == []


def test_a_schedule_that_never_comes_is_told_and_suspending_it_takes_effect() -> None:
    before = {"conditions": [{"type": "Suspended", "status": "False", "reason": "NotSuspended"}]}
    built = {"conditions": build_conditions(scheduled(suspend=True), before, NEVER_RUNS, NOON)}
    assert conditions(built) == {"Ready": ("False", "NeverRuns"), "Suspended": ("True", "Suspended")}


def test_when_it_is_gone_its_placed_run_is_taken_back_if_that_can_be_done() -> None:
    assert plan_gone(PLACED) == [TakeBackRun(EMAILS, "uid-9", forget=True, optional=True)]
    assert plan_gone(None) == []
