"""What the parts of a worker share: the jobs that run, the results that wait to be settled, the leases held.

Everything here is touched on the event loop only, but for `leases`, which the renewal thread copies.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from crewline.queue.job import Job
from crewline.redis.scripts import Result


@dataclass(slots=True, eq=False)
class Run:
    """One job in a handler.

    Attributes:
        token: the lease token that fences everything this run writes.
        suspect: it was with a worker that died, and runs alone.
        stoppable: its task can be cancelled; a thread's can't.
        cancelled: why it was cancelled from outside, None if it was not.
        lost: another worker has the job now: how this run ends is nobody's business any more.
        handing_back: the worker drains and this run did not end in time.
    """

    job: Job
    token: str
    suspect: bool = False
    task: asyncio.Task[None] | None = None
    stoppable: bool = True
    lost: bool = False
    cancelled: str | None = None
    handing_back: bool = False


class Lease(NamedTuple):
    """What fences a run: the token of the fetch, and the attempt that it began (0: not to be taken again)."""

    token: str
    started: int


@dataclass(slots=True)
class State:
    """The state of one worker.

    Attributes:
        concurrency: how many jobs may run at once.
        running: by job id.
        settled: results that no call has carried to Redis yet, oldest first.
        leases: lease by job id, from the fetch until Redis has the result.
        reserved: slots that a fetch under way may fill.
        armed: one of these fetches waits in Redis for the queue's marker.
        roused: set when that one is to end now.
        in_flight: finish_and_fetch calls under way.
        hot: the queue may have runnable jobs; False once a fetch came back with less than it had room for.
        wakes: how often something became runnable, as far as this worker was told.
        work: set when there may be something to settle or to fetch.
        stopping: no fetch any more.
        paused: no fetch until resumed, in this worker alone.
        exclusive: a suspect waits for its turn to run alone, or does: nothing is fetched beside it.
        suspects: jobs that were with a worker when it died; one at most, the others were handed back.
        changed: set when a run ended, or a suspect came.
        clock_offset_ms: Redis' clock less the loop's.
    """

    concurrency: int
    running: dict[str, Run] = field(default_factory=dict)
    settled: deque[Result] = field(default_factory=deque)
    leases: dict[str, Lease] = field(default_factory=dict)
    reserved: int = 0
    armed: bool = False
    roused: asyncio.Event = field(default_factory=asyncio.Event)
    in_flight: int = 0
    hot: bool = True
    wakes: int = 0
    work: asyncio.Event = field(default_factory=asyncio.Event)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: bool = False
    paused: bool = False
    exclusive: bool = False
    suspects: deque[Run] = field(default_factory=deque)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    clock_offset_ms: float = 0.0
    _due_ms: int = 0
    _due_timer: asyncio.TimerHandle | None = None

    def free_slots(self) -> int:
        return 0 if self.exclusive or self.paused else self.concurrency - len(self.running) - self.reserved

    def settle(self, result: Result) -> None:
        self.settled.append(result)
        self.work.set()

    def wake(self) -> None:
        """Something may be runnable: fetch."""
        self.hot = True
        self.wakes += 1
        self.work.set()
        if self.armed and self.concurrency <= len(self.running) + self.reserved:
            # the slots are with the fetch that waits for the marker
            self.rouse()

    def rouse(self) -> None:
        """The fetch that waits for the marker is not to wait longer."""
        if self.armed:
            self.roused.set()

    def cool(self, wakes: int) -> None:
        """Nothing was runnable for a fetch that left after so many ``wakes``: wait for the marker.

        Unless a wake came after that fetch left: the fetch may have been too early to see what it told of, and the
        marker is taken, so nobody would tell of it again.
        """
        if wakes == self.wakes:
            self.hot = False
            self.idle.set()
        else:
            self.work.set()

    def forget(self, run: Run) -> None:
        if self.running.get(run.job.id) is run:
            del self.running[run.job.id]
            self.changed.set()

    def expect_due(self, due_ms: int) -> None:
        """A delayed job is due at ``due_ms`` by Redis' clock: fetch then.

        A timer here, since Redis ends blocked reads only ten times a second.
        """
        if self._due_timer is not None:
            if self._due_ms <= due_ms:
                return
            self._due_timer.cancel()
        self._due_ms = due_ms
        # a day at most: event loops refuse timers of a million years
        seconds = min(max(due_ms - self.redis_now_ms() + 1, 1) / 1000, 86400.0)
        self._due_timer = asyncio.get_running_loop().call_later(seconds, self._due)

    def _due(self) -> None:
        self._due_timer = None
        self.wake()

    def redis_now_ms(self) -> float:
        """Now by Redis' clock, as near as the last answer told."""
        return asyncio.get_running_loop().time() * 1000 + self.clock_offset_ms


def result_of(run: Run, outcome: str, value: str, **more: Any) -> Result:
    suspect = run.suspect and outcome != "back"
    return Result(run.job.id, run.token, outcome, value, suspect=suspect, started=run.job.attempts_started, **more)
