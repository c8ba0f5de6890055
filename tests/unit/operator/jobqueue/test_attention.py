"""How closely a queue is looked at."""

from __future__ import annotations

from typing import Any

import pytest
from crewline_operator.effects.actions import Attend
from crewline_operator.model.attention import Attention
from crewline_operator.model.demand import Limits
from crewline_operator.redis.reading import Reading

from tests.unit.operator.factories import deployment, observed
from tests.unit.operator.jobqueue.plans import MAILS, UNREACHABLE, actions, planned, reading


def attention(**seen: Any) -> Attention:
    """What is planned for a queue that is looked at steadily so far."""
    attends = actions(planned(observed(**seen)), Attend)
    return attends[0].attention if attends else Attention.STEADY


def test_a_queue_without_workers_sleeps_also_while_it_is_paused() -> None:
    assert attention(deployment=deployment(0)) is Attention.ASLEEP
    assert attention(deployment=deployment(0), reading=reading(waiting=5, paused=True)) is Attention.ASLEEP


def test_a_queue_is_looked_at_closely_while_its_workers_come_or_go_and_there_is_work() -> None:
    for seen in (
        {"deployment": deployment(0), "reading": reading(waiting=5)},
        {"deployment": deployment(1, ready=0), "reading": reading(waiting=5)},
        {"deployment": deployment(1), "reading": reading(waiting=15)},
    ):
        assert attention(**seen) is Attention.CLOSE
    assert attention(deployment=deployment(1), reading=reading(active=5)) is Attention.STEADY
    assert attention(deployment=deployment(1, ready=0)) is Attention.STEADY, "without a job nobody waits for it"


@pytest.mark.parametrize(
    "read",
    [Reading(fault=UNREACHABLE), reading(owner=MAILS), reading(waiting=5, limits=Limits(at_once=0))],
    ids=["it can't be read", "another has the queue", "a limit may be lifted"],
)
def test_what_no_event_tells_of_is_looked_at_steadily(read: Reading) -> None:
    assert attention(deployment=deployment(0), reading=read) is Attention.STEADY


def test_attention_is_asked_for_once() -> None:
    seen = observed(deployment=deployment(0), attention=Attention.ASLEEP)
    assert actions(planned(seen), Attend) == []
