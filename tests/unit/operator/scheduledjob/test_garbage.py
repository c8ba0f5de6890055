"""A ScheduledJob that another schema has let in: it is read, or it is told what can't be."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from crewline_operator.effects.actions import Action
from crewline_operator.model.fields import Unreadable
from crewline_operator.model.key import status_of
from crewline_operator.scheduledjob.plan import plan_unreadable
from crewline_operator.scheduledjob.spec import check_status, parse_scheduledjob
from hypothesis import given, settings

from tests.unit.operator.factories import conditions, patched
from tests.unit.operator.garbage import ANYTHING, spoiled
from tests.unit.operator.scheduledjob.test_plan import FIVE, NOON, id_at, observed, plan, scheduled, written

SPEC = {
    "queueRef": {"name": "emails"},
    "schedule": "*/5 * * * *",
    "timeZone": "Europe/Berlin",
    "startingDeadlineSeconds": 60,
    "job": {"name": "digest", "data": {"n": 1}, "priority": 3, "attempts": 2},
}
METADATA = {"namespace": "shop", "name": "digest", "uid": "uid-9", "creationTimestamp": "2026-03-01T12:00:00Z"}
STATUS = written(plan(scheduled(), observed())) | {
    "active": [{"id": id_at(NOON), "state": "active"}],
    "lastScheduleTime": "2026-03-01T12:00:00Z",
}


def reconciled(obj: dict[str, Any]) -> list[Action]:
    """What is done for a ScheduledJob as it is stored."""
    try:
        known = parse_scheduledjob(obj)
        check_status(status_of(obj))
    except Unreadable as unreadable:
        return plan_unreadable(obj, unreadable.fault, NOON)
    return [*plan(known, observed(FIVE + timedelta(seconds=1), status=status_of(obj))).actions]


@settings(max_examples=500, deadline=None)
@given(spoiled(SPEC), spoiled(STATUS) | ANYTHING)
def test_whatever_is_stored_is_planned_for_or_told(spec: Any, status: Any) -> None:
    reconciled({"metadata": METADATA, "spec": spec, "status": status})


@pytest.mark.parametrize("job_id", ["soon", "uid-9-", "uid-9-²", f"uid-9-{10**30}"])
def test_a_status_that_no_run_can_be_decided_by_is_said_once(job_id: str) -> None:
    obj = {"metadata": METADATA, "spec": SPEC, "status": {"placed": {"id": job_id, "queueRef": "emails"}}}
    write, note = reconciled(obj)
    status = patched(obj["status"], dict(write.patch))  # type: ignore[union-attr]
    assert conditions(status) == {"Ready": ("False", "InvalidStatus")}
    assert note.message == "status.placed.id names no run: delete the ScheduledJob and create it again"  # type: ignore[union-attr]
    assert reconciled(obj | {"status": status}) == []
