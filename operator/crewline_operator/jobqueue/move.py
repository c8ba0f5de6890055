"""A spec that names another queue, prefix or Redis than the one that is served: when that is followed. Pure.

Jobs do not move with a JobQueue. So the queue is served as before until none is left that has not ended; then the runs
that ScheduledJobs have placed there are taken back, before they are placed in the other queue: else both would run.
What is told of these runs in Redis goes with them; a ScheduledJob has to have it in its status first, or would run it
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crewline_operator.effects.actions import Action, GiveUpClaim, TakeBackRun, Unfollow, WriteStatus
from crewline_operator.jobqueue.observed import Move, Observed
from crewline_operator.jobqueue.served import served_in, served_object
from crewline_operator.jobqueue.spec import JobQueue, parse_jobqueue
from crewline_operator.jobqueue.status import told_faults
from crewline_operator.model.fault import Fault
from crewline_operator.model.fields import Unreadable
from crewline_operator.model.key import Object, status_of
from crewline_operator.model.left import Left
from crewline_operator.model.marks import Mark
from crewline_operator.model.moments import epoch_ms, parse_timestamp
from crewline_operator.model.note import Note
from crewline_operator.model.urgency import Urgency
from crewline_operator.redis.endpoint import Endpoint

QUEUE_CHANGED = "QueueChanged"
#: A run that comes due before it is taken back stays: none may be that near.
NEAR_MS = 3000
#: How soon a ScheduledJob has told of its runs.
UNTOLD_SECONDS = 0.5


@dataclass(frozen=True)
class Settled:
    """A JobQueue with the queue that it serves, and the one that its spec names if that is another one."""

    obj: Object
    jobqueue: JobQueue
    move: Move | None = None
    #: The Redis is reached another way than the status tells, and the queue is the same.
    same_place: bool = False


def may_move(obj: Object, wanted: JobQueue) -> bool:
    """Whether the spec names its queue in other words than those that are served."""
    kept = served_in(status_of(obj))
    return kept is not None and kept != {"queue": wanted.queue, "redis": wanted.told_redis}


def settle(obj: Object, wanted: JobQueue, endpoint: Endpoint | Fault) -> Settled:
    """Which queue is served, given the Redis that the spec names."""
    served_obj = served_object(obj)
    try:
        served = parse_jobqueue(served_obj)
    except Unreadable:
        # Whoever wrote that, it was not the operator.
        return Settled(obj, wanted)
    same_queue = (served.prefix, served.queue) == (wanted.prefix, wanted.queue)
    if same_queue and isinstance(endpoint, Endpoint) and endpoint.shown == status_of(obj).get("redis"):
        # Another way to the same place: by a Secret, or as another user.
        return Settled(obj, wanted)
    return Settled(served_obj, served, Move(wanted.queue, wanted.prefix, endpoint))


@dataclass(frozen=True)
class MoveStep:
    """What a move comes to now."""

    #: All that is to be done for it, with nothing else; empty if it may not be made yet.
    actions: Sequence[Action] = ()
    fault: Fault | None = None
    check_after_seconds: float | None = None


def move_step(jobqueue: JobQueue, observed: Observed) -> MoveStep:
    """Whether to go over to the queue that the spec names. `jobqueue` has the one that is served."""
    move = observed.move
    if move is None:
        return MoveStep()
    if isinstance(move.endpoint, Fault):
        return MoveStep(fault=move.endpoint)
    left = move.left
    if observed.holder is None:
        if left is None or observed.refusal is not None:
            told = next((fault for fault in told_faults(observed.status) if fault.reason == QUEUE_CHANGED), None)
            if told is not None and observed.refusal is None and observed.reading.fault is None:
                # There was no room at its Redis: what was told stands.
                return MoveStep(fault=told)
            return MoveStep(fault=_fault(jobqueue, observed, move, "can't be read: nobody knows what it holds"))
        if left.jobs > 0:
            # How many there are moves: status.counts tells it.
            fault = _fault(jobqueue, observed, move, "has jobs that have not ended and would be left there")
            return MoveStep(fault=fault)
        if any(_is_near(mark, left) or not _is_told(mark, move, left) for mark in left.marks):
            told = _fault(jobqueue, observed, move, "has runs of ScheduledJobs that are about to come")
            return MoveStep(fault=told, check_after_seconds=UNTOLD_SECONDS)
    ours = [
        mark.owner for mark in (left.marks if left is not None else ()) if mark.owner.cluster == observed.me.cluster
    ]
    actions: list[Action] = [TakeBackRun(jobqueue.queue_ref, owner.uid, forget=True) for owner in ours]
    if observed.claimed is not None:
        actions.append(GiveUpClaim(observed.claimed.queue, observed.claimed.owner))
    # From here on no run is added there any more.
    actions += [Unfollow(), WriteStatus({"served": None}, Urgency.NOW)]
    actions.append(Note("Normal", "QueueMoved", f"queue {jobqueue.queue!r} is empty: now for {_named(move)}"))
    return MoveStep(actions)


def _fault(jobqueue: JobQueue, observed: Observed, move: Move, why: str) -> Fault:
    at = f" of Redis {observed.endpoint.shown}" if not isinstance(observed.endpoint, Fault) else ""
    return Fault(
        QUEUE_CHANGED,
        f"the spec names {_named(move)}, but queue {jobqueue.queue!r}{at} {why}; it is served until it is empty: let "
        "its jobs end or remove them, put spec.queue and spec.redis back, or make a new JobQueue",
    )


def _named(move: Move) -> str:
    at = f" of Redis {move.endpoint.shown}" if not isinstance(move.endpoint, Fault) else ""
    return f"queue {move.queue!r} with prefix {move.prefix!r}{at}"


def _is_near(mark: Mark, left: Left) -> bool:
    return mark.ahead_ms is not None and left.now_ms < mark.ahead_ms <= left.now_ms + NEAR_MS


def _is_told(mark: Mark, move: Move, left: Left) -> bool:
    """Whether the status of a ScheduledJob tells all that Redis knows of its runs; one that is gone needs none."""
    status = move.scheduled.get(mark.owner.uid)
    if status is None:
        return True
    due = mark.ahead_ms if mark.ahead_ms is not None and mark.ahead_ms <= left.now_ms else 0
    try:
        told_ms = epoch_ms(parse_timestamp(str(status["decidedUntil"])))
    except (KeyError, ValueError):
        # It was never written, or can't be read: nothing is decided by it either.
        told_ms = 0
    return max(mark.decided_ms, due) <= told_ms and not status.get("active")
