"""spec.worker.disruption: a budget for evictions, and pods that ask to be left where they are while they are busy."""

from __future__ import annotations

from typing import Any

import pytest
from crewline_operator.effects.actions import Remove, Shield, WriteStatus
from crewline_operator.jobqueue.children.deployment import find_template_fault
from crewline_operator.jobqueue.children.disruption_budget import build_disruption_budget
from crewline_operator.jobqueue.plan import Plan
from crewline_operator.jobqueue.shields import IDLE_SECONDS, LOOK_SECONDS
from crewline_operator.model.do_not_disrupt import DO_NOT_DISRUPT, WHILE_BUSY, shield_annotations
from crewline_operator.model.fields import Unreadable
from crewline_operator.model.worker import Worker
from crewline_operator.redis.reading import Reading

from tests.unit.operator.factories import CLOCK, deployment, jobqueue, observed, pod, service_account
from tests.unit.operator.jobqueue.plans import UNREACHABLE, actions, in_place, manifests, planned, reading

BUSY, IDLE = Worker(known=True, busy=1, held=1), Worker(known=True)
SHIELDED = {"annotations": shield_annotations(True)}
UP, DOWN = Shield("emails-1", "pod-1", True), Shield("emails-1", "pod-1", False)


def worker(**disruption: Any) -> dict[str, Any]:
    return {"handler": "handlers:handle", "disruption": disruption}


def budget(uid: str = "uid-p") -> dict[str, Any]:
    built = build_disruption_budget(jobqueue(worker=worker(budget={"maxUnavailable": 1})))
    built["metadata"] |= {"uid": uid, "generation": 1, "resourceVersion": "5"}
    return built


def running(pods: list[dict[str, Any]], while_busy: str = "DoNotDisrupt", **parts: Any) -> Plan:
    """A plan for a queue with these pods, with one job that runs unless it is said."""
    seen = {"deployment": deployment(len(pods)), "pods": pods, "looked": True, "reading": reading(active=1)} | parts
    return planned(observed(**seen), scaling={"minReplicas": len(pods)}, worker=worker(whileBusy=while_busy))


@pytest.mark.parametrize("most", [1, 7, "1%", "25%", "100%"])
def test_a_budget_is_made_where_it_is_asked_for_owned_and_for_just_these_workers(most: int | str) -> None:
    made = manifests(planned(observed(), worker=worker(budget={"maxUnavailable": most})))
    (found,) = [each for each in made if each["kind"] == "PodDisruptionBudget"]
    assert found["spec"] == {
        "maxUnavailable": most,
        # Neither one that starts nor one whose node is gone may hold up a drain.
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": {"crewline.dev/jobqueue": "emails"}},
    }
    assert found["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    assert "PodDisruptionBudget" not in [each["kind"] for each in manifests(planned(observed()))]


@pytest.mark.parametrize("most", [0, -1, True, "0%", "101%", "1", "%", " 5%", "5%\n", None, 1.5, []])
def test_a_budget_by_which_no_node_could_be_drained_is_none(most: Any) -> None:
    with pytest.raises(Unreadable, match=r"spec\.worker\.disruption\.budget\.maxUnavailable"):
        jobqueue(worker=worker(budget={"maxUnavailable": most}))


def test_a_budget_that_is_in_place_is_not_applied_again_and_one_that_was_changed_is() -> None:
    seen: dict[str, Any] = {
        "deployment": deployment(0), "service_account": service_account(), "disruption_budget": budget(),
    }  # fmt: skip
    asks = worker(budget={"maxUnavailable": 1})
    first = planned(observed(**seen), worker=asks)
    children = seen | {"deployment": deployment(0)}
    applied = in_place(first, **children)
    assert manifests(planned(observed(**seen, applied=applied), worker=asks)) == []
    seen["disruption_budget"]["metadata"]["generation"] = 2
    (again,) = manifests(planned(observed(**seen, applied=applied), worker=asks))
    assert again["kind"] == "PodDisruptionBudget"


def test_a_budget_goes_when_it_is_asked_for_no_more_and_only_then() -> None:
    seen = {"deployment": deployment(0), "disruption_budget": budget()}
    assert actions(planned(observed(**seen)), Remove) == [Remove("PodDisruptionBudget", "emails", "uid-p")]
    assert actions(planned(observed(**seen), worker=worker(budget={"maxUnavailable": 2})), Remove) == []
    assert actions(planned(observed(deployment=deployment(0))), Remove) == []


def test_a_pod_asks_to_be_left_where_it_is_once_its_worker_runs_something() -> None:
    result = running([pod(1), pod(2)], workers={"pod-1": BUSY, "pod-2": IDLE})
    assert actions(result, Shield) == [UP]
    assert (result.looks, result.check_after_seconds) == (True, LOOK_SECONDS)
    assert shield_annotations(True) == DO_NOT_DISRUPT | {WHILE_BUSY: "true"}
    assert actions(running([pod(1, **SHIELDED)], workers={"pod-1": BUSY}), Shield) == [], "nothing that is so already"


def test_pods_of_a_queue_that_does_not_ask_for_it_are_left_alone_and_nobody_looks_at_their_workers() -> None:
    for spec in ("Allow", None):
        result = running([pod(1)], **({"while_busy": spec} if spec else {"while_busy": "Allow"}), workers=None)
        assert actions(result, Shield) == []
    own = {"annotations": dict(DO_NOT_DISRUPT)}
    assert actions(running([pod(1, **own)], "Allow", workers={"pod-1": IDLE}), Shield) == [], "those are somebody's own"


def test_a_pod_asks_until_its_worker_had_nothing_for_a_minute() -> None:
    """Jobs that come each second are no two writes each."""
    for idle in ({"workers": {"pod-1": IDLE}}, {"workers": None, "reading": reading(active=0)}):
        result = running([pod(1, **SHIELDED)], **idle)
        assert (actions(result, Shield), result.idle_since) == ([], {"pod-1": CLOCK})
        assert result.check_after_seconds is not None and result.check_after_seconds <= IDLE_SECONDS
        before = running([pod(1, **SHIELDED)], **idle, idle_since={"pod-1": CLOCK - IDLE_SECONDS + 1})
        assert actions(before, Shield) == []
        assert actions(running([pod(1, **SHIELDED)], **idle, idle_since={"pod-1": CLOCK - 60}), Shield) == [DOWN]
    busy = running([pod(1, **SHIELDED)], workers={"pod-1": BUSY}, idle_since={"pod-1": CLOCK - 59})
    assert (actions(busy, Shield), busy.idle_since) == ([], {}), "the minute begins anew"


def test_where_nobody_has_looked_they_are_looked_at_and_while_redis_is_away_all_stays() -> None:
    unseen = running([pod(1), pod(2, **SHIELDED)], workers=None, looked=False)
    assert actions(unseen, Shield) == []
    assert unseen.looks and unseen.check_after_seconds == LOOK_SECONDS
    since = {"pod-2": CLOCK - 100}
    away = running([pod(2, **SHIELDED)], workers=None, idle_since=since, reading=Reading(fault=UNREACHABLE))
    assert (actions(away, Shield), away.idle_since) == ([], since)


def test_a_program_that_tells_nothing_of_itself_is_busy_while_any_job_runs() -> None:
    assert actions(running([pod(1)], workers={"pod-1": Worker()}), Shield) == [UP]
    rest = running([pod(1, **SHIELDED)], workers=None, reading=reading(active=0), idle_since={"pod-1": CLOCK - 60})
    assert actions(rest, Shield) == [DOWN]


def test_a_pod_on_its_way_out_is_not_written_to() -> None:
    leaving = pod(1, deletionTimestamp="now")
    assert actions(running([leaving], workers={"pod-1": BUSY}), Shield) == []


def test_when_it_is_switched_off_what_the_pods_ask_for_is_taken_back() -> None:
    assert actions(running([pod(1, **SHIELDED)], "Allow", workers=None), Shield) == [DOWN]


def test_it_comes_after_all_else_since_it_may_have_to_wait_for_its_turn() -> None:
    result = running([pod(1)], workers={"pod-1": BUSY})
    assert actions(result, WriteStatus)
    assert isinstance(result.actions[-1], Shield)


def test_what_the_pods_ask_rolls_none_and_no_template_says_it_beside() -> None:
    def template(**spec: Any) -> Any:
        (made,) = [each for each in manifests(planned(observed(), **spec)) if each["kind"] == "Deployment"]
        return made["spec"]["template"]

    assert template(worker=worker(whileBusy="DoNotDisrupt")) == template(worker=worker())
    for name in DO_NOT_DISRUPT:
        own = {"template": {"metadata": {"annotations": {name: "x"}}}}
        assert find_template_fault(jobqueue(worker=worker() | own)) is None
        fault = find_template_fault(jobqueue(worker=worker(whileBusy="DoNotDisrupt") | own))
        assert fault and f"metadata.annotations[{name}] is set by the operator" in fault.message
