"""Runs of a ScheduledJob: on time, once each, whoever was away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from crewline_operator.model.marks import Mark
from crewline_operator.model.moments import epoch_ms, timestamp
from crewline_operator.model.owner import Owner
from crewline_operator.scheduledjob.draft import Add
from crewline_operator.scheduledjob.runs import RunPlan, plan_runs
from crewline_operator.scheduledjob.schedule import Schedule
from crewline_operator.scheduledjob.spec import parse_scheduledjob
from crewline_operator.scheduledjob.status import RunState

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FIVE = timedelta(minutes=5)


class Scheduled:
    """A ScheduledJob every five minutes, with a Redis and a status that remember."""

    def __init__(self, **spec: Any) -> None:
        self.spec: dict[str, Any] = {
            "queueRef": {"name": "emails"},
            "schedule": "*/5 * * * *",
            "timeZone": "Etc/UTC",
            "concurrencyPolicy": "Allow",
            "job": {"name": "digest", "data": {"n": 1}},
        } | spec
        self.status: dict[str, Any] = {}
        #: Job id -> state, as Redis has them, and what it has of them beside.
        self.redis: dict[str, RunState] = {}
        self.decided_ms = 0
        self.ahead_ms: int | None = None
        self.digest: str | None = None
        self.added: list[str] = []
        self.removed: list[str] = []
        self.notes: list[str] = []

    def reconcile(self, now: datetime, *, write: bool = True) -> RunPlan:
        """One reconcile. Without `write` the operator dies after it has been to Redis."""
        metadata = {"namespace": "shop", "name": "digest", "uid": "uid-9", "creationTimestamp": timestamp(NOON)}
        scheduled = parse_scheduledjob({"metadata": metadata, "spec": self.spec})
        ids = [run["id"] for run in self.status.get("active", ())]
        ids += [self.status["placed"]["id"]] if "placed" in self.status else []
        mark = Mark(Owner("c", "shop", "digest", "uid-9"), self.decided_ms, self.ahead_ms, self.digest)
        ids += [scheduled.job_id_ms(ms) for ms in (mark.decided_ms, mark.ahead_ms) if ms]
        runs = {job_id: self.redis.get(job_id, RunState("unknown")) for job_id in ids}
        planned = plan_runs(scheduled, Schedule(scheduled.schedule, scheduled.time_zone), self.status, runs, now, mark)
        taken_back = [planned.take_back] if planned.take_back is not None else []
        for job_id in planned.remove + taken_back:
            self.removed.append(job_id)
            del self.redis[job_id]
        if taken_back:
            self.ahead_ms = None
        for add in planned.add:
            self.add(add, now, scheduled.job_digest)
        if write:
            suspended = "True" if scheduled.suspend else "False"
            self.status = planned.status | {"conditions": [{"type": "Suspended", "status": suspended}]}
            self.notes += [note.reason for note in planned.notes]
        return planned

    def add(self, add: Add, now: datetime, digest: str) -> None:
        """As the engine's add_run does."""
        run_ms = epoch_ms(add.run)
        if self.ahead_ms is not None and self.ahead_ms <= epoch_ms(now):
            self.decided_ms, self.ahead_ms = max(self.decided_ms, self.ahead_ms), None
        if run_ms <= self.decided_ms or run_ms == self.ahead_ms or add.job_id in self.redis:
            return
        assert add.run <= now or self.ahead_ms in (None, run_ms), "the run ahead is taken back first"
        self.added.append(add.job_id)
        if add.run > now:
            self.ahead_ms, self.digest = run_ms, digest
        else:
            self.decided_ms = run_ms
        self.redis[add.job_id] = RunState("delayed" if add.run > now else "waiting")

    def set(self, job_id: str, state: str, **fields: Any) -> None:
        self.redis[job_id] = RunState(state, **fields)


def id_at(run: datetime) -> str:
    return f"uid-9-{epoch_ms(run)}"


def test_the_next_run_is_in_redis_before_it_is_due() -> None:
    sj = Scheduled()
    sj.reconcile(NOON + timedelta(seconds=1))
    assert sj.added == [id_at(NOON + FIVE)]
    assert sj.status["nextScheduleTime"] == "2026-03-01T12:05:00Z"
    assert "lastScheduleTime" not in sj.status


def test_when_it_becomes_due_it_is_noted_and_the_following_one_is_placed() -> None:
    sj = Scheduled()
    sj.reconcile(NOON + timedelta(seconds=1))
    sj.set(id_at(NOON + FIVE), "active")
    sj.reconcile(NOON + FIVE + timedelta(seconds=1))
    assert sj.added == [id_at(NOON + FIVE), id_at(NOON + 2 * FIVE)]
    assert sj.status["lastScheduleTime"] == "2026-03-01T12:05:00Z"
    assert sj.status["active"] == [{"id": id_at(NOON + FIVE), "state": "active"}]
    assert sj.notes == ["JobScheduled"]
    assert sj.status["missedRuns"] == 0


def test_reconciling_again_changes_nothing() -> None:
    sj = Scheduled()
    sj.reconcile(NOON + timedelta(seconds=1))
    before = dict(sj.status)
    planned = sj.reconcile(NOON + timedelta(seconds=2))
    assert (planned.add, planned.remove, planned.notes) == ([], [], [])
    assert planned.status.items() <= before.items()


def test_an_operator_that_dies_between_redis_and_status_adds_nothing_twice() -> None:
    sj = Scheduled()
    sj.reconcile(NOON + timedelta(seconds=1), write=False)
    sj.reconcile(NOON + timedelta(seconds=2), write=False)
    sj.reconcile(NOON + timedelta(seconds=3))
    assert sj.added == [id_at(NOON + FIVE)]
    sj.reconcile(NOON + FIVE, write=False)
    sj.reconcile(NOON + FIVE + timedelta(seconds=30))
    assert sj.added == [id_at(NOON + FIVE), id_at(NOON + 2 * FIVE)]
    assert sj.status["lastScheduleTime"] == "2026-03-01T12:05:00Z"


@pytest.mark.parametrize("policy", ["Allow", "Forbid", "Replace"])
def test_a_run_whose_job_is_done_and_gone_is_not_added_again_where_the_status_could_not_be_written(policy: str) -> None:
    sj = Scheduled(concurrencyPolicy=policy)
    sj.reconcile(NOON + timedelta(seconds=1))
    for seconds in (0, 10, 20):
        sj.reconcile(NOON + FIVE + timedelta(seconds=seconds), write=False)
        sj.redis.pop(id_at(NOON + FIVE), None)
    sj.reconcile(NOON + FIVE + timedelta(seconds=30))
    assert sj.added.count(id_at(NOON + FIVE)) == 1
    assert sj.status["lastScheduleTime"] == "2026-03-01T12:05:00Z"
    assert sj.status["lastResult"] == {"id": id_at(NOON + FIVE), "state": "removed"}
    assert (sj.status["missedRuns"], sj.notes) == (0, ["JobScheduled"])


def test_a_run_that_was_placed_and_came_while_no_status_could_be_written_was_on_time() -> None:
    sj = Scheduled()
    sj.reconcile(NOON + timedelta(seconds=1), write=False)
    sj.redis.clear()
    sj.reconcile(NOON + FIVE + timedelta(seconds=1))
    assert sj.added == [id_at(NOON + FIVE), id_at(NOON + 2 * FIVE)]
    assert (sj.status["missedRuns"], sj.notes) == (0, ["JobScheduled"])
    sj.reconcile(NOON + FIVE + timedelta(seconds=2))
    assert sj.notes == ["JobScheduled"], "and is told once"


def test_a_run_that_was_placed_for_another_schedule_is_taken_back_though_no_status_says_so() -> None:
    sj = Scheduled()
    sj.reconcile(NOON + timedelta(seconds=1), write=False)
    sj.spec["schedule"] = "*/2 * * * *"
    sj.reconcile(NOON + timedelta(seconds=2))
    assert sj.removed == [id_at(NOON + FIVE)]
    assert sj.status["placed"]["id"] == id_at(NOON + timedelta(minutes=2))


def test_a_run_that_came_before_it_was_suspended_is_told_once() -> None:
    sj = Scheduled()
    sj.reconcile(NOON + timedelta(seconds=1))
    sj.spec["suspend"] = True
    for minutes in (6, 7, 8):
        sj.reconcile(NOON + timedelta(minutes=minutes))
    assert (sj.removed, sj.notes) == ([], ["JobScheduled"])


def test_after_an_absence_the_placed_run_was_on_time_and_the_most_recent_missed_one_is_made_up_for() -> None:
    sj = Scheduled()
    sj.reconcile(NOON + timedelta(seconds=1))
    sj.set(id_at(NOON + FIVE), "completed", finished_ms=epoch_ms(NOON + FIVE))
    sj.reconcile(NOON + timedelta(minutes=31))
    assert sj.added[1:] == [id_at(NOON + timedelta(minutes=30)), id_at(NOON + timedelta(minutes=35))]
    assert sj.status["missedRuns"] == 4, "12:10, 12:15, 12:20 and 12:25"
    assert sj.status["lastScheduleTime"] == "2026-03-01T12:30:00Z"
    assert sj.status["lastResult"]["id"] == id_at(NOON + FIVE)
    assert sj.notes == ["JobScheduled", "MissedRun", "JobScheduled"]


def test_a_missed_run_is_not_made_up_for_after_its_deadline() -> None:
    sj = Scheduled(startingDeadlineSeconds=30)
    sj.reconcile(NOON + timedelta(seconds=1))
    sj.reconcile(NOON + timedelta(minutes=31))
    assert sj.added[1:] == [id_at(NOON + timedelta(minutes=35))]
    assert sj.status["missedRuns"] == 5


def test_a_missed_run_within_its_deadline_is_made_up_for() -> None:
    sj = Scheduled(startingDeadlineSeconds=90)
    sj.reconcile(NOON + timedelta(seconds=1))
    sj.reconcile(NOON + timedelta(minutes=31))
    assert id_at(NOON + timedelta(minutes=30)) in sj.added


def test_a_changed_schedule_takes_the_placed_run_back_and_makes_up_for_nothing() -> None:
    sj = Scheduled()
    sj.reconcile(NOON + timedelta(seconds=1))
    sj.spec["schedule"] = "*/2 * * * *"
    sj.reconcile(NOON + timedelta(minutes=3))
    assert sj.removed == [id_at(NOON + FIVE)]
    assert sj.added[1:] == [id_at(NOON + timedelta(minutes=4))]
    assert sj.status["missedRuns"] == 0


def test_a_changed_job_replaces_the_placed_one() -> None:
    sj = Scheduled()
    sj.reconcile(NOON + timedelta(seconds=1))
    sj.spec["job"] = {"name": "digest", "data": {"n": 2}}
    sj.reconcile(NOON + timedelta(seconds=2))
    assert sj.removed == [id_at(NOON + FIVE)]
    assert sj.added == [id_at(NOON + FIVE)] * 2


def test_another_queue_gets_the_run_and_the_old_one_loses_it() -> None:
    sj = Scheduled()
    sj.reconcile(NOON + timedelta(seconds=1))
    sj.spec["queueRef"] = {"name": "reports"}
    planned = sj.reconcile(NOON + timedelta(seconds=2))
    assert planned.remove_elsewhere == ("emails", id_at(NOON + FIVE))
    assert [add.job_id for add in planned.add] == [id_at(NOON + FIVE)]
    assert sj.status["placed"]["queueRef"] == "reports"


def test_suspending_takes_the_placed_run_back_and_resuming_makes_up_for_nothing() -> None:
    sj = Scheduled()
    sj.reconcile(NOON + timedelta(seconds=1))
    sj.spec["suspend"] = True
    sj.reconcile(NOON + timedelta(seconds=2))
    assert sj.removed == [id_at(NOON + FIVE)]
    assert "nextScheduleTime" not in sj.status
    sj.reconcile(NOON + timedelta(minutes=20))
    sj.spec["suspend"] = False
    sj.reconcile(NOON + timedelta(minutes=31))
    assert sj.added[1:] == [id_at(NOON + timedelta(minutes=35))]
    assert sj.status["missedRuns"] == 0


def test_a_run_that_came_due_just_before_suspending_is_still_followed() -> None:
    sj = Scheduled()
    sj.reconcile(NOON + timedelta(seconds=1))
    sj.set(id_at(NOON + FIVE), "active")
    sj.spec["suspend"] = True
    sj.reconcile(NOON + FIVE + timedelta(seconds=1))
    assert sj.removed == []
    assert sj.status["active"] == [{"id": id_at(NOON + FIVE), "state": "active"}]


def test_a_placed_run_that_someone_removed_is_skipped_and_the_following_one_is_placed() -> None:
    sj = Scheduled()
    sj.reconcile(NOON + timedelta(seconds=1))
    del sj.redis[id_at(NOON + FIVE)]
    sj.reconcile(NOON + timedelta(seconds=2))
    sj.reconcile(NOON + FIVE + timedelta(seconds=1))
    assert sj.added == [id_at(NOON + FIVE), id_at(NOON + 2 * FIVE)]


@pytest.mark.parametrize("state", ["waiting", "active", "delayed"])
def test_forbid_skips_a_run_while_the_last_one_has_not_ended(state: str) -> None:
    sj = Scheduled(concurrencyPolicy="Forbid")
    sj.reconcile(NOON + timedelta(seconds=1))
    assert sj.added == [], "what is decided when due is not placed before"
    sj.reconcile(NOON + FIVE)
    sj.set(id_at(NOON + FIVE), state)
    sj.reconcile(NOON + 2 * FIVE)
    assert sj.added == [id_at(NOON + FIVE)]
    assert sj.status["skippedRuns"] == 1
    assert sj.status["lastScheduleTime"] == "2026-03-01T12:05:00Z"
    sj.set(id_at(NOON + FIVE), "completed", finished_ms=epoch_ms(NOON + 2 * FIVE))
    sj.reconcile(NOON + 3 * FIVE)
    assert sj.added == [id_at(NOON + FIVE), id_at(NOON + 3 * FIVE)]
    assert sj.status["lastResult"]["state"] == "completed"
    assert sj.status["missedRuns"] == 0


def test_replace_takes_the_last_run_out_of_the_queue() -> None:
    sj = Scheduled(concurrencyPolicy="Replace")
    sj.reconcile(NOON + FIVE)
    sj.reconcile(NOON + 2 * FIVE)
    assert sj.removed == [id_at(NOON + FIVE)]
    assert sj.status["active"] == [{"id": id_at(NOON + 2 * FIVE), "state": "waiting"}]


def test_replace_leaves_a_run_that_a_worker_has_started_and_says_so() -> None:
    sj = Scheduled(concurrencyPolicy="Replace")
    sj.reconcile(NOON + FIVE)
    sj.set(id_at(NOON + FIVE), "active")
    sj.reconcile(NOON + 2 * FIVE)
    assert sj.removed == []
    assert sj.notes == ["JobScheduled", "RunNotReplaced", "JobScheduled"]
    assert sj.status["activeCount"] == 2


def test_a_change_from_allow_to_forbid_takes_the_placed_run_back() -> None:
    sj = Scheduled()
    sj.reconcile(NOON + timedelta(seconds=1))
    sj.spec["concurrencyPolicy"] = "Forbid"
    sj.reconcile(NOON + timedelta(seconds=2))
    assert sj.removed == [id_at(NOON + FIVE)]
    sj.reconcile(NOON + FIVE)
    assert sj.redis[id_at(NOON + FIVE)].state == "waiting", "it is decided when due, and added then"


def test_the_last_result_tells_how_the_run_ended() -> None:
    sj = Scheduled()
    sj.reconcile(NOON + timedelta(seconds=1))
    sj.set(id_at(NOON + FIVE), "failed", finished_ms=epoch_ms(NOON + FIVE) + 1500, reason="boom")
    sj.reconcile(NOON + FIVE + timedelta(seconds=2))
    assert sj.status["lastResult"] == {
        "id": id_at(NOON + FIVE), "state": "failed", "finishedAt": "2026-03-01T12:05:01Z", "reason": "boom",
    }  # fmt: skip
    assert sj.status["activeCount"] == 0


def test_at_most_twenty_active_runs_are_followed() -> None:
    sj = Scheduled()
    for minute in range(5, 5 * 25, 5):
        sj.reconcile(NOON + timedelta(minutes=minute, seconds=1))
    assert len(sj.status["active"]) == 20
