"""How fast jobs come and how long they run, told from the counts of a queue at two or more moments. Pure.

Nobody counts arrivals and ends, and the jobs that are kept are bounded; but each job that was ever added is either
still in the queue or has left it. With the counter of ids (`added`) and what is there now:

    arrived  = added - those whose time has not come         rises by one as a job may run for the first time
    departed = added - delayed - waiting - active            rises by one as a job is done, or removed

The service time is Little's law: what worked (the integral of `active` over time) / what departed. A retry counts as
more of the same job; an add that was refused as a duplicate arrives and departs at once, so that the product
arrivals x service time, the slots that are busy, stays right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from crewline_operator.model.demand import Demand
from crewline_operator.scaling.spec import Behavior

#: Two samples lie apart at least this part of the panic window, and this one of the longest.
SPACING, LONG_SPACING = 0.25, 1 / 60
#: What is read as another number of running jobs has become so within the last of the polls.
POLL_SECONDS = 1.0
#: Reads that lie further apart were all the same in between.
STOOD_SECONDS = 5.0
#: The service time forgets by half in a stable window, but keeps so many jobs: long ones end seldom.
KEPT_JOBS = 30.0


@dataclass(frozen=True)
class _Sample:
    """Sums since the queue, or this process, began."""

    read_ms: int
    added: int
    arrived: int
    departed: int
    #: Seconds that jobs have run, of all jobs.
    worked_seconds: float


@dataclass(frozen=True)
class Rates:
    """What has to be kept to tell rates. Lost with the process: a window that is not full yet tells of too few jobs."""

    #: Oldest first; the last one is the last read.
    samples: tuple[_Sample, ...] = ()
    #: At the last read.
    active: int = 0
    #: Seconds that jobs have run, and jobs that have departed, the older ones counting less.
    worked_seconds: float = 0.0
    departed: float = 0.0

    @property
    def service_seconds(self) -> float | None:
        """How long a job runs, all its attempts together; None if nothing has run yet.

        Until the first one ends, its time is not known, but that it takes as long as it has run.
        """
        if not self.worked_seconds and not self.departed:
            return None
        return self.worked_seconds / max(1.0, self.departed)

    def arrivals(self, seconds: float) -> float:
        """Jobs a second that have come in the last `seconds`."""
        if not self.samples:
            return 0.0
        at = self._before(seconds)
        return max(0, self.samples[-1].arrived - self.samples[at].arrived) / self._span(at, seconds)

    def busy(self, seconds: float) -> float:
        """How many jobs ran at a time, on average over the last `seconds`."""
        if not self.samples:
            return 0.0
        at = self._before(seconds)
        return (self.samples[-1].worked_seconds - self.samples[at].worked_seconds) / self._span(at, seconds)

    def _before(self, seconds: float) -> int:
        """Where the youngest sample is that is `seconds` old; the oldest there is if none is."""
        start_ms = self.samples[-1].read_ms - seconds * 1000
        return next((at for at in range(len(self.samples) - 1, 0, -1) if self.samples[at].read_ms <= start_ms), 0)

    def _span(self, at: int, seconds: float) -> float:
        """How long what has changed since a sample took to do so.

        Two reads that lie close together tell of no rate: what is not known counts as a time without jobs.
        """
        following = self.samples[min(at + 1, len(self.samples) - 1)]
        since_ms = max(self.samples[at].read_ms, following.read_ms - STOOD_SECONDS * 1000)
        return max(seconds, (self.samples[-1].read_ms - since_ms) / 1000)


def observe(rates: Rates, demand: Demand, behavior: Behavior, longest_seconds: float = 0.0) -> Rates:
    """`rates` with one more read, which tell of a stable window, and of `longest_seconds` if that is longer."""
    if demand.added is None:
        return Rates()
    ready = demand.waiting + demand.due + demand.active
    arrived = demand.added - (demand.delayed - demand.due)
    sample = _Sample(demand.read_ms, demand.added, arrived, arrived - ready, 0.0)
    if not rates.samples:
        return replace(rates, samples=(sample,), active=demand.active)
    last = rates.samples[-1]
    if sample.read_ms == last.read_ms:
        return rates
    if sample.read_ms < last.read_ms or sample.added < last.added:
        # Redis' clock was set back, or the queue was emptied, or is on another server: the sums begin anew.
        return replace(rates, samples=(sample,), active=demand.active)
    elapsed_seconds = (sample.read_ms - last.read_ms) / 1000
    changing_seconds = min(elapsed_seconds, POLL_SECONDS)
    worked = rates.active * elapsed_seconds + (demand.active - rates.active) * changing_seconds / 2
    sample = replace(sample, worked_seconds=last.worked_seconds + worked)
    departed = rates.departed + max(0, sample.departed - last.departed)
    forgotten = 0.5 ** (elapsed_seconds / behavior.stable_seconds)
    kept = min(1.0, max(forgotten, KEPT_JOBS / departed)) if departed else 1.0
    return Rates(
        samples=_thinned(rates.samples, sample, behavior, max(longest_seconds, behavior.stable_seconds)),
        active=demand.active,
        worked_seconds=(rates.worked_seconds + worked) * kept,
        departed=departed * kept,
    )


def _thinned(
    samples: tuple[_Sample, ...], newest: _Sample, behavior: Behavior, longest_seconds: float
) -> tuple[_Sample, ...]:
    """The samples of the longest window and one before it, none closer to the next than need be."""
    spacing_ms = 1000 * max(behavior.panic_seconds * SPACING, longest_seconds * LONG_SPACING)
    stood = newest.read_ms - samples[-1].read_ms > STOOD_SECONDS * 1000
    if not stood and len(samples) > 1 and samples[-1].read_ms - samples[-2].read_ms < spacing_ms:
        samples = samples[:-1]
    start_ms = newest.read_ms - longest_seconds * 1000
    first = next((at for at in range(len(samples) - 1, 0, -1) if samples[at].read_ms <= start_ms), 0)
    return (*samples[first:], newest)
