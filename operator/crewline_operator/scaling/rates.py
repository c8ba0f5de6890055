"""How fast jobs come and how long they run, told from the counts of a queue at two or more moments. Pure.

Nobody counts arrivals and ends, and the jobs that are kept are bounded; but each job that was ever added is either
still in the queue or has left it. With the counter of ids (`added`) and what is there now:

    arrived  = added - those whose time has not come         rises by one as a job may run for the first time
    departed = added - delayed - waiting - active            rises by one as a job is done, or removed

The service time is Little's law: what worked (the integral of `active` over time) / the jobs that have ended. A retry
counts as more of the same job. Those that end are counted where they are kept until they are read. Where they are not,
what has departed stands for them, which counts what never ran, too: an add that was refused as a duplicate arrives and
departs at once, so that only the product arrivals x service time, the slots that are busy, stays right; of a queue that
is emptied no more counts than its slots can have run. What has left without having run counts as not arrived.
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
#: What runs on average is told by so much.
BUSY_SECONDS = 60.0
#: The service time forgets by half in a stable window, but keeps so many jobs: long ones end seldom.
KEPT_JOBS = 30.0
#: Of what has departed between two reads counts as much as jobs would that are so many times shorter than those before.
SHORTER = 10.0


@dataclass(frozen=True)
class _Sample:
    """Sums since the queue, or this process, began."""

    read_ms: int
    added: int
    arrived: int
    departed: int
    #: Those of `departed` that have run.
    ended: float = 0.0
    #: Seconds that jobs have run, of all jobs.
    worked_seconds: float = 0.0


@dataclass(frozen=True)
class Rates:
    """What has to be kept to tell rates. Lost with the process: a window that is not full yet tells of too few jobs."""

    #: Oldest first; the last one is the last read.
    samples: tuple[_Sample, ...] = ()
    #: At the last read: jobs that ran, and how many had ended as far as that was known.
    active: int = 0
    counted: int | None = None
    #: Seconds that jobs have run, and jobs that have ended, the older ones counting less.
    worked_seconds: float = 0.0
    ended: float = 0.0

    @property
    def service_seconds(self) -> float | None:
        """How long a job runs, all its attempts together; None if nothing has run yet.

        Until the first one ends, its time is not known, but that it takes as long as it has run.
        """
        if not self.worked_seconds and not self.ended:
            return None
        return self.worked_seconds / max(1.0, self.ended)

    def arrivals(self, seconds: float) -> float:
        """Jobs a second that have come in the last `seconds`, but for those that have left without having run."""
        if not self.samples:
            return 0.0
        at = self._before(seconds)
        first, last = self.samples[at], self.samples[-1]
        came, ended = last.arrived - first.arrived, last.ended - first.ended
        never_ran = max(0.0, last.departed - first.departed - ended)
        # Of a queue that was emptied those may have left that came long before: what ran has come all the same.
        return max(0.0, came - never_ran, min(came, ended)) / self._span(at, seconds)

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
    sample = _Sample(demand.read_ms, demand.added, arrived, arrived - ready)
    if not rates.samples:
        return replace(rates, samples=(sample,), active=demand.active, counted=demand.ended)
    last = rates.samples[-1]
    if sample.read_ms == last.read_ms:
        return rates
    if sample.added < last.added:
        # The queue was emptied, or is on another server: the sums begin anew.
        return replace(rates, samples=(sample,), active=demand.active, counted=demand.ended)
    elapsed_seconds = (sample.read_ms - last.read_ms) / 1000
    changing_seconds = min(elapsed_seconds, POLL_SECONDS)
    worked = rates.active * elapsed_seconds + (demand.active - rates.active) * changing_seconds / 2
    ended = _ended(rates, demand, sample.departed - last.departed, worked, elapsed_seconds)
    sample = replace(sample, ended=last.ended + ended, worked_seconds=last.worked_seconds + worked)
    all_ended = rates.ended + ended
    forgotten = 0.5 ** (elapsed_seconds / behavior.stable_seconds)
    kept = min(1.0, max(forgotten, KEPT_JOBS / all_ended)) if all_ended else 1.0
    return Rates(
        samples=_thinned(rates.samples, sample, behavior, max(longest_seconds, behavior.stable_seconds)),
        active=demand.active,
        counted=demand.ended,
        worked_seconds=(rates.worked_seconds + worked) * kept,
        ended=all_ended * kept,
    )


def _ended(rates: Rates, demand: Demand, departed: int, worked_seconds: float, elapsed_seconds: float) -> float:
    """How many jobs have ended since the last read, of which `departed` have left the queue."""
    if rates.counted is not None and demand.ended is not None and demand.ended >= rates.counted:
        return demand.ended - rates.counted
    service = rates.service_seconds
    if rates.ended < KEPT_JOBS or not service:
        return max(0, departed)
    # Reads may miss all of few short jobs: these are counted by what ran in the minute, and however many that was.
    worked_seconds = max(worked_seconds, rates.busy(BUSY_SECONDS) * elapsed_seconds)
    most = max(KEPT_JOBS, rates.active, demand.active, SHORTER * worked_seconds / service)
    return min(max(0, departed), most)


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
