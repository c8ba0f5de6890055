"""Pods whose workers run jobs ask those who consolidate nodes to leave them where they are, if the spec says so. Pure.

Each change is a write to the API server, and jobs may come and go each second: a pod asks at once when its worker runs
something, and until that had nothing for a while.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from crewline_operator.effects.actions import Shield
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.pods import is_leaving
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.model.do_not_disrupt import is_shielded
from crewline_operator.model.key import Object

#: A pod asks until its worker has run nothing for so long.
IDLE_SECONDS = 60.0
#: Between two looks at workers, of which any may begin with a job.
LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class ShieldStep:
    """What to do now for the pods to ask what they are to ask."""

    actions: Sequence[Shield] = ()
    #: Since when the workers have run nothing whose pods ask still, by the uid of the pod.
    idle_since: Mapping[str, float] = field(default_factory=dict)
    #: Whether it takes what the workers tell of themselves.
    looks: bool = False
    check_after_seconds: float | None = None


def shield_step(jobqueue: JobQueue, observed: Observed) -> ShieldStep:
    """Whose pods are to ask, and whose no more. What can't be told changes nothing."""
    live = [pod for pod in observed.pods if not is_leaving(pod)]
    shielded = [pod for pod in live if is_shielded(pod)]
    if not jobqueue.worker.disruption.shields_busy:
        return ShieldStep([_shield(pod, False) for pod in shielded])
    snapshot = observed.reading.snapshot
    if snapshot is None:
        return ShieldStep(idle_since=observed.idle_since)
    if snapshot.active and observed.workers is None:
        return ShieldStep(idle_since=observed.idle_since, looks=True, check_after_seconds=LOOK_SECONDS)
    busy = [pod for pod in live if snapshot.active and _is_busy(pod, observed)]
    idle = {_uid(pod) for pod in shielded if pod not in busy}
    since = {uid: observed.idle_since.get(uid, observed.clock) for uid in idle}
    left = {uid: at + IDLE_SECONDS - observed.clock for uid, at in since.items()}
    actions = [_shield(pod, True) for pod in busy if pod not in shielded]
    actions += [_shield(pod, False) for pod in shielded if left.get(_uid(pod), 1) <= 0]
    checks = [seconds for seconds in left.values() if seconds > 0] + ([LOOK_SECONDS] if snapshot.active else [])
    return ShieldStep(actions, since, bool(snapshot.active), min(checks, default=None))


def _is_busy(pod: Object, observed: Observed) -> bool:
    worker = (observed.workers or {}).get(_uid(pod))
    # One that tells nothing of itself may have any of the jobs that run.
    return worker is None or not worker.known or worker.busy > 0


def _shield(pod: Object, is_busy: bool) -> Shield:
    return Shield(str(pod["metadata"]["name"]), _uid(pod), is_busy)


def _uid(pod: Object) -> str:
    return str(pod["metadata"]["uid"])
