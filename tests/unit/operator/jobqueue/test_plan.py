"""The plan for a JobQueue: what is applied, what the status says, and what a fault must never do."""

from __future__ import annotations

from typing import Any

import pytest
from crewline_operator.jobqueue.children.deployment import CODE_DIGEST
from crewline_operator.jobqueue.observed import Code, Observed
from crewline_operator.jobqueue.plan import Plan, plan
from crewline_operator.model.fault import Fault
from crewline_operator.model.settings import Settings
from crewline_operator.redis.reading import Reading, Running

from tests.unit.operator.factories import conditions, deployment, jobqueue, message, observed, snapshot

SETTINGS = Settings(worker_image="worker:1")
UNREACHABLE = Fault("RedisUnreachable", "Redis redis:6379/0 does not answer")


def planned(seen: Observed, **spec: Any) -> Plan:
    return plan(jobqueue(**spec), seen, SETTINGS)


def manifest(planned: Plan, kind: str) -> dict[str, Any]:
    return next(each for each in planned.manifests if each["kind"] == kind)


def reading(**counts: Any) -> Reading:
    return Reading(snapshot=snapshot(**counts))


def test_a_new_queue_gets_a_service_account_and_a_deployment_without_workers() -> None:
    result = planned(observed())
    assert [each["kind"] for each in result.manifests] == ["ServiceAccount", "Deployment"]
    assert manifest(result, "Deployment")["spec"]["replicas"] == 0
    assert [note.reason for note in result.notes] == ["Created"]
    assert "lastDecision" not in result.status


def test_jobs_scale_it_up_and_the_decision_is_in_status_and_event() -> None:
    result = planned(observed(deployment=deployment(0), reading=reading(waiting=40, active=3)))
    assert manifest(result, "Deployment")["spec"]["replicas"] == 5
    why = "waiting 40, active 3: 43 jobs / 10 per replica -> 5 replicas"
    assert result.status["lastDecision"] == {"time": "2026-03-01T12:00:00Z", "from": 0, "to": 5, "reason": why}
    assert [(note.reason, note.message) for note in result.notes] == [("ScaledUp", f"0 -> 5 workers: {why}")]
    assert result.status["ready"] == "0/5"


def test_a_steady_queue_is_stable_and_leaves_no_event() -> None:
    first = planned(observed(deployment=deployment(2), reading=reading(waiting=15)))
    again = planned(observed(deployment=deployment(2), reading=reading(waiting=15), status=first.status))
    assert again.status == first.status
    assert again.notes == []
    assert conditions(again.status) == {
        "Available": ("True", "WorkersReady"),
        "Progressing": ("False", "Stable"),
        "Degraded": ("False", "AsExpected"),
        "RedisReachable": ("True", "Connected"),
        "ScalingActive": ("True", "Operator"),
        "Paused": ("False", "NotPaused"),
    }
    assert all(each["observedGeneration"] == 4 for each in again.status["conditions"])


def test_replicas_that_somebody_else_changed_are_put_right() -> None:
    result = planned(observed(deployment=deployment(0), reading=reading(waiting=15)))
    assert manifest(result, "Deployment")["spec"]["replicas"] == 2


def test_an_unreachable_redis_keeps_the_workers_and_the_last_numbers() -> None:
    before = planned(observed(deployment=deployment(3), reading=reading(waiting=30))).status
    result = planned(observed(deployment=deployment(3), reading=Reading(fault=UNREACHABLE), status=before))
    assert manifest(result, "Deployment")["spec"]["replicas"] == 3
    assert result.status["counts"] == before["counts"]
    seen = conditions(result.status)
    assert seen["RedisReachable"] == ("False", "RedisUnreachable")
    assert seen["Degraded"] == ("True", "RedisUnreachable")
    assert seen["Available"] == ("False", "RedisUnreachable")
    assert seen["ScalingActive"] == ("False", "RedisUnreachable")
    assert [(note.type, note.reason) for note in result.notes] == [("Warning", "RedisUnreachable")]


def test_a_fault_is_told_once_and_its_end_too() -> None:
    seen = observed(deployment=deployment(0), reading=Reading(fault=UNREACHABLE))
    first = planned(seen)
    still = planned(observed(deployment=deployment(0), reading=Reading(fault=UNREACHABLE), status=first.status))
    assert still.notes == []
    mended = planned(observed(deployment=deployment(0), status=still.status))
    assert [(note.type, note.reason) for note in mended.notes] == [("Normal", "RedisRecovered")]


@pytest.mark.parametrize("reason", ["MissingSecret", "InvalidRedisURL"])
def test_without_a_usable_redis_url_nothing_is_applied(reason: str) -> None:
    fault = Fault(reason, "create it")
    for existing in (None, deployment(3)):
        result = planned(observed(endpoint=fault, reading=Reading(), deployment=existing))
        assert result.manifests == []
        assert conditions(result.status)["RedisReachable"] == ("False", reason)
        assert conditions(result.status)["Available"] == ("False", reason)
        assert result.status["desiredReplicas"] == (3 if existing else 0)


def test_a_missing_config_map_makes_no_deployment() -> None:
    result = planned(
        observed(code=Code(missing=True)), worker={"handler": "h:h", "code": {"configMap": "emails-handlers"}}
    )
    assert result.manifests == []
    assert conditions(result.status)["Degraded"] == ("True", "MissingConfigMap")
    assert "no ConfigMap 'emails-handlers' in namespace 'shop': create it" in message(result.status, "Degraded")


def test_a_config_map_that_goes_missing_rolls_nothing() -> None:
    result = planned(
        observed(code=Code(missing=True), deployment=deployment(2), reading=reading(waiting=30)),
        worker={"handler": "h:h", "code": {"configMap": "emails-handlers"}},
    )
    template = manifest(result, "Deployment")["spec"]["template"]
    assert template["metadata"]["annotations"][CODE_DIGEST] == "d0"
    assert manifest(result, "Deployment")["spec"]["replicas"] == 3, "scaling goes on"


def test_the_newer_of_two_jobqueues_on_one_queue_gets_no_workers_and_names_the_older() -> None:
    result = planned(observed(older_twin="shop/mails", reading=reading(waiting=50)))
    assert result.manifests == []
    assert conditions(result.status)["Available"] == ("False", "DuplicateQueue")
    assert "JobQueue shop/mails has the same queue 'emails'" in message(result.status, "Degraded")
    had_some = planned(observed(older_twin="shop/mails", deployment=deployment(2), reading=reading(waiting=50)))
    assert manifest(had_some, "Deployment")["spec"]["replicas"] == 0


def test_manifests_that_the_api_server_refuses_are_told_and_scale_nothing() -> None:
    refusal = Fault("ApplyRefused", "the API server refuses Deployment 'emails': limits below requests")
    result = planned(observed(deployment=deployment(1), reading=reading(waiting=50), refusal=refusal))
    assert result.manifests == []
    assert [note.reason for note in result.notes] == ["ApplyRefused"]
    assert conditions(result.status)["Available"] == ("False", "ApplyRefused")
    assert result.status["desiredReplicas"] == 1


def test_the_newer_twin_does_not_pause_the_olders_queue() -> None:
    assert planned(observed(older_twin="shop/mails", deployment=deployment(0)), paused=True).pause is None


def test_a_foreign_deployment_of_the_same_name_is_left_alone() -> None:
    result = planned(observed(taken_name="Deployment 'emails'", reading=reading(waiting=50)))
    assert result.manifests == []
    assert conditions(result.status)["Available"] == ("False", "NameTaken")


def pod(rollout: str, created: str, **status: Any) -> dict[str, Any]:
    metadata = {"name": f"emails-{rollout}", "labels": {"pod-template-hash": rollout}, "creationTimestamp": created}
    return {"metadata": metadata, "status": {"containerStatuses": [{"name": "worker", "ready": False} | status]}}


def test_a_fault_of_the_workers_is_told_until_they_are_ready() -> None:
    dead = {"state": {"terminated": {"exitCode": 78, "message": "ImportError: no handlers"}}}
    one_job = {"deployment": deployment(1, 0), "reading": reading(waiting=1)}
    broken = planned(observed(pods=[pod("r1", "2026-03-01T12:00:00Z", **dead)], **one_job))
    assert conditions(broken.status)["Degraded"] == ("True", "HandlerImportFailed")
    starting = [pod("r1", "2026-03-01T12:00:00Z", **dead), pod("r2", "2026-03-01T12:01:00Z")]
    rolled = planned(observed(pods=starting, status=broken.status, **one_job))
    assert rolled.status["conditions"] == broken.status["conditions"]
    assert rolled.notes == []
    ready = [pod("r2", "2026-03-01T12:01:00Z", ready=True)]
    mended = planned(observed(pods=ready, status=rolled.status, deployment=deployment(1), reading=reading(waiting=1)))
    assert conditions(mended.status)["Degraded"] == ("False", "AsExpected")
    assert [note.reason for note in mended.notes] == ["Recovered"]


def test_a_fault_of_the_workers_ends_with_the_last_of_them() -> None:
    before = {"conditions": [{"type": "Degraded", "status": "True", "reason": "WorkerCrashing", "message": "boom"}]}
    status = planned(observed(deployment=deployment(0), status=before)).status
    assert conditions(status)["Degraded"] == ("False", "AsExpected")


def test_nothing_is_planned_before_redis_was_read_once() -> None:
    assert observed(reading=Reading()).first_read_pending
    assert not observed().first_read_pending
    assert not observed(reading=Reading(fault=UNREACHABLE)).first_read_pending
    assert not observed(reading=Reading(), endpoint=Fault("MissingSecret", "create it")).first_read_pending


def test_what_hides_other_faults_comes_first_and_the_others_are_named_too() -> None:
    result = planned(
        observed(code=Code(missing=True), reading=Reading(fault=UNREACHABLE)),
        worker={"handler": "h:h", "code": {"configMap": "c"}},
    )
    assert conditions(result.status)["Degraded"] == ("True", "RedisUnreachable")
    assert "; also: MissingConfigMap: " in message(result.status, "Degraded")
    assert result.check_after_seconds is not None


@pytest.mark.parametrize(
    ("ready", "of", "available", "progressing"),
    [
        (0, 2, ("False", "WorkersStarting"), ("True", "ScalingUp")),
        (1, 2, ("True", "SomeWorkersReady"), ("True", "ScalingUp")),
        (2, 2, ("True", "WorkersReady"), ("False", "Stable")),
    ],
)
def test_available_and_progressing_follow_the_ready_workers(
    ready: int, of: int, available: tuple[str, str], progressing: tuple[str, str]
) -> None:
    status = planned(observed(deployment=deployment(of, ready), reading=reading(waiting=20))).status
    assert conditions(status)["Available"] == available
    assert conditions(status)["Progressing"] == progressing


def test_a_rollout_is_progress() -> None:
    rolling = deployment(2)
    rolling["status"]["updatedReplicas"] = 1
    status = planned(observed(deployment=rolling, reading=reading(waiting=20))).status
    assert conditions(status)["Progressing"] == ("True", "RollingOut")


def test_zero_workers_without_a_job_is_available() -> None:
    status = planned(observed(deployment=deployment(0))).status
    assert conditions(status)["Available"] == ("True", "ScaledToZero")


def test_spec_paused_pauses_the_queue_and_its_end_resumes_it_once_redis_agrees() -> None:
    started = planned(observed(deployment=deployment(0)), paused=True)
    assert started.pause is True
    assert conditions(started.status)["Paused"] == ("True", "SpecPaused")
    held = planned(observed(deployment=deployment(0), status=started.status, reading=reading(paused=True)), paused=True)
    assert held.pause is None
    ended = planned(observed(deployment=deployment(0), status=held.status, reading=reading(paused=True)))
    assert ended.pause is False
    assert conditions(ended.status)["Paused"] == ("True", "SpecPaused"), "until Redis says that it is resumed"
    resumed = planned(observed(deployment=deployment(0), status=ended.status, reading=reading()))
    assert resumed.pause is None
    assert conditions(resumed.status)["Paused"] == ("False", "NotPaused")


def test_a_pause_by_somebody_else_is_shown_and_not_undone() -> None:
    result = planned(observed(deployment=deployment(0), reading=reading(paused=True)))
    assert result.pause is None
    assert conditions(result.status)["Paused"] == ("True", "PausedInRedis")


def test_while_redis_is_away_the_paused_condition_stays_as_it_was() -> None:
    before = planned(observed(deployment=deployment(0), reading=reading(paused=True))).status
    after = planned(observed(deployment=deployment(0), reading=Reading(fault=UNREACHABLE), status=before)).status
    assert conditions(after)["Paused"] == ("True", "PausedInRedis")


def test_the_status_has_counts_oldest_job_and_progress() -> None:
    job = Running(id="7", name="welcome", worker="emails-x", started_ms=1_000, progress={"done": 3})
    status = planned(
        observed(
            deployment=deployment(1),
            reading=reading(waiting=2, active=1, delayed=4, dead=5, oldest_waiting_ms=940_000, running=(job,)),
        )
    ).status
    assert status["counts"] == {"waiting": 2, "active": 1, "delayed": 4, "completed": 0, "failed": 0, "dead": 5}
    assert status["oldestWaitingSeconds"] == 60
    assert status["oldestWaitingSince"] == "1970-01-01T00:15:40Z"
    started = "1970-01-01T00:00:01Z"
    assert status["running"] == [
        {"id": "7", "name": "welcome", "worker": "emails-x", "startedAt": started, "progress": {"done": 3}}
    ]
    assert (status["selector"], status["redis"]) == ("crewline.dev/jobqueue=emails", "redis.shop.svc:6379/0")


def test_in_mode_operator_a_written_spec_replicas_is_said_to_be_ignored() -> None:
    status = planned(observed(deployment=deployment(0)), replicas=5).status
    assert "spec.replicas is ignored in mode operator" in message(status, "ScalingActive")
