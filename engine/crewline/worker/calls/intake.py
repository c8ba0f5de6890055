"""Takes in jobs that a call has fetched: each becomes a run, or goes back."""

from __future__ import annotations

import logging
from collections import deque

from crewline.errors import InvalidPayload
from crewline.queue.by_id import ById
from crewline.queue.job import Job
from crewline.redis.scripts import Fetched, FetchedJob
from crewline.upkeep.maintainer import QueueMaintainer
from crewline.wire.text import number, text
from crewline.worker.runs import outcomes
from crewline.worker.runs.execution import Executor
from crewline.worker.runs.isolation import Isolator
from crewline.worker.runs.run import Lease, Run
from crewline.worker.runs.slots import Slots
from crewline.worker.runs.verdicts import Verdicts

log = logging.getLogger("crewline.worker")


class Intake:
    """Makes runs of fetched jobs.

    Args:
        queue: the queue they are of.
        slots, executor, verdicts, isolator, maintainer: the worker's.
    """

    def __init__(
        self,
        queue: ById,
        slots: Slots,
        executor: Executor,
        verdicts: Verdicts,
        isolator: Isolator,
        maintainer: QueueMaintainer,
    ) -> None:
        self._queue = queue
        self._slots = slots
        self._executor = executor
        self._verdicts = verdicts
        self._isolator = isolator
        self._maintainer = maintainer

    def room_for_suspects(self) -> int:
        """How many suspects this worker may have yet, with those that calls under way may bring."""
        return self._isolator.room()

    def receive(self, fetched: Fetched, token: str, unread: bool = False) -> None:
        """Takes in what a call with that token brought; ``unread``: its jobs may still be marked as such."""
        jobs = deque(fetched.jobs)
        while jobs:
            # fetched by a call that was under way when this worker was told to fetch nothing more, or behind one that
            # is to run alone: they go back, the one that was to run last first, so that they run in their old order
            each = jobs.pop() if self._slots.is_shut() else jobs.popleft()
            try:
                self._receive(each, token, unread)
            except Exception:
                # a bug: one job must not hold up the others, nor be kept alive by nobody
                log.exception("job %s of queue %s could not be taken in: its lease ends", each.id, self._queue.name)
                self._slots.undo(each.id, token)

    def _receive(self, fetched: FetchedJob, token: str, unread: bool) -> None:
        slots, job_id, fields = self._slots, fetched.id, fetched.fields
        if "\ufffd" in job_id and isinstance(fetched.raw_id, bytes) and job_id.encode() != fetched.raw_id:
            # no client could name the job; only its bytes can settle it
            self._refuse(fetched, token, "its id is no UTF-8 text")
            return
        try:
            job = Job.from_hash(self._queue, job_id, fields, token, fetched.started)
        except (InvalidPayload, UnicodeDecodeError) as error:
            # unreadable by anyone: a retry would meet the same bytes
            self._refuse(fetched, token, f"data can't be read: {error}")
            return
        suspect = number(fields[b"suspect"], 1) if b"suspect" in fields else 0
        plain = not (unread or b"atm" in fields or b"deid" in fields)
        larger = text(fields.get(b"larger", b""))
        run = Run(job, Lease(token, fetched.started), suspect, larger, plain=plain)
        slots.take(run)
        if b"rjk" in fields:
            self._maintainer.advance(text(fields[b"rjk"]), job)
        deferred = fields.get(b"defa")
        if deferred:
            slots.conclude(run, self._verdicts.failed(run, text(deferred), ""))
        elif slots.is_shut():
            slots.conclude(run, outcomes.back(run))
        elif run.suspect and run.suspect > number(fields.get(b"tried")):
            self._isolator.receive(run)
        else:
            self._executor.start(run)

    def _refuse(self, fetched: FetchedJob, token: str, reason: str) -> None:
        fields = fetched.fields
        opts = self._queue.decode_opts(fields.get(b"opts"))
        job = Job(self._queue, fetched.id, text(fields.get(b"name", b"")), None, opts, token, fields=fields)
        run = Run(job, Lease(token, ""))
        self._slots.take(run)
        result = self._verdicts.failed(run, reason, "", unreadable=True)
        self._slots.conclude(run, result._replace(job_id=fetched.raw_id))  # type: ignore[arg-type]
