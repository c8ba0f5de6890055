"""Pods as a kubelet and the controllers have shown them when a worker died, cut down to what tells of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]

NAME, UID = "emails-7d9-x2", "7b0f6c1e-8a58-4f5e-9d55-2f1f5f8f4a10"
#: When the container ended, as the kubelet writes it, and in epoch seconds.
FINISHED = "2026-03-01T12:00:05Z"
FINISHED_SECONDS = 1772366405.0
#: A deletion's time is that of the request and the grace period.
DELETION = "2026-03-01T12:00:40Z"


def moment(seconds: float) -> str:
    """A time as the API server's objects have it: in whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def terminated(code: int, reason: str = "Error", finished: str | None = FINISHED, **more: Any) -> Object:
    told = {"exitCode": code, "reason": reason, "startedAt": "2026-03-01T11:59:00Z", "finishedAt": finished}
    return {"terminated": told | {"containerID": "containerd://c1"} | more}


RUNNING: Object = {"running": {"startedAt": "2026-03-01T12:00:06Z"}}
BACKING_OFF: Object = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}}


def disrupted(reason: str) -> Object:
    return {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "…"}


def pod(
    state: Object,
    last: Object | None = None,
    *,
    restarts: int = 0,
    conditions: tuple[Object, ...] = (),
    limit: str | None = None,
    metadata: Object | None = None,
    **status: Any,
) -> Object:
    """A worker's pod whose container is in that state."""
    container = {"name": "worker", "ready": False, "restartCount": restarts, "state": state, "lastState": last or {}}
    sidecar = {"name": "proxy", "state": terminated(1, containerID="containerd://other"), "lastState": {}}
    resources = {"limits": {"memory": limit}} if limit else {}
    labels = {"crewline.dev/jobqueue": "emails"}
    return {
        "metadata": {"name": NAME, "namespace": "shop", "uid": UID, "labels": labels} | (metadata or {}),
        "spec": {"containers": [{"name": "proxy"}, {"name": "worker", "resources": resources}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "False"}, *conditions],
            "containerStatuses": [sidecar, container],
        }
        | status,
    }


DELETED: Object = {"deletionTimestamp": DELETION, "deletionGracePeriodSeconds": 40}
