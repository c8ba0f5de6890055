"""Ends runs from outside, while the worker goes on: a job is cancelled, or another worker has it."""

from __future__ import annotations

import logging

from crewline.worker.runs.run import Status
from crewline.worker.runs.slots import Slots
from crewline.worker.runs.verdicts import Verdicts

log = logging.getLogger("crewline.worker")


class Interruptions:
    """Ends runs of one worker.

    Args:
        slots, verdicts: the worker's.
    """

    def __init__(self, slots: Slots, verdicts: Verdicts) -> None:
        self._slots = slots
        self._verdicts = verdicts

    def cancel(self, job_id: str, token: str, reason: str) -> None:
        """Ends the run with that token, if it is open; its job fails."""
        run = self._slots.find(job_id)
        if run is None or run.lease.token != token or not run.open:
            return
        log.warning("job %s of queue %s is cancelled: %s", job_id, run.job.queue_name, reason)
        begun = run.status is Status.RUNNING
        run.end_early(Status.CANCELLED, reason)
        if not begun or not run.stoppable:
            # what a thread still does is thrown away: its end finds the lease gone
            self._slots.conclude(run, self._verdicts.failed(run, reason, "", letter=False))

    def lose(self, lost: list[tuple[str, str]]) -> None:
        """Ends the runs of jobs, by id and token, whose leases others have now."""
        for job_id, token in lost:
            run = self._slots.find(job_id)
            if run is None or run.lease.token != token:
                continue  # its result is on the way, and the token fences it; or it was settled meanwhile
            self._slots.lose(run)
