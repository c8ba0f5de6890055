"""What needs a worker, and what the queue's own limits hold back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from crewline_operator.model.demand import AHEAD_MS, BY_HAND, Demand, Limits
from hypothesis import given
from hypothesis import strategies as st

COUNTS = st.integers(0, 10_000)
WINDOWS = st.integers(0, 100_000)
LIMITS = st.builds(
    Limits,
    at_once=st.none() | st.integers(-1, 100),
    most=st.none() | st.integers(1, 1000),
    window_ms=st.none() | WINDOWS,
    started=st.integers(0, 2000) | st.just(BY_HAND),
    window_left_ms=st.none() | WINDOWS,
)
DEMANDS = st.builds(Demand, waiting=COUNTS, due=COUNTS, active=COUNTS, paused=st.booleans(), limits=LIMITS)


@given(DEMANDS)
def test_what_runs_always_counts_and_nothing_counts_that_is_not_there(demand: Demand) -> None:
    assert demand.active <= demand.total <= demand.active + demand.waiting + demand.due
    assert demand.total + demand.held == demand.active + demand.ready


@given(DEMANDS, COUNTS)
def test_more_jobs_never_need_fewer_workers(demand: Demand, more: int) -> None:
    assert replace(demand, waiting=demand.waiting + more).total >= demand.total
    assert replace(demand, due=demand.due + more).total >= demand.total


@given(DEMANDS)
def test_limits_only_ever_take_away_and_none_changes_nothing(demand: Demand) -> None:
    without = replace(demand, limits=Limits())
    assert demand.total <= without.total
    assert without.total == demand.active + (0 if demand.paused else demand.waiting + demand.due)


@given(DEMANDS, st.integers(0, 100))
def test_no_more_than_may_run_at_once_needs_a_worker(demand: Demand, at_once: int) -> None:
    limited = replace(demand, limits=replace(demand.limits, at_once=at_once))
    assert limited.total <= max(at_once, demand.active)


@pytest.mark.parametrize(
    ("limits", "needed"),
    [
        (Limits(), 1000),
        (Limits(at_once=7), 7),
        (Limits(at_once=0), 0),
        (Limits(most=10, window_ms=3_600_000), 10),
        (Limits(most=10, window_ms=3_600_000, started=4, window_left_ms=60_000), 6),
        (Limits(most=10, window_ms=3_600_000, started=10, window_left_ms=60_000), 0),
        (Limits(most=10, window_ms=3_600_000, started=10, window_left_ms=AHEAD_MS), 10),
        (Limits(most=10, window_ms=1000, started=10, window_left_ms=500), 20),
        (Limits(started=BY_HAND, window_left_ms=60_000), 0),
        (Limits(started=BY_HAND, window_left_ms=500), 1000),
        (Limits(started=5, window_left_ms=60_000), 1000),
        (Limits(most=10, started=10, window_left_ms=60_000, at_once=3), 0),
    ],
    ids=[
        "no limit", "so many at once", "none at once", "a window has room", "a window has some left",
        "a window is used up", "a window ends before a worker is there", "short windows pass meanwhile",
        "limited by hand", "by hand and soon over", "a rate that only the workers know", "both",
    ],
)  # fmt: skip
def test_what_may_be_started_before_another_worker_could_help_is_what_needs_one(limits: Limits, needed: int) -> None:
    assert Demand(waiting=900, due=100, active=0, limits=limits).total == needed
