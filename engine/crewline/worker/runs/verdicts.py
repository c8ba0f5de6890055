"""What becomes of a job whose run has ended: completed, failed, tried again after a wait, or given back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal

from crewline.errors import InvalidOption, LeaseLost, Reject, Retry
from crewline.queue.job import Job
from crewline.redis.scripts import Result
from crewline.wire import backoff
from crewline.wire.checks import check_callable, check_text
from crewline.wire.options import UNSAID, says_attempts
from crewline.wire.retention import KEEP_COMPLETED, KEEP_FAILED, Keep, keep_from_wire
from crewline.wire.text import reason_of, trace_of
from crewline.worker.processes.answers import ChildDied, ChildFailed, ChildUnavailable
from crewline.worker.runs import outcomes
from crewline.worker.runs.run import Run, Status
from crewline.worker.runs.slots import Slots
from crewline.worker.threads.pool import NoThread

log = logging.getLogger("crewline.worker")

#: Characters of a stack trace that a job keeps; the end of it tells most.
MAX_TRACE = 8000
#: Milliseconds until a job is tried again whose run ended in the worker's own code.
UNFORESEEN_MS = 1000

#: There is no process or thread for the job now: it has not begun.
NOT_BEGUN = (ChildUnavailable, NoThread)

#: What becomes of a job whose own process was killed for want of memory: it runs again, fails for good, or waits for a
#: larger worker, once.
OnOOM = Literal["retry", "fail", "larger"]

#: A wait of the user's own, by name: attempts made, the error -> seconds.
BackoffFunction = Callable[[int, Exception], float]


class Verdicts:
    """Says for one worker what becomes of jobs.

    Args:
        slots: the worker's.
        max_crashes: how often a job may take its own process down before it fails for good.
        on_oom: what becomes of one whose own process was killed for want of memory.
        backoffs: the user's own waits, by name.
        keep_completed, keep_failed: retention for jobs that do not bring their own; None: they stay.

    Attributes:
        default_backoff: for jobs that say nothing of attempts and waits.
    """

    def __init__(
        self,
        slots: Slots,
        max_crashes: int,
        on_oom: OnOOM,
        backoffs: Mapping[str, BackoffFunction] | None,
        keep_completed: Keep | None,
        keep_failed: Keep | None,
    ) -> None:
        self._slots = slots
        self._max_crashes = max_crashes
        self._on_oom = on_oom
        self._backoffs = _checked({} if backoffs is None else backoffs)
        self.keep_completed = keep_completed
        self.keep_failed = keep_failed
        self.default_backoff: dict[str, Any] | None = None

    def completed(self, run: Run, value: str) -> Result:
        """Its handler returned ``value``, JSON text."""
        return outcomes.completed(
            run, value, keep_from_wire(run.job.opts.get("removeOnComplete"), self.keep_completed, KEEP_COMPLETED)
        )

    def raised(self, run: Run, error: Exception) -> Result | None:
        """Its handler raised, or something did on the way to it."""
        job = run.job
        if isinstance(error, LeaseLost) and error.lease == (job.id, run.lease.token):
            self._slots.lose(run)
            return None
        if isinstance(error, NOT_BEGUN):
            return outcomes.back(run)
        if isinstance(error, ChildDied) and error.oom and self._on_oom != "retry":
            return self._outgrown(run, str(error))
        if isinstance(error, ChildDied) and run.suspect:
            return self._crashed(run, error)
        reason = reason_of(error)
        trace = "" if isinstance(error, Reject) else _trace(error)
        attempts_made = job.attempts_made + 1
        if isinstance(error, Reject) or attempts_made >= job.attempts:
            return self.failed(run, reason, trace)
        return outcomes.retry(run, reason, trace, self._delay_ms(job, attempts_made, error))

    def unforeseen(self, run: Run, reason: str) -> Result:
        """The worker's own code failed: nothing is asked here that may fail as well, and a job that failed stays."""
        if run.job.attempts_made + 1 >= run.job.attempts:
            return outcomes.failed(run, reason, "", unreadable=False, letter=True, keep="", exhausted=True)
        return outcomes.retry(run, reason, "", UNFORESEEN_MS)

    def ended_early(self, run: Run) -> Result | None:
        """It was told to end."""
        if run.status is Status.CANCELLED:
            return self.failed(run, run.reason, "", letter=False)
        if run.status is Status.LOST:
            return None
        # the worker stops, or its event loop ends under it
        return outcomes.back(run)

    def failed(self, run: Run, reason: str, trace: str, *, unreadable: bool = False, letter: bool = True) -> Result:
        """Its job has failed for good."""
        return outcomes.failed(
            run, reason, trace, unreadable=unreadable, letter=letter,
            keep=keep_from_wire(run.job.opts.get("removeOnFail"), self.keep_failed, KEEP_FAILED),
            # as BullMQ counts: the last attempt is the last, whatever ended it
            exhausted=run.job.attempts_made + 1 >= run.job.attempts,
        )  # fmt: skip

    def _outgrown(self, run: Run, cause: str) -> Result:
        if self._on_oom == "fail":
            return self.failed(run, cause, "")
        if run.larger:
            return self.failed(run, f"{cause}; before that, {run.larger}", "")
        log.error(
            "job %s of queue %s waits for a larger worker, an hour at most: %s", run.job.id, run.job.queue_name, cause
        )
        return outcomes.outgrown(run, cause)

    def _crashed(self, run: Run, error: ChildDied) -> Result:
        crashes = run.job.crashes + 1
        log.error(
            "job %s of queue %s took the process down that ran nothing but it (%d of %d times): %s",
            run.job.id, run.job.queue_name, crashes, self._max_crashes, error,
        )  # fmt: skip
        if crashes < self._max_crashes:
            return outcomes.back(run, crashed=True)
        times = "once" if crashes == 1 else f"{crashes} times"
        return self.failed(run, f"job took its process down {times}: {error}", "")

    def _delay_ms(self, job: Job, attempts_made: int, error: Exception) -> int:
        if isinstance(error, Retry) and (seconds := error.seconds) is not None:
            return round(min(seconds * 1000, backoff.MAX_DELAY_MS)) if seconds > 0 else 0
        wanted = job.opts.get("backoff")
        # a BullMQ client may say a wait and no attempts
        unsaid = not says_attempts(job.opts) and (wanted is None or UNSAID in job.opts)
        if unsaid and self.default_backoff is not None:
            wanted = self.default_backoff
        kind = wanted.get("type") if isinstance(wanted, dict) else None
        own = self._backoffs.get(kind) if isinstance(kind, str) else None
        if own is not None:
            try:
                return min(max(round(own(attempts_made, error) * 1000), 0), backoff.MAX_DELAY_MS)
            except Exception:
                log.exception("backoff function %r raised: the job's plain delay is used", wanted)
        return backoff.delay_ms(wanted, attempts_made)


def _trace(error: Exception) -> str:
    if isinstance(error, ChildFailed):
        return error.trace[-MAX_TRACE:]
    return trace_of(error)[-MAX_TRACE:]


def _checked(backoffs: object) -> Mapping[str, BackoffFunction]:
    if not isinstance(backoffs, Mapping):
        raise InvalidOption(f"backoffs {backoffs!r} must be a dict of functions (attempts made, error) -> seconds")
    for name, function in backoffs.items():
        check_callable(function, f"backoffs[{check_text(name, 'name in backoffs')!r}]")
    return backoffs
