"""The claim on a JobQueue's queue: when it is made, kept, taken over and given up. Pure.

The claim is in Redis and comes with each read. A queue that nobody has is claimed before anything is decided. A claim
whose JobQueue is gone, as far as the cluster of that JobQueue can tell, is taken over at once. Where there is none
although one was seen before, Redis has lost its data: then whoever had the queue comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crewline_operator.effects.actions import Action, Claim, GiveUpClaim, KeepClaim
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.jobqueue.status import told_faults
from crewline_operator.model.note import Note
from crewline_operator.model.owner import RENEW_SECONDS
from crewline_operator.redis.endpoint import Endpoint

DUPLICATE = "DuplicateQueue"
OTHER_OPERATOR = "OtherOperator"
#: A JobQueue that was told that the queue is another's leaves it to that one for so long, if the claim is lost.
PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class ClaimStep:
    """What to do about the claim now."""

    actions: Sequence[Action] = ()
    #: Whether nothing else may be decided before the queue was read again.
    pending: bool = False
    check_after_seconds: float | None = None
    unclaimed_since: float | None = None


def claim_step(jobqueue: JobQueue, observed: Observed) -> ClaimStep:
    """What to do about the claim on the queue, given who has it."""
    snapshot, me = observed.reading.snapshot, observed.me
    if snapshot is None or observed.refusal is not None or not isinstance(observed.endpoint, Endpoint):
        return ClaimStep()
    owner, queue = snapshot.owner, jobqueue.queue_ref
    if owner == me and owner.operator not in ("", me.operator):
        # That operator is gone; whoever is first of those that are there looks after it from now on.
        return ClaimStep([Claim(queue, me, observed.endpoint.shown, instead_of=owner)], pending=True)
    if owner == me:
        left = RENEW_SECONDS - observed.claim_age_seconds
        if observed.claimed is not None and observed.claimed.shown != observed.endpoint.shown:
            # It is the same queue, reached another way.
            left = 0.0
        keep = [KeepClaim(queue, me, observed.endpoint.shown)] if left <= 0 else []
        return ClaimStep(keep, check_after_seconds=RENEW_SECONDS if left <= 0 else left)
    if observed.holder is not None:
        lost = observed.claimed
        return ClaimStep([GiveUpClaim(lost.queue, lost.owner)] if lost is not None else [])
    if owner is None and any(fault.reason == DUPLICATE for fault in told_faults(observed.status)):
        since = observed.clock if observed.unclaimed_since is None else observed.unclaimed_since
        left = since + PATIENCE_SECONDS - observed.clock
        if left > 0:
            return ClaimStep((), True, left, since)
    return ClaimStep([Claim(queue, me, observed.endpoint.shown, instead_of=owner)], pending=True)


def leave_to_other(observed: Observed) -> list[Note]:
    """Leave a JobQueue to another operator, and say so once. The status is that one's to write."""
    if observed.other_operator == observed.told_operator:
        return []
    told = (
        f"the operator of Lease {observed.other_operator} looks after this JobQueue, and that of Lease "
        f"{observed.me.operator} leaves it alone: end one of them, or have them watch different namespaces"
    )
    return [Note("Warning", OTHER_OPERATOR, told)]


def moved_claim(jobqueue: JobQueue, observed: Observed) -> list[GiveUpClaim]:
    """Give up the claim on the queue that the JobQueue was for before its spec was changed."""
    claimed = observed.claimed
    if claimed is None or not isinstance(observed.endpoint, Endpoint):
        # A Secret that is away for a moment gives the queue to nobody else.
        return []
    if observed.same_place and claimed.queue == jobqueue.queue_ref:
        return []
    same = (claimed.queue, claimed.shown) == (jobqueue.queue_ref, observed.endpoint.shown)
    return [] if same else [GiveUpClaim(claimed.queue, claimed.owner)]
