"""How many workers a demand needs by each target, and how that is explained."""

from __future__ import annotations

import pytest
from crewline_operator.model.demand import Demand
from crewline_operator.scaling.rates import Rates, observe
from crewline_operator.scaling.spec import Behavior, JobsPerReplica, LatencyObjective, Utilization
from crewline_operator.scaling.targets import Wish, wish_for

from tests.unit.operator.scaling.queues import jobs, spec


def steady(a_second: int, active: int) -> Rates:
    """Rates of a queue that works off all that comes, `active` at a time, for two minutes."""
    rates = Rates()
    for second in range(1, 121):
        rates = observe(rates, jobs(active=active, added=second * a_second, read_ms=second * 1000), Behavior(), 120)
    return rates


def wish(target: JobsPerReplica | LatencyObjective | Utilization, demand: Demand, rates: Rates | None = None) -> Wish:
    return wish_for(spec(target=target), demand, rates or Rates())


def test_jobs_per_replica_is_exact() -> None:
    assert wish(JobsPerReplica(20), jobs(waiting=40)) == Wish(2, 2, "waiting 40, active 0: 40 jobs / 20 per replica")
    assert wish(JobsPerReplica(20), jobs(waiting=41)).kept == 3


def test_latency_wants_the_slots_that_arrivals_keep_busy() -> None:
    told = wish(LatencyObjective(30), jobs(active=25), steady(10, 25))
    assert (told.needed, told.why) == (3, "waiting 0, active 25: 10 jobs/s x 2.5 s = 25 slots / 10 per replica")


def test_latency_wants_those_on_top_that_work_off_what_waits_before_its_time() -> None:
    told = wish(LatencyObjective(30), jobs(waiting=600, active=25), steady(10, 25))
    assert told.why == (
        "waiting 600, active 25: 10 jobs/s x 2.5 s + 600 x 2.5 s / 30 s = 75 slots / 10 per replica"
    )  # fmt: skip
    assert told.needed == 8


def test_latency_hurries_as_the_oldest_job_comes_near_the_objective() -> None:
    needed = [
        wish(LatencyObjective(30), jobs(waiting=600, oldest_seconds=waited), steady(10, 25)).needed
        for waited in (0, 15, 25, 30, 1000)
    ]
    assert needed == [8, 13, 23, 23, 23], "up to four times as much"


def test_a_long_objective_spares_workers() -> None:
    needed = [wish(LatencyObjective(seconds), jobs(waiting=600), steady(10, 25)).needed for seconds in (5, 30, 120)]
    assert needed == [33, 8, 4]


def test_latency_wants_no_more_slots_than_there_are_jobs() -> None:
    assert wish(LatencyObjective(1), jobs(waiting=35), steady(10, 25)).needed == 4


def test_before_a_job_has_run_one_worker_finds_out_how_long_it_takes() -> None:
    told = wish(LatencyObjective(30), jobs(waiting=5000))
    assert told.needed == 1
    assert told.why == "waiting 5000, active 0: no job has run yet that tells how long one takes"


def test_utilization_leaves_room_for_what_comes_at_once() -> None:
    told = wish(Utilization(50), jobs(active=25), steady(10, 25))
    assert (told.needed, told.why) == (5, "waiting 0, active 25: 25 slots busy / 50 % of 10 per replica")


def test_utilization_knows_by_the_arrivals_how_many_slots_would_be_busy_if_there_were_enough() -> None:
    rates, added, waiting = steady(10, 25), 1200, 0
    for second in range(121, 131):
        # Four times as many come, and the slots are all busy.
        added, waiting = added + 40, waiting + 30
        demand = jobs(waiting=waiting, active=25, added=added, read_ms=second * 1000)
        rates = observe(rates, demand, Behavior())
    told = wish(Utilization(50), demand, rates)
    assert told.why.endswith("40 jobs/s x 2.5 s = 100 slots / 50 % of 10 per replica")
    assert told.needed == 20


def test_utilization_grows_by_what_is_busy_where_arrivals_tell_nothing() -> None:
    """Delayed jobs that are due, or what was there before this process."""
    assert wish(Utilization(50), jobs(waiting=500, active=20)).needed == 4


@pytest.mark.parametrize("target", [JobsPerReplica(10), LatencyObjective(30), Utilization(70)])
def test_any_job_wants_a_worker_and_none_wants_none(target: JobsPerReplica | LatencyObjective | Utilization) -> None:
    assert wish(target, jobs(waiting=1)).needed == 1
    assert wish(target, jobs(), steady(10, 25)).needed == 0, "there is nothing to scale up for"


@pytest.mark.parametrize("target", [LatencyObjective(30), Utilization(100)])
def test_what_is_measured_keeps_a_little_more_than_it_asks_for(target: LatencyObjective | Utilization) -> None:
    told = wish(target, jobs(active=20), steady(8, 20))
    assert (told.needed, told.kept) == (2, 3)


@pytest.mark.parametrize("target", [JobsPerReplica(10), LatencyObjective(30), Utilization(100)])
def test_a_paused_queue_wants_workers_for_what_runs_alone(
    target: JobsPerReplica | LatencyObjective | Utilization,
) -> None:
    told = wish(target, jobs(waiting=500, active=12, paused=True), steady(5, 12))
    assert told.needed == 2
    assert told.why.startswith("paused, active 12: ")
