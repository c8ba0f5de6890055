"""Who is handed back: nobody who may live, whatever the clocks, the watch and the registry say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from crewline.worker.registry.presence import BEAT_SECONDS
from crewline_operator.deaths.causes import Death
from crewline_operator.deaths.observed import Observed, Seen
from crewline_operator.deaths.plan import SILENCE_SECONDS, Plan, plan
from crewline_operator.effects.actions import HandBack
from crewline_operator.model.note import Note

from tests.unit.operator.factories import jobqueue

DEATH = Death("c1", "uid", "OOMKilled in pod x", True, 100.0)
LATER = Death("c2", "uid", "pod x was evicted", False, 160.0)


def worker(**told: Any) -> dict[str, Any]:
    """The entry of the one that died."""
    return {"name": "x.1.ab", "id": "uid", "leases": "l1", "began": 90.5, "silent": 2.0} | told


def planned(*workers: dict[str, Any], deaths: tuple[Death, ...] = (DEATH,), age_seconds: float = 1.0) -> Plan:
    return plan(
        jobqueue(worker={"handler": "h:h", "maxCrashes": 7}),
        Observed([Seen(each, age_seconds) for each in deaths], workers),
    )


def test_a_worker_of_the_container_that_has_ended_is_handed_back_with_the_cause() -> None:
    dead, other = worker(), worker(id="another", name="y.1.cd")
    found = planned(other, dead)
    assert found.actions == [HandBack(jobqueue().queue_ref, dead, "OOMKilled in pod x", True, 7)]
    assert found.found == {"c1"}


@pytest.mark.parametrize(
    "told",
    [
        {"began": 100.0},
        {"began": 130.0},
        {"id": "another"},
        # It was heard of since its end was seen.
        {"silent": 0.9},
        # A worker of another release, or what somebody else has put there.
        {"began": None},
        {"began": "90"},
        {"began": True},
        {"began": float("nan")},
        {"silent": None},
        {"silent": float("nan")},
        {"leases": ""},
        {"leases": 5},
        {"leases": None},
        {"id": None},
    ],
)
def test_one_that_may_live_is_not(told: dict[str, Any]) -> None:
    assert planned(worker(**told)) == Plan([], frozenset())


def test_each_has_the_cause_of_its_own_container() -> None:
    first, second, living = worker(), worker(name="x.1.cd", leases="l2", began=101.0), worker(began=161.0)
    found = planned(living, second, first, deaths=(DEATH, LATER))
    assert {action.worker["leases"]: (action.cause, action.blame) for action in found.actions} == {
        "l1": ("OOMKilled in pod x", True),
        "l2": ("pod x was evicted", False),
    }
    assert found.found == {"c1", "c2"}


def test_all_workers_that_a_container_had_are_handed_back() -> None:
    found = planned(worker(), worker(name="x.9.ef", leases="l2", began=95.0))
    assert [action.worker["leases"] for action in found.actions] == ["l1", "l2"]


@pytest.mark.parametrize(
    ("oom", "wish", "fails"), [(True, "DeadLetter", True), (False, "DeadLetter", False), (True, "Retry", False)]
)
def test_a_job_that_was_alone_fails_at_once_where_memory_was_wanting_and_that_is_wished(
    oom: bool, wish: str, fails: bool
) -> None:
    seen = Observed([Seen(replace(DEATH, oom=oom), 1.0)], [worker()])
    (action,) = plan(jobqueue(worker={"handler": "h:h", "onOOM": wish}), seen).actions
    assert action.fail_alone is fails


@pytest.mark.parametrize("oom", [True, False])
def test_one_that_died_of_memory_waits_for_a_larger_worker_where_there_may_be_one(oom: bool) -> None:
    seen = Observed([Seen(replace(DEATH, oom=oom), 1.0)], [worker()])
    (action,) = plan(jobqueue(worker={"handler": "h:h", "retryWith": {"memory": "1Gi"}}), seen).actions
    assert (action.fail_alone, action.larger_first) == (oom, oom)


def test_where_another_may_run_in_its_place_the_silence_has_to_be_longer_than_between_beats() -> None:
    """By a clock that was set back that one began before the end that is told of."""
    assert SILENCE_SECONDS >= 3 * BEAT_SECONDS
    replaced = replace(DEATH, replaced=True)
    dead, alive = worker(silent=60.0), worker(name="x.1.cd", leases="l2", silent=0.9)
    assert planned(dead, alive, deaths=(replaced,), age_seconds=0.5) == Plan([], frozenset(), SILENCE_SECONDS - 0.5)
    (action,) = planned(dead, alive, deaths=(replaced,), age_seconds=SILENCE_SECONDS).actions
    assert action.worker is dead
    # One that is told from it by another death waits for nothing.
    later = worker(name="x.1.ef", leases="l3", began=130.0)
    found = planned(dead, later, deaths=(replaced, LATER), age_seconds=1.0)
    assert [action.worker for action in found.actions] == [later]
    assert (found.found, found.check_after_seconds) == ({"c2"}, SILENCE_SECONDS - 1.0)


def test_without_a_worker_nothing_is_found() -> None:
    assert planned() == Plan([], frozenset())


def test_an_event_tells_how_many_jobs_were_handed_back() -> None:
    (action,) = planned(worker()).actions
    assert action.note(3, 1) == Note(
        "Warning", "WorkerDied", "OOMKilled in pod x; 3 of its jobs handed back, 1 failed for good"
    )
    (evicted,) = planned(worker(), deaths=(LATER,)).actions
    assert evicted.note(2, 0) == Note("Normal", "WorkerDied", "pod x was evicted; 2 of its jobs handed back")
