"""A queue and its workers in simulated time, scaled by the operator's own `decide`. Pure: no clock, no chance.

What is modelled: jobs are taken first in, first out; a pod takes `startup_seconds` until it fetches; workers that are
too many are told so idle ones first, end what they run, and are taken back if they are needed again before; the queue
is read each `poll_seconds`, and decided on if something has changed or `decide` asked for it.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from crewline_operator.model.demand import Demand
from crewline_operator.scaling.decide import History, decide
from crewline_operator.scaling.spec import ScalingSpec
from crewline_operator.simulate.outcome import Look, Outcome, Run, Scaled
from crewline_operator.simulate.trace import Arrival

#: A week of reads each quarter of a second.
LOOKS_MAX = 2_500_000


class TooLong(Exception):
    """A load that would be played for hours."""


@dataclass(frozen=True)
class Cluster:
    """What the place is like that is simulated."""

    #: From more replicas to the first job that the new worker takes; with the image on the node.
    startup_seconds: float = 1.2
    poll_seconds: float = 1.0


class _Worker:
    def __init__(self, created: float) -> None:
        self.created = created
        self.active = 0
        self.ready = False
        self.ending = False
        self.gone = False


def simulate(spec: ScalingSpec, arrivals: Iterable[Arrival], cluster: Cluster | None = None) -> Outcome:
    """Play `arrivals`, which are in the order of time, until all is done and nothing is left to decide.

    Raises TooLong.
    """
    played = _Simulation(spec, cluster or Cluster())
    played.play(arrivals)
    return played.outcome


class _Simulation:
    def __init__(self, spec: ScalingSpec, cluster: Cluster) -> None:
        self._spec, self._cluster = spec, cluster
        self.outcome = Outcome()
        self._now = 0.0
        #: What happens when; the numbers keep the order of what happens at once.
        self._ahead: list[tuple[float, int, _Event]] = []
        self._numbers = itertools.count()
        self._waiting: deque[tuple[float, float]] = deque()
        self._workers: list[_Worker] = []
        #: One for each free slot, and some that are free no more.
        self._free: deque[_Worker] = deque()
        self._active = self._added = self._departed = 0
        self._history, self._replicas = History(), 0
        #: When the queue is read next; inf if nothing has changed since the last time.
        self._read_at = math.inf
        self._check_at = math.inf
        self._looks = 0

    def play(self, arrivals: Iterable[Arrival]) -> None:
        self._scale(self._spec.min_replicas)
        for worker in self._workers:
            # They were there before.
            worker.ready = True
            self._free.extend([worker] * self._spec.concurrency)
        self._ahead.clear()
        # The queue was known, and empty.
        self._look()
        coming = iter(arrivals)
        arrival = next(coming, None)
        while True:
            due = self._ahead[0][0] if self._ahead else math.inf
            look_at = min(self._read_at, self._check_at)
            came_at = arrival.time if arrival is not None else math.inf
            self._now = min(due, look_at, came_at)
            if self._now == math.inf:
                self._now = self.outcome.ended
                break
            if arrival is not None and came_at == self._now:
                self._add(arrival)
                arrival = next(coming, None)
            elif due == self._now:
                heapq.heappop(self._ahead)[2].happen(self)
            else:
                self._look()
            self.outcome.ended = self._now
        self.outcome.left = len(self._waiting)
        for worker in self._workers:
            self._count(worker)

    def _changed(self) -> None:
        """The next read shows something else."""
        poll = self._cluster.poll_seconds
        if self._read_at == math.inf:
            self._read_at = (math.floor(self._now / poll + 1e-9) + 1) * poll

    def _add(self, arrival: Arrival) -> None:
        self._added += arrival.jobs
        self._waiting.extend([(arrival.time, arrival.service_seconds)] * arrival.jobs)
        self._fetch()
        self._changed()

    def _fetch(self) -> None:
        """Have free slots take what waits."""
        while self._waiting and self._free:
            worker = self._free.popleft()
            if worker.ending or not worker.ready or worker.active >= self._spec.concurrency:
                continue
            came, service_seconds = self._waiting.popleft()
            worker.active += 1
            self._active += 1
            self.outcome.busy_seconds += service_seconds
            self.outcome.runs.append(Run(came, self._now - came))
            self._later(service_seconds, _Ended(worker))

    def _later(self, seconds: float, event: _Event) -> None:
        heapq.heappush(self._ahead, (self._now + seconds, next(self._numbers), event))

    def end_job(self, worker: _Worker) -> None:
        worker.active -= 1
        self._active -= 1
        self._departed += 1
        if worker.ending and not worker.active:
            self._remove(worker)
        elif not worker.ending:
            self._free.append(worker)
            self._fetch()
        self._changed()

    def start_worker(self, worker: _Worker) -> None:
        if worker.gone:
            return
        worker.ready = True
        self._free.extend([worker] * self._spec.concurrency)
        self._fetch()
        self._changed()

    def _look(self) -> None:
        """Read the queue and decide."""
        self._read_at = self._check_at = math.inf
        self._looks += 1
        if self._looks > LOOKS_MAX:
            raise TooLong(
                f"by {self._now:.0f} s the queue was looked at {LOOKS_MAX} times, and no more than that is played"
            )
        demand = Demand(
            waiting=len(self._waiting),
            due=0,
            active=self._active,
            mark=f"{self._added} {self._departed}",
            added=self._added,
            ended=self._departed,
            oldest_seconds=self._now - self._waiting[0][0] if self._waiting else 0.0,
            # The epoch is not 0.
            read_ms=1_000_000 + round(self._now * 1000),
        )
        decision = decide(self._spec, demand, self._replicas, self._history, self._now)
        self._history = decision.history
        if decision.check_after_seconds is not None:
            self._check_at = self._now + decision.check_after_seconds
        if decision.replicas != self._replicas:
            scaled = Scaled(self._now, self._replicas, decision.replicas, decision.reason)
            self.outcome.scalings.append(scaled)
            self._scale(decision.replicas)
            self._changed()
        look = Look(self._now, self._replicas, len(self._workers), self._active, len(self._waiting))
        looks = self.outcome.looks
        if not looks or looks[-1][1:] != look[1:]:
            looks.append(look)

    def _scale(self, replicas: int) -> None:
        self._replicas = replicas
        staying = [worker for worker in self._workers if not worker.ending]
        if replicas < len(staying):
            # Those that start go first, then those with the fewest jobs.
            order = sorted(staying, key=lambda worker: (worker.ready, worker.active, -worker.created))
            for worker in order[: len(staying) - replicas]:
                worker.ending = True
                if not worker.active:
                    self._remove(worker)
            return
        missing = replicas - len(staying)
        for worker in [worker for worker in self._workers if worker.ending][:missing]:
            worker.ending = False
            self._free.extend([worker] * (self._spec.concurrency - worker.active))
            missing -= 1
        for _ in range(missing):
            worker = _Worker(self._now)
            self._workers.append(worker)
            self._later(self._cluster.startup_seconds, _Started(worker))
        self._fetch()

    def _remove(self, worker: _Worker) -> None:
        worker.gone = worker.ending = True
        self._workers.remove(worker)
        self._count(worker)

    def _count(self, worker: _Worker) -> None:
        self.outcome.replica_seconds += self._now - worker.created


@dataclass(frozen=True)
class _Ended:
    worker: _Worker

    def happen(self, simulation: _Simulation) -> None:
        simulation.end_job(self.worker)


@dataclass(frozen=True)
class _Started:
    worker: _Worker

    def happen(self, simulation: _Simulation) -> None:
        simulation.start_worker(self.worker)


_Event = _Ended | _Started
