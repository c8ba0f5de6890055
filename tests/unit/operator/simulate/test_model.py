"""What the simulated queue does is what one can reckon by hand."""

from __future__ import annotations

import pytest
from crewline_operator.scaling.spec import JobsPerReplica, LatencyObjective
from crewline_operator.simulate import model
from crewline_operator.simulate.model import Cluster, TooLong, simulate
from crewline_operator.simulate.outcome import Outcome
from crewline_operator.simulate.trace import Arrival
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.operator.scaling.queues import spec

CLUSTER = Cluster(startup_seconds=2.0, poll_seconds=1.0)


def waits(outcome: Outcome) -> list[float]:
    return [round(run.waited, 6) for run in outcome.runs]


def test_a_job_waits_for_the_read_and_for_the_pod_and_then_for_a_slot() -> None:
    outcome = simulate(spec(concurrency=1, max_replicas=1), [Arrival(0.5, 3, 4.0)], CLUSTER)
    assert waits(outcome) == [2.5, 6.5, 10.5]
    assert [(each.time, each.before, each.to) for each in outcome.scalings] == [(1, 0, 1), (76, 1, 0)]
    assert outcome.replica_seconds == pytest.approx(75)
    assert outcome.busy_seconds == 12


def test_workers_that_are_there_from_the_beginning_take_jobs_at_once() -> None:
    assert waits(simulate(spec(min_replicas=2, concurrency=1), [Arrival(1, 2, 1.0)], CLUSTER)) == [0, 0]


def test_workers_are_added_as_the_spec_wants_and_work_side_by_side() -> None:
    limits = spec(target=JobsPerReplica(10), concurrency=10, max_replicas=3)
    outcome = simulate(limits, [Arrival(0, 45, 5.0)], CLUSTER)
    assert waits(outcome) == [3.0] * 30 + [8.0] * 15
    assert max(look.wanted for look in outcome.looks) == 3


def test_a_worker_that_is_too_many_ends_what_it_runs() -> None:
    limits = spec(target=JobsPerReplica(1), concurrency=1, idle_seconds=10)
    outcome = simulate(limits, [Arrival(0, 2, 1.0), Arrival(1, 1, 300.0)], CLUSTER)
    down = [each for each in outcome.scalings if each.to < each.before]
    assert [(each.before, each.to) for each in down] == [(3, 2), (2, 1), (1, 0)]
    assert max(run.came + run.waited for run in outcome.runs) + 300 < outcome.ended, "the long one was left to end"


def test_jobs_that_nobody_takes_are_counted() -> None:
    outcome = simulate(spec(hold=True), [Arrival(0, 5, 1.0)], CLUSTER)
    assert (outcome.left, outcome.runs) == (5, [])


def test_a_long_job_is_looked_at_often_and_remembered_once() -> None:
    limits = spec(target=LatencyObjective(30), concurrency=1, max_replicas=1)
    outcome = simulate(limits, [Arrival(0, 2, 500.0)], CLUSTER)
    assert len(outcome.looks) < 20


def test_a_load_that_would_be_played_for_hours_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "LOOKS_MAX", 100)
    limits = spec(target=LatencyObjective(30), concurrency=1, max_replicas=1)
    with pytest.raises(TooLong, match="the queue was looked at 100 times"):
        simulate(limits, [Arrival(0, 2, 500.0)], CLUSTER)


def test_a_load_played_twice_ends_the_same() -> None:
    load = [Arrival(number * 0.37, 3, 1.7) for number in range(200)]
    assert simulate(spec(), load) == simulate(spec(), load)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 30), st.integers(0, 20), st.floats(0, 30)), min_size=1, max_size=20),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_every_job_runs_once_and_none_before_it_came(
    rows: list[tuple[float, int, float]], concurrency: int, most: int
) -> None:
    load, time = [], 0.0
    for gap, number, service_seconds in rows:
        time += gap
        load.append(Arrival(time, number, service_seconds))
    outcome = simulate(spec(concurrency=concurrency, max_replicas=most), load, CLUSTER)
    assert len(outcome.runs) == sum(each.jobs for each in load)
    assert all(run.waited >= 0 for run in outcome.runs)
    assert all(look.active <= concurrency * look.pods for look in outcome.looks)
    assert outcome.busy_seconds <= outcome.replica_seconds * concurrency + 1e-6
