"""Ready, Progressing and the word that sums them up, through what a JobQueue goes through."""

from __future__ import annotations

from typing import Any

import pytest
from crewline_operator.jobqueue.conditions import Workers, conditions_for, summary_of
from crewline_operator.jobqueue.pods import WORKER_REASONS
from crewline_operator.kube.conditions import Condition
from crewline_operator.model.fault import Fault
from crewline_operator.redis.reading import Reading
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.operator.factories import CLOCK, at_rest, conditions, deployment, jobqueue, observed, of_template, pod
from tests.unit.operator.jobqueue.plans import MAILS, UNREACHABLE, planned, reading, status_of

BUSY = {"reading": reading(waiting=20)}
NEW = {"status": {}}
#: A status of before: the JobQueue was ready.
WAS_READY = {"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "ScaledToZero"}]}}
DEAD = {"state": {"terminated": {"exitCode": 78, "message": "ImportError: no handlers"}}}


def rolling() -> dict[str, Any]:
    """Two workers, one of which is of the newest spec."""
    built = deployment(2)
    built["status"]["updatedReplicas"] = 1
    return built


def worker(number: int, rollout: str, **status: Any) -> dict[str, Any]:
    built = pod(number, rollout=rollout)
    built["status"]["containerStatuses"] = [{"name": "worker", "ready": not status} | status]
    return built


def seen(**parts: Any) -> tuple[tuple[str, str], tuple[str, str], str]:
    """Ready, Progressing and the word."""
    status = status_of(planned(observed(**parts)))
    told = conditions(status)
    return told["Ready"], told["Progressing"], status["summary"]


ASLEEP = (("True", "ScaledToZero"), ("False", "Stable"), "Asleep")


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"deployment": deployment(0)} | NEW, ASLEEP),
        ({"deployment": deployment(2)} | BUSY, (("True", "WorkersReady"), ("False", "Stable"), "Ready")),
        # Made just now with jobs already there: nobody has seen it work.
        (
            {"deployment": deployment(2, 0)} | BUSY | NEW,
            (("False", "WorkersStarting"), ("True", "ScalingUp"), "Scaling"),
        ),
        # Woken from zero: what waits for Ready need not wait again each time.
        (
            {"deployment": deployment(0)} | BUSY | WAS_READY,
            (("True", "WorkersStarting"), ("True", "ScalingUp"), "Scaling"),
        ),
        ({"deployment": deployment(2, 1)} | BUSY, (("True", "SomeWorkersReady"), ("True", "ScalingUp"), "Scaling")),
        ({"deployment": rolling()} | BUSY, (("True", "WorkersReady"), ("True", "RollingOut"), "RollingOut")),
    ],
)
def test_what_a_healthy_queue_goes_through_is_told_in_three_places(parts: dict[str, Any], expected: Any) -> None:
    assert seen(**parts) == expected


def test_a_rollout_has_kstatus_wait_and_leaves_nothing_behind() -> None:
    during = status_of(planned(observed(deployment=rolling(), **BUSY)))
    assert conditions(during)["Reconciling"] == ("True", "RollingOut")
    after = status_of(planned(observed(deployment=deployment(2), status=during, **BUSY)))
    assert "Reconciling" not in conditions(after)


def test_one_worker_of_many_that_crashes_leaves_the_queue_ready() -> None:
    pods = [worker(1, "r1"), worker(2, "r1", **DEAD)]
    ready, progressing, word = seen(deployment=deployment(2, 1), pods=pods, **BUSY)
    assert ready == ("True", "SomeWorkersReady")
    assert (progressing, word) == (("False", "HandlerImportFailed"), "Degraded: HandlerImportFailed")


def test_a_rollout_of_workers_that_can_not_run_is_not_ready_though_those_of_before_work_on() -> None:
    pods = [worker(1, "r1"), worker(2, "r2", **DEAD)]
    ready, progressing, word = seen(deployment=rolling(), pods=pods, **BUSY | WAS_READY)
    assert ready == ("False", "HandlerImportFailed")
    assert (progressing, word) == (("False", "HandlerImportFailed"), "Degraded: HandlerImportFailed")


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"reading": Reading(fault=UNREACHABLE), "deployment": deployment(0)}, "RedisUnreachable"),
        ({"reading": Reading(), "endpoint": Fault("MissingSecret", "create it")}, "MissingSecret"),
        ({"reading": reading(owner=MAILS), "deployment": deployment(1)}, "DuplicateQueue"),
        ({"taken_name": "Deployment 'emails'"}, "NameTaken"),
    ],
)
def test_a_spec_that_is_not_in_effect_is_not_ready_with_the_faults_reason(parts: dict[str, Any], reason: str) -> None:
    ready, _, word = seen(**WAS_READY | parts)
    assert (ready, word) == (("False", reason), f"Degraded: {reason}")


def test_a_queue_that_is_woken_and_gets_no_worker_is_not_ready_in_the_end() -> None:
    parts = {"deployment": deployment(2, 0)} | BUSY | WAS_READY
    first = planned(observed(**parts))
    assert (first.unready_since, conditions(status_of(first))["Ready"][0]) == (CLOCK, "True")
    late = planned(observed(clock=CLOCK + 599, unready_since=CLOCK, **parts))
    assert conditions(status_of(late))["Ready"] == ("True", "WorkersStarting")
    ended = planned(observed(clock=CLOCK + 600, unready_since=CLOCK, **parts))
    assert conditions(status_of(ended))["Ready"] == ("False", "ProgressDeadlineExceeded")
    assert conditions(status_of(ended))["Progressing"] == ("False", "ProgressDeadlineExceeded")
    mended = planned(observed(clock=CLOCK + 601, unready_since=CLOCK, **parts | {"deployment": deployment(2, 1)}))
    assert (mended.unready_since, conditions(status_of(mended))["Ready"][0]) == (None, "True")


def test_a_rollout_that_waits_for_nothing_but_long_jobs_of_earlier_workers_is_no_fault() -> None:
    late = of_template(rolling(), "r2")
    late["status"]["conditions"] = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    old, both = pod(1), [pod(8, rollout="r2"), pod(9, rollout="r2")]
    ready, progressing, _ = seen(deployment=late, pods=[old, *both], **BUSY)
    assert (ready, progressing) == (("True", "WorkersReady"), ("True", "RollingOut"))
    stuck = [both[0], pod(9, rollout="r2", ready=False)]
    assert seen(deployment=late, pods=[old, *stuck], **BUSY)[1] == ("False", "ProgressDeadlineExceeded")


def test_a_paused_queue_is_ready_and_says_that_it_is_paused() -> None:
    status = status_of(planned(observed(deployment=deployment(0), reading=reading(waiting=5, paused=True))))
    assert (conditions(status)["Ready"][0], status["summary"]) == ("True", "Paused")


def test_a_scale_in_is_scaling() -> None:
    parts = {"deployment": deployment(2), "pods": [pod(1), pod(2)], "workers": at_rest(1), "reading": reading(active=5)}
    _, progressing, word = seen(**parts)
    assert (progressing[0], word) in (("True", "Scaling"), ("False", "Ready"))


@given(
    desired=st.integers(0, 3), replicas=st.integers(0, 4), ready=st.integers(0, 4), rolling_out=st.booleans(),
    fault=st.sampled_from([None, UNREACHABLE, *(Fault(reason, "…") for reason in sorted(WORKER_REASONS))]),
    paused=st.booleans(), waits=st.sampled_from(["", "2 workers drain"]), was=st.sampled_from([NEW, WAS_READY]),
)  # fmt: skip
def test_whatever_the_workers_do_the_conditions_agree(
    desired: int, replicas: int, ready: int, rolling_out: bool, fault: Fault | None, paused: bool, waits: str,
    was: dict[str, Any],
) -> None:  # fmt: skip
    told = conditions_for(
        jobqueue(),
        observed(**was),
        Workers(desired, replicas, ready, rolling_out),
        [fault] if fault else [],
        Condition("Paused", paused, "PausedInRedis" if paused else "NotPaused", "…"),
        waits,
    )
    by_type = {each.type: each for each in told}
    is_ready, progressing, degraded = by_type["Ready"], by_type["Progressing"], by_type["Degraded"]
    if not is_ready.status:
        assert fault is not None or (not ready and desired and was is NEW), "only a fault, or a first start"
        assert fault is None or is_ready.reason == fault.reason
    if fault is None and was is WAS_READY:
        assert is_ready.status, "a rollout, a wake-up and a scaling never end it"
    assert degraded.status == (fault is not None)
    if not rolling_out and not waits and ready == replicas == desired:
        assert not progressing.status
    word = summary_of(told, desired)
    assert word.startswith("Degraded: ") == (fault is not None)
    assert ("Reconciling" in by_type) <= rolling_out
