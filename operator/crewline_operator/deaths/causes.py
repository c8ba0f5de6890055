"""Why a pod's worker died, as the pod shows it. Pure.

Told are only containers that are over for certain: that the kubelet says so. A node that is silent, or a pod that was
deleted by force while its container ran, tells nothing: that container may run on, and its leases decide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crewline_operator.jobqueue.children.template import CONTAINER
from crewline_operator.kube.ended import Ended, container_status, ended_containers
from crewline_operator.model.deletion_cost import is_marked
from crewline_operator.model.key import Object

#: Reasons of the condition DisruptionTarget, which comes with or before the deletion, and what they mean.
DISRUPTIONS = {
    "EvictionByEvictionAPI": "was evicted",
    "PreemptionByScheduler": "was preempted by a pod of higher priority",
    "DeletionByTaintManager": "was taken off its node by a taint",
    "DeletionByPodGC": "was on a node that is gone",
    "TerminationByKubelet": "was ended by its node",
}
#: Exit codes of a container that was told to end: by itself, by SIGKILL at the end of its grace period, by SIGTERM.
TOLD_TO_END = (0, 137, 143)
#: What a kubelet that evicts a pod says of a container that uses more than it asked for (eviction/helpers.go), or than
#: it may.
OVERUSE = re.compile(
    rf"Container {CONTAINER} (?:was using \S{{1,40}}, request is \S{{1,40}}, has larger consumption of [\w.-]{{1,60}}\w"
    r"|exceeded its local ephemeral storage limit \S{1,40})"
)
#: The shortest time that a kubelet may be set to wait before it starts a container again that ends again and again.
LEAST_BACKOFF_SECONDS = 1.0


@dataclass(frozen=True)
class Death:
    """A container of a worker that is dead."""

    #: Its id: there is one death of it.
    container: str
    #: The uid of its pod, by which its workers are known in Redis, with those of a container that is in its place now.
    uid: str
    #: For the log of each job, and an Event.
    cause: str
    #: Whether one of its jobs may have been the cause.
    blame: bool
    #: Workers of the pod whose processes began before are dead, and no others: epoch seconds by the clock of the node,
    #: by which these tell when they began.
    before: float
    #: Whether it was killed for want of memory.
    oom: bool = False
    #: Whether another container may run in its place, whose worker is told from its own by that clock alone.
    replaced: bool = False


def deaths_of(pod: Object) -> list[Death]:
    """The deaths of a pod's workers that it tells of, the earlier one first."""
    deaths, is_waiting = [], _is_backing_off(pod)
    replaced = not is_waiting and "terminated" not in (container_status(pod, CONTAINER).get("state") or {})
    for ended in ended_containers(pod, CONTAINER):
        if ended.finished is not None:
            # Told in whole seconds: what begins in the same one may be its successor, unless that has to wait.
            waits = not ended.last and is_waiting
            deaths.append(
                Death(
                    container=ended.id,
                    uid=str(pod["metadata"]["uid"]),
                    cause=_cause(pod, ended),
                    blame=not _is_drained(pod, ended),
                    before=ended.finished + (LEAST_BACKOFF_SECONDS if waits else 0),
                    oom=ended.is_oom and not _is_drained(pod, ended),
                    replaced=replaced,
                )
            )
    return deaths


def _is_backing_off(pod: Object) -> bool:
    """Whether the next container is not started at once after the last one's end."""
    waiting = (container_status(pod, CONTAINER).get("state") or {}).get("waiting") or {}
    return waiting.get("reason") == "CrashLoopBackOff"


def _cause(pod: Object, ended: Ended) -> str:
    name = pod["metadata"]["name"]
    if _is_drained(pod, ended):
        return f"pod {name} {_going(pod)}"
    if (overuse := _overuse(pod, ended)) is not None:
        return f"pod {name} was evicted: {overuse}"
    if ended.is_oom:
        limit = _memory_limit(pod)
        return f"OOMKilled in pod {name}" + (f", whose memory limit is {limit}" if limit else "")
    return f"the worker in pod {name} ended with {ended.how}" + (f": {ended.line}" if ended.line else "")


def _is_drained(pod: Object, ended: Ended) -> bool:
    """Whether a container ended because its pod is to go, and not by anything that its jobs did meanwhile."""
    going = bool(pod["metadata"].get("deletionTimestamp")) or _disruption(pod) is not None
    if not ended.last or not going or _overuse(pod, ended) is not None:
        return False
    if ended.is_oom:
        # The kubelet's word may be old, and the kill that of the end of the grace period.
        return _is_grace_over(pod, ended)
    return ended.exit_code in TOLD_TO_END


def _overuse(pod: Object, ended: Ended) -> str | None:
    """By what a container had its pod evicted, as the kubelet says: more memory or storage than it asked for."""
    status = pod.get("status") or {}
    if not ended.last or status.get("reason") != "Evicted" or ended.is_oom:
        return None
    found = OVERUSE.search(str(status.get("message") or ""))
    return found.group().rstrip(".") if found is not None else None


def _is_grace_over(pod: Object, ended: Ended) -> bool:
    # Its last version alone, which comes once the container has ended, has a later moment than the one asked for.
    told = pod["metadata"].get("deletionTimestamp")
    return bool(told) and ended.finished is not None and ended.finished >= datetime.fromisoformat(told).timestamp()


def _going(pod: Object) -> str:
    """Why a pod is to go."""
    disruption = _disruption(pod)
    if disruption is not None:
        reason = str(disruption.get("reason"))
        # What the kubelet says itself: Evicted under pressure, Terminated at a shutdown.
        kubelet = (pod.get("status") or {}).get("reason") if reason == "TerminationByKubelet" else None
        return f"{DISRUPTIONS.get(reason, 'was disrupted')} ({kubelet or reason})"
    return "was scaled in" if is_marked(pod) else "was deleted"


def _disruption(pod: Object) -> Mapping[str, Any] | None:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    targets = (each for each in conditions if each.get("type") == "DisruptionTarget" and each.get("status") == "True")
    return next(targets, None)


def _memory_limit(pod: Object) -> str | None:
    containers = (pod.get("spec") or {}).get("containers") or ()
    worker: Mapping[str, Any] = next((each for each in containers if each.get("name") == CONTAINER), {})
    limit = ((worker.get("resources") or {}).get("limits") or {}).get("memory")
    return None if limit is None else str(limit)
