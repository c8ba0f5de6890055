"""Drains while a rollout is under way: who is asked, who goes first, and what else may happen meanwhile."""

from __future__ import annotations

from typing import Any

from crewline_operator.effects.actions import Mark, Undrain, Unmark
from crewline_operator.jobqueue.children.template_digest import TEMPLATE_DIGEST
from crewline_operator.jobqueue.drains import SOON_SECONDS
from crewline_operator.jobqueue.going import GOING
from crewline_operator.jobqueue.plan import Plan
from crewline_operator.model.fault import FAULT_CHECK_SECONDS
from crewline_operator.model.worker import Worker
from crewline_operator.redis.reading import Reading

from tests.unit.operator.factories import (
    at_rest,
    deployment,
    message,
    of_template,
    pod,
)
from tests.unit.operator.jobqueue.drain_plans import (
    BUSY,
    DRAINING,
    IDLE,
    MARKED,
    REF,
    asked,
    replicas,
    rolling,
    scaled,
)
from tests.unit.operator.jobqueue.plans import (
    UNREACHABLE,
    actions,
    status_of,
)


def test_a_rollout_ends_before_anybody_is_chosen() -> None:
    pods = [pod(1, rollout="r0", **MARKED), pod(2)]
    result = scaled(1, 2, pods=pods, workers=at_rest(1, 2))
    assert replicas(result) == 2 and actions(result, Unmark) == [Unmark("emails-1", "pod-1")]
    assert "the rollout ends first" in message(status_of(result), "Progressing")


def test_to_zero_all_have_to_be_idle_and_none_is_marked_even_in_a_rollout() -> None:
    pods = [pod(1, rollout="r0"), pod(2, ready=False)]
    assert replicas(scaled(0, 2, pods=pods, workers={"pod-1": DRAINING, "pod-2": Worker("t2")})) == 2
    result = scaled(0, 2, pods=pods, workers=at_rest(1) | {"pod-2": Worker("t2")})
    assert replicas(result) == 0 and actions(result, Mark) == []


def test_a_rollout_that_does_not_end_keeps_no_queue_from_going_to_zero() -> None:
    pods, stuck = [pod(1)], pod(9, ready=False, rollout="r2")
    known = {"deployment": rolling(1), "pods": [*pods, stuck]}
    first = scaled(0, 1, workers={"pod-1": IDLE, "pod-9": Worker()}, **known)
    assert (sorted(asked(first)), replicas(first)) == (["pod-1", "pod-9"], 1)
    assert replicas(scaled(0, 1, workers=at_rest(1) | {"pod-9": Worker("t9")}, **known)) == 0
    assert replicas(scaled(0, 1, workers={"pod-1": DRAINING, "pod-9": Worker("t9")}, **known)) == 1
    later = deployment(1, generation=2)
    unseen = scaled(0, 1, workers=at_rest(1), pods=pods, deployment=later)
    assert replicas(unseen) == 1, "the pods of another template may be on their way"


def test_a_rollout_that_does_not_end_keeps_nobody_drained_who_was_to_go_before_it_began() -> None:
    stuck = pod(9, ready=False, rollout="r2")
    all_asked = {"pods": [*(pod(number) for number in range(1, 5)), stuck], "workers": at_rest(1, 2, 3, 4)}
    result = scaled(2, 4, deployment=rolling(4), **all_asked)
    assert (asked(result), actions(result, Undrain)) == ([], [Undrain(REF, ("pod-1", "pod-2", "pod-3", "pod-4"))])
    assert "the rollout ends first" in message(status_of(result), "Progressing")
    marked = {"pods": [pod(1), pod(2, **MARKED), stuck], "workers": {"pod-1": BUSY} | at_rest(2)}
    result = scaled(2, 2, deployment=rolling(2), **marked)
    assert (asked(result), actions(result, Unmark)) == ([], [Unmark("emails-2", "pod-2")])
    # as many as were to go have gone: the pod beside those is another ReplicaSet's
    result = scaled(2, 2, deployment=rolling(2, annotations={GOING: "pod-2"}), **marked)
    assert (asked(result), actions(result, Unmark)) == ([], [Unmark("emails-2", "pod-2")])
    # but one that its ReplicaSet is about to kill
    marked["pods"] = [*marked["pods"], pod(3)]
    result = scaled(2, 2, deployment=rolling(2, annotations={GOING: "pod-2"}), **marked)
    assert (asked(result), actions(result, Unmark)) == (["pod-2"], [])


OLD = [pod(number) for number in range(1, 5)]


def rolled(pods: list[Any], wanted: int = 4, replicas: int = 4, **parts: Any) -> Plan:
    """A plan in a rollout from r1 to r2, of four workers if nothing else is said."""
    return scaled(wanted, replicas, deployment=rolling(replicas), pods=pods, **parts)


def new(number: int, *, ready: bool = True) -> dict[str, Any]:
    return pod(number, rollout="r2", ready=ready)


def test_in_a_rollout_as_many_earlier_workers_drain_as_newer_ones_are_ready_idle_ones_first() -> None:
    busy = {f"pod-{number}": BUSY for number in (1, 3, 4)} | {"pod-2": IDLE, "pod-8": BUSY, "pod-9": BUSY}
    starting = rolled([*OLD, new(8, ready=False)], workers=busy)
    assert asked(starting) == [], "they work until there is somebody for their jobs"
    first = rolled([*OLD, new(8)], workers=busy)
    assert (asked(first), actions(first, Mark), replicas(first)) == (["pod-2"], [], 4)
    assert first.looks and first.check_after_seconds == SOON_SECONDS
    second = rolled([*OLD, new(8), new(9)], workers=busy | {"pod-2": DRAINING})
    assert asked(second) == ["pod-2", "pod-4"], "it goes on with it, and of the busy ones one with the least to do"


def test_in_a_rollout_one_that_answered_is_marked_and_works_again_once_it_is_not_to_go() -> None:
    rest = {"pod-1": BUSY, "pod-2": BUSY, "pod-3": BUSY, "pod-9": BUSY}
    marks = rolled([*OLD, new(9)], workers=rest | at_rest(4))
    assert (actions(marks, Mark), asked(marks)) == ([Mark("emails-4", "pod-4")], ["pod-4"])
    marked = [*OLD[:3], pod(4, **MARKED)]
    assert actions(rolled([*marked, new(9)], workers=rest | at_rest(4)), Mark) == [], "it is waited for"
    # the newer one is lost, or an earlier one is
    for pods in ([*marked, new(9, ready=False)], [*marked[1:], new(9)]):
        result = rolled(pods, workers=rest | at_rest(4))
        assert actions(result, Unmark) == [Unmark("emails-4", "pod-4")]
        assert actions(result, Undrain) == [Undrain(REF, ("pod-4",))]
    busy = rolled([*marked, new(9)], workers=rest | {"pod-4": DRAINING})
    assert (actions(busy, Unmark), asked(busy)) == ([Unmark("emails-4", "pod-4")], ["pod-4"])


def test_in_a_rollout_nobody_is_scaled_in_and_more_are_made_at_once() -> None:
    fewer = rolled([*OLD, new(9)], 1, workers={"pod-9": BUSY} | at_rest(1, 2, 3, 4))
    assert replicas(fewer) == 4 and "the rollout ends first" in message(status_of(fewer), "Progressing")
    assert actions(fewer, Mark) == [Mark("emails-4", "pod-4")], "one for the one that is there in its place"
    more = rolled([*OLD, new(9)], 6, workers={"pod-9": BUSY} | at_rest(1, 2, 3, 4))
    assert (replicas(more), asked(more)) == (6, []), "all are needed"


def replica_set(rollout: str, number: int, created: str) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"pod-template-hash": rollout}, "creationTimestamp": created},
        "spec": {"replicas": number},
    }


def test_of_several_earlier_templates_those_go_first_whose_replica_set_has_too_many_then_the_oldest() -> None:
    """A Deployment takes no other while an earlier ReplicaSet has more pods than it is to have."""
    pods = [*OLD[:3], pod(4, rollout="r0"), pod(5, rollout="r0"), new(9)]
    idle = {f"pod-{number}": IDLE for number in range(1, 10)}
    for sets, first in (
        # the newest of the pods go first where nothing else is known
        ([], ["pod-5", "pod-4"]),
        ([replica_set("r1", 2, "1"), replica_set("r0", 2, "2"), replica_set("r2", 1, "3")], ["pod-3", "pod-2"]),
        # one that was put back in between is older than its pods
        ([replica_set("r1", 3, "1"), replica_set("r0", 1, "2"), replica_set("r2", 1, "3")], ["pod-5", "pod-3"]),
        (
            [replica_set("r1", 0, "1"), replica_set("r0", 2, "2"), replica_set("r2", 1, "3")],
            ["pod-3", "pod-2", "pod-1"],
        ),
    ):
        assert asked(rolled(pods, workers=idle, replica_sets=sets)) == first


def test_a_rollout_is_known_by_the_pods_before_the_deployment_tells_of_it() -> None:
    told = of_template(deployment(2, generation=2), "r2")
    seen = {"deployment": told, "pods": [pod(1), pod(2), new(9)], "workers": {"pod-1": BUSY, "pod-2": IDLE}}
    assert asked(scaled(2, 2, **seen)) == ["pod-2"]
    back = of_template(deployment(2, generation=3), "r1")
    seen["pods"] = [pod(number, annotations={TEMPLATE_DIGEST: "r1"}) for number in (1, 2)] + [new(9)]
    assert asked(scaled(2, 2, deployment=back, **{k: v for k, v in seen.items() if k != "deployment"})) == ["pod-9"]


def test_while_redis_is_away_in_a_rollout_nobody_is_marked_and_who_is_stays_so() -> None:
    pods = [*OLD[:3], pod(4, **MARKED), new(9)]
    away = rolled(pods, workers=None, reading=Reading(fault=UNREACHABLE))
    assert (actions(away, Mark), actions(away, Unmark), asked(away)) == ([], [], ["pod-4"])
    assert away.check_after_seconds == FAULT_CHECK_SECONDS
    first = rolled([*OLD, new(9)], workers=None, looked=False)
    assert first.looks and first.check_after_seconds == SOON_SECONDS


def test_programs_of_another_kind_are_rolled_out_as_kubernetes_does_it() -> None:
    command = {"command": ["node", "worker.js"], "image": "shop:1"}
    workers = {f"pod-{number}": Worker() for number in (1, 2, 3, 4, 9)}
    result = rolled([*OLD, new(9)], worker=command, workers=workers, guarded=True)
    assert (asked(result), actions(result, Mark)) == ([], [])
