"""A scale-in step by step: who is asked, who is marked, by how many replicas is lowered, and what takes it back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from crewline_operator.effects.actions import Apply, Drain, Mark, Undrain, Unmark
from crewline_operator.jobqueue.drains import LOOK_SECONDS, SOON_SECONDS
from crewline_operator.jobqueue.going import GOING
from crewline_operator.model.fault import FAULT_CHECK_SECONDS
from crewline_operator.model.worker import Worker
from crewline_operator.redis.reading import Reading

from tests.unit.operator.factories import (
    CLOCK,
    at_rest,
    conditions,
    deployment,
    message,
    observed,
    pod,
)
from tests.unit.operator.jobqueue.drain_plans import (
    BUSY,
    DENIED,
    DRAINING,
    FOREIGN,
    IDLE,
    MARKED,
    REF,
    asked,
    lowered,
    replicas,
    scaled,
)
from tests.unit.operator.jobqueue.plans import (
    UNREACHABLE,
    actions,
    manifest,
    notes,
    planned,
    reading,
    status_of,
)


def test_idle_workers_are_asked_first_the_newest_of_them_and_nothing_is_lowered_before_they_answer() -> None:
    workers = {"pod-1": IDLE, "pod-2": BUSY, "pod-3": IDLE, "pod-4": BUSY}
    result = scaled(3, 4, workers=workers)
    assert (asked(result), actions(result, Mark), replicas(result)) == (["pod-3"], [], 4)
    assert result.looks and result.check_after_seconds == SOON_SECONDS
    assert status_of(result)["desiredReplicas"] == 3
    assert conditions(status_of(result))["Progressing"] == ("True", "ScalingDown")


def test_another_programs_workers_go_as_somebody_says_although_redis_is_away() -> None:
    away: dict[str, Any] = {"reading": Reading(fault=UNREACHABLE), "workers": None}
    for wanted in (0, 1):
        assert replicas(scaled(wanted, 2, worker=FOREIGN, **away)) == wanted
        assert replicas(scaled(wanted, 2, **away)) == 2, "those that can be asked are"
        waits = scaled(wanted, 2, worker=FOREIGN, telling=frozenset({"pod-2"}), **away)
        assert replicas(waits) == 2, "one that has told of itself is Crewline's"
    first = scaled(1, 2, worker=FOREIGN, workers=None)
    assert (replicas(first), first.looks) == (2, True), "Redis can be read: first they are looked at"


def test_another_programs_workers_stay_where_nobody_says_anything_and_redis_is_away() -> None:
    seen = {"deployment": deployment(3), "pods": [pod(1), pod(2), pod(3)], "reading": Reading(fault=UNREACHABLE)}
    for fallback, wanted in (({}, 3), ({"fallback": {"afterSeconds": 1, "replicas": 1}}, 3)):
        result = planned(observed(**seen), scaling={"maxReplicas": 10} | fallback, worker=FOREIGN)
        assert status_of(result)["desiredReplicas"] == wanted
    fewer = planned(observed(**seen), scaling={"maxReplicas": 2}, worker=FOREIGN)
    assert replicas(fewer) == 2


def test_one_that_answered_is_marked_and_replicas_is_lowered_once_the_mark_is_seen() -> None:
    workers = {"pod-1": BUSY, "pod-2": BUSY} | at_rest(3)
    marks = scaled(2, 3, workers=workers)
    assert (actions(marks, Mark), replicas(marks)) == ([Mark("emails-3", "pod-3")], 3)
    lowers = scaled(2, 3, workers=workers, pods=[pod(1), pod(2), pod(3, **MARKED)])
    assert replicas(lowers) == 2
    kinds = [type(action) for action in lowers.actions if isinstance(action, Drain | Apply)]
    assert kinds[0] is Drain and actions(lowers, Drain)[0].holding == {"pod-3": "t3"}
    assert notes(lowers) == [("Normal", "ScaledDown")]
    assert manifest(lowers, "Deployment")["metadata"]["annotations"][GOING] == "pod-3"
    assert actions(lowers, Mark) == [Mark("emails-3", "pod-3")], "the one that is seen may be taken back by now"


def test_where_all_are_busy_those_with_the_least_to_do_drain_and_the_status_says_so() -> None:
    workers = {"pod-1": Worker(known=True, busy=5, held=5), "pod-2": DRAINING, "pod-3": Worker(known=True, busy=2)}
    result = scaled(2, 3, workers=workers)
    assert (asked(result), replicas(result), result.check_after_seconds) == (["pod-2"], 3, LOOK_SECONDS)
    assert "1 busy worker finishes its jobs first" in message(status_of(result), "Progressing")


def test_one_that_drains_and_is_busy_works_on_if_another_has_nothing() -> None:
    result = scaled(2, 3, workers={"pod-1": DRAINING, "pod-2": IDLE, "pod-3": BUSY})
    assert asked(result) == ["pod-2"]
    assert actions(result, Undrain) == [Undrain(REF, ("pod-1",))]


def test_only_those_that_have_nothing_go_and_the_others_are_waited_for() -> None:
    pods = [pod(1), pod(2), pod(3, **MARKED)]
    result = scaled(1, 3, pods=pods, workers={"pod-1": BUSY, "pod-2": DRAINING} | at_rest(3))
    assert replicas(result) == 2
    assert "1 busy worker finishes its jobs first" in status_of(result)["lastDecision"]["reason"]


def test_while_pods_are_on_their_way_out_marks_and_requests_stay() -> None:
    pods = [pod(1), pod(2), pod(3, **MARKED)]
    for wanted in (1, 2, 3):
        for not_seen in ({}, {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2}):
            known = {"pods": pods, "workers": {"pod-1": BUSY, "pod-2": BUSY} | at_rest(3)}
            result = scaled(wanted, 2, deployment=lowered(3, 2, 3, **not_seen), **known)
            assert (asked(result), actions(result, Unmark), actions(result, Undrain)) == (["pod-3"], [], [])
            assert replicas(result) == max(wanted, 2)
            assert manifest(result, "Deployment")["metadata"]["annotations"][GOING] == "pod-3"
            assert result.looks


def test_those_by_which_the_last_were_lowered_to_zero_fetch_nothing_though_nobody_is_marked() -> None:
    pods = [pod(1), pod(2), pod(3, ready=False)]
    for wanted in (0, 2):
        for not_seen in ({}, {"observedGeneration": 1, "replicas": 0, "updatedReplicas": 0}):
            known = {"pods": pods, "workers": at_rest(1, 2), "deployment": lowered(3, 0, **not_seen)}
            result = scaled(wanted, 0, **known)
            assert (asked(result), actions(result, Undrain)) == (["pod-1", "pod-2", "pod-3"], [])
            assert result.looks
    # their ReplicaSet may go by the earlier number for a moment
    assert manifest(result, "Deployment")["metadata"]["annotations"][GOING] == "pod-1 pod-2 pod-3"
    raised = lowered(3, 2, 1, 2, 3, observedGeneration=1)
    assert asked(scaled(2, 2, pods=pods, workers=at_rest(1, 2), deployment=raised)) == ["pod-1", "pod-2", "pod-3"]
    raised = lowered(2, 3, 1, 2, 3, observedGeneration=1)
    assert asked(scaled(3, 3, pods=pods, workers=at_rest(1, 2), deployment=raised)) == ["pod-1", "pod-2", "pod-3"]
    live = {"pods": pods[:2], "workers": at_rest(1, 2), "deployment": lowered(0, 2, 1, 2, replicas=2)}
    result = scaled(2, 2, **live)
    assert (asked(result), actions(result, Undrain)) == ([], [Undrain(REF, ("pod-1", "pod-2"))])
    assert GOING not in manifest(result, "Deployment")["metadata"]["annotations"]
    assert ("Warning", "WrongPodKilled") not in notes(result)


def test_one_that_starts_and_may_be_killed_before_those_that_are_marked_fetches_nothing_until_they_are_gone() -> None:
    pods = [pod(1), pod(2), pod(3, ready=False), pod(4, ready=False, **MARKED)]
    workers = {"pod-1": BUSY, "pod-2": BUSY, "pod-3": Worker("t3"), "pod-4": Worker("t4")}
    result = scaled(3, 4, pods=pods, workers=workers)
    assert manifest(result, "Deployment")["metadata"]["annotations"][GOING] == "pod-3 pod-4"
    result = scaled(3, 3, pods=pods, workers=workers, deployment=lowered(4, 3, 3, 4))
    assert (sorted(asked(result)), actions(result, Undrain)) == (["pod-3", "pod-4"], [])
    result = scaled(3, 3, pods=pods[:3], workers=workers, deployment=lowered(4, 3, 3, 4, replicas=3))
    assert actions(result, Undrain) == [Undrain(REF, ("pod-3",))]
    assert ("Warning", "WrongPodKilled") not in notes(result)


def test_more_workers_wanted_takes_marks_and_requests_back_before_any_is_made() -> None:
    result = scaled(4, 3, pods=[pod(1), pod(2), pod(3, **MARKED)], workers={"pod-2": DRAINING} | at_rest(3))
    kinds = [type(action) for action in result.actions if isinstance(action, Unmark | Undrain | Apply)]
    assert kinds[:2] == [Unmark, Undrain] and replicas(result) == 4
    assert actions(result, Undrain)[0].workers == ("pod-2", "pod-3")
    assert actions(result, Drain) == []


def test_a_mark_that_is_for_nothing_is_taken_back_also_where_redis_can_not_be_read() -> None:
    for workers in (None, {"pod-2": Worker("t", known=True)}):
        result = scaled(2, 2, pods=[pod(1), pod(2, **MARKED)], workers=workers)
        assert actions(result, Unmark) == [Unmark("emails-2", "pod-2")]
        assert actions(result, Undrain) == [Undrain(REF, ("pod-2",))]
        assert result.looks, "Redis may not have taken that"
    assert result.check_after_seconds != SOON_SECONDS


def test_while_redis_is_away_nobody_is_looked_at_before_it_is_tried_again() -> None:
    for known in (True, False):
        away = scaled(
            2, 2, workers=None, claimed=observed().claimed if known else None, reading=Reading(fault=UNREACHABLE)
        )
        assert (away.looks, away.check_after_seconds) == (True, FAULT_CHECK_SECONDS)
    drains = scaled(1, 2, workers=None, reading=Reading(fault=UNREACHABLE))
    assert (drains.looks, drains.check_after_seconds) == (True, FAULT_CHECK_SECONDS)


def test_a_marked_one_that_is_not_known_to_be_idle_any_more_loses_its_mark() -> None:
    result = scaled(1, 2, pods=[pod(1), pod(2, **MARKED)], workers={"pod-1": BUSY, "pod-2": BUSY})
    assert actions(result, Unmark) == [Unmark("emails-2", "pod-2")] and replicas(result) == 2


def test_pods_that_start_go_first_and_are_asked_before_they_fetch() -> None:
    pods = [pod(1), pod(2), pod(3, ready=False), pod(4, ready=False)]
    first = scaled(2, 4, pods=pods, workers={"pod-1": IDLE, "pod-2": IDLE})
    assert (sorted(asked(first)), replicas(first)) == (["pod-3", "pod-4"], 4)
    waiting = {"pod-3": Worker("t3"), "pod-4": Worker("t4", known=True, busy=1, held=1)}
    marks = scaled(2, 4, pods=pods, workers={"pod-1": IDLE, "pod-2": IDLE} | waiting)
    assert actions(marks, Mark) == [Mark("emails-3", "pod-3")]
    pods[2] = pod(3, ready=False, **MARKED)
    holds = scaled(2, 4, pods=pods, workers={"pod-1": IDLE, "pod-2": IDLE} | waiting)
    assert replicas(holds) == 4, "the other one has begun with a job, and would be killed before all that are ready"


def test_under_the_guard_those_are_marked_too_that_go_to_zero() -> None:
    pods, workers = [pod(1), pod(2)], at_rest(1, 2)
    marks = scaled(0, 2, pods=pods, workers=workers, guarded=True)
    assert replicas(marks) == 2 and actions(marks, Mark) == [Mark("emails-2", "pod-2"), Mark("emails-1", "pod-1")]
    marked = [pod(1, **MARKED), pod(2, **MARKED)]
    assert replicas(scaled(0, 2, pods=marked, workers=workers, guarded=True)) == 0
    # one whose mark was lost, and that its ReplicaSet may therefore not kill
    late = {"pods": [pod(1), pod(2, **MARKED)], "workers": workers, "deployment": lowered(2, 0)}
    assert actions(scaled(0, 0, **late, guarded=True), Mark) == [Mark("emails-1", "pod-1")]
    assert actions(scaled(0, 0, **late), Mark) == []


def test_while_pods_are_being_made_only_as_many_drain_as_are_to_go() -> None:
    result = scaled(2, 4, pods=[pod(1), pod(2), pod(3)], workers=at_rest(1, 2, 3))
    assert (asked(result), actions(result, Undrain)) == (["pod-3", "pod-2"], [Undrain(REF, ("pod-1",))])


def test_pods_that_are_not_seen_yet_are_waited_for() -> None:
    assert replicas(scaled(0, 3, pods=[pod(1), pod(2)], workers=at_rest(1, 2))) == 3
    assert replicas(scaled(1, 3, pods=[pod(1), pod(2, **MARKED)], workers=at_rest(1, 2))) == 3


def test_nobody_goes_while_the_workers_can_not_be_read() -> None:
    result = scaled(0, 2, workers=None)
    assert replicas(result) == 2 and result.looks
    assert "can't be asked yet" in message(status_of(result), "Progressing")


@pytest.mark.parametrize(("active", "left"), [(1, 2), (0, 0)])
def test_a_worker_that_tells_nothing_goes_once_none_of_the_queues_jobs_runs(active: int, left: int) -> None:
    workers = {"pod-1": Worker("t1"), "pod-2": Worker("t2")}
    assert replicas(scaled(0, 2, workers=workers, reading=reading(active=active))) == left


def test_among_programs_of_another_kind_the_replica_set_chooses() -> None:
    command = {"command": ["node", "worker.js"], "image": "shop:1"}
    result = scaled(1, 2, worker=command, workers={"pod-1": Worker(), "pod-2": Worker()})
    assert (replicas(result), asked(result)) == (1, [])


def test_one_that_has_told_of_itself_is_asked_also_while_redis_has_lost_what_it_told() -> None:
    command = {"command": ["crewline", "worker"], "image": "shop:1"}
    first = scaled(2, 2, worker=command, workers={"pod-1": BUSY, "pod-2": Worker()})
    assert first.telling == {"pod-1"}
    lost = scaled(1, 2, worker=command, workers={"pod-1": Worker(), "pod-2": Worker()}, telling=first.telling)
    assert (replicas(lost), asked(lost), lost.telling) == (2, ["pod-2"], {"pod-1"})
    assert scaled(1, 1, worker=command, pods=[pod(2)], telling=first.telling).telling == frozenset()


def test_a_worker_whose_pod_is_deleted_is_told_before_its_sigterm() -> None:
    pods = [pod(1), pod(2, deletionTimestamp="now"), pod(3)]
    for told, wanted in ((BUSY, ["pod-2"]), (DRAINING, []), (Worker(known=True, stopping=True), []), (Worker(), [])):
        assert asked(scaled(2, 2, pods=pods, workers={"pod-1": BUSY, "pod-2": told, "pod-3": BUSY})) == wanted


def test_pods_that_the_cluster_refuses_hold_up_no_scale_in() -> None:
    refused = deployment(5, 2)
    refused["status"] |= {"replicas": 2, "updatedReplicas": 2}
    refused["status"]["conditions"] = [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]
    known = {"deployment": refused, "pods": [pod(1), pod(2)], "workers": {"pod-1": BUSY, "pod-2": BUSY}}
    assert [replicas(scaled(wanted, 5, **known)) for wanted in (4, 1)] == [4, 2]


def test_a_wrong_pod_that_went_is_told_once_and_the_marked_one_works_on() -> None:
    known = {"pods": [pod(1), pod(3, **MARKED)], "workers": {"pod-1": BUSY} | at_rest(3)}
    result = scaled(2, 2, deployment=lowered(3, 2, 3, replicas=2), **known)
    assert ("Warning", "WrongPodKilled") in notes(result)
    assert actions(result, Undrain) == [Undrain(REF, ("pod-3",))]
    assert GOING not in manifest(result, "Deployment")["metadata"]["annotations"]
    result = scaled(2, 2, deployment=lowered(3, 2), **known)
    assert ("Warning", "WrongPodKilled") not in notes(result), "it was not lowered by that one"


def test_what_redis_refuses_is_told_and_asked_for_again_at_intervals_and_nothing_relies_on_it() -> None:
    known = {"pods": [pod(1), pod(2, **MARKED)], "workers": {"pod-1": BUSY} | at_rest(2)}
    waits = scaled(1, 2, drain_denied=DENIED, **known)
    assert (replicas(waits), actions(waits, Drain), actions(waits, Mark)) == (2, [], [])
    assert waits.looks and waits.check_after_seconds == FAULT_CHECK_SECONDS
    assert conditions(status_of(waits))["Degraded"] == ("True", "RedisFull")
    again = scaled(1, 2, drain_denied=replace(DENIED, at=CLOCK - FAULT_CHECK_SECONDS), **known)
    assert (replicas(again), asked(again)) == (1, ["pod-2"])
    assert conditions(status_of(again))["Degraded"] == ("True", "RedisFull"), "until it is taken"
    more = scaled(3, 2, drain_denied=DENIED, **known)
    assert (replicas(more), actions(more, Unmark)) == (3, [Unmark("emails-2", "pod-2")])
    assert conditions(status_of(more))["Degraded"] == ("True", "RedisFull")
    away = scaled(1, 2, drain_denied=DENIED, reading=Reading(fault=UNREACHABLE), **known)
    assert [each["reason"] for each in status_of(away)["faults"]] == ["RedisUnreachable"]
    nothing = scaled(2, 2, drain_denied=DENIED, workers={"pod-1": BUSY, "pod-2": BUSY})
    assert conditions(status_of(nothing))["Degraded"][0] == "False"
