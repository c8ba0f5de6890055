"""Group commit: carries results to Redis and brings jobs back.

What a call carries is decided in deciding.py; what Redis says of the results is taken in by settling.py, and what jobs
it brings by intake.py.

Two calls are kept in flight, more where Redis is far (reach.py). Each settles what is done when it leaves and fetches
what there is room for; what ends meanwhile goes with the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from crewline.queue.by_id import ById
from crewline.redis.connection import UNAVAILABLE, cancelled
from crewline.redis.scripts import Fetched
from crewline.worker.calls.backlog import Backlog
from crewline.worker.calls.call import HURRIED_SECONDS, Call
from crewline.worker.calls.deciding import BATCH, Plan, Turn, View, filled, next_call, owing
from crewline.worker.calls.intake import Intake
from crewline.worker.calls.reach import Reach
from crewline.worker.calls.refused import Refused
from crewline.worker.calls.reserving import Reservations
from crewline.worker.calls.settling import Settling
from crewline.worker.calls.weighing import carry
from crewline.worker.runs.slots import Slots
from crewline.worker.runs.verdicts import Verdicts

log = logging.getLogger("crewline.worker")

#: How often in a row a call may fail for a reason that nobody foresaw before the worker ends with it.
MOST_UNEXPECTED = 10


class Committer:
    """Settles results and fetches jobs for one worker.

    Args:
        queue: the queue, with a connection for each call in flight.
        slots, backlog, intake, verdicts: the worker's.
        letters: the dead-letter queue's key base, '' for none.
        lease_ms: the length of a lease, in milliseconds.
        worker: the worker's name, kept on each job it runs.
        leases: what the tokens of its leases begin with.
        rate: the worker's own rate limit: jobs, milliseconds; (0, 0) for none.
        points: minutes of metrics that the queue keeps; 0 for none.
        reach: how it reaches Redis.
        larger: it fetches nothing but jobs that wait for a larger worker.
    """

    def __init__(
        self,
        queue: ById,
        slots: Slots,
        backlog: Backlog,
        intake: Intake,
        verdicts: Verdicts,
        *,
        letters: str,
        lease_ms: int,
        worker: str,
        leases: str,
        rate: tuple[int, int] = (0, 0),
        points: int = 0,
        reach: Reach,
        larger: bool = False,
    ) -> None:
        self._queue = queue
        self._slots = slots
        self._backlog = backlog
        self._intake = intake
        self._settling = Settling(queue, slots, verdicts, lease_ms)
        self._refused = Refused(queue.name, slots)
        self._reach = reach
        #: What every call tells of this worker.
        self._told: dict[str, Any] = {
            "letters": letters, "lease_ms": lease_ms, "worker": worker, "rate": rate, "points": points,
            "larger": larger,
        }  # fmt: skip
        self._reservations = Reservations(slots, backlog, leases, intake.room_for_suspects)
        self._turn = Turn()
        self._calls: set[Call] = set()
        self._in_flight = 0
        self._loops = 0
        self._hurried = asyncio.Event()

    def hurry(self) -> None:
        """The worker stops: what Redis did not take is sent again soon, however long it has been away."""
        self._hurried.set()
        self._refused.hurry()

    def limit(self, rate: tuple[int, int]) -> None:
        """Sets the worker's own rate limit, from the next fetch on."""
        self._told["rate"] = rate

    @property
    def reached(self) -> asyncio.Event:
        """Set once Redis has answered for the first time."""
        return self._reach.reached

    @property
    def pending(self) -> bool:
        """Whether something is still to be written, or may have been fetched."""
        return bool(self._slots.ended or self._refused.waiting) or any(call.pending for call in self._calls)

    @property
    def unwritten(self) -> int:
        """How many results Redis has not taken."""
        return len(self._slots.ended) + self._refused.waiting + sum(len(call.carried) for call in self._calls)

    async def run(self, index: int) -> None:
        """One of CALLS_FAR that make calls side by side; runs until cancelled."""
        self._loops += 1
        try:
            while not cancelled():
                await self._reach.wants(index)
                await self._slots.work.wait()
                await self._make_call()
        finally:
            self._loops -= 1

    @property
    def runs(self) -> bool:
        """Whether any of them does."""
        return self._loops > 0

    async def _make_call(self) -> None:
        call = self._decide()
        if call is None:
            self._slots.work.clear()
            return
        self._calls.add(call)
        try:
            fetched = await self._send(call)
            await self._accept(call, fetched)
        finally:
            self._give_up(call)

    def _give_up(self, call: Call) -> None:
        """A call is over. Of one that was taken in, nothing is left; any other keeps no slot and no result."""
        self._calls.discard(call)
        self._reach.given_up(call)
        if call.fills:
            self._turn = self._turn._replace(filling=False)
        self._slots.ended.extendleft(reversed(call.carried))
        self._reservations.release(call)

    def _decide(self) -> Call | None:
        slots = self._slots
        view = View(len(slots.ended), slots.free(), slots.hot, self._in_flight)
        plan, self._turn = next_call(view, self._turn)
        if plan is None:
            if self.reached.is_set() or self._calls:
                return None
            # a worker that is to fetch nothing yet is ready all the same
            plan = Plan(0, 0)
        carried, heavy = carry(slots.ended, plan.results, letters=self._told["letters"] != "")
        if len(carried) < plan.results:
            self._turn = owing(self._turn, plan.results - len(carried))
        # what is to be fetched comes with the next call, where one result costs Redis as much as a call may
        room = 0 if heavy else plan.room
        return self._reservations.make(room, carried=carried, fills=plan.fills)

    async def _send(self, call: Call) -> Fetched:
        """Sends a call until it is answered."""
        clock = asyncio.get_running_loop().time
        unexpected = 0
        while True:
            call.left = clock()
            self._in_flight += 1
            try:
                fetched = await self._queue.scripts.finish_and_fetch(
                    call.results, token=call.token, room=0 if self._slots.is_shut("stopping") else call.room,
                    again=call.failures, suspects=call.suspects, **self._told,
                )  # fmt: skip
            except UNAVAILABLE as error:
                if self._refused.take(call, error):
                    continue
                # kept, not lost: the lease still fences them when Redis is back
                call.failed(error)
                self._reach.failed(call, error, self.unwritten)
            except Exception as error:
                if self._refused.take(call, error):
                    continue
                unexpected += 1
                log.exception("a call to Redis failed unexpectedly: it is made again")
                if unexpected == MOST_UNEXPECTED:
                    raise
                call.failed(error)
            else:
                self._reach.measure((clock() - call.left) * 1000)
                return fetched
            finally:
                self._in_flight -= 1
            if call.fills:
                # others may leave now
                call.fills, self._turn = False, self._turn._replace(filling=False)
            await self._pause(call.pause_seconds())
            self._slots.work.set()

    async def _pause(self, seconds: float) -> None:
        if self._hurried.is_set():
            await asyncio.sleep(min(seconds, HURRIED_SECONDS))
        else:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurried.wait(), seconds)

    async def _accept(self, call: Call, fetched: Fetched) -> None:
        """Takes an answer in."""
        slots = self._slots
        self._heard(call, fetched)
        self._settling.settle(call, fetched.codes)
        room = call.room
        self._intake.receive(fetched, call.token)
        self._reservations.fill(call, fetched)
        await self._take_again(call)
        if call.fills:
            # these jobs begin before anything else is sent: Redis would take the processor from them
            await asyncio.sleep(0)
            self._turn = filled(self._turn, room, len(fetched.jobs), len(slots.ended))
            call.fills = False

    async def _take_again(self, call: Call) -> None:
        """Settles what is left with the call; asks until Redis answers, as for any call."""
        while call.carried:
            try:
                await self._settling.take_again(call)
            except UNAVAILABLE as error:
                call.failures += 1
                self._reach.failed(call, error, self.unwritten)
                await self._pause(call.pause_seconds())
            else:
                self._reach.heard(call)

    def arm(self, pending_ms: int) -> tuple[Call, tuple[Any, ...]]:
        """A fetch to send behind a read that blocks until there is work; `taken` or `recover` must follow.

        Args:
            pending_ms: the length of its leases until its answer is read: nobody reads it where this process stands
                still, and the jobs are to go back then.
        """
        call = self._reservations.make(BATCH, left=asyncio.get_running_loop().time())
        told = {**self._told, "unread_ms": pending_ms, "suspects": call.suspects}
        return call, self._queue.scripts.fetch_command(token=call.token, room=call.room, **told)

    def taken(self, call: Call, fetched: Fetched | None) -> None:
        """Takes in what an armed fetch was answered; None if Redis refused it."""
        try:
            if fetched is not None:
                self._heard(call, fetched)
                self._intake.receive(fetched, call.token, unread=True)
                self._reservations.fill(call, fetched)
        finally:
            # whatever went wrong: a slot that stays promised is never filled again
            self._reservations.release(call)
        if fetched is None:
            # said by the next call, which tries again
            self._slots.wake()

    async def recover(self, call: Call, error: BaseException) -> None:
        """Brings in what an armed fetch leased whose answer was lost for this error; tries until Redis answers."""
        call.failed(error)
        self._calls.add(call)
        try:
            await self._queue.scripts.renew()
            self.taken(call, await self._send(call))
        finally:
            self._give_up(call)

    def _heard(self, call: Call, fetched: Fetched) -> None:
        self._backlog.heard(fetched.now_ms, call.left)
        self._reach.answered(call)
