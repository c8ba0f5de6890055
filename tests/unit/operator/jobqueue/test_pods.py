"""What is wrong with workers, read off their pods."""

from __future__ import annotations

from typing import Any

import pytest
from crewline_operator.jobqueue.pods import deployment_fault, is_refused, is_worker_of, pod_fault
from crewline_operator.model.fault import Fault

from tests.unit.operator.factories import deployment


def pod(name: str = "emails-1", rollout: str = "r1", created: str = "2026-03-01T12:00:00Z", **status: Any) -> Any:
    return {
        "metadata": {"name": name, "labels": {"pod-template-hash": rollout}, "creationTimestamp": created},
        "status": {"containerStatuses": [{"name": "worker", "ready": False, "image": "worker:1"} | status]},
    }


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason, "message": message}}}


def ended(code: int, message: str = "", reason: str = "Error", restarts: int = 1) -> dict[str, Any]:
    terminated = {"exitCode": code, "reason": reason, "message": message}
    return {
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
        "lastState": {"terminated": terminated},
        "restartCount": restarts,
    }


def test_healthy_or_starting_pods_are_no_fault() -> None:
    assert pod_fault([]) is None
    assert pod_fault([pod(ready=True, state={"running": {}})]) is None
    assert pod_fault([pod(**waiting("ContainerCreating"))]) is None


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"])
def test_an_image_that_can_not_be_pulled_names_the_image_and_the_cause(reason: str) -> None:
    fault = pod_fault([pod(**waiting(reason, "failed to resolve nope.example/x:1"))])
    assert fault is not None
    assert fault.reason == "ImagePullFailed"
    assert "'worker:1'" in fault.message
    assert "failed to resolve nope.example/x:1" in fault.message
    assert "spec.worker.image" in fault.message


def test_a_handler_that_can_not_be_imported_shows_the_last_line_of_its_error() -> None:
    trace = "Traceback (most recent call last):\n  File ...\nModuleNotFoundError: No module named 'handlers'\n"
    fault = pod_fault([pod(**ended(78, trace))])
    assert fault is not None
    assert fault.reason == "HandlerImportFailed"
    assert fault.message == "pod emails-1: ModuleNotFoundError: No module named 'handlers'"


def test_the_fault_stays_while_the_container_is_started_again() -> None:
    again = {"state": {"running": {}}, "lastState": {"terminated": {"exitCode": 78, "message": "ImportError: x"}}}
    fault = pod_fault([pod(**again)])
    assert fault is not None
    assert fault.reason == "HandlerImportFailed"


def test_a_worker_that_is_ready_again_clears_what_its_last_death_told() -> None:
    recovered = ended(137, reason="OOMKilled") | {"ready": True, "state": {"running": {}}}
    assert pod_fault([pod(**recovered)]) is None


def test_a_memory_kill_is_named_with_its_mend() -> None:
    fault = pod_fault([pod(**ended(137, reason="OOMKilled"))])
    assert fault is not None
    assert "OOMKilled" in fault.message
    assert "resources.limits.memory" in fault.message


def test_only_exit_137_tells_of_a_memory_kill_of_the_worker_itself() -> None:
    # The kubelet's reason sticks to a container once any process in it was killed for want of memory.
    assert pod_fault([pod(**ended(0, reason="OOMKilled"))]) is None
    fault = pod_fault([pod(**ended(1, "ValueError: x", reason="OOMKilled"))])
    assert fault is not None
    assert fault.message == "pod emails-1: the worker ended (exit code 1): ValueError: x"


@pytest.mark.parametrize("death", [{"exitCode": 1}, {"exitCode": 137, "reason": "OOMKilled"}])
def test_a_single_death_is_no_fault_but_a_loop_is(death: dict[str, Any]) -> None:
    for state in ({"running": {}}, {"terminated": death}):
        once = {"state": state, "lastState": {"terminated": death}, "restartCount": 1}
        assert pod_fault([pod(**once)]) is None
    fault = pod_fault([pod(**ended(1, "boom", restarts=3))])
    assert fault is not None
    assert (fault.reason, "exit code 1" in fault.message, "boom" in fault.message) == ("WorkerCrashing", True, True)


def test_a_container_that_a_template_adds_and_that_keeps_the_worker_from_starting_is_told_by_its_name() -> None:
    stuck = pod(**waiting("PodInitializing"))
    stuck["status"]["initContainerStatuses"] = [{"name": "warm", "ready": False, **ended(78, "no cache", restarts=3)}]
    fault = pod_fault([stuck])
    assert fault is not None
    assert fault == Fault("WorkerCrashing", "pod emails-1, container warm: it ended (exit code 78): no cache")
    sidecar = pod(ready=True)
    sidecar["status"]["containerStatuses"].append({"name": "proxy", "image": "proxy:1", **waiting("ErrImagePull")})
    fault = pod_fault([sidecar])
    assert fault is not None
    assert (fault.reason, "pod emails-1, container proxy: image 'proxy:1'" in fault.message) == (
        "ImagePullFailed",
        True,
    )


def test_only_the_newest_rollout_counts() -> None:
    old = pod("emails-old", "r1", "2026-03-01T12:00:00Z", **ended(78, "ImportError: x"))
    new = pod("emails-new", "r2", "2026-03-01T12:05:00Z", **waiting("ContainerCreating"))
    assert pod_fault([old, new]) is None


def test_a_pod_that_is_being_deleted_does_not_count() -> None:
    leaving = pod(**ended(78, "ImportError: x"))
    leaving["metadata"]["deletionTimestamp"] = "2026-03-01T12:06:00Z"
    assert pod_fault([leaving]) is None


def test_a_pod_that_no_node_has_room_for_is_told() -> None:
    stuck = pod()
    stuck["status"] = {
        "conditions": [{"type": "PodScheduled", "reason": "Unschedulable", "message": "0/1 nodes: Insufficient cpu"}]
    }
    fault = pod_fault([stuck])
    assert fault is not None
    assert (fault.reason, "Insufficient cpu" in fault.message) == ("Unschedulable", True)


def test_pods_that_the_cluster_refuses_are_told() -> None:
    refused = deployment(1, 0)
    refused["status"]["conditions"] = [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: team"}]
    fault = deployment_fault(refused, all_ready=True)
    assert fault is not None
    assert (fault.reason, "exceeded quota: team" in fault.message) == ("PodsRefused", True)
    assert deployment_fault(None, all_ready=False) is None


def test_a_pod_that_a_guard_does_not_let_a_replica_set_delete_yet_is_no_fault() -> None:
    guarded = deployment(1)
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedDelete", "message": "not drained yet"}
    guarded["status"]["conditions"] = [failure]
    assert deployment_fault(guarded, all_ready=True) is None and not is_refused(guarded)


def test_only_what_a_replica_set_of_the_deployment_has_made_is_a_worker() -> None:
    def owned(**owner: Any) -> Any:
        made = pod()
        made["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": "emails-r1", "controller": True} | owner]
        return made

    assert is_worker_of("emails", owned())
    others = [owned(kind="Job"), owned(name="reports-r1"), owned(name="emails-web-r1"), owned(controller=False), pod()]
    assert not [each for each in others if is_worker_of("emails", each)]
