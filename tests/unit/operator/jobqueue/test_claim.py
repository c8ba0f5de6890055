"""Who has the queue: claimed before anything is decided, kept, given up, and taken over from who is gone."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest
from crewline_operator.effects.actions import Claim, Follow, GiveUpClaim, KeepClaim
from crewline_operator.effects.done import Claimed
from crewline_operator.jobqueue.claim import PATIENCE_SECONDS
from crewline_operator.jobqueue.has_queue import HAS_QUEUE, OPERATOR, operator_of
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.model.fault import FAULT_CHECK_SECONDS
from crewline_operator.model.note import Note
from crewline_operator.model.owner import RENEW_SECONDS, UNKNOWN, Owner, read_owner
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.reading import Reading
from crewline_operator.scaling.decide import History

from tests.unit.operator.factories import (
    CLOCK,
    ENDPOINT,
    ME,
    at_rest,
    conditions,
    deployment,
    jobqueue,
    message,
    observed,
    pod,
)
from tests.unit.operator.jobqueue.plans import (
    MAILS,
    UNREACHABLE,
    actions,
    manifest,
    manifests,
    planned,
    reading,
    status_of,
)

REF = jobqueue().queue_ref
FAR = Owner("cluster-2", "shop", "mails", "uid-2")


def claimed(seconds_ago: float) -> Claimed:
    return Claimed(REF, ME, ENDPOINT.shown, CLOCK - seconds_ago)


def test_a_queue_that_nobody_has_is_claimed_before_anything_is_decided() -> None:
    result = planned(observed(claimed=None, reading=reading(waiting=50, owner=None)))
    assert result.actions == [Claim(REF, ME, ENDPOINT.shown)]
    assert result.status is None


def operated(operator: str) -> Owner:
    return replace(ME, operator=operator)


def test_a_jobqueue_that_another_operator_looks_after_is_left_alone_and_that_is_said_once() -> None:
    seen = {
        "me": operated("ops/one"),
        "reading": reading(waiting=50, owner=operated("ops/two")),
        "deployment": deployment(1),
        "other_operator": "ops/two",
    }
    result = planned(observed(**seen))
    (note,) = result.actions
    assert isinstance(note, Note) and (note.type, note.reason) == ("Warning", "OtherOperator")
    assert "Lease ops/two looks after" in note.message and "Lease ops/one leaves it" in note.message
    assert (result.status, result.check_after_seconds) == (None, FAULT_CHECK_SECONDS)
    again = planned(observed(**seen, told_operator=result.left_to))
    assert again.actions == []


def test_when_that_operator_is_gone_the_claim_is_taken_over_before_anything_is_decided() -> None:
    gone, me = operated("ops/two"), operated("ops/one")
    result = planned(observed(me=me, reading=reading(waiting=50, owner=gone), deployment=deployment(1)))
    assert result.actions == [Claim(REF, me, ENDPOINT.shown, instead_of=gone)]
    assert result.actions[0].owner.operator == "ops/one"
    for mine in (operated("ops/one"), ME):
        kept = planned(observed(me=me, claimed=None, reading=reading(waiting=50, owner=mine), deployment=deployment(1)))
        assert actions(kept, KeepClaim), "one without a name is given that of the operator"
        assert manifest(kept, "Deployment")["metadata"]["annotations"][OPERATOR] == "ops/one"


def test_who_looks_after_it_is_told_by_the_claim_or_where_redis_is_away_by_the_deployment() -> None:
    applied = deployment(1, annotations={OPERATOR: "ops/two"})
    assert operator_of(reading(owner=operated("ops/one")), applied, ME) == "ops/one"
    assert operator_of(reading(owner=ME), applied, ME) == ""
    assert operator_of(reading(owner=replace(MAILS, operator="ops/two")), applied, ME) == "", "it is another JobQueue's"
    away = Reading(fault=UNREACHABLE)
    assert [operator_of(away, seen, ME) for seen in (applied, deployment(1), None)] == ["ops/two", "", ""]


@pytest.mark.parametrize("told", [5, None, "", "one", "a/b/c", "../x/y", "ops/..", "Ops/one"])
def test_what_can_be_no_lease_is_no_operator(told: object) -> None:
    assert read_owner(json.dumps(asdict(ME) | {"operator": told}).encode()).operator == ""  # type: ignore[union-attr]
    assert "operator" not in ME.encode(), "as releases before have it"


def test_the_claim_stays_where_the_same_queue_is_reached_another_way() -> None:
    other_way = Endpoint("redis://redis.shop.svc.cluster.local:6379/0", "redis.shop.svc.cluster.local:6379/0")
    seen = {"endpoint": other_way, "same_place": True}
    follows = planned(observed(**seen, reading=Reading()))
    assert not actions(follows, GiveUpClaim), "it would be nobody's for a moment"
    assert [action.endpoint for action in actions(follows, Follow)] == [other_way]
    told = planned(observed(**seen, followed=(other_way, jobqueue().target)))
    assert actions(told, KeepClaim) == [KeepClaim(REF, ME, other_way.shown)]
    assert status_of(told)["served"] and not actions(told, GiveUpClaim)
    kept = Claimed(REF, ME, other_way.shown, CLOCK)
    after = planned(observed(endpoint=other_way, followed=(other_way, jobqueue().target), claimed=kept))
    assert not actions(after, KeepClaim) and not actions(after, GiveUpClaim)


def test_a_jobqueue_that_is_deleted_and_still_there_has_its_queue_and_nothing_is_made_for_it() -> None:
    seen = {"going": True, "reading": reading(waiting=50), "deployment": deployment(1)}
    assert planned(observed(**seen)).actions == []
    late = planned(observed(**seen, claimed=claimed(RENEW_SECONDS)))
    assert late.actions == [KeepClaim(REF, ME, ENDPOINT.shown)]
    anew = planned(observed(going=True, followed=None, reading=Reading(), claimed=None))
    assert anew.actions == [Follow(ENDPOINT, jobqueue().target)], "an operator that starts reads it, too"
    nobodys = planned(observed(going=True, claimed=None, reading=reading(owner=None), deployment=deployment(1)))
    assert nobodys.actions == []


def test_what_it_has_is_renewed_in_time() -> None:
    assert actions(planned(observed(claimed=claimed(RENEW_SECONDS - 1))), KeepClaim) == []
    late = planned(observed(claimed=claimed(RENEW_SECONDS), deployment=deployment(0), sweep_age_seconds=0))
    assert actions(late, KeepClaim) == [KeepClaim(REF, ME, ENDPOINT.shown)]
    assert late.check_after_seconds == RENEW_SECONDS


def test_after_a_restart_it_keeps_what_it_has() -> None:
    result = planned(observed(claimed=None, deployment=deployment(2), reading=reading(waiting=15)))
    assert actions(result, KeepClaim) == [KeepClaim(REF, ME, ENDPOINT.shown)]
    assert manifest(result, "Deployment")["spec"]["replicas"] == 2


@pytest.mark.parametrize("holder", [MAILS, FAR, UNKNOWN])
def test_a_queue_that_another_has_is_left_to_it(holder: Owner) -> None:
    result = planned(observed(claimed=None, reading=reading(waiting=50, owner=holder)))
    assert actions(result, Claim) == manifests(result) == []
    assert conditions(status_of(result))["Degraded"] == ("True", "DuplicateQueue")
    workers = {"deployment": deployment(3), "pods": [pod(number) for number in range(3)], "workers": at_rest(0, 1, 2)}
    lost = planned(observed(reading=reading(waiting=50, owner=holder), **workers))
    assert actions(lost, GiveUpClaim) == [GiveUpClaim(REF, ME)], "what this process knew of it holds no more"
    assert manifest(lost, "Deployment")["spec"]["replicas"] == 0


def test_one_of_another_cluster_is_named_as_such_with_the_way_out() -> None:
    result = planned(observed(reading=reading(owner=FAR)))
    told = message(status_of(result), "Degraded")
    assert "JobQueue shop/mails of another cluster has queue 'emails'" in told
    assert "delete key 'bull-crewline:emails:claim' in Redis" in told


def test_one_that_is_gone_is_followed_in_its_claim() -> None:
    result = planned(observed(claimed=None, reading=reading(waiting=50, owner=MAILS), owner_gone=True))
    assert result.actions == [Claim(REF, ME, ENDPOINT.shown, instead_of=MAILS)]


def test_its_own_claim_from_before_the_clusters_certificate_changed_is_made_anew() -> None:
    before = Owner("cluster-0", ME.namespace, ME.name, ME.uid)
    result = planned(observed(reading=reading(waiting=50, owner=before)))
    assert result.actions == [Claim(REF, ME, ENDPOINT.shown, instead_of=before)]


def test_where_redis_lost_the_claim_whoever_had_the_queue_comes_first() -> None:
    told = status_of(planned(observed(reading=reading(owner=MAILS))))
    lost = planned(observed(status=told, claimed=None, reading=reading(owner=None)))
    assert (lost.actions, lost.check_after_seconds, lost.unclaimed_since) == ([], PATIENCE_SECONDS, CLOCK)
    since = CLOCK - PATIENCE_SECONDS
    freed = planned(observed(status=told, claimed=None, reading=reading(owner=None), unclaimed_since=since))
    assert freed.actions == [Claim(REF, ME, ENDPOINT.shown)]


def test_without_a_claim_that_is_known_no_workers_are_made_for_a_redis_that_does_not_answer() -> None:
    always = {"scaling": {"mode": "Operator", "minReplicas": 2, "maxReplicas": 10, "idleSeconds": 60}}
    seen = observed(claimed=None, deployment=deployment(0), reading=Reading(fault=UNREACHABLE))
    assert manifest(planned(seen, **always), "Deployment")["spec"]["replicas"] == 0
    had = observed(deployment=deployment(0), reading=Reading(fault=UNREACHABLE))
    assert manifest(planned(had, **always), "Deployment")["spec"]["replicas"] == 2


def with_claim(replicas: int) -> dict[str, Any]:
    """The Deployment that a process has left which had the queue."""
    applied = manifest(planned(observed(deployment=deployment(replicas), sweep_age_seconds=0)), "Deployment")
    return deployment(replicas, annotations=applied["metadata"]["annotations"])


def lost(history: History, seconds: float = 0.0, **parts: Any) -> Observed:
    """What a process sees that has just started, and does not reach Redis."""
    away: dict[str, Any] = {"deployment": with_claim(1), "reading": Reading(fault=UNREACHABLE)}
    return observed(claimed=None, clock=CLOCK + seconds, history=history, **(away | parts))


def test_after_a_restart_without_redis_the_fallback_and_spec_replicas_count_for_who_had_the_queue() -> None:
    falls = {"scaling": {"mode": "Operator", "maxReplicas": 10, "fallback": {"afterSeconds": 60, "replicas": 3}}}
    first = planned(lost(History()), **falls)
    assert manifest(first, "Deployment")["spec"]["replicas"] == 1
    later = planned(lost(first.history, 60), **falls)
    assert manifest(later, "Deployment")["spec"]["replicas"] == 3
    assert HAS_QUEUE in manifest(later, "Deployment")["metadata"]["annotations"], "and for the next process"
    assert message(status_of(later), "ScalingActive").endswith(
        "workers stay as they are, but for spec.scaling.fallback"
    )
    outside = planned(lost(History()), scaling={"mode": "External", "maxReplicas": 10}, replicas=5)
    assert manifest(outside, "Deployment")["spec"]["replicas"] == 5


@pytest.mark.parametrize(
    "parts",
    [
        {"deployment": deployment(1)},
        {"endpoint": Endpoint("redis://other:6379/0", "other:6379/0")},
    ],
    ids=["it never had it", "it had one of another Redis"],
)
def test_after_a_restart_without_redis_who_is_not_known_to_have_the_queue_makes_no_workers(
    parts: dict[str, Any],
) -> None:
    seen = lost(History(), **parts)
    result = planned(seen, scaling={"mode": "External", "maxReplicas": 10}, replicas=5)
    assert manifest(result, "Deployment")["spec"]["replicas"] == 1
    assert HAS_QUEUE not in manifest(result, "Deployment")["metadata"].get("annotations", {})
    assert conditions(status_of(result))["ScalingActive"] == ("False", "RedisUnreachable")


def test_who_has_lost_the_queue_says_so_on_its_deployment() -> None:
    applied = manifest(planned(observed(deployment=with_claim(0), reading=reading(owner=MAILS))), "Deployment")
    assert HAS_QUEUE not in applied["metadata"].get("annotations", {})


def test_that_another_has_the_queue_is_known_over_an_outage_of_redis() -> None:
    """One that loses its data is commonly away in between: then whoever had the queue comes first all the same."""
    told = status_of(planned(observed(reading=reading(owner=MAILS))))
    away = status_of(planned(observed(status=told, claimed=None, reading=Reading(fault=UNREACHABLE))))
    assert [fault["reason"] for fault in away["faults"]] == ["RedisUnreachable", "DuplicateQueue"]
    back = planned(observed(status=away, claimed=None, reading=reading(owner=None)))
    assert (back.actions, back.check_after_seconds) == ([], PATIENCE_SECONDS)
    elsewhere = planned(observed(status=told, claimed=None, reading=Reading(fault=UNREACHABLE)), queue="others")
    assert [fault["reason"] for fault in status_of(elsewhere)["faults"]] == ["RedisUnreachable"]


def test_a_queue_in_another_redis_is_given_up_and_a_new_password_gives_up_nothing() -> None:
    moved = Endpoint("redis://other:6379/0", "other:6379/0")
    assert actions(planned(observed(endpoint=moved, reading=Reading())), GiveUpClaim) == [GiveUpClaim(REF, ME)]
    same = Endpoint("redis://:new@redis.shop.svc:6379/0", ENDPOINT.shown)
    assert actions(planned(observed(endpoint=same, reading=Reading())), GiveUpClaim) == []


@pytest.mark.parametrize("stored", [b"", b"{", b"[]", b"1", b'{"uid": "u"}', b"\xff", b"[" * 100_000])
def test_what_is_no_claim_is_somebody_elses(stored: bytes) -> None:
    assert read_owner(stored) == UNKNOWN
    assert read_owner(ME.encode().encode()) == ME
