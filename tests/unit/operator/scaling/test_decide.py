"""How many workers: up at once, down when stable, to the minimum when idle, never on an unknown demand."""

from __future__ import annotations

from typing import Any

import pytest
from crewline_operator.model.demand import Demand, Limits
from crewline_operator.scaling.decide import Decision, History, decide
from crewline_operator.scaling.spec import Behavior, Fallback

from tests.unit.operator.scaling.queues import Queue, T, jobs, spec


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


def test_the_reason_of_a_number_that_is_kept_tells_what_keeps_it() -> None:
    queue = Queue(0)
    queue.at(0, jobs(waiting=80))
    assert queue.at(5, jobs(waiting=20)).reason == (
        "waiting 20, active 0: 20 jobs / 10 per replica = 2, 8 wanted in the last 60 s -> 8 replicas"
    )
    assert queue.at(65, jobs(waiting=20)).reason == (
        "waiting 20, active 0: 20 jobs / 10 per replica = 2, by half at most -> 4 replicas"
    )
    assert queue.at(71, jobs(waiting=20)).reason == "waiting 20, active 0: 20 jobs / 10 per replica -> 2 replicas"


def test_the_reason_tells_of_jobs_that_the_queue_s_limits_hold_back() -> None:
    limited = decide(spec(), jobs(waiting=40, limits=Limits(at_once=10)), 0, History(), T)
    assert limited.reason == "waiting 40, active 0, held back by limits 30: 10 jobs / 10 per replica -> 1 replica"
    queue = Queue(1)
    held = jobs(waiting=40, limits=Limits(at_once=0))
    assert queue.at(0, held).reason == "no jobs but 40 that limits hold back, idle in 60 s -> 1 replica"
    assert queue.at(60, held).reason == "no jobs but 40 that limits hold back for 60 s -> 0 replicas"


def test_an_idle_queue_keeps_its_minimum() -> None:
    assert decide(spec(min_replicas=2), jobs(), 2, History(), T).replicas == 2
    assert decide(spec(min_replicas=2), jobs(), 0, History(), T).replicas == 2


def test_bounds_that_were_changed_count_at_once() -> None:
    assert decide(spec(max_replicas=3), jobs(waiting=500), 9, History(), T).replicas == 3
    assert decide(spec(max_replicas=3), jobs(), 9, History(), T).replicas == 3
    queue = Queue(0)
    queue.at(0, jobs(waiting=500))
    queue.spec = spec(max_replicas=4)
    assert queue.at(1, jobs(waiting=5)).replicas == 4


# -- Down --------------------------------------------------------------------------------


def test_it_goes_down_only_to_what_was_wanted_within_the_stable_window() -> None:
    queue = Queue(0)
    queue.at(0, jobs(waiting=50))
    assert queue.at(5, jobs(waiting=30)).replicas == 5
    assert queue.at(64, jobs(waiting=30)).replicas == 5
    assert queue.at(65, jobs(waiting=30)).replicas == 3


def test_a_wish_lasts_until_another_one_is_told() -> None:
    """Nothing is decided while nothing changes."""
    queue = Queue(0)
    queue.at(0, jobs(waiting=50))
    assert queue.at(500, jobs(waiting=30)).replicas == 5
    assert queue.at(559, jobs(waiting=30)).replicas == 5
    assert queue.at(560, jobs(waiting=30)).replicas == 3


def test_it_says_when_to_look_again_while_only_time_has_to_pass() -> None:
    queue = Queue(0)
    queue.at(0, jobs(waiting=50))
    assert queue.at(5, jobs(waiting=10)).check_after_seconds == pytest.approx(60)
    assert queue.at(35, jobs(waiting=10)).check_after_seconds == pytest.approx(30)
    assert queue.at(65, jobs(waiting=10)).replicas == 3
    assert queue.at(66, jobs(waiting=10)).check_after_seconds == pytest.approx(5), "half is gone, the next step"


def test_it_goes_down_by_half_at_most_a_step() -> None:
    queue = Queue(0, max_replicas=100)
    queue.at(0, jobs(waiting=1000))
    queue.at(1, jobs(waiting=1))
    steps = [queue.at(61 + second, jobs(waiting=1)).replicas for second in range(50)]
    assert list(dict.fromkeys(steps)) == [50, 25, 13, 7, 4, 2, 1]
    assert steps.count(25) == 6, "a panic window lies between two"


def test_a_step_stands_while_the_workers_that_are_too_many_still_run() -> None:
    """A drain takes its time: the Deployment has its old number until then."""
    queue = Queue(0)
    queue.at(0, jobs(waiting=80))
    queue.at(1, jobs(waiting=1))
    queue.at(61, jobs(waiting=1))
    for second in range(62, 90):
        queue.replicas = 8
        assert queue.at(second, jobs(waiting=1)).replicas == 4
    queue.replicas = 8
    assert queue.at(91, jobs(waiting=60)).replicas == 6, "more are needed: fewer are drained"


def test_it_never_goes_below_what_runs() -> None:
    queue = Queue(0, idle_seconds=0)
    queue.at(0, jobs(waiting=40, active=40))
    queue.spec = spec(target=type(queue.spec.target)(100))
    decisions = [queue.at(second, jobs(active=35)) for second in range(1, 100)]
    assert decisions[-1].replicas == 4
    assert decisions[-1].reason == "waiting 0, active 35: 35 jobs / 100 per replica = 1, active 35 -> 4 replicas"


def test_it_goes_down_only_to_what_ran_within_the_stable_window() -> None:
    """A load that is too much for one worker, and makes no backlog for two, would have it go up and down for ever."""
    queue = Queue(2, concurrency=1)
    numbers = {queue.at(second, jobs(active=1 + second // 8 % 2)).replicas for second in range(300)}
    assert numbers == {2}


def test_what_runs_scales_nothing_up() -> None:
    """Another program's worker may run more at a time than worker.concurrency says."""
    wide = spec(target=type(spec().target)(100))
    assert decide(wide, jobs(active=50), 2, History(), T).replicas == 2


def test_nothing_goes_down_in_a_panic() -> None:
    queue = Queue(1, behavior=Behavior(stable_seconds=1, panic_seconds=6))
    queue.at(0, jobs(waiting=90))
    queue.at(1, jobs(waiting=1))
    assert [queue.at(second, jobs(waiting=1)).replicas for second in (2, 4, 5.9, 6, 12)] == [9, 9, 9, 5, 3]
    assert queue.at(12.5, jobs(waiting=10)).reason.endswith("= 1, just scaled down -> 3 replicas")


# -- Idle --------------------------------------------------------------------------------


def test_it_goes_to_the_minimum_only_after_idle_seconds_without_any_job() -> None:
    queue = Queue(0, idle_seconds=120)
    queue.at(0, jobs(waiting=20))
    idle = queue.at(10, jobs())
    assert idle.replicas == 2
    assert idle.reason == "no jobs, idle in 120 s -> 2 replicas"
    assert queue.at(70, jobs()).replicas == 1, "one stays until it counts as idle"
    assert queue.at(129, jobs()).replicas == 1
    assert queue.at(129, jobs()).check_after_seconds == pytest.approx(1)
    gone = queue.at(130, jobs())
    assert gone.replicas == 0
    assert gone.reason == "no jobs for 120 s -> 0 replicas"


def test_what_is_idle_goes_in_one_step() -> None:
    queue = Queue(0)
    queue.at(0, jobs(waiting=100))
    queue.at(10, jobs())
    assert queue.at(69, jobs()).replicas == 10
    assert queue.at(70, jobs()).replicas == 0


def test_one_job_after_the_other_does_not_start_and_end_a_worker_each_time() -> None:
    queue = Queue(0, idle_seconds=0)
    decisions = []
    for second in range(0, 60, 2):
        decisions.append(queue.at(second, jobs(waiting=1, mark=f"{second}")).replicas)
        decisions.append(queue.at(second + 1, jobs(mark=f"{second}")).replicas)
    assert decisions[:6] == [1] * 6, "awake for a panic window at least"
    assert decisions.count(0) <= 60 / 6


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
        assert queue.at(second, jobs(mark=f"job {second}")).replicas == 1
    assert queue.at(358, jobs(mark="job 299")).replicas == 1
    assert queue.at(359, jobs(mark="job 299")).replicas == 0


def test_what_is_added_to_a_paused_queue_keeps_no_worker() -> None:
    queue = Queue(1, idle_seconds=60)
    for second in range(60):
        queue.at(second, jobs(waiting=second, paused=True, mark=f"job {second}"))
    assert queue.at(60, jobs(waiting=60, paused=True, mark="job 60")).replicas == 0


def test_a_process_that_has_just_started_does_not_scale_down_at_once() -> None:
    queue = Queue(8)
    assert queue.at(0, jobs(waiting=1)).replicas == 8
    assert queue.at(59, jobs(waiting=1)).replicas == 8
    assert queue.at(60, jobs(waiting=1)).replicas == 4


def test_a_paused_queue_needs_workers_only_for_what_runs() -> None:
    assert decide(spec(), jobs(waiting=500, active=11, paused=True), 0, History(), T).replicas == 2
    queue = Queue(2, idle_seconds=0)
    assert queue.at(0, jobs(waiting=500, paused=True)).replicas == 0


# -- A demand that can't be read --------------------------------------------------------------------------------


def test_an_unknown_demand_leaves_the_workers_as_they_are_within_the_limits() -> None:
    assert decide(spec(), None, 0, History(), T).replicas == 0
    assert decide(spec(), None, 7, History(), T).replicas == 7
    assert decide(spec(min_replicas=2), None, 0, History(), T).replicas == 2
    assert decide(spec(max_replicas=5), None, 7, History(), T).replicas == 5


def test_an_unreadable_demand_does_not_count_as_idle_time_that_ends() -> None:
    queue = Queue(3, idle_seconds=10)
    queue.at(0, jobs(active=30))
    assert queue.at(100, None).replicas == 3
    assert queue.at(200, jobs(active=30)).replicas == 3


def test_what_could_not_be_read_for_a_while_goes_down_only_when_it_is_stable_again() -> None:
    queue = Queue(0)
    queue.at(0, jobs(waiting=50))
    queue.at(100, None)
    queue.at(300, None)
    assert queue.at(301, jobs(waiting=30)).replicas == 5
    assert queue.at(361, jobs(waiting=30)).replicas == 3


def test_the_fallback_comes_after_its_time_and_never_takes_a_worker_away() -> None:
    queue = Queue(1, fallback=Fallback(120, 3))
    waiting = queue.at(0, None)
    assert (waiting.replicas, waiting.check_after_seconds) == (1, 120)
    assert waiting.reason == "the demand can't be read: workers stay as they are, fallback in 120 s"
    assert queue.at(119, None).replicas == 1
    fallen = queue.at(120, None)
    assert (fallen.replicas, fallen.reason) == (3, "the demand can't be read for 120 s: fallback -> 3 replicas")
    assert queue.at(121, None).replicas == 3
    queue.replicas = 7
    assert queue.at(122, None).replicas == 7


def test_a_read_in_between_starts_the_time_of_the_fallback_anew() -> None:
    queue = Queue(1, fallback=Fallback(120, 3))
    queue.at(0, None)
    queue.at(100, jobs(waiting=1))
    queue.at(101, None)
    assert queue.at(220, None).replicas == 1
    assert queue.at(221, None).replicas == 3


def test_the_fallback_keeps_to_the_bounds() -> None:
    queue = Queue(0, max_replicas=2, fallback=Fallback(1, 5))
    queue.at(0, None)
    assert queue.at(1, None).replicas == 2


# -- Others decide --------------------------------------------------------------------------------


@pytest.mark.parametrize("demand", [jobs(waiting=500), jobs(), None])
@pytest.mark.parametrize("fields", [{}, {"mode": "External", "replicas": 5}, {"min_replicas": 8}])
def test_hold_leaves_the_number_as_it_is(demand: Demand | None, fields: dict[str, Any]) -> None:
    queue = Queue(3, hold=True, idle_seconds=1, fallback=Fallback(1, 9), **fields)
    decisions = [queue.at(second, demand) for second in range(0, 300, 10)]
    assert {(each.replicas, each.reason) for each in decisions} == {
        (3, "spec.scaling.hold is true -> 3 replicas as before")
    }


def test_what_was_held_goes_down_only_when_it_is_stable() -> None:
    queue = Queue(5, hold=True)
    queue.at(0, jobs(waiting=30))
    queue.at(100, jobs(waiting=31))
    queue.spec = spec()
    assert queue.at(101, jobs(waiting=30)).replicas == 5
    assert queue.at(161, jobs(waiting=30)).replicas == 3


def test_in_mode_external_the_outside_scaler_decides_within_the_limits_and_may_choose_zero() -> None:
    def external(replicas: int | None) -> Decision:
        return decide(spec(mode="External", min_replicas=2, replicas=replicas), jobs(waiting=500), 3, History(), T)

    assert external(4).replicas == 4
    assert external(1).replicas == 2
    assert external(99).replicas == 10
    assert external(0).replicas == 0


@pytest.mark.parametrize(("current", "kept"), [(0, 2), (2, 2), (7, 7), (15, 10)])
def test_the_switch_to_mode_external_stops_nobody_before_spec_replicas_is_set(current: int, kept: int) -> None:
    queue = Queue(current, mode="External", min_replicas=2)
    assert {queue.at(second, jobs(active=20)).replicas for second in range(0, 300, 10)} == {kept}
    queue.spec = spec(mode="External", min_replicas=2, replicas=3)
    assert queue.at(300, jobs(active=20)).replicas == 3
