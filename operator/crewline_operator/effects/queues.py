"""What is written to Redis: claims, pauses, runs. Each call is bounded in time, and few are at one Redis at a time.

None goes on when the lease is over by which this process leads.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from crewline.errors import CrewlineError
from crewline.queue.queue import Queue
from crewline.redis.connection import UNAVAILABLE
from crewline.wire.options import encode_job

from crewline_operator.effects.actions import (
    INVALID_JOB,
    AddRun,
    Claim,
    Drain,
    GiveUpClaim,
    HandBack,
    KeepClaim,
    Pause,
    RemoveJob,
    Sweep,
    TakeBackRun,
    Undrain,
    WriteSettings,
)
from crewline_operator.effects.done import Claimed, Denied, Done, PauseDenied
from crewline_operator.effects.errors import Changed, NotFollowed, NotRemoved, Refused
from crewline_operator.kube.fence import Fence
from crewline_operator.model.fault import Fault
from crewline_operator.model.key import Key
from crewline_operator.model.moments import epoch_ms
from crewline_operator.model.note import Note
from crewline_operator.model.owner import claim_key
from crewline_operator.model.queue_ref import QueueRef
from crewline_operator.redis.bulkhead import Bulkheads
from crewline_operator.redis.claims import give_up_claim, renew_claim, take_claim
from crewline_operator.redis.faults import redis_fault
from crewline_operator.redis.pollers import Pollers
from crewline_operator.redis.sweep import sweep_queue

#: One change of a queue, several round trips included.
REDIS_TIMEOUT_SECONDS = 10.0


class Queues:
    """Changes queues, by the connections that they are read by. All raise Busy, and NotFollowed if nothing is told."""

    def __init__(self, *, pollers: Pollers, bulkheads: Bulkheads, fence: Fence) -> None:
        self._pollers = pollers
        self._bulkheads = bulkheads
        self._fence = fence

    async def claim(self, key: Key, action: Claim, done: Done) -> None:
        """Claim a queue. Raises Refused if its Redis does not answer."""
        at = claim_key(action.queue.prefix, action.queue.queue)
        try:
            async with self._at(action.queue, key) as queue:
                async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                    taken = await take_claim(queue.redis, at, action.owner, action.instead_of)
        except UNAVAILABLE as error:
            raise Refused(redis_fault(error, action.shown)) from error
        if taken:
            done.claimed = _claimed(action)
        self._pollers.wake(action.queue.jobqueue)

    async def keep_claim(self, key: Key, action: KeepClaim, done: Done) -> None:
        """Renew a claim."""
        async with _may_fail(), self._at(action.queue, key) as queue:
            await renew_claim(queue.redis, claim_key(action.queue.prefix, action.queue.queue), action.owner)
            done.claimed = _claimed(action)

    async def give_up_claim(self, key: Key, action: GiveUpClaim, done: Done) -> None:
        """Give up a claim."""
        async with _may_fail(), self._at(action.queue, key) as queue:
            await give_up_claim(queue.redis, claim_key(action.queue.prefix, action.queue.queue), action.owner)
        done.claimed = None

    async def pause(self, key: Key, action: Pause, done: Done) -> bool:
        """Pause a queue or resume it; whether that changed anything. Raises Changed if Redis did not take it."""
        try:
            async with self._at(action.queue, key) as queue:
                async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                    changed = await (queue.pause() if action.paused else queue.resume())
        except UNAVAILABLE as error:
            fault = redis_fault(error, f"of JobQueue {action.queue.jobqueue.name!r}")
            verb = "paused" if action.paused else "resumed"
            told = Fault(fault.reason, f"the queue can't be {verb}: {fault.message}")
            done.pause_denied = PauseDenied(action.paused, told, time.monotonic())
            raise Changed from error
        done.pause_denied = None
        self._pollers.wake(action.queue.jobqueue)
        return changed

    async def write_settings(self, key: Key, action: WriteSettings, done: Done) -> bool:
        """Write a queue's settings, and its limits; whether it is to be told that Redis did not take them.

        What comes after does not wait for it.
        """
        before, done.settings_denied = done.settings_denied, None
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_SECONDS), self._at(action.queue, key) as queue:
                await queue.scripts.limit_queue(action.text, **action.limits)
        except NotFollowed:
            return False
        except UNAVAILABLE as error:
            fault = redis_fault(error, f"of JobQueue {action.queue.jobqueue.name!r}")
            told = Fault(fault.reason, f"what the workers are to follow can't be written: {fault.message}")
            done.settings_denied = Denied(told, time.monotonic())
            return before is None or before.fault != told
        self._pollers.wake(action.queue.jobqueue)
        return False

    async def drain(self, key: Key, action: Drain, done: Done) -> None:
        """Ask workers to drain. Raises Changed unless all requests that have to hold have held until now."""
        tokens: dict[str, str] = {}
        async with _may_be_denied(action, done), self._at(action.queue, key) as queue:
            tokens = await queue.drain_workers(action.workers)
        if any(tokens.get(uid) != token for uid, token in action.holding.items()):
            raise Changed

    async def undrain(self, key: Key, action: Undrain, done: Done) -> None:
        """Let workers fetch again."""
        async with _may_be_denied(action, done), self._at(action.queue, key) as queue:
            await queue.undrain_workers(action.workers)

    async def hand_back(self, key: Key, action: HandBack) -> Note:
        """Hand back what a dead worker ran; what is to be said of it."""
        async with self._at(action.queue, key) as queue, asyncio.timeout(REDIS_TIMEOUT_SECONDS):
            found = await queue.hand_back_worker(
                action.worker,
                action.cause,
                blame=action.blame,
                max_crashes=action.max_crashes,
                fail_alone=action.fail_alone,
                larger_first=action.larger_first,
            )
        self._pollers.wake(action.queue.jobqueue)
        return action.note(len(found.back) + len(found.unbegun), len(found.doomed))

    async def sweep(self, key: Key, action: Sweep, done: Done) -> None:
        """Keep the retention of a queue."""
        async with _may_fail(), self._at(action.queue, key, can_wait=True) as queue:
            done.swept = time.monotonic()
            await sweep_queue(queue)

    async def add_run(self, key: Key, action: AddRun) -> None:
        """Add the job of a run. Raises Refused."""
        followed, ref = self._pollers.followed(action.queue.jobqueue), action.queue
        if followed is not None and (followed[1].prefix, followed[1].queue) != (ref.prefix, ref.queue):
            # The run was planned for a queue that has been left since: nobody would take it back there.
            raise NotFollowed(f"{ref.jobqueue} is for another queue now")
        async with self._at(action.queue, key) as queue, _told(action.queue):
            job = encode_job(action.name, dict(action.data), **action.options)
            owner = action.owner
            await queue.scripts.add_run(owner.uid, epoch_ms(action.run), owner.encode(), action.digest, job)

    async def take_back_run(self, key: Key, action: TakeBackRun) -> None:
        """Take back the run that lies ahead. Raises Refused if it is not optional."""
        told = _may_fail() if action.optional else _told(action.queue)
        async with told, self._at(action.queue, key) as queue:
            await queue.scripts.take_back_run(action.uid, action.forget)

    async def remove_job(self, key: Key, action: RemoveJob) -> None:
        """Remove a job. Raises Refused, and NotRemoved if it is there and a worker runs it."""
        async with self._at(action.queue, key) as queue, _told(action.queue):
            removed = await queue.remove(action.job_id)
            if not removed and await queue.job_state(action.job_id) != "unknown":
                raise NotRemoved(f"a worker has started job {action.job_id} since it was looked at")

    @asynccontextmanager
    async def _at(self, ref: QueueRef, key: Key, *, can_wait: bool = False) -> AsyncIterator[Queue]:
        """A queue, reached for the object `key`, and closed after: its scripts would keep a connection each.

        Raises NotFollowed, Busy and NotLeading, and TimeoutError if the lease is over.
        """
        followed, queue = self._pollers.followed(ref.jobqueue), self._pollers.queue(ref)
        if followed is None or queue is None:
            raise NotFollowed(f"{ref.jobqueue} is followed no more")
        endpoint, _ = followed
        with self._bulkheads.enter(endpoint, key, can_wait=can_wait):
            async with self._fence.within(), queue:
                yield queue


def _claimed(action: Claim | KeepClaim) -> Claimed:
    return Claimed(action.queue, action.owner, action.shown, time.monotonic())


@asynccontextmanager
async def _may_fail() -> AsyncIterator[None]:
    """Calls to Redis, bounded in time, that nothing is to wait for where it does not answer."""
    with contextlib.suppress(NotFollowed, *UNAVAILABLE):
        async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
            yield


@asynccontextmanager
async def _may_be_denied(action: Drain | Undrain, done: Done) -> AsyncIterator[None]:
    """A call for workers, bounded in time, that may fail; why Redis did not take it is for the next plan to tell."""
    try:
        async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
            yield
    except NotFollowed:
        pass
    except UNAVAILABLE as error:
        fault = redis_fault(error, f"of JobQueue {action.queue.jobqueue.name!r}")
        what = "asked to drain" if isinstance(action, Drain) else "let go from draining"
        told = Fault(fault.reason, f"workers can't be {what}: {fault.message}")
        done.drain_denied = Denied(told, time.monotonic())
    else:
        done.drain_denied = None


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
