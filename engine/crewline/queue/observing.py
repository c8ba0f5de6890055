"""The part of `Queue` that looks: counts and jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from crewline.errors import InvalidOption
from crewline.queue.by_id import ById
from crewline.queue.job import Job
from crewline.queue.portions import READ_FIRST
from crewline.redis.connection import is_wrong_type
from crewline.wire.checks import check_items
from crewline.wire.keys import Keys
from crewline.wire.text import number


def _fields(stored: Mapping[Any, Any]) -> dict[bytes, Any]:
    # a caller's own client may decode replies already
    return {key if isinstance(key, bytes) else key.encode(): value for key, value in stored.items()}


@dataclass(frozen=True)
class Metrics:
    """How many jobs a queue has in each state.

    ``waiting`` includes ``prioritized`` and what BullMQ 5 keeps in ``paused``; ``dead`` is what waits in the
    dead-letter queue.
    """

    waiting: int
    active: int
    delayed: int
    prioritized: int
    completed: int
    failed: int
    waiting_children: int
    dead: int
    paused: bool


@dataclass(frozen=True)
class Limits:
    """What holds over all workers of a queue; None for no bound.

    Attributes:
        concurrency: how many jobs may run at once.
        rate: ``(jobs, seconds)``: how many may start in that time.
        started: how many have started in the window of a rate that is open now, the queue's or a worker's own.
        holds_seconds: for how long nothing starts, since that rate is used up or a client said so; 0.0 if it does.
    """

    concurrency: int | None
    rate: tuple[int, float] | None
    started: int
    holds_seconds: float


#: What a BullMQ client writes for the jobs of a window to let nothing start in it: 2^53 - 1.
BY_HAND = 9007199254740991


class Observing(ById):
    """What `Queue` can tell."""

    dead_letter_queue: str

    async def metrics(self) -> Metrics:
        """How many jobs are in each state, read in one go."""
        keys = self.keys
        letters = Keys(self.prefix, self.dead_letter_queue) if self.dead_letter_queue else None
        async with self.redis.pipeline(transaction=False) as pipe:
            for key in (keys.wait, keys.paused, keys.active):
                pipe.llen(key)
            for key in (keys.prioritized, keys.delayed, keys.completed, keys.failed, keys.waiting_children):
                pipe.zcard(key)
            pipe.hexists(keys.meta, "paused")
            if letters:
                # BullMQ 5 parks them where somebody pauses their queue
                pipe.llen(letters.wait)
                pipe.llen(letters.paused)
            counts = await pipe.execute()
        wait, parked, active, prioritized, delayed, completed, failed, children, paused, *dead = counts
        return Metrics(
            waiting=wait + parked + prioritized, active=active, delayed=delayed, prioritized=prioritized,
            completed=completed, failed=failed, waiting_children=children, dead=sum(dead), paused=bool(paused),
        )  # fmt: skip

    async def limits(self) -> Limits:
        """What `set_global_rate` and `set_global_concurrency` have set, here or in BullMQ, and whether it holds now."""
        keys = self.keys
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.hmget(keys.meta, "concurrency", "max", "duration")
            pipe.get(keys.limiter)
            pipe.pttl(keys.limiter)
            (*told,), used, left_ms = await pipe.execute()
        concurrency, most, duration_ms = map(number, told)
        rate = (most, duration_ms / 1000) if most > 0 and duration_ms > 0 else None
        # as in BullMQ, a window without an end limits nothing
        started = number(used) if left_ms > 0 else 0
        holds = started >= BY_HAND or (rate is not None and started >= rate[0])
        return Limits(concurrency or None, rate, started, left_ms / 1000 if holds else 0.0)

    async def get_job(self, job_id: str) -> Job | None:
        """The job with that id as it is now, or None. Raises InvalidPayload if its data is not JSON."""
        if not self._is_id(job_id):
            return None
        try:
            fields = _fields(await self.redis.hgetall(self.keys.job(job_id)))
        except ResponseError as error:
            # what is no hash is no job
            if not is_wrong_type(error):
                raise
            return None
        return Job.from_hash(self, job_id, fields) if b"name" in fields else None

    async def look_at(self, job_ids: Sequence[str]) -> list[Job | None]:
        """The jobs with those ids, to be looked at only, read some at a time; None for each that is not there.

        Data that is no JSON, as any client may have written, is the text that it is.
        """
        job_ids = check_items(job_ids, "job_ids", "a list of ids")
        found: list[Any] = []
        for start in range(0, len(job_ids), READ_FIRST):
            async with self.redis.pipeline(transaction=False) as pipe:
                for job_id in job_ids[start : start + READ_FIRST]:
                    # of what can be no job's id there is nothing
                    pipe.hgetall(self.keys.job(job_id if self._is_id(job_id) else ""))
                found += await pipe.execute(raise_on_error=False)
        jobs: list[Job | None] = []
        for job_id, stored in zip(job_ids, found, strict=True):
            if isinstance(stored, Exception) and not is_wrong_type(stored):
                raise stored
            # what is no hash is no job
            fields = {} if isinstance(stored, Exception) else _fields(stored)
            jobs.append(Job.shown(self, job_id, fields) if fields else None)
        return jobs

    async def metrics_history(self, state: str = "completed") -> list[int]:
        """How many jobs ended a minute, newest first, where a worker keeps that (``metrics_minutes``).

        Args:
            state: ``completed`` or ``failed``.
        """
        if state not in ("completed", "failed"):
            raise InvalidOption(f"state {state!r} has no history: use completed or failed")
        counts = await self.redis.lrange(f"{self.keys.base}metrics:{state}:data", 0, -1)
        return [number(count) for count in counts]
