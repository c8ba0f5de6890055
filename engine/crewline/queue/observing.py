"""The part of `Queue` that looks: counts, jobs, states, events, workers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from crewline.errors import InvalidOption, InvalidPayload, JobNotFound
from crewline.queue.events import Event, Update, follow, last_event_id
from crewline.queue.job import Job
from crewline.redis.connection import text
from crewline.wire import jsonio
from crewline.wire.keys import Keys

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from crewline.queue.queue import Queue
    from crewline.queue.results import Results


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


class Observing:
    """What `Queue` can tell."""

    name: str
    prefix: str
    keys: Keys
    redis: Redis
    dead_letter_queue: str
    _results: Results
    _opts: dict[bytes | str, dict[str, Any]]

    @property
    def url(self) -> str:
        raise NotImplementedError

    async def metrics(self) -> Metrics:
        """How many jobs are in each state, read in one go."""
        keys = self.keys
        letters = Keys(self.prefix, self.dead_letter_queue)
        async with self.redis.pipeline(transaction=False) as pipe:
            for key in (keys.wait, keys.paused, keys.active, letters.wait):
                pipe.llen(key)
            for key in (
                keys.prioritized, keys.delayed, keys.completed, keys.failed, keys.waiting_children, letters.prioritized
            ):  # fmt: skip
                pipe.zcard(key)
            pipe.hexists(keys.meta, "paused")
            counts = await pipe.execute()
        wait, parked, active, dead, prioritized, delayed, completed, failed, children, more, paused = counts
        return Metrics(
            waiting=wait + parked + prioritized, active=active, delayed=delayed, prioritized=prioritized,
            completed=completed, failed=failed, waiting_children=children, dead=dead + more, paused=bool(paused),
        )  # fmt: skip

    async def get_job(self, job_id: str) -> Job | None:
        """The job with that id as it is now, or None. Raises InvalidPayload if its data is not JSON."""
        stored = await self.redis.hgetall(self.keys.job(job_id))
        # a caller's own client may decode replies already
        fields = {key if isinstance(key, bytes) else key.encode(): value for key, value in stored.items()}
        return Job.from_hash(cast("Queue", self), job_id, fields) if b"name" in fields else None

    async def job_state(self, job_id: str) -> str:
        """The state of the job with that id; see `Job.state`."""
        keys = self.keys
        async with self.redis.pipeline(transaction=True) as pipe:
            for key in (keys.completed, keys.failed, keys.delayed, keys.prioritized, keys.waiting_children):
                pipe.zscore(key, job_id)
            for key in (keys.active, keys.wait, keys.paused):
                pipe.lpos(key, job_id)
            found = await pipe.execute()
        states = ("completed", "failed", "delayed", "waiting", "waiting-children", "active", "waiting", "waiting")
        return next((state for state, place in zip(states, found, strict=True) if place is not None), "unknown")

    async def wait_for_result(self, job_id: str, timeout: float | None = None) -> Any:
        """As `Job.result`, by id."""
        return await self._results.wait(job_id, timeout)

    async def last_event_id(self) -> str:
        """The id of the newest event, to follow from later with `events`."""
        return await last_event_id(self.redis, self.keys)

    async def watch(self, job_id: str) -> AsyncIterator[Update]:
        """As `Job.watch`, by id."""
        after = await self.last_event_id()
        job = await self.get_job(job_id)
        if job is None:
            raise JobNotFound(f"there is no job {job_id} in queue {self.name!r}")
        state = await job.state()
        yield Update(state, job.progress_value)
        if state in ("completed", "failed"):
            return
        progress = job.progress_value
        async for event in self.events(after):
            if event.job_id != job_id:
                continue
            if event.name == "progress":
                progress = jsonio.loads(event.fields.get("data", "null"), "progress")
                yield Update(state, progress)
            elif event.name in ("waiting", "active", "delayed", "completed", "failed", "removed"):
                state = event.name
                yield Update(state, progress)
                if state in ("completed", "failed", "removed"):
                    return

    async def metrics_history(self, state: str = "completed") -> list[int]:
        """How many jobs ended a minute, newest first, where a worker keeps that (``metrics_minutes``).

        Args:
            state: ``completed`` or ``failed``.
        """
        if state not in ("completed", "failed"):
            raise InvalidOption(f"state {state!r} has no history: use completed or failed")
        counts = await self.redis.lrange(f"{self.keys.base}metrics:{state}:data", 0, -1)
        return [int(count) for count in counts]

    async def workers(self) -> list[dict[str, Any]]:
        """The workers that are alive (Crewline's; BullMQ's have no such registry): name, slots, running ids, …."""
        names = [text(name) for name in await self.redis.zrange(self.keys.extra("workers"), 0, -1)]
        told = [await self.redis.get(self.keys.extra(f"worker:{name}")) for name in names]
        return [jsonio.loads(each, "a worker's state") for each in told if each]

    async def events(self, after: str | None = None) -> AsyncIterator[Event]:
        """Yields events as they happen, from now on, or after the entry ``after``. Never ends by itself."""
        start = after if after is not None else await last_event_id(self.redis, self.keys)
        async for event in follow(self.url, self.keys, start):
            yield event

    def decode_opts(self, encoded: bytes | str | None) -> dict[str, Any]:
        """A job's options; {} if they can't be read. Most jobs share theirs, so that decoded ones are kept."""
        if not encoded:
            return {}
        opts = self._opts.get(encoded)
        if opts is None:
            try:
                opts = jsonio.loads(encoded, "opts")
            except InvalidPayload:
                opts = {}
            if not isinstance(opts, dict):
                opts = {}
            if len(self._opts) > 256:
                self._opts.clear()
            self._opts[encoded] = opts
        return opts
