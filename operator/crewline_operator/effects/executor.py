"""Carries out what plans ask for: the only place from where the operator changes anything, but for Events.

Only who leads writes: the fence is asked before each action, and by the calls themselves right before they are sent.
Who waits to lead carries out what only reads, so that it knows all queues when its turn comes.

Actions are done in their order, and the first that fails ends it, so that a plan can rely on what it has put before.
What the user has to be told of (a manifest or a job that is refused, a Redis that does not take one) goes back to the
plan as `Refused`. Whatever else fails is raised as it is, and the work queue tries again with backoff.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import assert_never

from crewline.redis.connection import redact

from crewline_operator.effects.actions import (
    Action,
    AddRun,
    Apply,
    Attend,
    Claim,
    Drain,
    Follow,
    GiveUpClaim,
    HandBack,
    KeepClaim,
    Mark,
    Pause,
    Remove,
    RemoveJob,
    Shield,
    Sweep,
    TakeBackRun,
    Undrain,
    Unfollow,
    Unmark,
    WriteSettings,
    WriteStatus,
)
from crewline_operator.effects.done import Done
from crewline_operator.effects.errors import Changed, Gone, NotItsTurn, NotWritten
from crewline_operator.effects.objects import STATUS_AGAIN_SECONDS, Objects
from crewline_operator.effects.queues import Queues
from crewline_operator.kube.api import Api
from crewline_operator.kube.budget import WriteBudget
from crewline_operator.kube.events import EventRecorder
from crewline_operator.kube.fence import Fence
from crewline_operator.kube.store import Store
from crewline_operator.model.key import Key, Object
from crewline_operator.model.note import Note
from crewline_operator.redis.bulkhead import Bulkheads, Busy
from crewline_operator.redis.pollers import Pollers

#: Actions that change nothing but what this process reads.
READS = (Follow, Attend, Unfollow)
#: An object for which plans come too late again and again is looked at again after this, twice that, and so on.
CHANGED_SECONDS, CHANGED_CAP_SECONDS = 0.25, 15.0


class Executor:
    """Carries out actions for all objects."""

    def __init__(
        self,
        *,
        api: Api,
        store: Store,
        pollers: Pollers,
        events: EventRecorder,
        bulkheads: Bulkheads,
        budget: WriteBudget,
        fence: Fence,
        requeue: Callable[[Key, float], None],
    ) -> None:
        self._store = store
        self._pollers = pollers
        self._events = events
        self._budget = budget
        self._fence = fence
        self._requeue = requeue
        self._objects = Objects(api=api, store=store, budget=budget)
        self._queues = Queues(pollers=pollers, bulkheads=bulkheads, fence=fence)
        self._done: dict[Key, Done] = {}

    @property
    def leads(self) -> bool:
        """Whether actions are carried out, and not only those that read."""
        return self._fence.is_open

    def done(self, key: Key) -> Done:
        """What was done to an object; nothing if it is not known."""
        return self._done.get(key) or Done()

    def forget(self, key: Key) -> None:
        """An object is gone."""
        self._done.pop(key, None)
        self._budget.forget(key)

    async def carry_out(self, key: Key, obj: Object | None, actions: Iterable[Action]) -> bool:
        """Do `actions` for an object; `obj` is None if it is gone. Raises Refused, and what the calls raise.

        Who does not lead when it begins does those that read, and no other: one that is left out may be what a later
        one relies on. Gives whether all of them were done. If not, the object is looked at again without being asked
        for. Raises NotLeading if the lease is lost meanwhile.
        """
        leads = self.leads
        try:
            for action in actions:
                if isinstance(action, READS):
                    await self._do(key, obj, action)
                elif leads:
                    self._fence.check()
                    await self._do(key, obj, action)
        except Gone:
            # No watch has said so yet, or it never will: the object is looked at again as one that is gone.
            if obj is not None:
                self._store.of(key.kind).remove(obj, math.inf)
            self._requeue(key, 0)
        except Changed:
            self._look_again(key)
        except NotWritten as refused:
            # No reason to wait ever longer: what comes before the status, workers among it, is done at each look.
            self._requeue(key, STATUS_AGAIN_SECONDS)
            if not refused.again:
                self._note(key, obj, Note("Warning", "StatusNotWritten", redact(str(refused))))
        except (Busy, NotItsTurn):
            # It is looked at again when there is room at its Redis, or when it is its turn to write.
            pass
        else:
            if key in self._done:
                self._done[key].changed = 0
            return True
        return False

    def _look_again(self, key: Key) -> None:
        """At once, since what was seen is over; if the next plan is for something else again, after a while."""
        done = self._done[key]
        backoff_seconds = min(CHANGED_SECONDS * 2.0 ** min(done.changed, 30), CHANGED_CAP_SECONDS)
        self._requeue(key, backoff_seconds if done.changed else 0)
        done.changed += 1

    async def _do(self, key: Key, obj: Object | None, action: Action) -> None:
        if key not in self._done:
            self._done[key] = Done(known=time.monotonic())
        done = self._done[key]
        match action:
            case Claim():
                await self._queues.claim(key, action, done)
            case KeepClaim():
                await self._queues.keep_claim(key, action, done)
            case GiveUpClaim():
                await self._queues.give_up_claim(key, action, done)
            case Follow(endpoint, target):
                self._pollers.watch(key, endpoint, target)
            case Attend(attention):
                self._pollers.attend(key, attention)
            case Unfollow():
                self._pollers.unwatch(key)
            case Drain():
                await self._queues.drain(key, action, done)
            case Undrain():
                await self._queues.undrain(key, action, done)
            case Mark(pod, uid):
                await self._objects.mark(key, pod, uid)
            case Unmark(pod, uid):
                await self._objects.unmark(key, pod, uid)
            case Shield():
                await self._objects.shield(key, action, done)
            case Apply():
                await self._objects.apply(key, obj, action, done)
            case Remove():
                await self._objects.remove(key, action, done)
            case WriteStatus():
                await self._objects.write_status(key, obj, action, done)
            case Pause(note=note):
                if await self._queues.pause(key, action, done):
                    self._note(key, obj, note)
            case HandBack():
                self._note(key, obj, await self._queues.hand_back(key, action))
            case WriteSettings():
                if await self._queues.write_settings(key, action, done):
                    self._requeue(key, 0)
            case Sweep():
                await self._queues.sweep(key, action, done)
            case AddRun():
                await self._queues.add_run(key, action)
            case TakeBackRun():
                await self._queues.take_back_run(key, action)
            case RemoveJob():
                await self._queues.remove_job(key, action)
            case Note():
                self._note(key, obj, action)
            case _:
                assert_never(action)

    def _note(self, key: Key, obj: Object | None, note: Note) -> None:
        if obj is not None:
            self._events.record(key.kind, obj, note)
