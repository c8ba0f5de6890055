"""Which handlers have no child process: known from what was seen of late, and from nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from crewline import Job, LeaseLost, Reject, Retry
from crewline.worker.handlers.targets import Targets
from crewline.worker.processes.answers import ChildDied, ChildFailed, ChildUnavailable
from crewline.worker.processes.childless import Childless
from crewline.worker.processes.children import Children
from crewline.worker.processes.messages import Where
from crewline.worker.runs.calling import Calling
from crewline.worker.runs.run import Lease, Run
from crewline.worker.runs.slots import Slots


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("crewline.worker.processes.childless.time", made)
    return made


async def call(job: Job) -> None: ...


JOB, OTHER = (Job(None, job_id, "n", None, {}) for job_id in ("1", "2"))  # type: ignore[arg-type]


def test_a_handler_that_has_had_no_child_for_long_has_none_for_a_while(clock: Clock) -> None:
    childless = Childless()
    childless.unready(call)
    clock.now += 20
    childless.ran(call)
    childless.unready(call)
    clock.now += 29
    childless.unready(call)
    assert not childless.has_none(call, JOB)
    clock.now += 2
    childless.unready(call)
    assert childless.has_none(call, JOB)
    clock.now += 301
    assert not childless.has_none(call, JOB)


def test_a_handler_that_a_child_could_not_import_is_tried_again_after_a_while(clock: Clock) -> None:
    childless = Childless()
    childless.unable(call)
    clock.now += 299
    assert childless.has_none(call, JOB)
    clock.now += 2
    assert not childless.has_none(call, JOB)


def test_two_children_that_were_not_ready_a_day_apart_tell_nothing_of_the_time_between(clock: Clock) -> None:
    childless = Childless()
    childless.unready(call)
    clock.now += 86_400
    childless.unready(call)
    assert not childless.has_none(call, JOB)
    clock.now += 31
    childless.unready(call)
    assert childless.has_none(call, JOB)


def test_children_that_take_all_their_time_before_they_are_given_up_tell_of_one_state(clock: Clock) -> None:
    childless = Childless()
    childless.unready(call)
    clock.now += 62
    childless.unready(call)
    assert childless.has_none(call, JOB)


def test_a_job_that_could_not_be_sent_to_a_child_says_nothing_of_others(clock: Clock) -> None:
    childless = Childless()
    childless.unsendable(JOB)
    assert childless.has_none(call, JOB) and not childless.has_none(call, OTHER)
    clock.now += 301
    childless.unsendable(OTHER)
    assert not childless.has_none(call, JOB)


ENDS = [ChildFailed("why", ""), Reject("no"), Retry("later"), LeaseLost("gone"), ChildDied(7), TimeoutError("late")]


@pytest.mark.parametrize("error", ENDS)
async def test_a_child_that_has_run_a_job_shows_that_there_are_children_whatever_became_of_it(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    raised: list[Exception] = [ChildUnavailable("none"), error, ChildUnavailable("none")]

    async def run(*_: Any, **__: Any) -> None:
        raise raised.pop(0)

    monkeypatch.setattr(Children, "run", run)
    monkeypatch.setattr("crewline.worker.runs.calling.PAUSE_SECONDS", 0.0)
    targets = Targets(call, None)
    calling = Calling(targets, Slots(1), Where("redis://nowhere", "bull", "emails", 1.0), None)
    for expected in list(raised):
        with pytest.raises(type(expected)):
            await calling.call_alone(Run(JOB, Lease("token", "1:1")), targets.all()[0])
        clock.now += 31
    assert not calling.childless.has_none(call, JOB)
