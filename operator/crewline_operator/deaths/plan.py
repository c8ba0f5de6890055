"""From the deaths that a pod tells of to what is handed back: a pure function.

A worker that lives must never be taken for dead: its jobs would run twice. So a worker is handed back only if it was in
the pod, if its process began before a container of that pod ended, and if it was not heard of since that was seen. The
first two are told by the clock of one machine, the last one by Redis'; what is in doubt is left to its leases.

A machine's clock is set back now and then: it comes up with a wrong one, or its worker runs in a virtual machine with a
clock of its own. Then a container that runs seems to have begun before the end of the one whose place it has. It beats,
though. So where one may run there, the end has to be known for some beats, and the silence to last as long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crewline_operator.deaths.observed import Observed, Seen
from crewline_operator.effects.actions import HandBack
from crewline_operator.jobqueue.spec import DEAD_LETTER, JobQueue

#: A worker that lives is not silent for so long: it beats each second.
SILENCE_SECONDS = 3.0


@dataclass(frozen=True)
class Plan:
    """What to do for a pod, and the containers whose workers are dealt with once it is done."""

    actions: Sequence[HandBack]
    found: frozenset[str]
    #: Seconds after which to look again: it can't be told yet whether a worker is dead.
    check_after_seconds: float | None = None


def plan(jobqueue: JobQueue, observed: Observed) -> Plan:
    """What to hand back. A container without a worker in Redis left nothing behind, or its worker can't be told yet."""
    actions, found, waits = [], set(), []
    larger = jobqueue.worker.retry_memory is not None
    for worker in observed.workers:
        seen = _death_of(worker, observed)
        if seen is None:
            continue
        death = seen.death
        if death.replaced and seen.age_seconds < SILENCE_SECONDS:
            waits.append(SILENCE_SECONDS - seen.age_seconds)
        else:
            found.add(death.container)
            actions.append(
                HandBack(
                    queue=jobqueue.queue_ref,
                    worker=worker,
                    cause=death.cause,
                    blame=death.blame,
                    max_crashes=jobqueue.worker.max_crashes,
                    fail_alone=death.oom and (jobqueue.worker.on_oom == DEAD_LETTER or larger),
                    larger_first=death.oom and larger,
                )
            )
    return Plan(actions, frozenset(found), min(waits, default=None))


def _death_of(worker: Mapping[str, Any], observed: Observed) -> Seen | None:
    """By which of the deaths a worker died; None if it may live."""
    began, silent, leases = _number(worker, "began"), _number(worker, "silent"), worker.get("leases")
    if began is None or silent is None or not isinstance(leases, str) or not leases:
        return None
    for seen in observed.deaths:
        death = seen.death
        if worker.get("id") == death.uid and began < death.before and silent >= seen.age_seconds:
            return seen
    return None


def _number(worker: Mapping[str, Any], name: str) -> float | None:
    told = worker.get(name)
    return told if isinstance(told, int | float) and not isinstance(told, bool) else None
