"""What is wrong: told once, in order, and never a reason to stop workers that run."""

from __future__ import annotations

from typing import Any

import pytest
from crewline_operator.jobqueue.children.deployment import CODE_DIGEST
from crewline_operator.jobqueue.observed import Code
from crewline_operator.model.fault import Fault
from crewline_operator.redis.reading import Reading

from tests.unit.operator.factories import at_rest, conditions, deployment, message, observed, pod
from tests.unit.operator.jobqueue.plans import (
    MAILS,
    UNREACHABLE,
    WITH_CODE,
    manifest,
    manifests,
    notes,
    planned,
    reading,
    status_of,
)


def test_an_unreachable_redis_keeps_the_workers_and_the_last_numbers() -> None:
    before = status_of(planned(observed(deployment=deployment(3), reading=reading(waiting=30))))
    result = planned(observed(deployment=deployment(3), reading=Reading(fault=UNREACHABLE), status=before))
    assert manifest(result, "Deployment")["spec"]["replicas"] == 3
    assert status_of(result)["counts"] == before["counts"]
    seen = conditions(status_of(result))
    assert seen["RedisReachable"] == ("False", "RedisUnreachable")
    assert seen["Degraded"] == ("True", "RedisUnreachable")
    assert seen["Ready"] == ("False", "RedisUnreachable")
    assert seen["ScalingActive"] == ("False", "RedisUnreachable")
    assert notes(result) == [("Warning", "RedisUnreachable")]


def test_a_fault_is_told_once_and_its_end_too() -> None:
    seen = observed(deployment=deployment(0), reading=Reading(fault=UNREACHABLE))
    first = planned(seen)
    still = planned(observed(deployment=deployment(0), reading=Reading(fault=UNREACHABLE), status=status_of(first)))
    assert notes(still) == []
    mended = planned(observed(deployment=deployment(0), status=status_of(still)))
    assert notes(mended) == [("Normal", "RedisRecovered")]


@pytest.mark.parametrize("reason", ["MissingSecret", "InvalidRedisURL"])
def test_without_a_usable_redis_url_nothing_is_applied(reason: str) -> None:
    fault = Fault(reason, "create it")
    for existing in (None, deployment(3)):
        result = planned(observed(endpoint=fault, reading=Reading(), deployment=existing))
        assert manifests(result) == []
        assert conditions(status_of(result))["RedisReachable"] == ("False", reason)
        assert conditions(status_of(result))["Ready"] == ("False", reason)
        assert status_of(result)["desiredReplicas"] == (3 if existing else 0)


def test_a_missing_config_map_makes_no_deployment() -> None:
    result = planned(
        observed(code=Code(missing=True)), worker={"handler": "h:h", "code": {"configMap": "emails-handlers"}}
    )
    assert manifests(result) == []
    assert conditions(status_of(result))["Degraded"] == ("True", "MissingConfigMap")
    assert "no ConfigMap 'emails-handlers' in namespace 'shop': create it" in message(status_of(result), "Degraded")


def test_a_config_map_that_goes_missing_rolls_nothing() -> None:
    result = planned(
        observed(code=Code(missing=True), deployment=deployment(2), reading=reading(waiting=30)),
        worker={"handler": "h:h", "code": {"configMap": "emails-handlers"}},
    )
    template = manifest(result, "Deployment")["spec"]["template"]
    assert template["metadata"]["annotations"][CODE_DIGEST] == "d0"
    assert manifest(result, "Deployment")["spec"]["replicas"] == 3, "scaling goes on"


def test_of_two_jobqueues_on_one_queue_that_which_came_later_gets_no_workers_and_names_the_other() -> None:
    result = planned(observed(reading=reading(waiting=50, owner=MAILS)))
    assert manifests(result) == []
    assert conditions(status_of(result))["Ready"] == ("False", "DuplicateQueue")
    assert "JobQueue shop/mails has queue 'emails' of this Redis" in message(status_of(result), "Degraded")
    workers = {"deployment": deployment(2), "pods": [pod(1), pod(2)], "workers": at_rest(1, 2)}
    had_some = planned(observed(reading=reading(waiting=50, owner=MAILS), **workers))
    assert manifest(had_some, "Deployment")["spec"]["replicas"] == 0


def test_manifests_that_the_api_server_refuses_are_told_and_scale_nothing() -> None:
    refusal = Fault("ApplyRefused", "the API server refuses Deployment 'emails': limits below requests")
    result = planned(observed(deployment=deployment(1), reading=reading(waiting=50), refusal=refusal))
    assert manifests(result) == []
    assert [reason for _, reason in notes(result)] == ["ApplyRefused"]
    assert conditions(status_of(result))["Ready"] == ("False", "ApplyRefused")
    assert status_of(result)["desiredReplicas"] == 1


def test_a_foreign_deployment_of_the_same_name_is_left_alone() -> None:
    result = planned(observed(taken_name="Deployment 'emails'", reading=reading(waiting=50)))
    assert manifests(result) == []
    assert conditions(status_of(result))["Ready"] == ("False", "NameTaken")


def pod_of(rollout: str, created: str, **status: Any) -> dict[str, Any]:
    metadata = {
        "name": f"emails-{rollout}",
        "uid": rollout,
        "labels": {"pod-template-hash": rollout},
        "creationTimestamp": created,
    }
    return {"metadata": metadata, "status": {"containerStatuses": [{"name": "worker", "ready": False} | status]}}


def test_a_fault_of_the_workers_is_told_until_they_are_ready() -> None:
    dead = {"state": {"terminated": {"exitCode": 78, "message": "ImportError: no handlers"}}}
    one_job = {"deployment": deployment(1, 0), "reading": reading(waiting=1)}
    broken = planned(observed(pods=[pod_of("r1", "2026-03-01T12:00:00Z", **dead)], **one_job))
    assert conditions(status_of(broken))["Degraded"] == ("True", "HandlerImportFailed")
    starting = [pod_of("r1", "2026-03-01T12:00:00Z", **dead), pod_of("r2", "2026-03-01T12:01:00Z")]
    rolled = planned(observed(pods=starting, status=status_of(broken), **one_job))
    assert status_of(rolled)["conditions"] == status_of(broken)["conditions"]
    assert notes(rolled) == []
    ready = [pod_of("r2", "2026-03-01T12:01:00Z", ready=True)]
    mended = planned(
        observed(pods=ready, status=status_of(rolled), deployment=deployment(1), reading=reading(waiting=1))
    )
    assert conditions(status_of(mended))["Degraded"] == ("False", "AsExpected")
    assert [reason for _, reason in notes(mended)] == ["Recovered"]


def test_a_fault_of_the_workers_is_still_told_when_another_that_hid_it_is_mended() -> None:
    dead = {"state": {"terminated": {"exitCode": 78, "message": "ImportError: no handlers"}}}
    one_job = {"deployment": deployment(1, 0), "reading": reading(waiting=1)}
    broken = planned(observed(pods=[pod_of("r1", "2026-03-01T12:00:00Z", **dead)], **one_job))
    starting = [pod_of("r2", "2026-03-01T12:01:00Z")]
    hidden = planned(
        observed(pods=starting, status=status_of(broken), **one_job | {"reading": Reading(fault=UNREACHABLE)})
    )
    assert [fault["reason"] for fault in status_of(hidden)["faults"]] == ["RedisUnreachable", "HandlerImportFailed"]
    still = planned(
        observed(pods=starting, status=status_of(hidden), **one_job | {"reading": Reading(fault=UNREACHABLE)})
    )
    assert [fault["reason"] for fault in status_of(still)["faults"]] == ["RedisUnreachable", "HandlerImportFailed"]
    back = planned(observed(pods=starting, status=status_of(still), **one_job))
    assert conditions(status_of(back))["Degraded"] == ("True", "HandlerImportFailed")


def test_a_fault_of_the_workers_ends_with_the_last_of_them() -> None:
    before = {"conditions": [{"type": "Degraded", "status": "True", "reason": "WorkerCrashing", "message": "boom"}]}
    status = status_of(planned(observed(deployment=deployment(0), status=before)))
    assert conditions(status)["Degraded"] == ("False", "AsExpected")


def test_every_fault_is_in_the_status_by_itself() -> None:
    status = status_of(planned(observed(code=Code(missing=True), reading=Reading(fault=UNREACHABLE)), **WITH_CODE))
    assert [fault["reason"] for fault in status["faults"]] == ["RedisUnreachable", "MissingConfigMap"]
    assert "faults" not in status_of(planned(observed(status=status)))


def test_what_hides_other_faults_comes_first_and_the_others_are_named_too() -> None:
    result = planned(
        observed(code=Code(missing=True), reading=Reading(fault=UNREACHABLE)),
        worker={"handler": "h:h", "code": {"configMap": "c"}},
    )
    assert conditions(status_of(result))["Degraded"] == ("True", "RedisUnreachable")
    assert "; also: MissingConfigMap: " in message(status_of(result), "Degraded")
    assert result.check_after_seconds is not None


def test_a_queue_that_redis_refuses_to_have_read_is_told_and_redis_is_reachable() -> None:
    refused = Reading(fault=Fault("RedisWrongType", "key 'bull:emails:wait' is of another type"))
    result = planned(observed(deployment=deployment(2), reading=refused))
    assert manifest(result, "Deployment")["spec"]["replicas"] == 2
    seen = conditions(status_of(result))
    assert seen["RedisReachable"] == ("True", "Connected")
    assert seen["Degraded"] == ("True", "RedisWrongType")
    assert seen["ScalingActive"] == ("False", "RedisWrongType")
