"""spec.paused and the pause in Redis, which any BullMQ client can set and lift.

While spec.paused is true the operator keeps the queue paused. When it is set back, the operator resumes the queue only
if it was the one that paused it, so that it does not undo a pause that a person made in a dashboard. It knows by
the Paused condition's reason, which is therefore written before the pause and taken back after the resume.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crewline_operator.effects.actions import Pause
from crewline_operator.jobqueue.claim import DUPLICATE
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.kube.conditions import Condition, find_condition
from crewline_operator.model.fault import FAULT_CHECK_SECONDS, Fault
from crewline_operator.model.note import Note
from crewline_operator.model.owner import Owner
from crewline_operator.redis.reading import Snapshot

BY_SPEC = "SpecPaused"
BY_OTHERS = "PausedInRedis"
NOT_PAUSED = "NotPaused"
PAUSED = Note("Normal", "QueuePaused", "spec.paused is true: workers take no more jobs")
RESUMED = Note("Normal", "QueueResumed", "spec.paused is false again: workers take jobs")


@dataclass(frozen=True)
class PauseState:
    """The Paused condition, what to do in Redis, if anything, and why that was not taken when it was tried last."""

    condition: Condition
    action: Pause | None = None
    fault: Fault | None = None


def pause_step(jobqueue: JobQueue, observed: Observed) -> PauseState:
    """Whether the queue is paused, by whom, and what to do now: what Redis did not take is not asked for at once."""
    state = _state(jobqueue, observed.status, observed.reading.snapshot, observed.holder)
    denied = observed.pause_denied
    if state.action is None or denied is None or denied.paused != state.action.paused:
        return state
    is_time = observed.clock - denied.at >= FAULT_CHECK_SECONDS
    return PauseState(state.condition, state.action if is_time else None, denied.fault)


def _state(
    jobqueue: JobQueue, status: Mapping[str, Any], snapshot: Snapshot | None, holder: Owner | None
) -> PauseState:
    if holder is not None and snapshot is not None:
        # It is that one's to pause.
        state = "is paused" if snapshot.paused else "is not paused"
        message = f"the queue {state}, and spec.paused changes nothing: JobQueue {holder} has the queue"
        return PauseState(Condition("Paused", snapshot.paused, DUPLICATE, message))
    before = find_condition(status, "Paused")
    if jobqueue.paused:
        if snapshot is not None and not snapshot.paused:
            pausing = Condition("Paused", True, BY_SPEC, "spec.paused is true: pausing")
            return PauseState(pausing, Pause(jobqueue.queue_ref, True, PAUSED))
        message = "spec.paused is true: workers take no more jobs; set it to false to go on"
        return PauseState(Condition("Paused", True, BY_SPEC, message))
    if snapshot is None:
        if before.get("reason") in (BY_SPEC, BY_OTHERS, NOT_PAUSED, DUPLICATE):
            known = {"True": True, "False": False}.get(str(before.get("status")))
            return PauseState(Condition("Paused", known, str(before.get("reason")), str(before.get("message", ""))))
        return PauseState(Condition("Paused", None, "Pending", "Redis has not been read yet"))
    if not snapshot.paused:
        return PauseState(Condition("Paused", False, NOT_PAUSED, "workers take jobs"))
    if before.get("reason") == BY_SPEC:
        resuming = Condition("Paused", True, BY_SPEC, "spec.paused is false again: resuming")
        return PauseState(resuming, Pause(jobqueue.queue_ref, False, RESUMED))
    message = "a BullMQ client paused the queue in Redis: resume it there, or set spec.paused to true and back to false"
    return PauseState(Condition("Paused", True, BY_OTHERS, message))
