"""The one owner of a worker's slots: who holds one, which are promised to calls, what has ended and is to be written.

Each transition wakes those whom it concerns. A slot can't be freed in silence: a worker that does that looks alive and
never fetches again.

    reserve -> release            a call asks for jobs, so many of them suspects at most; its answer is there
    start -> end                  a run holds a slot
    conclude                      what a run ended with is known (its thread may hold the slot for longer)
    lose                          another run has the job: what this one ends with is nobody's business
    undo                          a fetched job could not be taken in: as if it had not come

All of this happens on the event loop, but for `leases`, which the renewal thread copies.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from crewline.queue.job import Job
from crewline.redis.scripts import Result
from crewline.worker.runs.run import Lease, Run, Status

log = logging.getLogger("crewline.worker")


class Slots:
    """The slots of one worker.

    Args:
        concurrency: how many there are.

    Attributes:
        runs: those that hold a slot.
        reserved: slots that calls under way may fill.
        suspects: suspects that calls under way may bring.
        ended: what has ended and no call carries yet, oldest first.
        leases: by job id, from the fetch until Redis has the result, or the run is given up.
        hot: the queue may have runnable jobs; False once a fetch came back with less than it had room for.
        wakes: how often something became runnable, as far as this worker was told.
        work: set while there may be something to write or to fetch.
        idle: set while slots are free and nothing is to be fetched: somebody should wait for the queue's marker.
        emptied: set while no run holds a slot.
        on_wanted: are called when slots that wait for the marker are wanted by another fetch, or nothing is to be
            fetched.
        on_freed: are called when a run, or a call, holds its slots no more.
        on_ended: are called with a job and what it ended with, before that is written.
        on_lost: are called with a job that another run has.
    """

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        self._shut: set[str] = set()
        self._by_id: dict[str, Run] = {}
        self.runs: set[Run] = set()
        self.reserved = self.suspects = 0
        self.ended: deque[tuple[Run, Result]] = deque()
        self.leases: dict[str, Lease] = {}
        self.hot = True
        self.wakes = 0
        self.work = asyncio.Event()
        self.idle = asyncio.Event()
        self.emptied = asyncio.Event()
        self.on_wanted: list[Callable[[], None]] = []
        self.on_freed: list[Callable[[], None]] = []
        self.on_ended: list[Callable[[Job, Result], None]] = []
        self.on_lost: list[Callable[[Job], None]] = []
        self.work.set()
        self.emptied.set()

    @property
    def concurrency(self) -> int:
        return self._concurrency

    @concurrency.setter
    def concurrency(self, value: int) -> None:
        self._concurrency = value
        self._changed()

    def free(self) -> int:
        """How many slots a call may ask jobs for now."""
        return 0 if self._shut else max(self._concurrency - len(self.runs) - self.reserved, 0)

    def held(self) -> int:
        """How many jobs the worker has, or may be given by calls under way.

        Those whose results Redis has not taken are among them, and those that go on in a thread for nobody.
        """
        return len(self.leases.keys() | {run.job.id for run in self.runs}) + self.reserved

    # -- what is fetched at all

    def shut(self, why: str) -> None:
        """Nothing is to be fetched while this reason holds, whatever becomes of the others.

        ``stopping``, ``draining``, ``paused`` by the program, ``settings`` of the queue that say so, or ``exclusive``.
        """
        self._shut.add(why)
        for each in self.on_wanted:
            each()

    def admit(self, why: str) -> None:
        """The reason holds no more."""
        if why in self._shut:
            self._shut.discard(why)
            self.wake()

    def is_shut(self, why: str | None = None) -> bool:
        return bool(self._shut) if why is None else why in self._shut

    def wake(self) -> None:
        """Something may be runnable."""
        self.hot = True
        self.wakes += 1
        self._changed()
        if self.reserved and not self.free():
            for each in self.on_wanted:
                each()

    def cool(self, wakes: int) -> None:
        """Nothing was runnable for a fetch that left after so many ``wakes``.

        Unless a wake came after that fetch left: the fetch may have been too early to see what it told of, and the
        marker is taken, so nobody would tell of it again.
        """
        if wakes == self.wakes:
            self.hot = False
        self._changed()

    # -- slots

    def reserve(self, most: int, most_suspects: int) -> tuple[int, int]:
        """Promises up to ``most`` free slots to a call; returns how many, and how many of them suspects may take.

        Args:
            most_suspects: how many this worker may have yet, with those that other calls may bring.
        """
        room = min(self.free(), most)
        suspects = min(max(most_suspects - self.suspects, 0), room)
        self.reserved += room
        self.suspects += suspects
        return room, suspects

    def release(self, room: int, suspects: int) -> None:
        """The call is answered: what it brought takes its slots now."""
        self.reserved -= room
        self.suspects -= suspects
        if room:
            for each in self.on_freed:
                each()
        self._changed()

    def take(self, run: Run) -> None:
        """A job was fetched: its lease is to be kept, and any other run of that id goes on for nobody."""
        earlier = self._by_id.get(run.job.id)
        if earlier is not None:
            # its lease ran out and the job is back; or it was deleted, and another is called as it was
            self.lose(earlier)
        self.leases[run.job.id] = run.lease
        self._by_id[run.job.id] = run

    def start(self, run: Run) -> None:
        """A run begins, and holds a slot until `end`."""
        run.status = Status.RUNNING
        self.runs.add(run)
        self.emptied.clear()

    def end(self, run: Run, result: Result | None) -> None:
        """A run holds no slot any more."""
        self.conclude(run, result)
        self.runs.discard(run)
        if not self.runs:
            self.emptied.set()
        for each in self.on_freed:
            each()
        self._changed()

    def conclude(self, run: Run, result: Result | None) -> None:
        """What a run ended with is known: ``result`` is to be written, None if there is nothing to tell.

        The first word holds: one that was cancelled or handed back meanwhile stays so.
        """
        if run.status is not Status.ENDED:
            lost = run.status is Status.LOST
            if not lost:
                run.status = Status.ENDED
            if self._by_id.get(run.job.id) is run:
                del self._by_id[run.job.id]
            if result is None or lost:
                self.forget_lease(run)
            else:
                self.settle(run, result)

    def settle(self, run: Run, result: Result) -> None:
        """How a job ended is to be written, for the first time or another way than before."""
        self.ended.append((run, result))
        for each in self.on_ended:
            each(run.job, result)
        self.work.set()

    def lose(self, run: Run) -> None:
        """Another run has the job, here or in another worker: this one is stopped, if it is not told already."""
        begun = run.status is not Status.WAITING
        if not run.end_early(Status.LOST):
            return
        self.forget_lease(run)
        if not begun or not run.stoppable:
            self.conclude(run, None)
        log.warning("job %s of queue %s: the lease is lost, its run is stopped", run.job.id, run.job.queue_name)
        for each in self.on_lost:
            each(run.job)

    def undo(self, job_id: str, token: str) -> None:
        """What was fetched with that token could not be taken in: it is no run, holds no slot, and its lease ends."""
        run = self._by_id.get(job_id)
        if run is not None and run.lease.token == token:
            run.end_early(Status.LOST)
            self.end(run, None)
        lease = self.leases.get(job_id)
        if lease is not None and lease.token == token:
            del self.leases[job_id]

    def find(self, job_id: str) -> Run | None:
        """The run of a job that this worker has, unless its end is known."""
        return self._by_id.get(job_id)

    def mine(self) -> list[Run]:
        """All runs whose end is not known: those that hold a slot, and those that wait for one."""
        return list(self._by_id.values())

    def forget_lease(self, run: Run) -> None:
        """A run's lease is kept no longer; that of a later run of the same job is."""
        if self.leases.get(run.job.id) == run.lease:
            del self.leases[run.job.id]

    def _changed(self) -> None:
        """Wakes whom the change concerns."""
        if self.ended:
            self.work.set()
        if not self._shut and self._concurrency > len(self.runs) + self.reserved:
            (self.work if self.hot else self.idle).set()
