"""Carries out what plans ask for: the only place from where the operator changes anything, but for Events.

Actions are done in their order, and the first that fails ends it, so that a plan can rely on what it has put before.
What the user has to be told of (a manifest or a job that is refused, a Redis that does not take one) goes back to the
plan as `Refused`. Whatever else fails is raised as it is, and the work queue tries again with backoff.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import assert_never

from crewline.errors import CrewlineError
from crewline.queue.queue import Queue
from crewline.redis.connection import UNAVAILABLE

from crewline_operator.effects.actions import (
    INVALID_JOB,
    Action,
    AddJob,
    Apply,
    DropClaim,
    Follow,
    MakeClaim,
    Pause,
    RemoveJob,
    Unfollow,
    WriteStatus,
)
from crewline_operator.effects.done import Applied, Done
from crewline_operator.kube.api import DEPLOYMENTS, JOBQUEUES, SCHEDULEDJOBS, SERVICE_ACCOUNTS, Api
from crewline_operator.kube.budget import WriteBudget
from crewline_operator.kube.errors import ApiError
from crewline_operator.kube.events import EventRecorder
from crewline_operator.kube.fingerprint import fingerprint
from crewline_operator.kube.status import patched
from crewline_operator.kube.store import Store, version_of
from crewline_operator.model.fault import Fault
from crewline_operator.model.key import Key, Object, status_of
from crewline_operator.model.note import Note
from crewline_operator.model.queue_ref import QueueRef
from crewline_operator.redis.bulkhead import Bulkheads, Busy
from crewline_operator.redis.claims import Claims
from crewline_operator.redis.faults import redis_fault
from crewline_operator.redis.poller import Pollers

log = logging.getLogger(__name__)

RESOURCES = {
    "JobQueue": JOBQUEUES,
    "ScheduledJob": SCHEDULEDJOBS,
    "Deployment": DEPLOYMENTS,
    "ServiceAccount": SERVICE_ACCOUNTS,
}
#: Answers to an apply that will be the same until the user changes something: bad request, forbidden, invalid.
REFUSALS = (400, 403, 422)
#: One change of a queue, several round trips included.
REDIS_TIMEOUT_SECONDS = 10.0


class NotFollowed(Exception):
    """The JobQueue by whose connection a queue is reached went away after the plan was made."""


class Gone(Exception):
    """The object that actions were for is not there any more."""


class Changed(Exception):
    """The object that actions were for is another one now: they may be wrong for it."""


class NotRemoved(Exception):
    """A job is there that was to be removed: the plan was made for another state of it."""


class NotItsTurn(Exception):
    """The budget for statuses has nothing left for the object now: it is called again."""


class Refused(Exception):
    """An action was not taken, and the user has to know; those before it are done, those after it are not."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Executor:
    """Carries out actions for all objects."""

    def __init__(
        self,
        *,
        api: Api,
        store: Store,
        pollers: Pollers,
        claims: Claims,
        events: EventRecorder,
        bulkheads: Bulkheads,
        budget: WriteBudget,
        requeue: Callable[[Key, float], None],
    ) -> None:
        self._api = api
        self._store = store
        self._pollers = pollers
        self._claims = claims
        self._events = events
        self._bulkheads = bulkheads
        self._budget = budget
        self._requeue = requeue
        self._done: dict[Key, Done] = {}

    def done(self, key: Key) -> Done:
        """What was done to an object; nothing if it is not known."""
        return self._done.get(key) or Done()

    def forget(self, key: Key) -> None:
        """An object is gone."""
        self._done.pop(key, None)
        self._budget.forget(key)

    async def carry_out(self, key: Key, obj: Object | None, actions: Iterable[Action]) -> bool:
        """Do `actions` for an object; `obj` is None if it is gone. Raises Refused, and what the calls raise.

        Gives whether all of them were done. If not, the object is looked at again without being asked for.
        """
        try:
            await self._carry_out(key, obj, actions)
        except Gone:
            # No watch has said so yet, or it never will: the object is looked at again as one that is gone.
            if obj is not None:
                self._store.of(key.kind).remove(obj, math.inf)
            self._requeue(key, 0)
        except Changed:
            self._requeue(key, 0)
        except (Busy, NotItsTurn):
            # It is looked at again when there is room at its Redis, or when it is its turn to write.
            pass
        else:
            return True
        return False

    async def _carry_out(self, key: Key, obj: Object | None, actions: Iterable[Action]) -> None:
        for action in actions:
            # Whatever fences writes is to be asked here: all of them pass, one by one.
            await self._do(key, obj, action)

    async def _do(self, key: Key, obj: Object | None, action: Action) -> None:
        match action:
            case MakeClaim(claim):
                self._look_again(self._claims.make(key, claim))
            case DropClaim():
                self._look_again(self._claims.drop(key))
            case Follow(endpoint, target):
                self._pollers.watch(key, endpoint, target)
            case Unfollow():
                self._pollers.unwatch(key)
            case Apply():
                await self._apply(key, obj, action)
            case WriteStatus():
                await self._write_status(key, obj, action)
            case Pause():
                await self._pause(key, obj, action)
            case AddJob():
                await self._add_job(key, action)
            case RemoveJob():
                await self._remove_job(key, action)
            case Note():
                self._note(key, obj, action)
            case _:
                assert_never(action)

    async def _apply(self, key: Key, obj: Object | None, action: Apply) -> None:
        try:
            applied = await self._api.apply(RESOURCES[action.kind], action.manifest, uid=action.uid)
        except ApiError as error:
            if error.status in (404, 409):
                # A child goes with its owner, of which no watch may have told.
                await self._check_there(key, obj)
            if error.status not in REFUSALS:
                raise
            name = action.manifest["metadata"]["name"]
            message = f"the API server refuses {action.kind} {name!r}: {error}: correct spec.worker"
            raise Refused(Fault("ApplyRefused", message)) from error
        done = self._done.setdefault(key, Done())
        done.applied[action.kind] = Applied(action.digest, fingerprint(applied))
        self._store.of(action.kind).put(applied)

    async def _write_status(self, key: Key, obj: Object | None, action: WriteStatus) -> None:
        if obj is None:
            return
        done = self._done.setdefault(key, Done())
        if not self._budget.take(key, action.urgency, done.status_written):
            raise NotItsTurn
        collection = self._store.of(key.kind)
        try:
            with collection.expecting(obj, patched(status_of(obj), action.patch)):
                written = await self._api.patch_status(RESOURCES[key.kind], obj, action.patch)
        except ApiError as error:
            if error.status in REFUSALS and action.may_be_refused:
                log.warning("%s: the API server takes no status for it: %s", key, error)
                return
            if error.status not in (404, 409):
                raise
            found = await self._check_there(key, obj)
            if version_of(found) == version_of(obj):
                raise
            raise Changed from error
        done.status_written = time.monotonic()
        collection.put(written)

    async def _check_there(self, key: Key, obj: Object | None) -> Object:
        """The object as it is now, which is kept. Raises Gone if it is not there, or another one of its name is."""
        found = await self._api.find(RESOURCES[key.kind], key.namespace, key.name)
        if found is None or obj is None or found["metadata"]["uid"] != obj["metadata"]["uid"]:
            raise Gone
        self._store.of(key.kind).put(found)
        return found

    async def _pause(self, key: Key, obj: Object | None, action: Pause) -> None:
        with self._at(action.queue, key) as queue:
            async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                changed = await (queue.pause() if action.paused else queue.resume())
        self._pollers.wake(action.queue.jobqueue)
        if changed:
            self._note(key, obj, action.note)

    async def _add_job(self, key: Key, action: AddJob) -> None:
        with self._at(action.queue, key) as queue:
            async with _told(action.queue):
                await queue.add(action.name, dict(action.data), **action.options)

    async def _remove_job(self, key: Key, action: RemoveJob) -> None:
        if not action.optional:
            with self._at(action.queue, key) as queue:
                async with _told(action.queue):
                    removed = await queue.remove(action.job_id)
                    if not removed and await queue.job_state(action.job_id) != "unknown":
                        raise NotRemoved(f"a worker has started job {action.job_id} since it was looked at")
            return
        with contextlib.suppress(NotFollowed, *UNAVAILABLE), self._at(action.queue, key) as queue:
            async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                await queue.remove(action.job_id)

    def _note(self, key: Key, obj: Object | None, note: Note) -> None:
        if obj is not None:
            self._events.record(key.kind, obj, note)

    @contextmanager
    def _at(self, ref: QueueRef, key: Key) -> Iterator[Queue]:
        """A queue, reached for the object `key`. Raises NotFollowed and Busy."""
        followed, queue = self._pollers.followed(ref.jobqueue), self._pollers.queue(ref)
        if followed is None or queue is None:
            raise NotFollowed(f"{ref.jobqueue} is followed no more")
        endpoint, _ = followed
        with self._bulkheads.enter(endpoint, key):
            yield queue

    def _look_again(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._requeue(key, 0)


@asynccontextmanager
async def _told(queue: QueueRef) -> AsyncIterator[None]:
    """A call for a job, bounded in time; what is wrong with the job or with Redis is for the object's status."""
    try:
        async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
            yield
    except CrewlineError as error:
        raise Refused(Fault(INVALID_JOB, f"spec.job: {error}")) from error
    except UNAVAILABLE as error:
        raise Refused(redis_fault(error, f"of JobQueue {queue.jobqueue.name!r}")) from error
