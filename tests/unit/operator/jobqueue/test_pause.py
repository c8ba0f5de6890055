"""spec.paused and a pause by others: who wins, and what is shown."""

from __future__ import annotations

import pytest
from crewline_operator.effects.done import PauseDenied
from crewline_operator.model.fault import FAULT_CHECK_SECONDS, Fault
from crewline_operator.redis.reading import Reading

from tests.unit.operator.factories import CLOCK, conditions, deployment, message, observed
from tests.unit.operator.jobqueue.plans import MAILS, UNREACHABLE, pause, planned, reading, status_of


@pytest.mark.parametrize("paused", [True, False])
def test_a_queue_that_another_jobqueue_has_is_that_ones_to_pause(paused: bool) -> None:
    result = planned(observed(deployment=deployment(0), reading=reading(owner=MAILS, paused=paused)), paused=True)
    assert pause(result) is None
    assert conditions(status_of(result))["Paused"] == (str(paused), "DuplicateQueue")
    assert "JobQueue shop/mails has the queue" in message(status_of(result), "Paused")


def test_spec_paused_pauses_the_queue_and_its_end_resumes_it_once_redis_agrees() -> None:
    started = planned(observed(deployment=deployment(0)), paused=True)
    assert pause(started) is True
    assert conditions(status_of(started))["Paused"] == ("True", "SpecPaused")
    assert message(status_of(started), "Paused") == "spec.paused is true: pausing", "Redis may refuse it"
    held = planned(
        observed(deployment=deployment(0), status=status_of(started), reading=reading(paused=True)), paused=True
    )
    assert pause(held) is None
    assert "workers take no more jobs" in message(status_of(held), "Paused")
    ended = planned(observed(deployment=deployment(0), status=status_of(held), reading=reading(paused=True)))
    assert pause(ended) is False
    assert conditions(status_of(ended))["Paused"] == ("True", "SpecPaused"), "until Redis says that it is resumed"
    resumed = planned(observed(deployment=deployment(0), status=status_of(ended), reading=reading()))
    assert pause(resumed) is None
    assert conditions(status_of(resumed))["Paused"] == ("False", "NotPaused")


def test_a_pause_by_somebody_else_is_shown_and_not_undone() -> None:
    result = planned(observed(deployment=deployment(0), reading=reading(paused=True)))
    assert pause(result) is None
    assert conditions(status_of(result))["Paused"] == ("True", "PausedInRedis")


def test_while_redis_is_away_the_paused_condition_stays_as_it_was() -> None:
    before = status_of(planned(observed(deployment=deployment(0), reading=reading(paused=True))))
    after = status_of(planned(observed(deployment=deployment(0), reading=Reading(fault=UNREACHABLE), status=before)))
    assert conditions(after)["Paused"] == ("True", "PausedInRedis")


def test_a_pause_that_redis_does_not_take_is_a_fault_and_asked_for_at_intervals() -> None:
    fault = Fault("RedisPermissionDenied", "the queue can't be paused: ...")
    denied = {"deployment": deployment(0), "pause_denied": PauseDenied(True, fault, CLOCK - 1)}
    waits = planned(observed(**denied), paused=True)
    assert pause(waits) is None
    assert conditions(status_of(waits))["Degraded"] == ("True", "RedisPermissionDenied")
    assert waits.check_after_seconds == FAULT_CHECK_SECONDS
    again = planned(observed(**denied, clock=CLOCK - 1 + FAULT_CHECK_SECONDS), paused=True)
    assert pause(again) is True
    taken = planned(observed(**denied, reading=reading(paused=True)), paused=True)
    assert conditions(status_of(taken))["Degraded"][0] == "False"
    resumes = planned(observed(**denied, reading=reading(paused=True), status=status_of(again)))
    assert pause(resumes) is False, "another thing is asked for"
    assert conditions(status_of(resumes))["Degraded"][0] == "False"
