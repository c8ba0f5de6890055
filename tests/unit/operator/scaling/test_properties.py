"""What holds of a decision whatever came before it."""

from __future__ import annotations

import math
from typing import Any

from crewline_operator.model.demand import Demand
from crewline_operator.scaling.decide import Decision, History, decide
from crewline_operator.scaling.spec import (
    Behavior,
    Fallback,
    JobsPerReplica,
    LatencyObjective,
    ScalingSpec,
    Target,
    Utilization,
)
from crewline_operator.simulate.model import Cluster, simulate
from crewline_operator.simulate.trace import Arrival
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.operator.scaling.queues import T, spec

TARGETS: st.SearchStrategy[Target] = st.one_of(
    st.builds(JobsPerReplica, st.integers(1, 50)),
    st.builds(LatencyObjective, st.integers(1, 120)),
    st.builds(Utilization, st.integers(10, 100)),
)


@st.composite
def specs(draw: st.DrawFn) -> ScalingSpec:
    low = draw(st.integers(0, 5))
    stable = draw(st.integers(1, 100))
    return spec(
        min_replicas=low,
        max_replicas=draw(st.integers(max(1, low), 40)),
        target=draw(TARGETS),
        concurrency=draw(st.integers(1, 20)),
        idle_seconds=draw(st.integers(0, 100)),
        behavior=Behavior(stable, draw(st.integers(1, stable))),
        fallback=draw(st.none() | st.builds(Fallback, st.integers(1, 100), st.integers(0, 40))),
    )


#: (seconds since the last read, waiting, delayed, due of these, active, how many were added since; None: unreadable)
Read = tuple[float, int, int, int, int, int] | None
GOOD: st.SearchStrategy[Read] = st.tuples(
    st.sampled_from([0.25, 1.0, 1.0, 3.0, 10.0, 70.0]),
    st.integers(0, 200),
    st.integers(0, 50),
    st.integers(0, 50),
    st.integers(0, 100),
    st.integers(0, 300),
)
READS: st.SearchStrategy[Read] = st.none() | GOOD


class Life:
    """A queue that is decided on read after read."""

    def __init__(self, spec: ScalingSpec, replicas: int) -> None:
        self.spec, self.replicas, self.history = spec, replicas, History()
        self.now, self.added = T, 0

    def demand(self, read: Read, more: int = 0) -> Demand | None:
        """What is read a moment later; `more` jobs have come on top of it."""
        self.now += read[0] if read is not None else 1.0
        if read is None:
            return None
        _, waiting, delayed, due, active, added = read
        self.added += added
        due = min(due, delayed)
        return Demand(
            waiting + more, due, active, delayed=delayed, added=self.added + more, mark=f"{self.added}",
            read_ms=round(self.now * 1000),
        )  # fmt: skip

    def decided(self, demand: Demand | None) -> Decision:
        return decide(self.spec, demand, self.replicas, self.history, self.now)

    def live(self, reads: list[Read]) -> None:
        for read in reads:
            decision = self.decided(self.demand(read))
            self.replicas, self.history = decision.replicas, decision.history


@settings(max_examples=150, deadline=None)
@given(specs(), st.lists(READS, max_size=30), st.integers(0, 60), READS)
def test_the_bounds_are_kept_and_what_runs_is_never_taken_away(
    limits: ScalingSpec, past: list[Read], begun: int, read: Read
) -> None:
    life = Life(limits, begun)
    life.live(past)
    before = life.replicas
    demand = life.demand(read)
    decision = life.decided(demand)
    assert limits.min_replicas <= decision.replicas <= limits.max_replicas
    if demand is None:
        assert decision.replicas >= min(before, limits.max_replicas), "never on a number that could not be read"
    else:
        runs = math.ceil(demand.active / limits.concurrency)
        assert decision.replicas >= min(runs, before, limits.max_replicas)
        assert decision.replicas >= min(1, demand.total)
        if demand.total:
            assert decision.replicas >= min(math.ceil(before / 2), limits.max_replicas), "by half at most"


@settings(max_examples=150, deadline=None)
@given(specs(), st.lists(GOOD, max_size=30), st.integers(0, 60), GOOD, st.integers(1, 500))
def test_more_jobs_never_want_fewer_workers(
    limits: ScalingSpec, past: list[Read], begun: int, read: Read, more: int
) -> None:
    life, fuller = Life(limits, begun), Life(limits, begun)
    for each in (life, fuller):
        each.live(past)
    assert fuller.decided(fuller.demand(read, more)).replicas >= life.decided(life.demand(read)).replicas


@settings(max_examples=100, deadline=None)
@given(specs(), st.lists(READS, max_size=30), st.integers(0, 60))
def test_what_is_to_be_looked_at_again_lies_ahead(limits: ScalingSpec, reads: list[Read], begun: int) -> None:
    life = Life(limits, begun)
    for read in reads:
        life.live([read])
        decision = life.decided(None)
        assert decision.check_after_seconds is None or decision.check_after_seconds > 0


@settings(max_examples=100, deadline=None)
@given(specs(), st.lists(GOOD, min_size=1, max_size=30), st.integers(0, 60))
def test_the_same_read_again_changes_nothing_upward(limits: ScalingSpec, reads: list[Read], begun: int) -> None:
    """A reconcile for another reason, at the same moment."""
    life = Life(limits, begun)
    life.live(reads[:-1])
    demand = life.demand(reads[-1])
    first = life.decided(demand)
    life.replicas, life.history = first.replicas, first.history
    assert life.decided(demand).replicas == first.replicas


@settings(max_examples=25, deadline=None)
@given(
    # What is measured by looks is too rough for a twentieth of a slot.
    target=TARGETS.filter(lambda target: not isinstance(target, Utilization) or target.percent >= 30),
    concurrency=st.integers(1, 10),
    a_second=st.sampled_from([0.05, 0.2, 0.5, 1, 3, 7]),
    service_seconds=st.sampled_from([0.02, 0.3, 1, 2.5, 8, 20]),
    idle_seconds=st.sampled_from([30, 60]),
)
def test_a_constant_load_makes_no_number_go_up_and_down(
    target: Target, concurrency: int, a_second: float, service_seconds: float, idle_seconds: int
) -> None:
    limits = spec(target=target, concurrency=concurrency, idle_seconds=idle_seconds, max_replicas=1000)
    load = [Arrival(number / a_second, 1, service_seconds) for number in range(int(900 * a_second))]
    # Reads that keep step with the jobs would see the same moment of their cycle each time.
    scalings: list[Any] = simulate(limits, load, Cluster(poll_seconds=0.937)).scalings
    late = [each for each in scalings if 500 < each.time < 899]
    assert len({each.to > each.before for each in late}) <= 1, late
