"""When queues are read again."""

from __future__ import annotations

import math

from crewline_operator.redis.agenda import Agenda, next_turn


def test_what_is_asked_for_at_once_comes_before_what_is_due_and_each_once() -> None:
    agenda: Agenda[str] = Agenda()
    for name in "abc":
        agenda.plan(name, 10.0)
    agenda.add("c")
    agenda.add("c")
    agenda.plan("c", 5.0)
    assert agenda.next_at() == -math.inf
    assert agenda.take(10.0, 2) == ["c", "a"]
    assert agenda.take(10.0, 2) == ["b"]
    assert (agenda.take(100.0, 2), agenda.next_at()) == ([], None)


def test_nothing_is_taken_before_its_time_and_the_earlier_of_two_times_counts() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.plan("a", 10.0)
    agenda.plan("a", 5.0)
    agenda.plan("a", 20.0)
    assert (agenda.next_at(), agenda.take(4.9, 9)) == (5.0, [])
    assert agenda.take(5.0, 9) == ["a"]
    assert agenda.take(30.0, 9) == []


def test_what_is_dropped_is_not_read_whichever_way_it_was_asked_for() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.plan("a", 1.0)
    agenda.add("b")
    agenda.drop("a")
    agenda.drop("b")
    assert (agenda.next_at(), agenda.take(9.0, 9)) == (None, [])
    agenda.plan("a", 2.0)
    assert agenda.take(9.0, 9) == ["a"], "a time that was dropped does not stand for a later one"


def test_turns_of_one_interval_fall_together_and_lie_ahead() -> None:
    assert {next_turn(now, 1.0) for now in (7.0, 7.2, 7.999)} == {8.0}
    assert next_turn(8.0, 1.0) == 9.0
    assert next_turn(8.0, 10.0, phase_seconds=2.5) == 12.5
    assert next_turn(12.5, 10.0, phase_seconds=2.5) == 22.5
