"""Takes in jobs that a call has fetched: each becomes a run, or goes back."""

from __future__ import annotations

import logging
from typing import Any

from crewline.errors import InvalidPayload
from crewline.queue.by_id import ById
from crewline.queue.job import Job
from crewline.redis.scripts import Fetched
from crewline.upkeep.keeping import Keeper
from crewline.wire.text import number, text
from crewline.worker.runs import outcomes
from crewline.worker.runs.execution import Executor
from crewline.worker.runs.isolation import Isolator
from crewline.worker.runs.run import Lease, Run
from crewline.worker.runs.slots import Slots

log = logging.getLogger("crewline.worker")


class Intake:
    """Makes runs of fetched jobs.

    Args:
        queue: the queue they are of.
        slots, executor, isolator, keeper: the worker's.
    """

    def __init__(self, queue: ById, slots: Slots, executor: Executor, isolator: Isolator, keeper: Keeper) -> None:
        self._queue = queue
        self._slots = slots
        self._executor = executor
        self._isolator = isolator
        self._keeper = keeper

    def receive(self, fetched: Fetched, token: str, unread: bool = False) -> None:
        """Takes in what a call with that token brought; ``unread``: its jobs may still be marked as such."""
        jobs = fetched.jobs
        if self._slots.is_shut():
            # fetched by a call that was under way when this worker was told to fetch nothing more: all go back, the one
            # that was to run last first, so that they run in their old order
            jobs = jobs[::-1]
        for job_id, fields in jobs:
            try:
                self._receive(job_id, fields, token, fetched.now_ms, unread)
            except Exception:
                # a bug: one job must not hold up the others, nor be kept alive by nobody
                log.exception("job %s of queue %s could not be taken in: its lease ends", job_id, self._queue.name)
                self._slots.undo(text(job_id), token)

    def _receive(self, raw_id: bytes | str, fields: dict[bytes, Any], token: str, now_ms: int, unread: bool) -> None:
        slots, job_id = self._slots, text(raw_id)
        lease = Lease(token, started_of(fields, now_ms))
        if "\ufffd" in job_id and isinstance(raw_id, bytes) and job_id.encode() != raw_id:
            # no client could name the job; only its bytes can settle it
            self._refuse(raw_id, job_id, fields, token, "its id is no UTF-8 text")
            return
        try:
            job = Job.from_hash(self._queue, job_id, fields, token, lease.started)
        except (InvalidPayload, UnicodeDecodeError) as error:
            # unreadable by anyone: a retry would meet the same bytes
            self._refuse(raw_id, job_id, fields, token, f"data can't be read: {error}")
            return
        suspect = number(fields[b"suspect"], 1) if b"suspect" in fields else 0
        run = Run(job, lease, suspect, plain=not (unread or b"atm" in fields or b"deid" in fields))
        slots.take(run)
        if b"rjk" in fields:
            self._keeper.advance(text(fields[b"rjk"]), job)
        deferred = fields.get(b"defa")
        if deferred:
            slots.conclude(run, self._executor.failed(run, text(deferred), ""))
        elif slots.is_shut():
            slots.conclude(run, outcomes.back(run))
        elif run.suspect and run.suspect > number(fields.get(b"tried")):
            self._isolator.receive(run)
        else:
            self._executor.start(run)

    def _refuse(self, raw_id: bytes | str, job_id: str, fields: dict[bytes, Any], token: str, reason: str) -> None:
        opts = self._queue.decode_opts(fields.get(b"opts"))
        job = Job(self._queue, job_id, text(fields.get(b"name", b"")), None, opts, token, fields=fields)
        run = Run(job, Lease(token, ""))
        self._slots.take(run)
        result = self._executor.failed(run, reason, "", unreadable=True)
        self._slots.conclude(run, result._replace(job_id=raw_id))  # type: ignore[arg-type]


def started_of(fields: dict[bytes, Any], now_ms: int) -> str:
    """Which start of a job a fetch was, as extend_leases takes it."""
    return f"{text(fields.get(b'ats', b'1'))}:{now_ms}"
