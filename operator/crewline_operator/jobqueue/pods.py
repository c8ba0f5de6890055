"""Why workers do not run, read off their pods' statuses.

Only pods of the newest rollout count: an older one's trouble is being replaced. A pod that is ready again clears what
its last death told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crewline_operator.jobqueue.children.template import CONTAINER
from crewline_operator.kube.ended import container_status, ended_in, last_line
from crewline_operator.model.fault import Fault
from crewline_operator.model.key import Object

#: `crewline worker` ends with it when the handler can't be imported (EX_CONFIG of sysexits.h).
EXIT_HANDLER_NOT_FOUND = 78

#: The Deployment's pods can't be made: a quota, an admission rule, a missing service account.
PODS_REFUSED = "PodsRefused"
#: They can be made, and are not ready.
PROGRESS_DEADLINE = "ProgressDeadlineExceeded"
NOT_READY = Fault(
    PROGRESS_DEADLINE, "the workers' pods are not ready after 10 minutes: look at them with kubectl describe pods"
)

#: What a Deployment says of pods that a ReplicaSet may not delete.
NOT_DELETED = "FailedDelete"

IMAGE_REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
#: All that `pod_fault` may tell.
POD_REASONS = {"ImagePullFailed", "WorkerConfigError", "HandlerImportFailed", "WorkerCrashing", "Unschedulable"}
#: All that the workers' own trouble may be.
WORKER_REASONS = {*POD_REASONS, PODS_REFUSED, PROGRESS_DEADLINE}
CONFIG_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}


def pod_fault(pods: Sequence[Object]) -> Fault | None:
    """The first thing a user has to mend to get the workers running; None if there is nothing."""
    for pod in sorted(_newest_rollout(pods), key=lambda pod: str(pod["metadata"].get("name"))):
        fault = _container_fault(pod) or _scheduling_fault(pod)
        if fault is not None:
            return fault
    return None


def is_worker_of(name: str, pod: Object) -> bool:
    """Whether a pod is of that Deployment: others may have its label, too, and are none of its ReplicaSets'."""
    owners = pod["metadata"].get("ownerReferences") or ()
    controller: Mapping[str, Any] = next((each for each in owners if each.get("controller")), {})
    return bool(controller.get("kind") == "ReplicaSet" and controller.get("name") == f"{name}-{rollout_of(pod)}")


def is_ready(pod: Object) -> bool:
    """Whether a pod is ready as a ReplicaSet sees it."""
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in _conditions(pod))


def has_ended(pod: Object) -> bool:
    """Whether nothing of a pod runs any more: one that was evicted stays for as long as nobody deletes it."""
    return (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")


def is_leaving(pod: Object) -> bool:
    """Whether a ReplicaSet counts a pod no more."""
    return has_ended(pod) or bool(pod["metadata"].get("deletionTimestamp"))


def is_refused(deployment: Object | None) -> bool:
    """Whether the cluster refuses a Deployment its pods."""
    return _refusal(deployment) is not None


def ready_pods(pods: Sequence[Object]) -> int:
    """How many pods of the newest rollout are ready."""
    return sum(1 for pod in _newest_rollout(pods) if _worker_status(pod).get("ready"))


def deployment_fault(deployment: Object | None, *, all_ready: bool) -> Fault | None:
    """Why the Deployment can't make its pods (quota, admission), or does not get on; `all_ready`: the newest are."""
    refusal = _refusal(deployment)
    if refusal is not None:
        return Fault(PODS_REFUSED, f"the cluster refuses the workers' pods: {refusal.get('message', '')}")
    for condition in _conditions(deployment or {}):
        if condition.get("type") == "Progressing" and condition.get("reason") == PROGRESS_DEADLINE and not all_ready:
            return NOT_READY
    return None


def _refusal(deployment: Object | None) -> Mapping[str, Any] | None:
    failures = (each for each in _conditions(deployment or {}) if each.get("type") == "ReplicaFailure")
    # One that a guard does not let it delete yet is no trouble of anybody's.
    return next((each for each in failures if each.get("status") == "True" and each.get("reason") != NOT_DELETED), None)


def _newest_rollout(pods: Sequence[Object]) -> list[Object]:
    alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    if not alive:
        return []
    newest = max(alive, key=lambda pod: (str(pod["metadata"].get("creationTimestamp")), str(pod["metadata"]["name"])))
    return [pod for pod in alive if rollout_of(pod) == rollout_of(newest)]


def rollout_of(pod: Object) -> Any:
    """By what the pods of one ReplicaSet are known."""
    return (pod["metadata"].get("labels") or {}).get("pod-template-hash")


def _container_fault(pod: Object) -> Fault | None:
    """What is wrong with the worker; else with a container that a template adds, which may keep it from starting."""
    status = pod.get("status") or {}
    others = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    added = [each for each in others if each.get("name") != CONTAINER]
    faults = (_fault_of(pod, each) for each in (_worker_status(pod), *added))
    return next((fault for fault in faults if fault is not None), None)


def _fault_of(pod: Object, status: Mapping[str, Any]) -> Fault | None:
    if status.get("ready"):
        return None
    is_worker = status.get("name") in (None, CONTAINER)
    name = pod["metadata"]["name"] + ("" if is_worker else f", container {status.get('name')}")
    waiting = status.get("state", {}).get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in IMAGE_REASONS:
        return Fault(
            "ImagePullFailed",
            f"pod {name}: image {status.get('image', '')!r} can't be pulled ({reason}: {last_line(message)}): "
            "correct spec.worker.image, or give its registry's credentials to the service account",
        )
    if reason in CONFIG_REASONS:
        return Fault(
            "WorkerConfigError",
            f"pod {name}: {last_line(message) or reason}: correct spec.worker, or create what it names",
        )
    ended = next(reversed(ended_in(status)), None)
    if ended is None or ended.exit_code == 0:
        return None
    if ended.exit_code == EXIT_HANDLER_NOT_FOUND and is_worker:
        return Fault("HandlerImportFailed", f"pod {name}: {ended.line or 'the handler can not be imported'}")
    if status.get("restartCount", 0) < 2 and reason != "CrashLoopBackOff":
        # One death is what a queue is made to bear; only repeated ones are the user's to mend.
        return None
    if ended.is_oom:
        # Its log knows nothing of that.
        told = "raise spec.worker.resources.limits.memory or lower spec.worker.concurrency"
    else:
        told = ended.line or "see kubectl logs --previous"
    what = "the worker" if is_worker else "it"
    return Fault("WorkerCrashing", f"pod {name}: {what} ended ({ended.how}): {told}")


def _worker_status(pod: Object) -> Mapping[str, Any]:
    return container_status(pod, CONTAINER)


def _scheduling_fault(pod: Object) -> Fault | None:
    for condition in _conditions(pod):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            name, message = pod["metadata"]["name"], condition.get("message", "")
            return Fault("Unschedulable", f"pod {name}: no node has room for it: {message}")
    return None


def _conditions(obj: Object) -> Sequence[Mapping[str, Any]]:
    return obj.get("status", {}).get("conditions") or ()
