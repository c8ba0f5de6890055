"""The plan for a JobQueue: what is applied, what the status says, and what a fault must never do."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from crewline_operator.effects.actions import (
    Apply,
    Attend,
    Follow,
    GiveUpClaim,
    KeepClaim,
    Pause,
    Sweep,
    TakeBackRun,
    Unfollow,
    WriteStatus,
)
from crewline_operator.jobqueue.decision import LAST_DECISION
from crewline_operator.jobqueue.plan import STALE_CHILD_SECONDS, STALE_TOLD_SECONDS, Plan, plan_gone
from crewline_operator.jobqueue.sweeps import EMPTY_SWEEP_SECONDS, SWEEP_SECONDS
from crewline_operator.model.note import Note
from crewline_operator.model.owner import RENEW_SECONDS
from crewline_operator.redis.reading import Reading, Target
from crewline_operator.scaling.decide import History

from tests.unit.operator.factories import (
    CLOCK,
    ENDPOINT,
    ME,
    NOW,
    conditions,
    deployment,
    jobqueue,
    message,
    observed,
    pod,
    service_account,
)
from tests.unit.operator.jobqueue.plans import (
    MAILS,
    MISSING,
    UNREACHABLE,
    actions,
    in_place,
    manifest,
    manifests,
    notes,
    planned,
    reading,
    status_of,
)


def test_a_new_queue_gets_a_service_account_and_a_deployment_without_workers() -> None:
    result = planned(observed())
    assert [each["kind"] for each in manifests(result)] == ["ServiceAccount", "Deployment"]
    assert manifest(result, "Deployment")["spec"]["replicas"] == 0
    assert [reason for _, reason in notes(result)] == ["Created"]
    assert "lastDecision" not in status_of(result)


def test_jobs_scale_it_up_and_the_decision_is_in_status_and_event() -> None:
    result = planned(observed(deployment=deployment(0), reading=reading(waiting=40, active=3)))
    assert manifest(result, "Deployment")["spec"]["replicas"] == 5
    why = "waiting 40, active 3: 43 jobs / 10 per replica -> 5 replicas"
    assert status_of(result)["lastDecision"] == {"time": "2026-03-01T12:00:00Z", "from": 0, "to": 5, "reason": why}
    assert [(note.reason, note.message) for note in actions(result, Note)] == [("ScaledUp", f"0 -> 5 workers: {why}")]
    assert status_of(result)["ready"] == "0/5"


def test_a_steady_queue_is_stable_and_leaves_no_event() -> None:
    first = planned(observed(deployment=deployment(2), reading=reading(waiting=15)))
    again = planned(observed(deployment=deployment(2), reading=reading(waiting=15), status=status_of(first)))
    assert status_of(again) == status_of(first)
    assert notes(again) == []
    assert conditions(status_of(again)) == {
        "Ready": ("True", "WorkersReady"),
        "Progressing": ("False", "Stable"),
        "Degraded": ("False", "AsExpected"),
        "RedisReachable": ("True", "Connected"),
        "ScalingActive": ("True", "Operator"),
        "Paused": ("False", "NotPaused"),
    }
    assert all(each["observedGeneration"] == 4 for each in status_of(again)["conditions"])


def test_replicas_that_somebody_else_changed_are_put_right() -> None:
    result = planned(observed(deployment=deployment(0), reading=reading(waiting=15)))
    assert manifest(result, "Deployment")["spec"]["replicas"] == 2


def test_nothing_is_planned_before_redis_was_read_once() -> None:
    assert planned(observed(reading=Reading())) == Plan([], History())
    for known in ({}, {"reading": Reading(fault=UNREACHABLE)}, {"reading": Reading(), "endpoint": MISSING}):
        assert actions(planned(observed(**known)), WriteStatus)


def test_a_new_jobqueue_is_followed_before_anything_is_decided() -> None:
    fresh = planned(observed(claimed=None, followed=None, reading=Reading()))
    assert fresh.actions == [Follow(ENDPOINT, jobqueue().target)]
    assert fresh.check_after_seconds is None, "the first read has it looked at again"


def test_another_queue_is_followed_in_place_of_the_old_one_which_is_given_up() -> None:
    moved = planned(observed(reading=Reading()), queue="letters")
    assert moved.actions == [
        GiveUpClaim(jobqueue().queue_ref, ME),
        Follow(ENDPOINT, Target("bull", "letters", "letters-dlq")),
    ]


def test_without_a_usable_redis_url_nothing_is_followed_and_the_claim_stays() -> None:
    lost = planned(observed(endpoint=MISSING, reading=Reading()))
    assert [type(action) for action in lost.actions] == [Unfollow, WriteStatus, Note]
    still = planned(observed(endpoint=MISSING, reading=Reading(), followed=None, status=status_of(lost)))
    assert still.actions == []


def test_a_jobqueue_that_is_gone_gives_its_queue_up_and_is_followed_no_more() -> None:
    assert plan_gone(observed().claimed) == [GiveUpClaim(jobqueue().queue_ref, ME), Unfollow()]
    assert plan_gone(None) == [Unfollow()]


def test_runs_of_a_scheduledjob_that_is_gone_are_taken_back_before_a_worker_is_made() -> None:
    result = planned(observed(strays=["uid-8", "uid-9"], reading=reading(waiting=5)))
    taken = [TakeBackRun(jobqueue().queue_ref, uid, forget=True, optional=True) for uid in ("uid-8", "uid-9")]
    assert list(result.actions[:2]) == taken
    assert isinstance(result.actions[2], Apply)


def test_a_queue_that_keeps_nothing_is_swept_less_often_and_not_with_all_others_at_once() -> None:
    began = planned(observed(deployment=deployment(0), reading=reading()))
    assert actions(began, Sweep) == []
    assert began.check_after_seconds is not None
    assert 0 < began.check_after_seconds < EMPTY_SWEEP_SECONDS
    known = began.check_after_seconds
    due = planned(observed(deployment=deployment(0), reading=reading(), known_seconds=known))
    assert actions(due, Sweep) == [Sweep(jobqueue().queue_ref)], "a schedule may wait for somebody to go on with it"
    again = planned(observed(deployment=deployment(0), reading=reading(), known_seconds=known, sweep_age_seconds=300.0))
    assert (actions(again, Sweep), again.check_after_seconds) == ([], EMPTY_SWEEP_SECONDS - 300)


def test_a_queue_without_workers_is_swept_now_and_then() -> None:
    swept = planned(observed(deployment=deployment(0), reading=reading(failed=1)))
    assert (actions(swept, Sweep), swept.check_after_seconds) == ([Sweep(jobqueue().queue_ref)], SWEEP_SECONDS)
    soon = planned(observed(deployment=deployment(0), reading=reading(completed=1), sweep_age_seconds=290.0))
    assert (actions(soon, Sweep), soon.check_after_seconds) == ([], 10.0)
    evicted = {
        "deployment": deployment(0),
        "reading": reading(failed=1),
        "pods": [pod(1) | {"status": {"phase": "Failed"}}],
    }
    assert actions(planned(observed(**evicted)), Sweep), "an evicted pod stays for weeks, and does nothing"
    for others in ({"deployment": deployment(1)}, {"reading": reading(failed=1, owner=MAILS)}, {"pods": [pod(1)]}):
        seen = {"deployment": deployment(0), "reading": reading(failed=1)} | others
        assert actions(planned(observed(**seen)), Sweep) == [], "its workers, or another JobQueue, see to it"


def test_an_old_child_of_the_same_name_is_waited_for() -> None:
    stale = {"stale_child": "Deployment 'emails'", "reading": reading(waiting=50)}
    waiting = planned(observed(**stale))
    assert (waiting.actions, waiting.check_after_seconds) == ([], STALE_CHILD_SECONDS)
    told = planned(observed(**stale, known_seconds=STALE_TOLD_SECONDS))
    assert manifests(told) == [] and told.check_after_seconds == STALE_CHILD_SECONDS
    assert conditions(status_of(told))["Degraded"] == ("True", "EarlierNotGone")
    assert message(status_of(told), "Degraded").startswith("Deployment 'emails' of an earlier JobQueue of this name")
    assert notes(told) == [("Warning", "EarlierNotGone")]


def test_a_wall_clock_that_is_an_hour_off_decides_the_same() -> None:
    def lives(hours: list[int]) -> list[tuple[int, float | None]]:
        """What is decided second by second for a queue without jobs, with the wall clock so much off each time."""
        history, decided = History(), []
        for second, off in enumerate(hours):
            seen = {"now": NOW + timedelta(hours=off, seconds=second), "clock": CLOCK + second, "history": history}
            result = planned(observed(deployment=deployment(3), **seen), scaling=scaling)
            history = result.history
            decided.append((manifest(result, "Deployment")["spec"]["replicas"], result.check_after_seconds))
        return decided

    scaling = {"mode": "Operator", "minReplicas": 0, "maxReplicas": 5, "idleSeconds": 60}
    assert lives([0, 1, 1, 0, -1, -1]) == lives([0] * 6) == [(3, 60 - second) for second in range(6)]


def test_what_is_done_comes_in_an_order_that_a_death_between_bears() -> None:
    """The pause is known by the status, Events tell of what was done, and the pause alone may fail for the Redis."""
    result = planned(observed(claimed=None, reading=reading(waiting=50)), paused=True)
    kinds = [type(action) for action in result.actions]
    assert kinds == [KeepClaim, Apply, Apply, Note, Attend, WriteStatus, Note, Pause]


#: Two workers for 15 jobs, in place.
STEADY: dict[str, Any] = {"deployment": deployment(2), "service_account": service_account()}


def kinds_applied(result: Plan) -> list[str]:
    return [action.kind for action in actions(result, Apply)]


def test_what_is_in_place_is_neither_applied_nor_written_again() -> None:
    first = planned(observed(reading=reading(waiting=15), **STEADY))
    known = {"reading": reading(waiting=15), "status": status_of(first)} | STEADY
    again = planned(observed(applied=in_place(first, **STEADY), **known))
    assert (again.actions, again.check_after_seconds) == ([], RENEW_SECONDS)
    assert kinds_applied(planned(observed(**known))) == ["ServiceAccount", "Deployment"]


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"deployment": deployment(2, generation=7)}, "Deployment"),
        ({"deployment": deployment(2, labels={})}, "Deployment"),
        ({"deployment": deployment(2, ownerReferences=[])}, "Deployment"),
        ({"deployment": deployment(2, uid="uid-e")}, "Deployment"),
        ({"service_account": service_account(labels={})}, "ServiceAccount"),
        ({"service_account": service_account() | {"automountServiceAccountToken": True}}, "ServiceAccount"),
        ({"service_account": None}, "ServiceAccount"),
    ],
)
def test_what_somebody_else_changed_is_applied_again(changed: dict[str, Any], kind: str) -> None:
    first = planned(observed(reading=reading(waiting=15), **STEADY))
    applied = in_place(first, **STEADY)
    result = planned(observed(reading=reading(waiting=15), applied=applied, **STEADY | changed))
    assert kinds_applied(result) == [kind]


def test_what_others_keep_on_a_child_is_theirs() -> None:
    first = planned(observed(reading=reading(waiting=15), **STEADY))
    revised = deployment(2, annotations={"deployment.kubernetes.io/revision": "2"}, resourceVersion="9")
    result = planned(
        observed(reading=reading(waiting=15), applied=in_place(first, **STEADY), **STEADY | {"deployment": revised})
    )
    assert kinds_applied(result) == []


def test_while_a_quota_refuses_pods_nothing_is_applied_that_is_in_place() -> None:
    refused = deployment(2)
    refused["status"]["conditions"] = [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]
    known = STEADY | {"deployment": refused}
    first = planned(observed(reading=reading(waiting=15), **known))
    again = planned(observed(reading=reading(waiting=15), applied=in_place(first, **known), **known))
    assert kinds_applied(again) == []
    assert again.check_after_seconds is not None


def test_only_the_manifest_that_changed_is_applied() -> None:
    first = planned(observed(reading=reading(waiting=15), **STEADY))
    more = planned(observed(reading=reading(waiting=45), applied=in_place(first, **STEADY), **STEADY))
    assert kinds_applied(more) == ["Deployment"]


def applied_deployment(result: Plan) -> dict[str, Any]:
    """The Deployment as it is after the plan."""
    built: dict[str, Any] = {**manifest(result, "Deployment")}
    before = deployment(built["spec"]["replicas"])
    return built | {"metadata": before["metadata"] | built["metadata"], "status": before["status"]}


def test_a_decision_whose_status_was_not_written_is_told_by_the_next_plan() -> None:
    scaled = planned(observed(deployment=deployment(0), reading=reading(waiting=40)))
    after = applied_deployment(scaled)
    again = planned(observed(deployment=after, reading=reading(waiting=40)))
    assert status_of(again)["lastDecision"] == status_of(scaled)["lastDecision"]
    assert ("Normal", "ScaledUp") in notes(again)
    told = planned(observed(deployment=after, reading=reading(waiting=40), status=status_of(again)))
    assert notes(told) == []
    assert applied_deployment(told)["metadata"] == after["metadata"]


def test_a_decision_that_follows_one_that_was_not_told_leaves_both_events() -> None:
    first = planned(observed(deployment=deployment(0), reading=reading(waiting=40)))
    second = planned(observed(deployment=applied_deployment(first), reading=reading(waiting=60)))
    told = [note.message.partition(":")[0] for note in actions(second, Note)]
    assert told == ["0 -> 4 workers", "4 -> 6 workers"]
    assert status_of(second)["lastDecision"]["to"] == 6


def test_a_decision_that_can_not_be_read_is_left_as_the_status_has_it() -> None:
    known = {"time": "2026-03-01T11:00:00Z", "from": 1, "to": 2, "reason": "busy"}
    for text in ("", "{", "5", '{"time": 3}', '{"time": "noon", "from": 1, "to": 2, "reason": "busy"}'):
        odd = deployment(2, annotations={LAST_DECISION: text})
        result = planned(observed(deployment=odd, reading=reading(waiting=15), status={"lastDecision": known}))
        assert status_of(result)["lastDecision"] == known


def test_a_decision_of_any_length_that_somebody_wrote_goes_into_no_status() -> None:
    told = {"time": "2026-03-01T11:00:00Z", "from": 1, "to": 2, "reason": "r" * 100_000}
    odd = deployment(2, annotations={LAST_DECISION: json.dumps(told)})
    decision = status_of(planned(observed(deployment=odd, reading=reading(waiting=15))))["lastDecision"]
    assert len(decision["reason"]) == 1024


def test_numbers_wait_for_their_time_and_what_matters_does_not() -> None:
    first = planned(observed(deployment=deployment(2), reading=reading(waiting=15)))
    known = {"deployment": deployment(2), "status": status_of(first), "status_age_seconds": 2.0}
    moved = planned(observed(reading=reading(waiting=16), **known))
    assert (actions(moved, WriteStatus), moved.check_after_seconds) == ([], 3.0)
    assert status_of(moved)["counts"]["waiting"] == 16
    aged = planned(observed(reading=reading(waiting=16), **known | {"status_age_seconds": 5.0}))
    assert [action.patch for action in actions(aged, WriteStatus)] == [{"counts": {"waiting": 16}}]
    scaled = planned(observed(reading=reading(waiting=26), **known))
    assert "desiredReplicas" in actions(scaled, WriteStatus)[0].patch
