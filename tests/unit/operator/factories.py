"""Objects as the API server gives them after defaulting, for tests of pure functions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from crewline_operator.effects.done import Claimed
from crewline_operator.jobqueue.children.deployment import DeploymentInputs, build_deployment
from crewline_operator.jobqueue.children.service_account import build_service_account
from crewline_operator.jobqueue.children.template_digest import TEMPLATE_DIGEST
from crewline_operator.jobqueue.live import settings_text
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.spec import JobQueue, parse_jobqueue
from crewline_operator.model.owner import Owner
from crewline_operator.model.worker import Worker
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.reading import Reading, Snapshot

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
#: The monotonic clock then.
CLOCK = 5000.0
ME = Owner("cluster-1", "shop", "emails", "uid-1")
ENDPOINT = Endpoint("redis://redis.shop.svc:6379/0", "redis.shop.svc:6379/0")


def jobqueue_object(**spec: Any) -> dict[str, Any]:
    """A JobQueue `emails` in namespace `shop`; keyword arguments replace parts of its spec."""
    defaults: dict[str, Any] = {
        "redis": {"url": "redis://redis:6379/0", "prefix": "bull"},
        "paused": False,
        "worker": {
            "handler": "handlers:handle",
            "concurrency": 10,
            "execution": "Async",
            "gracePeriodSeconds": 30,
        },
        "scaling": {"mode": "Operator", "minReplicas": 0, "maxReplicas": 10, "idleSeconds": 60},
    }
    return {
        "apiVersion": "crewline.dev/v1alpha1",
        "kind": "JobQueue",
        "metadata": {
            "name": "emails",
            "namespace": "shop",
            "uid": "uid-1",
            "generation": 4,
            "creationTimestamp": "2026-03-01T11:00:00Z",
            "resourceVersion": "10",
        },
        "spec": defaults | spec,
    }


def jobqueue(**spec: Any) -> JobQueue:
    return parse_jobqueue(jobqueue_object(**spec))


def snapshot(**counts: Any) -> Snapshot:
    numbers = {"waiting": 0, "active": 0, "delayed": 0, "due": 0, "completed": 0, "failed": 0, "dead": 0}
    known = {"now_ms": 1_000_000, "paused": False, "owner": ME, "settings": settings_text(jobqueue())}
    return Snapshot(**(known | numbers | counts))


def deployment(replicas: int, ready: int | None = None, **metadata: Any) -> dict[str, Any]:
    """The Deployment of `jobqueue()`, rolled out, with `ready` of `replicas` pods ready."""
    built = build_deployment(jobqueue(), DeploymentInputs(replicas, "worker:1", "IfNotPresent", code_digest="d0"))
    built["metadata"] |= {"generation": 1, "uid": "uid-d", "resourceVersion": "5"} | metadata
    built["status"] = {
        "observedGeneration": 1,
        "replicas": replicas,
        "updatedReplicas": replicas,
        "readyReplicas": replicas if ready is None else ready,
    }
    return built


def pod(number: int, *, ready: bool = True, rollout: str = "r1", **metadata: Any) -> dict[str, Any]:
    """A worker's pod, the newer the higher its number; of rollout `r1` it is of the template of `deployment`."""
    template = deployment(0)["spec"]["template"]["metadata"]["annotations"][TEMPLATE_DIGEST]
    told = {TEMPLATE_DIGEST: template if rollout == "r1" else rollout} | metadata.pop("annotations", {})
    named = {"name": f"emails-{number}", "uid": f"pod-{number}", "labels": {"pod-template-hash": rollout}}
    created = {"creationTimestamp": f"2026-03-01T11:{number:02}:00Z"}
    return {
        "metadata": named | created | {"annotations": told} | metadata,
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def of_template(built: dict[str, Any], rollout: str) -> dict[str, Any]:
    """A Deployment that is of the template of `rollout` by now."""
    built["spec"]["template"]["metadata"]["annotations"][TEMPLATE_DIGEST] = rollout
    return built


def at_rest(*numbers: int) -> dict[str, Worker]:
    """Workers of these pods that were asked to drain, and have nothing."""
    return {f"pod-{number}": Worker(asked=f"t{number}", known=True, follows=True) for number in numbers}


def service_account(**metadata: Any) -> dict[str, Any]:
    """The ServiceAccount of `jobqueue()`."""
    built = build_service_account(jobqueue())
    built["metadata"] |= {"uid": "uid-s", "resourceVersion": "5"} | metadata
    return built


def observed(**parts: Any) -> Observed:
    """A queue that is followed and claimed, without jobs and without a Deployment; keyword arguments replace parts."""
    known = jobqueue()
    defaults: dict[str, Any] = {
        "now": NOW,
        "clock": CLOCK,
        "me": ME,
        "endpoint": ENDPOINT,
        "claimed": Claimed(known.queue_ref, ME, ENDPOINT.shown, CLOCK),
        "followed": (ENDPOINT, known.target),
        "reading": Reading(snapshot=snapshot()),
    }
    return Observed(**(defaults | parts))


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Condition type -> (status, reason)."""
    return {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}


def message(status: dict[str, Any], type_: str) -> str:
    return next(each["message"] for each in status["conditions"] if each["type"] == type_)


def patched(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """A JSON merge patch carried out as RFC 7386 says."""
    result = dict(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            before = result.get(key)
            result[key] = patched(before if isinstance(before, dict) else {}, value)
        else:
            result[key] = value
    return result
