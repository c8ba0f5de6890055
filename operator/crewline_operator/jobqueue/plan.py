"""From what a JobQueue asks for and what was observed to what is to be done: a pure function.

The reconciler observes, calls `plan`, and has the actions carried out; nothing here reads a clock or talks to anyone.

Rules that hold whatever was observed: a fault never deletes or stops workers that run; workers are made only
when everything they need is there; a demand that could not be read scales nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from crewline_operator.effects.actions import (
    Action,
    Attend,
    Follow,
    GiveUpClaim,
    KeepClaim,
    TakeBackRun,
    Unfollow,
    WriteStatus,
)
from crewline_operator.effects.done import Claimed
from crewline_operator.effects.unreadable import say_unreadable
from crewline_operator.jobqueue.applying import applies_of, larger_manifest, manifests_of
from crewline_operator.jobqueue.attention import attention_for
from crewline_operator.jobqueue.children.deployment import PROGRESS_DEADLINE_SECONDS
from crewline_operator.jobqueue.children.disruption_budget import spare_disruption_budget
from crewline_operator.jobqueue.children.service_account import spare_service_account
from crewline_operator.jobqueue.children.template import INVALID_TEMPLATE
from crewline_operator.jobqueue.claim import claim_step, leave_to_other, moved_claim
from crewline_operator.jobqueue.decision import LastDecision
from crewline_operator.jobqueue.drains import (
    LOOK_SECONDS,
    actions_of,
    drain_fault,
    drain_step,
    has_wrong_pod_gone,
    looks_in,
    telling,
)
from crewline_operator.jobqueue.faults import find_faults
from crewline_operator.jobqueue.has_queue import has_queue
from crewline_operator.jobqueue.larger import larger_step, others_demand
from crewline_operator.jobqueue.live import asks_again, live_step, ready_workers
from crewline_operator.jobqueue.move import move_step
from crewline_operator.jobqueue.notes import made_notes, notes_of, wrong_pod_note
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.pause import pause_step
from crewline_operator.jobqueue.shields import shield_step
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.jobqueue.status import NUMBERS, Outcome, build_status
from crewline_operator.jobqueue.sweeps import sweeps_of
from crewline_operator.kube.conditions import MESSAGE_MAX_CHARS, Condition
from crewline_operator.kube.status import is_material, merge_patch
from crewline_operator.model.fault import FAULT_CHECK_SECONDS, Fault
from crewline_operator.model.key import Object
from crewline_operator.model.moments import timestamp
from crewline_operator.model.settings import Settings
from crewline_operator.model.urgency import Urgency
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.scaling.decide import Decision, History, decide

#: Garbage collection takes an old child away within this, when a JobQueue is made anew under the same name; one that
#: is still there when it was looked at for so long is told of: it may wait for its pods, or for somebody's finalizer.
STALE_CHILD_SECONDS, STALE_TOLD_SECONDS = 1.0, 10.0


@dataclass(frozen=True)
class Plan:
    """What to do for a JobQueue, in this order."""

    actions: Sequence[Action]
    #: For the next plan to know.
    history: History
    #: Seconds after which to look again, if nothing happens before.
    check_after_seconds: float | None = None
    #: The whole status to have. It is not written as long as only numbers moved and it was written just now. None as
    #: long as there is nothing to decide by.
    status: dict[str, Any] | None = None
    #: For the next plan to know: since when nobody was seen to have the queue.
    unclaimed_since: float | None = None
    #: For the next plan to know: since when no worker is ready although some are wanted.
    unready_since: float | None = None
    #: Whether the next plan needs to know what the workers tell of themselves. One that knows no earlier one does.
    looks: bool = True
    #: For the next plan to know: the pods whose workers have told of themselves, by uid.
    telling: frozenset[str] = frozenset()
    #: For the next plan to know: since when workers run nothing whose pods are still shielded.
    idle_since: Mapping[str, float] = field(default_factory=dict)
    #: For the next plan to know: the Lease of the operator that the JobQueue is left to.
    left_to: str = ""


def plan(jobqueue: JobQueue, observed: Observed, settings: Settings) -> Plan:
    """What to do for a JobQueue now."""
    following = _following(jobqueue, observed)
    if observed.stale_child is not None and observed.known_seconds < STALE_TOLD_SECONDS:
        return Plan(following, observed.history, STALE_CHILD_SECONDS)
    if observed.first_read_pending:
        # What follows the queue has the JobQueue looked at again.
        return Plan(following, observed.history)
    if observed.other_operator:
        said = leave_to_other(observed)
        return Plan(
            [*following, *said], observed.history, FAULT_CHECK_SECONDS, left_to=observed.other_operator, looks=False
        )
    claim = claim_step(jobqueue, observed)
    if observed.going:
        # Its workers are the garbage collector's to end. Until then they have the queue, and nobody else has.
        kept = [action for action in claim.actions if isinstance(action, KeepClaim)]
        return Plan([*following, *kept], observed.history, claim.check_after_seconds, looks=False)
    if claim.pending:
        return Plan(
            [*following, *claim.actions],
            observed.history,
            claim.check_after_seconds,
            unclaimed_since=claim.unclaimed_since,
        )
    if not observed.lacks_workers:
        observed = replace(observed, unready_since=None)
    elif observed.unready_since is None:
        observed = replace(observed, unready_since=observed.clock)
    move = move_step(jobqueue, observed)
    if move.actions:
        return Plan(move.actions, History(), check_after_seconds=0.0)
    pause, live = pause_step(jobqueue, observed), live_step(jobqueue, observed)
    faults = [
        *([move.fault] if move.fault is not None else []),
        *find_faults(jobqueue, observed),
        *([pause.fault] if pause.fault is not None else []),
        *([live.fault] if live.fault is not None else []),
    ]
    current = observed.current_replicas
    decision = _decision(jobqueue, observed, current)
    applies = _may_apply(observed, faults)
    wanted = decision.replicas if applies else current
    step = drain_step(jobqueue, observed, wanted, guarded=settings.scale_in_guard)
    larger = larger_step(jobqueue, observed, larger_manifest(jobqueue, observed, settings) if applies else None)
    if larger.fault is not None:
        faults.append(larger.fault)
    if (denied := drain_fault(observed, step)) is not None:
        faults.append(denied)
    replicas = step.replicas
    decided = None
    if applies and replicas != current:
        reason = decision.reason if replicas == wanted else f"{decision.reason}; {step.waits}"
        decided = LastDecision(timestamp(observed.now), current, replicas, reason)
    outcome = Outcome(
        desired=wanted,
        decided=decided,
        # What the demand is moves at each look, and a condition that moves is written at once.
        waits=f"{wanted} wanted; {step.waits}" if wanted < replicas else "",
        faults=faults,
        pause=pause.condition,
    )
    manifests = manifests_of(jobqueue, observed, step, decided, settings) if applies else []
    status = build_status(jobqueue, outcome, observed)
    writes, written_in = _status_writes(status, observed, settings)
    made = made_notes(jobqueue) if applies and observed.deployment is None else []
    applied = [*applies_of(manifests, observed), *made]
    attention = attention_for(observed, replicas)
    if applies:
        applied += [*spare_service_account(jobqueue, observed), *spare_disruption_budget(jobqueue, observed)]
    # Last of them: where it is refused, the others are in place.
    applied += larger.actions
    attends = [Attend(attention)] if attention is not observed.attention else []
    # Before any worker that this plan makes can fetch them.
    strays = [TakeBackRun(jobqueue.queue_ref, uid, forget=True, optional=True) for uid in observed.strays]
    # Other Events know by the status what was told: they come after it, and before what may fail.
    drains = actions_of(jobqueue, step)
    actions = [*strays, *following, *claim.actions, *live.actions, *drains, *applied, *attends, *writes]
    actions += notes_of(observed, outcome)
    if applies and has_wrong_pod_gone(observed):
        actions.append(wrong_pod_note())
    if pause.action is not None:
        actions.append(pause.action)
    sweeps, swept_in = sweeps_of(jobqueue, observed, replicas)
    actions += sweeps
    # The last of all: they have to wait for their turn among the statuses of all objects.
    shields = shield_step(jobqueue, observed)
    actions += shields.actions
    looks_after = looks_in(observed, step)
    if looks_after is None and asks_again(jobqueue, observed, status):
        looks_after = LOOK_SECONDS
    checks = [
        looks_after,
        STALE_CHILD_SECONDS if observed.stale_child is not None else None,
        move.check_after_seconds,
        swept_in,
        decision.check_after_seconds,
        FAULT_CHECK_SECONDS if faults else None,
        written_in,
        claim.check_after_seconds,
        live.check_after_seconds,
        larger.check_after_seconds,
        shields.check_after_seconds,
        PROGRESS_DEADLINE_SECONDS if observed.unready_since == observed.clock else None,
    ]
    return Plan(
        actions=actions,
        history=decision.history,
        check_after_seconds=min((seconds for seconds in checks if seconds is not None), default=None),
        status=status,
        unready_since=observed.unready_since,
        looks=looks_after is not None or shields.looks,
        telling=telling(observed),
        idle_since=shields.idle_since,
    )


def plan_unreadable(obj: Object, fault: Fault, now: datetime) -> list[Action]:
    """What to do for a JobQueue that can't be read: say so, and leave all that is there as it is."""
    conditions = [
        Condition("Ready", False, fault.reason, fault.message),
        Condition("Degraded", True, fault.reason, fault.message),
    ]
    told = {"reason": fault.reason, "message": fault.message[:MESSAGE_MAX_CHARS]}
    return say_unreadable(obj, conditions, now, summary=f"Degraded: {fault.reason}", faults=[told])


def plan_gone(claimed: Claimed | None) -> list[Action]:
    """What to do when a JobQueue is gone. Its Deployment goes by garbage collection; its jobs are the user's."""
    given_up = [GiveUpClaim(claimed.queue, claimed.owner)] if claimed is not None else []
    return [*given_up, Unfollow()]


def _following(jobqueue: JobQueue, observed: Observed) -> list[Action]:
    """Have the queue read, and no other."""
    if not isinstance(observed.endpoint, Endpoint):
        return [Unfollow()] if observed.followed is not None else []
    actions: list[Action] = [*moved_claim(jobqueue, observed)]
    if observed.followed != (observed.endpoint, jobqueue.target):
        actions.append(Follow(observed.endpoint, jobqueue.target))
    return actions


def _decision(jobqueue: JobQueue, observed: Observed, current: int) -> Decision:
    if observed.holder is not None:
        return Decision(0, f"JobQueue {observed.holder} runs this queue -> 0 replicas", None, observed.history)
    snapshot = observed.reading.snapshot
    if snapshot is None and not has_queue(jobqueue, observed):
        # The queue may be another JobQueue's.
        return Decision(current, "the queue can't be read: workers stay as they are", None, observed.history)
    demand = others_demand(jobqueue, snapshot) if snapshot is not None else None
    return decide(jobqueue.scaling, demand, current, observed.history, observed.clock)


def _may_apply(observed: Observed, faults: Sequence[Fault]) -> bool:
    """Whether the children are to be as the spec and the demand want them; else they are left as they are."""
    if any(fault.reason == INVALID_TEMPLATE for fault in faults):
        return False
    if (
        observed.stale_child is not None
        or observed.taken_name is not None
        or observed.refusal is not None
        or isinstance(observed.endpoint, Fault)
    ):
        return False
    return observed.deployment is not None or not (observed.holder is not None or observed.code.missing)


def _status_writes(
    status: dict[str, Any], observed: Observed, settings: Settings
) -> tuple[list[WriteStatus], float | None]:
    """Write what moved of the status, or say in how many seconds it may be: numbers are not written all the time."""
    patch = merge_patch(observed.status, status)
    if not patch:
        return [], None
    # Where no worker is ready nobody follows them yet: that a queue is new, or asleep, matters more.
    numbers = NUMBERS if ready_workers(observed.deployment) else (*NUMBERS, "settings")
    if is_material(patch, numbers):
        return [WriteStatus(patch, Urgency.MATERIAL)], None
    if observed.status_age_seconds >= settings.status_seconds:
        return [WriteStatus(patch, Urgency.NUMBERS)], None
    return [], settings.status_seconds - observed.status_age_seconds
