"""What a worker's log says of its jobs: a line for each attempt that failed, and each minute how it went on the whole.

Who reads a log looks for what went wrong; it must neither be silent nor drown: of thousands of failures a second, the
first of each minute are told one by one, and the rest in that minute's summary.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from typing import Any

from crewline.queue.job import Job
from crewline.redis.scripts import Result
from crewline.wire.text import bounded, counted, loggable

log = logging.getLogger("crewline.worker")

#: Seconds from one summary to the next.
SUMMARY_SECONDS = 60.0
#: Attempts that failed which are told one by one between two summaries, and jobs that failed for good.
MOST_LINES = 30
#: Characters of a reason in a line, and of a job's name.
MOST_REASON, MOST_NAME = 500, 100
#: Kinds of reasons that are counted between two summaries, and those that a summary names.
MOST_KINDS, MOST_NAMED = 100, 3

#: How runs end, as a summary counts them: one, and several.
ENDS = {
    "completed": ("completed", "completed"),
    "retry": ("attempt failed and is tried again", "attempts failed and are tried again"),
    "failed": ("failed for good", "failed for good"),
    "cancelled": ("cancelled", "cancelled"),
    "back": ("handed back without an attempt", "handed back without an attempt"),
    "lost": ("lost to another worker", "lost to other workers"),
}


class Journal:
    """Writes the log of one worker's jobs.

    Args:
        queue: the queue's name.
        letters: the dead-letter queue's name, '' for none.
    """

    def __init__(self, queue: str, letters: str) -> None:
        self._queue = queue
        self._letters = letters
        self._counts: Counter[str] = Counter()
        self._lines: Counter[str] = Counter()
        self._unwritten: Counter[str] = Counter()

    async def run(self) -> None:
        """Sums up each minute in which something has ended; runs until cancelled."""
        while True:
            await asyncio.sleep(SUMMARY_SECONDS)
            self.sum_up()

    def ended(self, job: Job, result: Result) -> None:
        """A run has ended; it is told before Redis has taken it."""
        outcome = result.outcome
        if outcome == "failed" and not result.letter:
            # told when it was cancelled
            outcome = "cancelled"
        self._counts[outcome] += 1
        if outcome == "retry" or outcome == "failed":
            self._tell(job, result)

    def lost(self, job: Job) -> None:
        self._counts["lost"] += 1

    def sum_up(self) -> None:
        """Says what has ended since the last time, if anything has."""
        counts, unwritten = self._counts, self._unwritten
        if not counts:
            return
        told = ", ".join(counted(counts[end], *words) for end, words in ENDS.items() if counts[end])
        more, level = "", logging.INFO
        if unwritten:
            level = logging.WARNING
            most = ", ".join(f"{reason} ({count:,})" for reason, count in unwritten.most_common(MOST_NAMED))
            failures = counted(
                unwritten.total(), "failure has no line of its own", "failures have no line of their own"
            )
            more = f"; {failures}, most of them: {most}"
        fields = {"event": "summary", "queue": self._queue, **counts, "unwritten": unwritten.total()}
        log.log(level, "queue %s: jobs since the last summary: %s%s", self._queue, told, more, extra=_extra(fields))
        self._counts, self._lines, self._unwritten = Counter(), Counter(), Counter()

    def _tell(self, job: Job, result: Result) -> None:
        outcome = result.outcome
        self._lines[outcome] += 1
        said = with_type(result.value, result.trace)
        if self._lines[outcome] > MOST_LINES:
            kind = loggable(bounded(said, MOST_NAME))
            self._unwritten[kind if kind in self._unwritten or len(self._unwritten) < MOST_KINDS else "others"] += 1
            return
        final = outcome == "failed"
        reason = loggable(bounded(said, MOST_REASON))
        name = loggable(bounded(job.name, MOST_NAME))
        level = logging.ERROR if final else logging.WARNING
        fields = {
            "event": outcome, "queue": self._queue, "job": job.id, "name": job.name, "attempt": job.attempts_made + 1,
            "attempts": job.attempts, "reason": reason, **self._next(result),
        }  # fmt: skip
        record = log.makeRecord(
            log.name, level, __file__, 0, "job %s (%s) of queue %s: attempt %d of %d failed: %s; %s",
            (loggable(job.id), name, self._queue, job.attempts_made + 1, job.attempts, reason, self._told_next(result)),
            None, "ended", _extra(fields),
        )  # fmt: skip
        if result.trace and (final or log.isEnabledFor(logging.DEBUG)):
            # what a formatter prints below the line
            record.exc_text = loggable(result.trace.rstrip(), lines=True)
        if log.isEnabledFor(level):
            log.handle(record)

    def _next(self, result: Result) -> dict[str, Any]:
        if result.outcome == "retry":
            return {"next": "retry", "delay_seconds": result.delay_ms / 1000}
        return {"next": "dead letter", "dead_letter_queue": self._letters} if self._letters else {"next": "nothing"}

    def _told_next(self, result: Result) -> str:
        if result.outcome == "retry":
            seconds = result.delay_ms / 1000
            when = f"in {seconds:,.{1 if seconds < 10 else 0}f} s" if seconds else "at once"
            return f"tried again {when}" + (" by a larger worker, or an hour later by any" if result.larger else "")
        return f"failed for good: dead letter in {self._letters}" if self._letters else "failed for good"


def with_type(reason: str, trace: str) -> str:
    """A reason with the kind of error before it, as the trace's end has it: ``'to'`` alone says little."""
    first = reason.partition("\n")[0]
    for line in reversed(trace.splitlines()):
        name, _, said = line.partition(": ")
        if said == first and re.fullmatch(r"[A-Za-z_][\w.]*", name):
            return f"{name.rpartition('.')[2]}: {reason}"
    return reason


def _extra(fields: dict[str, Any]) -> dict[str, Any]:
    """What a formatter of programs' logs finds on a record."""
    return {"crewline": fields}
