"""How many workers: up at once, down when stable, to the minimum when idle, never on an unknown demand."""

from __future__ import annotations

import pytest
from crewline_operator.model.demand import Demand
from crewline_operator.scaling.decide import STABLE_SECONDS, Decision, History, decide
from crewline_operator.scaling.spec import ScalingSpec
from hypothesis import given
from hypothesis import strategies as st

T = 1000.0


def spec(**fields: object) -> ScalingSpec:
    defaults: dict[str, object] = {
        "mode": "operator",
        "min_replicas": 0,
        "max_replicas": 10,
        "jobs_per_replica": 10,
        "idle_seconds": 60,
        "replicas": None,
    }
    return ScalingSpec(**(defaults | fields))  # type: ignore[arg-type]


def jobs(waiting: int = 0, due: int = 0, active: int = 0, paused: bool = False) -> Demand:
    return Demand(waiting, due, active, paused)


@pytest.mark.parametrize(
    ("demand", "replicas"),
    [
        (jobs(waiting=1), 1),
        (jobs(waiting=10), 1),
        (jobs(waiting=11), 2),
        (jobs(waiting=40, active=3), 5),
        (jobs(due=1), 1),
        (jobs(active=1), 1),
        (jobs(waiting=5, due=5, active=11), 3),
        (jobs(waiting=5000), 10),
    ],
)
def test_demand_is_waiting_due_and_active_jobs_over_jobs_per_replica(demand: Demand, replicas: int) -> None:
    assert decide(spec(), demand, 0, History(), T).replicas == replicas


def test_the_reason_tells_how_the_number_came_about() -> None:
    decision = decide(spec(), jobs(waiting=40, active=3), 1, History(), T)
    assert decision.reason == "waiting 40, active 3: 43 jobs / 10 per replica -> 5 replicas"
    limited = decide(spec(max_replicas=3), jobs(waiting=40, due=2), 1, History(), T)
    assert limited.reason == "waiting 40, due 2, active 0: 42 jobs / 10 per replica, maxReplicas 3 -> 3 replicas"


def test_an_idle_queue_keeps_its_minimum() -> None:
    assert decide(spec(min_replicas=2), jobs(), 2, History(), T).replicas == 2
    assert decide(spec(min_replicas=2), jobs(), 0, History(), T).replicas == 2


def test_an_unknown_demand_leaves_the_workers_as_they_are_within_the_limits() -> None:
    assert decide(spec(), None, 0, History(), T).replicas == 0
    assert decide(spec(), None, 7, History(), T).replicas == 7
    assert decide(spec(min_replicas=2), None, 0, History(), T).replicas == 2
    assert decide(spec(max_replicas=5), None, 7, History(), T).replicas == 5


class Queue:
    """A queue that is decided on again and again."""

    def __init__(self, replicas: int, **fields: object) -> None:
        self.spec = spec(**fields)
        self.replicas = replicas
        self.history = History()

    def at(self, time: float, demand: Demand | None) -> Decision:
        decision = decide(self.spec, demand, self.replicas, self.history, T + time)
        self.replicas, self.history = decision.replicas, decision.history
        return decision


def test_it_goes_down_only_to_what_was_wanted_within_the_stable_window() -> None:
    queue = Queue(0)
    queue.at(0, jobs(waiting=50))
    assert queue.at(5, jobs(waiting=10)).replicas == 5
    assert queue.at(STABLE_SECONDS - 1, jobs(waiting=20)).replicas == 5
    assert queue.at(STABLE_SECONDS + 1, jobs(waiting=20)).replicas == 2


def test_it_says_when_to_look_again_while_only_time_has_to_pass() -> None:
    queue = Queue(0)
    queue.at(0, jobs(waiting=50))
    assert queue.at(5, jobs(waiting=10)).check_after_seconds == pytest.approx(STABLE_SECONDS - 5)


def test_it_goes_to_the_minimum_only_after_idle_seconds_without_any_job() -> None:
    queue = Queue(0, idle_seconds=60)
    queue.at(0, jobs(waiting=30))
    idle = queue.at(10, jobs())
    assert idle.replicas == 3
    assert queue.at(10 + STABLE_SECONDS, jobs()).replicas == 1, "one stays until it counts as idle"
    assert queue.at(69, jobs()).replicas == 1
    assert queue.at(69, jobs()).check_after_seconds == pytest.approx(1)
    gone = queue.at(70, jobs())
    assert gone.replicas == 0
    assert gone.reason == "no jobs for 60 s -> 0 replicas"


def test_a_job_starts_the_idle_time_anew() -> None:
    queue = Queue(1, idle_seconds=60)
    queue.at(0, jobs())
    queue.at(59, jobs(active=1))
    assert queue.at(60, jobs()).replicas == 1
    assert queue.at(119, jobs()).replicas == 1
    assert queue.at(120, jobs()).replicas == 0


def test_a_job_that_came_and_went_between_two_looks_starts_the_idle_time_anew() -> None:
    queue = Queue(1, idle_seconds=60)
    for second in range(300):
        assert queue.at(second, Demand(0, 0, 0, mark=f"job {second}")).replicas == 1
    assert queue.at(358, Demand(0, 0, 0, mark="job 299")).replicas == 1
    assert queue.at(359, Demand(0, 0, 0, mark="job 299")).replicas == 0


def test_what_is_added_to_a_paused_queue_keeps_no_worker() -> None:
    queue = Queue(1, idle_seconds=60)
    for second in range(60):
        queue.at(second, Demand(second, 0, 0, paused=True, mark=f"job {second}"))
    assert queue.at(60, Demand(60, 0, 0, paused=True, mark="job 60")).replicas == 0


def test_an_unreadable_demand_does_not_count_as_idle_time_that_ends() -> None:
    queue = Queue(3, idle_seconds=10)
    queue.at(0, jobs(active=30))
    assert queue.at(100, None).replicas == 3
    assert queue.at(200, jobs(active=30)).replicas == 3


def test_a_process_that_has_just_started_does_not_scale_down_at_once() -> None:
    assert decide(spec(), jobs(waiting=1), 8, History(), T).replicas == 8


def test_a_paused_queue_needs_workers_only_for_what_runs() -> None:
    assert decide(spec(), jobs(waiting=500, active=11, paused=True), 0, History(), T).replicas == 2
    queue = Queue(2, idle_seconds=0)
    assert queue.at(0, jobs(waiting=500, paused=True)).replicas == 0


def test_in_mode_external_the_outside_scaler_decides_within_the_limits_and_may_choose_zero() -> None:
    def external(replicas: int | None) -> Decision:
        return decide(spec(mode="external", min_replicas=2, replicas=replicas), jobs(waiting=500), 3, History(), T)

    assert external(4).replicas == 4
    assert external(1).replicas == 2
    assert external(99).replicas == 10
    assert external(0).replicas == 0
    assert external(None).replicas == 2


@given(
    waiting=st.integers(0, 10**6),
    active=st.integers(0, 10**4),
    current=st.integers(0, 200),
    low=st.integers(0, 50),
    span=st.integers(0, 100),
    per_replica=st.integers(1, 100),
)
def test_whatever_the_demand_there_are_enough_workers_within_the_limits(
    waiting: int, active: int, current: int, low: int, span: int, per_replica: int
) -> None:
    limits = spec(min_replicas=low, max_replicas=max(1, low + span), jobs_per_replica=per_replica)
    decision = decide(limits, jobs(waiting=waiting, active=active), min(current, limits.max_replicas), History(), T)
    assert limits.min_replicas <= decision.replicas <= limits.max_replicas
    if decision.replicas < limits.max_replicas:
        assert decision.replicas * per_replica >= waiting + active
