"""The status: what workers and queue are like, and what is to be said of it."""

from __future__ import annotations

import pytest
from crewline_operator.redis.reading import Running

from tests.unit.operator.factories import conditions, deployment, message, observed
from tests.unit.operator.jobqueue.plans import manifest, planned, reading, status_of


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
    status = status_of(planned(observed(deployment=deployment(of, ready), reading=reading(waiting=20))))
    assert conditions(status)["Ready"] == available
    assert conditions(status)["Progressing"] == progressing


def test_a_rollout_is_progress() -> None:
    rolling = deployment(2)
    rolling["status"]["updatedReplicas"] = 1
    status = status_of(planned(observed(deployment=rolling, reading=reading(waiting=20))))
    assert conditions(status)["Progressing"] == ("True", "RollingOut")


def test_zero_workers_without_a_job_is_available() -> None:
    status = status_of(planned(observed(deployment=deployment(0))))
    assert conditions(status)["Ready"] == ("True", "ScaledToZero")


def test_the_status_has_counts_oldest_job_and_progress() -> None:
    job = Running(id="7", name="welcome", worker="emails-x", started_ms=1_000, progress={"done": 3})
    status = status_of(
        planned(
            observed(
                deployment=deployment(1),
                reading=reading(waiting=2, active=1, delayed=4, dead=5, oldest_waiting_ms=940_000, running=(job,)),
            )
        )
    )
    assert status["counts"] == {"waiting": 2, "active": 1, "delayed": 4, "completed": 0, "failed": 0, "dead": 5}
    assert status["oldestWaitingSince"] == "1970-01-01T00:15:40Z"
    started = "1970-01-01T00:00:01Z"
    assert status["running"] == [
        {"id": "7", "name": "welcome", "worker": "emails-x", "startedAt": started, "progress": {"done": 3}}
    ]
    assert (status["selector"], status["redis"]) == ("crewline.dev/jobqueue=emails", "redis.shop.svc:6379/0")


def test_in_mode_operator_a_written_spec_replicas_is_said_to_be_ignored() -> None:
    status = status_of(planned(observed(deployment=deployment(0)), replicas=5))
    assert "spec.replicas is ignored in mode Operator" in message(status, "ScalingActive")


def test_a_number_that_is_held_is_said_to_be() -> None:
    held = {"scaling": {"hold": True, "maxReplicas": 3}}
    result = planned(observed(deployment=deployment(2), reading=reading(waiting=500)), **held)
    assert manifest(result, "Deployment")["spec"]["replicas"] == 2
    assert conditions(status_of(result))["ScalingActive"] == ("False", "Held")
    assert message(status_of(result), "ScalingActive").startswith("spec.scaling.hold is true")
