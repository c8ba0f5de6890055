"""Group commit: the loop that carries results to Redis and brings jobs back.

Two calls are kept in flight. Each settles all that is done when it leaves and fetches what there is room for;
what ends meanwhile goes with the next. A lone result leaves at once, and under load the calls fill by themselves.
Where many jobs end at once in a worker that was at rest, their slots are filled first: a call that only fetches is
answered in half the time, and nobody but Redis waits for the results.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import uuid
from typing import Any, NamedTuple

from redis.exceptions import AuthenticationError, BusyLoadingError, ResponseError

from crewline.errors import InvalidPayload
from crewline.queue.job import Job
from crewline.queue.queue import Queue
from crewline.redis.connection import UNAVAILABLE, cancelled, redact
from crewline.redis.scripts import Fetched, Result
from crewline.upkeep.keeping import Keeper
from crewline.wire.text import text
from crewline.worker.runs.execution import Executor
from crewline.worker.runs.isolation import Isolator
from crewline.worker.runs.state import Lease, Run, State, result_of

log = logging.getLogger("crewline.worker")

#: Results, and jobs, that one call carries at most. With more, no-op jobs run a tenth faster, but jobs that end at once
#: wait longer for each other: 100 sleepers of 50 ms lose 5 ms a round with 50, 3 ms with 25.
BATCH = 25
#: finish_and_fetch calls in flight: one that Redis works on, one that waits for it, ...
CALLS = 2
#: ... and one more for each millisecond that Redis is away, up to so many.
CALLS_FAR = 6
#: Results that are worth a call of its own to fill their slots with first, and the jobs that it fetches at most: the
#: first of them begin the sooner the fewer there are.
FILL_FROM, FILL_MOST = 4, 10

#: Errors of Redis' own: the call was not carried out.
REFUSALS = (ResponseError, BusyLoadingError, AuthenticationError)

#: The code of a result whose lease had run out; see scripts/finish_and_fetch.lua.
EXPIRED = -2
#: Why Redis refused a result.
REFUSED = {
    -1: "the job was removed",
    EXPIRED: "its lease ran out, and others were given the job",
    -3: "it is not active any more",
    -6: "another worker runs it now",
}
#: Codes of a job that waits for children it added.
CHILDREN = {-4: "children of the job have not ended", -9: "a child of the job failed"}


class Armed(NamedTuple):
    """A fetch that waits in Redis until there is something to fetch: its command, and what its answer belongs to."""

    command: tuple[Any, ...]
    token: str
    room: int
    wakes: int


class Committer:
    """Settles results and fetches jobs for one worker.

    Args:
        queue: the queue, with a connection for each call in flight.
        state, executor: the worker's.
        letters: the dead-letter queue's key base, '' for none.
        lease_ms: the length of a lease, in milliseconds.
        worker: the worker's name, kept on each job it runs.
        rate: the worker's own rate limit: jobs, milliseconds; (0, 0) for none.
        points: minutes of metrics that the queue keeps; 0 for none.
    """

    def __init__(
        self,
        queue: Queue,
        state: State,
        executor: Executor,
        isolator: Isolator,
        keeper: Keeper,
        *,
        letters: str,
        lease_ms: int,
        worker: str,
        rate: tuple[int, int] = (0, 0),
        points: int = 0,
    ) -> None:
        self._queue = queue
        self._state = state
        self._executor = executor
        self._letters = letters
        self._lease_ms = lease_ms
        self._worker = worker
        self._isolator = isolator
        self._keeper = keeper
        self._rate = rate
        self._points = points
        self._tokens = (f"{uuid.uuid4()}:{n}" for n in itertools.count(1))
        self._down = False
        self._away_ms = 0.0
        self._filling = False
        # slots to fill before the results of their jobs are settled, and results to settle before that is done again
        self._to_fill = self._owed = 0
        self._moved = asyncio.Event()
        # job id and token of results that a call may have settled whose answer was lost: to be refused is no news
        self._unanswered: set[tuple[str, str]] = set()
        self.reached = asyncio.Event()

    async def run(self) -> None:
        """Runs until cancelled."""
        async with asyncio.TaskGroup() as calls:
            for index in range(CALLS_FAR):
                calls.create_task(self._loop(index))

    async def _loop(self, index: int) -> None:
        state = self._state
        clock = asyncio.get_running_loop().time
        failures, unknown = 0, False
        token, room, wakes = "", 0, 0
        while not cancelled():
            if index >= CALLS + self._away_ms and not failures:
                await self._moved.wait()
                continue
            await state.work.wait()
            if not failures and (self._filling or not self._worth_a_call()):
                state.work.clear()
                continue
            fill = not failures and self._fills_first()
            self._filling = self._filling or fill
            results = [state.settled.popleft() for _ in range(0 if fill else min(len(state.settled), BATCH))]
            self._owed -= len(results)
            if not failures:
                token = next(self._tokens)
                room = 0 if state.stopping else min(max(state.free_slots(), 0), FILL_MOST if fill else BATCH)
                state.reserved += room
                wakes = state.wakes
            state.in_flight += 1
            left = clock()
            try:
                fetched = await self._queue.scripts.finish_and_fetch(
                    results, token=token, room=0 if state.stopping else room, again=failures > 0, **self._told()
                )
            except UNAVAILABLE as error:
                # kept, not lost: the lease still fences them when Redis is back. The slots stay reserved: Redis may
                # have fetched for a call whose answer was lost, and the repeat with its token brings these jobs
                state.settled.extendleft(reversed(results))
                self._filling = self._filling and not fill
                failures += 1
                if not isinstance(error, REFUSALS):
                    unknown = True
                    self._unanswered.update((result.job_id, result.token) for result in results)
                self._report_down(error)
                # a worker that stops waits for what may have fetched, and not for what was refused
                state.in_flight -= not unknown
                await asyncio.sleep(min(0.1 * 2 ** min(failures, 6), 5.0) * random.uniform(0.5, 1.0))
                state.in_flight += not unknown
                state.work.set()
            else:
                state.reserved -= room
                self._measure((clock() - left) * 1000)
                failures, unknown = 0, False
                expired = self._accept(results, fetched, token, room, wakes)
                if expired:
                    await self._take_again(expired)
                if fill:
                    # these jobs begin before anything else is sent: Redis would take the processor from them
                    await asyncio.sleep(0)
                    self._filling = False
                    self._to_fill -= room
                    if len(fetched.jobs) < room or self._to_fill <= 0:
                        self._settle_next()
                    state.work.set()
            finally:
                state.in_flight -= 1

    def _fills_first(self) -> bool:
        """Whether the next call only fetches, for slots whose jobs' results wait.

        That goes on, one call after the other, for as many slots as results waited when it began. All these are
        settled before it begins again, so that no result waits for long.
        """
        state = self._state
        if state.in_flight or not state.hot or state.stopping or self._owed > 0:
            return False
        if not self._to_fill:
            self._to_fill = len(state.settled)
        if min(self._to_fill, state.free_slots()) >= FILL_FROM:
            return True
        self._settle_next()
        return False

    def _settle_next(self) -> None:
        self._to_fill, self._owed = 0, len(self._state.settled)

    def _measure(self, call_ms: float) -> None:
        """Takes note of how long a call took; the shortest of some thousand tells how far Redis is."""
        before, known = self._away_ms, self._away_ms or call_ms
        self._away_ms = min(call_ms, known + (call_ms - known) / 1000)
        if int(before) != int(self._away_ms):
            # wakes those that wait now, for more or fewer calls
            self._moved.set()
            self._moved.clear()

    def arm(self) -> Armed:
        """A fetch to send behind a read that blocks until there is work; `take` or `recover` must follow."""
        state, token = self._state, next(self._tokens)
        room = min(state.free_slots(), BATCH)
        state.reserved += room
        state.armed = True
        command = self._queue.scripts.fetch_command(token=token, room=room, **self._told())
        return Armed(command, token, room, state.wakes)

    def take(self, armed: Armed, answer: Any) -> None:
        """Takes in what Redis answered to an armed fetch: a reply, or an error that it raised."""
        self._disarm(armed)
        if isinstance(answer, Exception):
            # said by the next call, which tries again
            self._state.wake()
        else:
            self._accept([], Fetched(*answer), armed.token, armed.room, armed.wakes)

    async def recover(self, armed: Armed, *, once: bool) -> None:
        """Brings in what an armed fetch leased if its answer was lost; tries until Redis answers, or ``once``."""
        failures = 0
        fetched = None
        await self._queue.scripts.renew()
        try:
            while fetched is None:
                try:
                    fetched = await self._queue.scripts.finish_and_fetch(
                        [], token=armed.token, room=0 if self._state.stopping else armed.room, again=True,
                        **self._told(),
                    )  # fmt: skip
                except UNAVAILABLE as error:
                    self._report_down(error)
                    if once:
                        return
                    failures += 1
                    await asyncio.sleep(min(0.1 * 2 ** min(failures, 6), 5.0) * random.uniform(0.5, 1.0))
        finally:
            self._disarm(armed)
        self._accept([], fetched, armed.token, armed.room, armed.wakes)

    def _disarm(self, armed: Armed) -> None:
        self._state.armed = False
        self._state.reserved -= armed.room

    def _told(self) -> dict[str, Any]:
        """What every call tells of this worker."""
        return {
            "letters": self._letters, "lease_ms": self._lease_ms, "worker": self._worker, "rate": self._rate,
            "points": self._points,
        }  # fmt: skip

    def limit(self, rate: tuple[int, int]) -> None:
        """Sets the worker's own rate limit, from the next fetch on."""
        self._rate = rate

    def _worth_a_call(self) -> bool:
        state = self._state
        if not self.reached.is_set():
            # a worker that is to fetch nothing yet is ready all the same
            return True
        return bool(state.settled) or (state.hot and not state.stopping and state.free_slots() > 0)

    def _accept(self, results: list[Result], fetched: Fetched, token: str, room: int, wakes: int) -> list[Result]:
        """Takes an answer in; returns the results whose lease had run out."""
        state = self._state
        expired: list[Result] = []
        state.clock_offset_ms = fetched.now_ms - asyncio.get_running_loop().time() * 1000
        if self._down or not self.reached.is_set():
            if self._down:
                log.info("Redis at %s answers again", redact(self._queue.url))
            self._down = False
            self.reached.set()
        for result, code in zip(results, fetched.codes, strict=True):
            if code in CHILDREN:
                state.settle(result._replace(outcome="failed", value=CHILDREN[code]))
                continue
            if code == EXPIRED and result.started:
                expired.append(result)
                continue
            self._settled(result, code)
        for job_id, values in fetched.jobs:
            self._start(job_id, values, token)
        if room:
            if len(fetched.jobs) < room:
                if fetched.next_due_ms:
                    state.expect_due(fetched.next_due_ms)
                if fetched.limited_ms:
                    asyncio.get_running_loop().call_later(fetched.limited_ms / 1000, state.wake)
                state.cool(wakes)
            else:
                state.hot = True
                state.work.set()
        return expired

    def _settled(self, result: Result, code: int) -> None:
        lease = self._state.leases.get(result.job_id)
        if lease and lease.token == result.token:
            del self._state.leases[result.job_id]
        known = (result.job_id, result.token)
        if code and known not in self._unanswered:
            log.warning(
                "job %s of queue %s: how it ended (%s) was refused: %s",
                result.job_id, self._queue.name, result.outcome, REFUSED.get(code, str(code)),
            )  # fmt: skip
        self._unanswered.discard(known)

    async def _take_again(self, results: list[Result]) -> None:
        """Settles once more what nobody else has fetched since its lease ran out; the rest is refused."""
        arguments = [argument for result in results for argument in (result.job_id, result.token, result.started)]
        try:
            lost = await self._queue.scripts.extend_leases(self._lease_ms, *arguments)
        except UNAVAILABLE:
            self._state.settled.extend(results)
            return
        for result in results:
            if result.job_id in lost:
                self._settled(result, EXPIRED)
            else:
                self._state.settle(result._replace(started=0))

    def _start(self, raw_id: bytes | str, told: list[Any], token: str) -> None:
        state = self._state
        job_id = text(raw_id)
        fields: dict[bytes, Any] = dict(zip(told[::2], told[1::2], strict=True))
        if "\ufffd" in job_id and isinstance(raw_id, bytes) and job_id.encode() != raw_id:
            # no client could name the job; only its bytes can settle it
            run = Run(self._unreadable(job_id, fields), token)
            result = self._executor.failed(run, "its id is no UTF-8 text", "", unreadable=True)
            state.settle(result._replace(job_id=raw_id))  # type: ignore[arg-type]
            return
        try:
            job = Job.from_hash(self._queue, job_id, fields, token)
        except (InvalidPayload, UnicodeDecodeError) as error:
            # unreadable by anyone: a retry would meet the same bytes
            state.leases[job_id] = Lease(token, 0)
            run = Run(self._unreadable(job_id, fields), token)
            state.settle(self._executor.failed(run, f"data can't be read: {error}", "", unreadable=True))
            return
        state.leases[job_id] = Lease(token, job.attempts_started)
        if b"rjk" in fields:
            self._keeper.advance(text(fields[b"rjk"]), job)
        run = Run(job, token, suspect=b"suspect" in fields)
        deferred = fields.get(b"defa")
        if deferred:
            state.settle(self._executor.failed(run, text(deferred), ""))
        elif state.stopping or state.paused:
            # fetched by a call that was under way when this worker was told to fetch nothing more
            state.settle(result_of(run, "back", ""))
        elif run.suspect:
            self._isolator.receive(run)
        elif state.exclusive and not state.suspects:
            # fetched by a call that was under way when a suspect began to run alone
            state.settle(result_of(run, "back", ""))
        else:
            self._executor.start(run)
            if self._executor.listeners:
                self._executor.listeners.emit("active", job)

    def _unreadable(self, job_id: str, fields: dict[bytes, Any]) -> Job:
        opts = self._queue.decode_opts(fields.get(b"opts"))
        return Job(self._queue, job_id, text(fields.get(b"name", b"")), None, opts, fields=fields)

    def _report_down(self, error: Exception) -> None:
        if not self._down:
            log.error(
                "Redis at %s does not take our calls (%s: %s): holding %d results, trying again",
                redact(self._queue.url), type(error).__name__, error, len(self._state.settled),
            )  # fmt: skip
        self._down = True
