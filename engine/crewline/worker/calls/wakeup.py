"""Wakes an idle worker: a blocked read of the queue's marker with a fetch behind it, and the due time of the next
delayed job.

BullMQ's protocol: a member ``0`` says that something may be runnable, a member ``1`` when a delayed job is due.
Whoever pops a token is the only one that knows of it, so a due time that was popped is kept and waited for.

The fetch is sent along with the blocked read: Redis runs it the moment that the marker comes, and the job is in the
answer that tells of it. A fetch sent after that answer would cost one more round trip, half of the time in which an
idle worker picks up a job.

Redis runs it also where nobody is there to read the answer (a stopped process, a frozen machine). So its leases are
short, and its jobs marked as unread, until this worker has said that it read of them, which it does before they begin.
What nobody read of goes back soon and counts as not begun, twice in a row at most: a worker may die in the moment
between.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from crewline.queue.by_id import ById
from crewline.redis.connection import CONNECT_SECONDS, UNAVAILABLE, cancelled, connect_blocking
from crewline.redis.lanes import Lanes
from crewline.redis.scripts import source
from crewline.upkeep.complaints import Complaints
from crewline.worker.calls.backlog import Backlog
from crewline.worker.calls.commit import Committer
from crewline.worker.runs.slots import Slots

log = logging.getLogger("crewline.worker")

#: Seconds that a read of the marker blocks at most: the longest that a lost token can delay a job.
MAX_BLOCK_SECONDS = 5.0
#: A due time beyond which any is as good as never; a foreign client may write an infinite one.
MAX_SCORE = 2.0**53
#: What fails where Redis refuses a read of the marker.
WAITING = f"wait for the queue's marker: this worker looks for jobs every {MAX_BLOCK_SECONDS:g} s"
#: Seconds between two attempts to end a blocked read: the first, and the longest.
ROUSE_SECONDS, ROUSE_MOST_SECONDS = 0.02, 1.0


class MarkerWatch:
    """Waits for work while the worker has none.

    Args:
        queue: where the marker is.
        slots, backlog, committer: the worker's.
        client_name: the connection's name, by which BullMQ finds workers.
        lease_ms: the length of a lease, in milliseconds.
        timeout_seconds: how long an answer may be overdue; a read blocks no longer than that either, so that what a
            dead link swallowed is asked for again while its lease holds.

    Attributes:
        armed: a fetch waits in Redis behind the marker.
    """

    def __init__(
        self, queue: ById, slots: Slots, backlog: Backlog, committer: Committer, *,
        client_name: str, lease_ms: int, timeout_seconds: float,
    ) -> None:  # fmt: skip
        self._queue = queue
        self._marker = queue.keys.marker
        self._slots = slots
        self._backlog = backlog
        self._committer = committer
        self._client_name = client_name
        self._lease_ms = lease_ms
        self._timeout_seconds = timeout_seconds
        self._block_seconds = min(MAX_BLOCK_SECONDS, timeout_seconds)
        self._pending_ms = _pending_ms(lease_ms, self._block_seconds + timeout_seconds)
        self._client_id: int | None = None
        self._complaints = Complaints(queue.name)
        self._disarmed = asyncio.Event()
        self._disarmed.set()
        self._roused = asyncio.Event()
        slots.on_wanted.append(self._rouse)

    @property
    def armed(self) -> bool:
        return not self._disarmed.is_set()

    async def run(self) -> None:
        """Waits for the marker whenever slots are free and nothing is to be fetched; until cancelled."""
        failures = 0
        while not cancelled():
            redis = connect_blocking(self._queue.url, self._client_name)
            named = False
            # BullMQ finds workers by this connection's name, busy ones too
            lanes = Lanes(redis, keeps=True)
            try:
                async with self._bound():
                    self._client_id = await self._id_of(redis, lanes)
                named = True
                lanes.script_unknown = True
                while not cancelled():
                    if lanes.script_unknown:
                        # nobody reads what Redis answers to an acknowledgement: it has to know the script
                        async with self._bound():
                            await self._load(redis, lanes)
                        lanes.script_unknown = False
                    await self._slots.idle.wait()
                    if self._slots.hot or self._slots.free() <= 0:
                        self._slots.idle.clear()
                        continue
                    await self._wait(lanes)
                    self._complaints.over(WAITING)
                    failures = 0
            except UNAVAILABLE as error:
                failures += 1
                if isinstance(error, ResponseError) and not named and self._client_name:
                    log.warning(
                        "queue %s: BullMQ's dashboards do not find this worker, whose connection may have no name: %s",
                        self._queue.name, error,
                    )  # fmt: skip
                    self._client_name = ""
                elif isinstance(error, ResponseError):
                    self._complaints.tell(WAITING, error)
                elif failures == 1:
                    log.info("the wake-up connection is replaced (%s: %s)", type(error).__name__, error)
                # polls by time until there is a connection again
                await asyncio.sleep(min(0.1 * 2 ** min(failures, 6), MAX_BLOCK_SECONDS))
                self._slots.wake()
            finally:
                await redis.aclose()

    def _bound(self) -> asyncio.Timeout:
        # this connection has no bound of its own, not even for what is said while it is made
        return asyncio.timeout(max(self._timeout_seconds, CONNECT_SECONDS))

    @staticmethod
    async def _id_of(redis: Redis, lanes: Lanes) -> int | None:
        """By which the blocked read can be ended; None in a cluster, whose client has many connections, and for a user
        that may not ask."""
        # what is said while the connection is made: the name may be refused
        await lanes.call("PING")
        if isinstance(redis, Redis):
            with contextlib.suppress(ResponseError):
                return int(await lanes.call("CLIENT", "ID"))
        return None

    @staticmethod
    async def _load(redis: Redis, lanes: Lanes) -> None:
        load = ("SCRIPT", "LOAD", source("extend_leases"))
        # a user that may not: the thread that keeps leases has the script run some time
        with contextlib.suppress(ResponseError):
            # over its one connection; a cluster's client loads it on each node
            await (lanes.call(*load) if isinstance(redis, Redis) else redis.script_load(load[-1]))

    async def rouse(self) -> None:
        """Ends the blocked read where something else wants its slots, or that nothing is fetched; until cancelled."""
        while not cancelled():
            await self._roused.wait()
            self._roused.clear()
            seconds = ROUSE_SECONDS
            while self.armed and not cancelled():
                await self._unblock()
                # Redis may not have begun to block yet, or another worker got the token
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._disarmed.wait(), seconds)
                    break
                seconds = min(2 * seconds, ROUSE_MOST_SECONDS)

    async def released(self, seconds: float) -> None:
        """Returns once no fetch waits behind the marker, after ``seconds`` at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.armed:
                    self._roused.set()
                    await self._disarmed.wait()

    def _rouse(self) -> None:
        if self.armed:
            self._roused.set()

    async def _wait(self, lanes: Lanes) -> None:
        call, fetch = self._committer.arm(self._pending_ms)
        lost: set[str] = set()
        self._disarmed.clear()
        try:
            # a link that died without a reset never answers: the watchdog replaces it
            async with asyncio.timeout(self._block_seconds + self._timeout_seconds):
                popped, answer = await lanes.call_together(("BZPOPMIN", self._marker, self._block_seconds), fetch)
            fetched = None if isinstance(answer, Exception) else self._queue.scripts.fetched(answer)
            # as extend_leases takes it: the leases are to be as long as any, now that it is read of
            jobs = fetched.jobs if fetched else []
            held = [part for job in jobs for part in (job.raw_id, call.token, job.started)]
            late = fetched is not None and self._backlog.redis_now_ms() - fetched.now_ms >= self._pending_ms / 2
            if fetched and held and late:
                # others may have been given these jobs: Redis is asked whose they are
                lost = set(await self._queue.scripts.extend_leases(self._lease_ms, *held))
                fetched = fetched._replace(jobs=[job for job in fetched.jobs if job.id not in lost])
        except BaseException as error:
            # nothing is there to be roused: the read has ended, or its connection is given up
            self._disarmed.set()
            # Redis may have fetched, and nobody else knows of these jobs
            await self._committer.recover(call, error)
            raise
        self._disarmed.set()
        try:
            if held and not late:
                # before anything of them runs: a first step may hold this process for longer than the short lease
                async with self._bound():
                    await lanes.tell(self._queue.scripts.command("extend_leases", self._lease_ms, *held))
        finally:
            # also where that could not be said: the thread that keeps leases says it, or they are lost
            self._committer.taken(call, fetched)
        if lost:
            # their slots might have got what waits yet
            self._slots.wake()
        # what came begins before anything else is sent
        await asyncio.sleep(0)
        if isinstance(popped, Exception):
            raise popped
        score = float(popped[2]) if popped else 0.0
        if score > self._backlog.redis_now_ms() + 1:
            # this token is gone from Redis: only this worker knows the time now
            self._backlog.expect_due(int(min(score, MAX_SCORE)))

    async def _unblock(self) -> None:
        redis = self._queue.redis
        with contextlib.suppress(*UNAVAILABLE):
            try:
                if self._client_id is not None:
                    await redis.client_unblock(self._client_id)
                    return
            except ResponseError:
                # the user may not: a token does it, though another worker may be the one that gets it
                self._client_id = None
            await redis.zadd(self._marker, {"0": 0})


def _pending_ms(lease_ms: int, answer_seconds: float) -> int:
    """How long an armed fetch leases jobs until its answer is read, which takes so many seconds at most.

    It outlasts the watchdog, so that what a dead link swallowed is found by its lease, and is shorter than a lease, so
    that what was never acknowledged goes back sooner. Where leases are too short for both, the second holds.
    """
    answer_ms, most_ms = round(answer_seconds * 1000), lease_ms * 9 // 10
    return min(answer_ms + 2000, most_ms) if answer_ms < most_ms else lease_ms * 2 // 3
