"""Tells on an object that it can't be looked after, whatever the reason: else only the operator's log would know.

It ends by itself: the first reconcile that succeeds writes the status anew.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from crewline.redis.connection import redact

from crewline_operator.effects.actions import Action, WriteStatus
from crewline_operator.effects.executor import Executor
from crewline_operator.kube.conditions import MESSAGE_MAX_CHARS, Condition, with_conditions
from crewline_operator.kube.status import merge_patch
from crewline_operator.kube.store import Store
from crewline_operator.loop.intake import RECONCILED
from crewline_operator.model.fault import Fault
from crewline_operator.model.key import Key, Object, status_of
from crewline_operator.model.note import Note

#: Reconciles of an object that fail in a row before that is told: the first is some 8 s ago then.
TELL_AFTER = 5
#: As many as the CRD takes.
FAULTS_MAX = 16


class Failing:
    """Told of each reconcile that has failed."""

    def __init__(self, store: Store, executor: Executor, is_left: Callable[[Key], bool] = lambda _: False) -> None:
        self._store = store
        self._executor = executor
        #: Whether another operator looks after it: the status is that one's to write.
        self._is_left = is_left

    async def tell(self, key: Key, error: BaseException, failures: int) -> None:
        """One more has failed, so many in a row. Raises what the API server's calls raise."""
        if failures < TELL_AFTER or key.kind not in RECONCILED or self._is_left(key):
            return
        obj = self._store.of(key.kind).get(key.namespace, key.name)
        if obj is not None:
            actions = plan_failing(key.kind, obj, error, datetime.now(UTC), first=failures == TELL_AFTER)
            await self._executor.carry_out(key, obj, actions)


def plan_failing(kind: str, obj: Object, error: BaseException, now: datetime, *, first: bool) -> list[Action]:
    """What to do for an object whose reconcile fails. Pure. `first`: it was not told yet."""
    text = redact(f"{type(error).__name__}: {error}".removesuffix(": "))
    fault = Fault("ReconcileFailed", f"the operator can't look after it, and goes on trying: {text}")
    status = status_of(obj)
    told = {"reason": fault.reason, "message": fault.message[:MESSAGE_MAX_CHARS]}
    more: dict[str, Any] = {}
    if kind == "JobQueue":
        condition = Condition("Degraded", True, fault.reason, fault.message)
        faults = status.get("faults")
        others = [each for each in (faults if isinstance(faults, list) else ()) if _reason(each) != fault.reason]
        more = {"summary": f"Degraded: {fault.reason}", "faults": [told, *others][:FAULTS_MAX]}
    else:
        condition = Condition("Ready", False, fault.reason, fault.message)
    # Not what generation was observed last: nothing of the spec may be in effect.
    conditions = with_conditions(status, [condition], obj["metadata"].get("generation", 1), now)
    patch = merge_patch(status, {**status, **more, "conditions": conditions})
    # The Event first: it may be the status that can't be written.
    notes = [Note("Warning", fault.reason, fault.message)] if first else []
    return [*notes, *([WriteStatus(patch, may_be_refused=True)] if patch else [])]


def _reason(fault: object) -> object:
    return fault.get("reason") if isinstance(fault, dict) else None
