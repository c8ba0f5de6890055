"""Runs suspects alone: jobs that were with a worker when it died.

All but one of them are innocent. With nothing beside it in its process, a job that takes that down tells on itself, and
only such a death counts; BullMQ and others fail the neighbours of a poison job for good.

A suspect runs in a child process of its own, beside the worker's other slots. Two kinds can't: one whose handler no
child can import, and one that was with a worker that died again and again although it was in a child (where a whole pod
is ended for want of memory, the child takes its worker along). These run one at a time in an otherwise idle worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque

from redis.exceptions import ResponseError

from crewline.errors import CrewlineError
from crewline.redis.connection import UNAVAILABLE
from crewline.redis.scripts import Scripts
from crewline.worker.handlers.targets import Targets
from crewline.worker.processes.specs import importable
from crewline.worker.runs import outcomes
from crewline.worker.runs.calling import Calling
from crewline.worker.runs.execution import Executor
from crewline.worker.runs.run import Run, Status
from crewline.worker.runs.slots import Slots

log = logging.getLogger("crewline.worker")

#: Suspects in child processes at once: each costs the memory of a process with the handler's modules.
MOST_CHILDREN = 8
#: ... where they are copied, and share that memory.
MOST_COPIES = 50
#: From so many deaths of its workers on, a job runs with nothing beside it in the whole worker.
LONER_FROM = 3
#: Seconds that such a one waits for the worker's other runs to end; then it runs beside them, and counts for nothing.
WAIT_SECONDS = 30.0
#: Seconds between two looks whether it is still wanted.
LOOK_SECONDS = 0.2
#: Seconds that it keeps the worker for itself at most.
ALONE_SECONDS = 60.0
#: What mark_alone answers where a lease ran out.
EXPIRED = -2


class Isolator:
    """Gives each suspect a process of its own, or the whole worker.

    Args:
        scripts: the queue's.
        lease_ms: the length of a lease, in milliseconds.
        slots, executor, calling, targets: the worker's.
    """

    def __init__(
        self, scripts: Scripts, lease_ms: int, slots: Slots, executor: Executor, calling: Calling, targets: Targets
    ) -> None:
        self._scripts = scripts
        self._lease_ms = lease_ms
        self._slots = slots
        self._executor = executor
        self._calling = calling
        self._targets = targets
        #: Whether a child can import it, by handler; routes may come later.
        self._importable = {target.call: importable(target.call) for target in targets.all()}
        self._waiting: deque[Run] = deque()
        #: The one that has the whole worker, or waits for that.
        self._loner: Run | None = None
        #: Those that run in a child.
        self._children: set[Run] = set()
        #: What a loner has waited for in vain.
        self._outlasted: set[Run] = set()
        self._full = False
        self._came = asyncio.Event()
        slots.on_freed.append(self._fill)
        calling.children.on_copying(self._more)

    def receive(self, run: Run) -> None:
        """Takes a suspect that was fetched; its lease is kept while it waits, and it holds no slot."""
        if run.suspect < LONER_FROM and self._has_child(run):
            if self._loner or len(self._children) >= self._most():
                self._waiting.append(run)
            else:
                # into one of the slots that its fetch was promised
                self._start(run)
        elif self._loner:
            # one at a time: the others go back for other workers to try
            self._slots.conclude(run, outcomes.back(run))
        else:
            self._loner = run
            self._slots.shut("exclusive")
            self._came.set()

    def hand_back(self) -> None:
        """The worker stops: what has not begun goes back."""
        while self._waiting:
            self._return(self._waiting.popleft())
        if self._loner:
            self._return(self._loner)

    async def run(self) -> None:
        """Runs loners; until cancelled."""
        while True:
            await self._came.wait()
            self._came.clear()
            assert self._loner
            try:
                await self._run_alone(self._loner)
            finally:
                self._return(self._loner)
                self._loner = None
                self._fill()
                self._slots.admit("exclusive")

    def _has_child(self, run: Run) -> bool:
        try:
            call = self._targets.find(run.job).call
        except CrewlineError:
            return True  # no handler for it: said where it runs
        if call not in self._importable:
            self._importable[call] = importable(call)
        return self._importable[call] and not self._calling.childless.has_none(call, run.job)

    def _most(self) -> int:
        return MOST_COPIES if self._calling.children.copying else MOST_CHILDREN

    def room(self) -> int:
        """How many suspects more this worker can deal with; those beyond it are left to others."""
        if all(not can or self._calling.childless.has_none(each) for each, can in self._importable.items()):
            return 1  # which gets the whole worker
        room = self._most() - len(self._children) - len(self._waiting)
        if room > 0:
            self._full = False
        elif not self._full:
            self._full = True
            log.warning("%d suspects are with this worker: further ones wait, and other jobs go on", self._most())
        return room

    def _more(self) -> None:
        self._fill()
        self._slots.wake()

    def _fill(self) -> None:
        """Begins with those that wait, in slots that nobody was promised."""
        slots = self._slots
        ended = self._children - slots.runs
        self._children -= ended
        if self._loner:
            return  # nothing begins beside one that runs alone
        while self._waiting and len(self._children) < self._most():
            if len(slots.runs) + slots.reserved >= slots.concurrency:
                break
            run = self._waiting.popleft()
            if run.status is Status.WAITING:  # else it was cancelled, or lost
                self._start(run)
        if ended and self._full and self.room() > 0:
            # no marker tells of suspects that a fetch has looked past
            slots.wake()

    def _start(self, run: Run) -> None:
        log.warning(
            "job %s of queue %s was with a worker that died: it runs in a process of its own",
            run.job.id, run.job.queue_name,
        )  # fmt: skip
        self._children.add(run)
        self._executor.start(run, alone=True)

    async def _run_alone(self, run: Run) -> None:
        log.warning(
            "job %s of queue %s was with workers that died, and a process of its own can't tell it apart: it runs when "
            "nothing else runs in this worker, %g s from now at the latest",
            run.job.id, run.job.queue_name, WAIT_SECONDS,
        )  # fmt: skip
        alone = await self._others_end(run)
        marked = await self._mark(run) if alone and run.status is Status.WAITING else False
        if run.status is not Status.WAITING:
            return  # the worker stops, or it was cancelled or lost
        self._executor.start(run)
        assert run.task
        if marked is not False:
            await asyncio.wait({run.task}, timeout=ALONE_SECONDS)
            # until Redis knows that something else may run, nothing does: a death would be blamed on this job
            while run.open and not run.task.done() and not await self._mark(run, alone=False):
                await asyncio.wait({run.task}, timeout=LOOK_SECONDS)

    async def _others_end(self, run: Run) -> bool:
        """Waits until nothing else runs, so long at most; returns whether that is so.

        What has outlasted such a wait is not waited for by the loners after it: a thread that never returns would have
        each of them hold up the worker.
        """
        slots = self._slots
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS):
                while run.status is Status.WAITING and slots.runs - self._outlasted:
                    # it may be cancelled or lost while it waits
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(slots.emptied.wait(), LOOK_SECONDS)
        if run.status is Status.WAITING:
            self._outlasted = set(slots.runs)
            if slots.runs:
                log.warning(
                    "job %s of queue %s runs beside others: they did not end within %g s",
                    run.job.id, run.job.queue_name, WAIT_SECONDS,
                )  # fmt: skip
        return not slots.runs

    async def _mark(self, run: Run, *, alone: bool = True) -> bool | None:
        """Says on the job that nothing runs beside it now: a death counts; or that this is so no more.

        Returns whether that is said, None where nobody knows: the answer may be all that was lost.
        """
        if alone:
            run.alone = run.lease.started
        try:
            code = await self._scripts.mark_alone(run.job.id, run.lease.token, alone)
            if code == EXPIRED and not await self._scripts.extend_leases(self._lease_ms, run.job.id, *run.lease):
                # nobody was given the job meanwhile: the lease is taken again
                return None
        except ResponseError:
            # a death counts for nothing then; it runs all the same
            return False
        except UNAVAILABLE:
            return None
        if code:
            # another worker has it
            self._slots.lose(run)
        return not code

    def _return(self, run: Run) -> None:
        # one that runs alone has its grace, as any
        if run.status is Status.WAITING and run.end_early(Status.RETURNED):
            self._slots.conclude(run, outcomes.back(run))
