"""When the operator does for a queue without workers what its workers would do for it beside its jobs. Pure."""

from __future__ import annotations

import zlib

from crewline_operator.effects.actions import Sweep
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.pods import has_ended
from crewline_operator.jobqueue.spec import JobQueue

#: A queue without workers is swept this often: retention is told in hours and days.
SWEEP_SECONDS = 300.0
#: ... and this often where nothing is kept: a schedule or a large flow may still wait for somebody to go on with it.
EMPTY_SWEEP_SECONDS = 900.0


def sweeps_of(jobqueue: JobQueue, observed: Observed, replicas: int) -> tuple[list[Sweep], float | None]:
    """Sweep a queue that no worker looks after, or say in how many seconds that is to be done."""
    snapshot = observed.reading.snapshot
    workers = replicas or observed.current_replicas or any(not has_ended(pod) for pod in observed.pods)
    if workers or snapshot is None or observed.holder is not None:
        return [], None
    age = observed.sweep_age_seconds
    if snapshot.completed or snapshot.failed:
        every = SWEEP_SECONDS
    else:
        every = EMPTY_SWEEP_SECONDS
        # All that are known since the operator began must not be swept at one moment.
        age = min(age, observed.known_seconds + every * zlib.crc32(jobqueue.uid.encode()) / 2**32)
    return ([Sweep(jobqueue.queue_ref)], every) if age >= every else ([], every - age)
