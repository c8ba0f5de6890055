"""The producer's side of a queue: add jobs, look at them, pause and resume."""

from __future__ import annotations

import contextlib
import datetime
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from crewline.errors import CrewlineError
from crewline.queue.flows import FlowJob, FlowNode, Planned, plan_flow
from crewline.queue.housekeeping import Housekeeping
from crewline.queue.job import Job
from crewline.queue.observing import Observing
from crewline.queue.schedules import Schedules
from crewline.queue.store import DEFAULT_PREFIX, DEFAULT_REDIS, NO_OPTS
from crewline.queue.workers import Workers
from crewline.redis.connection import COMMAND_TIMEOUT_SECONDS
from crewline.redis.scripts import Added
from crewline.redis.topology import check_letters_slot, is_cluster
from crewline.wire import jsonio
from crewline.wire.backoff import Backoff
from crewline.wire.checks import A_MILLISECOND, check_count, check_items, check_seconds
from crewline.wire.dedup import Dedup
from crewline.wire.keys import letters_queue
from crewline.wire.options import BULK, Encoded, encode_job, encode_jobs
from crewline.wire.retention import Keep


class Queue(Observing, Housekeeping, Workers):
    """A queue on BullMQ's Redis layout.

    Args:
        name: the queue's name, without ``:``.
        redis: a URL, or a ``redis.asyncio.Redis`` of the caller's, which is not closed here.
        prefix: BullMQ's key prefix.
        dead_letter_queue: where dead jobs go; nowhere if '', ``<name>-dlq`` if None (nowhere for what is such a queue).
        max_payload_bytes: the largest data a job may have, in bytes of JSON.
        timeout_seconds: how long a call may take before its connection is given up.

    Raises:
        InvalidOption: a name, URL or bound that can't be used, or a dead-letter queue that is the queue itself or in
            another slot of a Redis Cluster.
    """

    def __init__(
        self,
        name: str,
        *,
        redis: str | Redis = DEFAULT_REDIS,
        prefix: str = DEFAULT_PREFIX,
        dead_letter_queue: str | None = None,
        max_payload_bytes: int = jsonio.MAX_PAYLOAD_BYTES,
        timeout_seconds: float = COMMAND_TIMEOUT_SECONDS,
    ) -> None:
        check_count(max_payload_bytes, "max_payload_bytes")
        timeout_seconds = check_seconds(timeout_seconds, "timeout_seconds", A_MILLISECOND)
        super().__init__(name, redis=redis, prefix=prefix, timeout_seconds=timeout_seconds)
        self.dead_letter_queue = letters_queue(name, dead_letter_queue)
        check_letters_slot(redis, prefix, name, self.dead_letter_queue)
        self.max_payload_bytes = max_payload_bytes
        self.schedules = Schedules(self)

    async def add(
        self,
        name: str,
        data: Any,
        *,
        job_id: str | None = None,
        delay: float | datetime.timedelta | datetime.datetime | None = 0,
        priority: int | None = 0,
        lifo: bool | None = False,
        attempts: int | None = None,
        backoff: Backoff | float | None = None,
        remove_on_complete: Keep | bool | int | None = None,
        remove_on_fail: Keep | bool | int | None = None,
        dedup: Dedup | str | None = None,
        trace: str | None = None,
    ) -> Job:
        """Adds a job. An option that is None counts as left out.

        Returns the job; its ``added`` is False where nothing was stored, since a job with its id, or one that stands
        for it, was there: that job is returned then, as it is stored.

        Args:
            name: what kind of job it is.
            data: its payload: strict JSON, 1 MiB at most.
            job_id: an id of the caller's; adding it again while the job exists adds nothing.
            delay: seconds, a timedelta, or an aware datetime before which it does not run.
            priority: 0 runs before all priorities; then 1 (first) .. 2097151.
            lifo: run it before those that wait already.
            attempts: how often it may be tried in all, 1 or more; 3 if left out.
            backoff: the wait between attempts; seconds for a fixed one, 0 for none; exponential from 1 s if left out.
                Where both are, the queue's settings come before that, see `configure`.
            remove_on_complete, remove_on_fail: how long it stays once it has ended: True (not at all), False (for
                ever), a count, or Keep(...); left out, completed jobs stay a day, the newest 1,000 of them at most,
                and failed ones seven days.
            dedup: an id, or Dedup(...): while a job with it is there, that job stands for this one and is returned.
            trace: the trace that the handler's side continues, as `crewline.tracing.current_trace` tells it.

        Raises:
            InvalidOption, InvalidPayload: nothing was sent.
        """
        encoded = encode_job(
            name, data, job_id=job_id, delay=delay, priority=priority, lifo=lifo, attempts=attempts, backoff=backoff,
            remove_on_complete=remove_on_complete, remove_on_fail=remove_on_fail, dedup=dedup, trace=trace,
            max_payload_bytes=self.max_payload_bytes,
        )  # fmt: skip
        (job,) = await self._handles(await self.scripts.add_jobs([encoded]), [encoded], [data])
        return job

    async def add_bulk(self, jobs: Iterable[tuple[str, Any] | tuple[str, Any, dict[str, Any]]]) -> list[Job]:
        """Adds many jobs, up to 200 and 200 kB a call to Redis, each call whole or not at all.

        Args:
            jobs: ``(name, data)`` or ``(name, data, options)``, the options as `add` takes them.

        Returns the jobs, each as `add` does.

        Raises:
            InvalidOption, InvalidPayload: an item is wrong; the message says which, and nothing was sent at all.
        """
        items = check_items(jobs, "jobs", BULK)
        encoded = encode_jobs(items, self.max_payload_bytes)
        made: list[Job] = []
        async with contextlib.aclosing(self.scripts.add_in_turn(encoded)) as replies:
            async for added in replies:
                batch = slice(len(made), len(made) + len(added.ids))
                made += await self._handles(added, encoded[batch], [item[1] for item in items[batch]])
        return made

    async def add_flow(self, root: FlowJob) -> FlowNode:
        """Adds a tree of jobs in one go; each parent waits for its children.

        Returns the jobs as `add` does. Where another job stands for one of them, by its deduplication id, those below
        that one are not added: its node has no children.

        Raises:
            CrewlineError: of more than 100 jobs or 200 kB, which go in parts, it took minutes to send the next part:
                nothing is left of what was sent.
            InvalidOption, InvalidPayload: a job of it is wrong, or its queue is in another slot of a Redis Cluster; the
                message says which, and nothing was sent.
        """
        added: Added | str | None = str(uuid.uuid4())
        # the seed of an unfinished tree with the same root, which may have ended before it is gone on with
        while isinstance(added, str):
            seed = added
            plan = plan_flow(
                root, self.name, self.prefix, self.max_payload_bytes, seed=seed, one_slot=is_cluster(self.redis)
            )
            nodes = list(plan.walk())
            scripts = self.beside(plan.queue).scripts
            sent = [(each.base, each.encoded) for each in nodes]
            added = await scripts.add_flow(sent, seed if root.options.get("job_id") else "")
        if added is None:
            raise CrewlineError(
                f"flow {plan.encoded.job_id} of queue {plan.queue!r} was not added: between two of its parts it was "
                "taken away as one whose producer has died, or its root was removed: add it again"
            )
        return _tree(plan, await self._of_flow(nodes, added))

    async def _of_flow(self, nodes: Sequence[Planned], added: Added) -> dict[int, Job]:
        """The jobs of a tree that are there, by the identity of what was planned."""
        places: dict[str, list[int]] = {}
        for place, job_id in enumerate(added.ids):
            if job_id:
                places.setdefault(nodes[place].queue, []).append(place)
        jobs: dict[int, Job] = {}
        for name, there in places.items():
            left_out = frozenset(n for n, place in enumerate(there) if place in added.left_out)
            handles = await self.beside(name)._handles(
                Added([added.ids[place] for place in there], left_out),
                [nodes[place].encoded for place in there], [nodes[place].source.data for place in there],
            )  # fmt: skip
            jobs.update(zip([id(nodes[place]) for place in there], handles, strict=True))
        return jobs

    async def schedule(
        self,
        schedule_id: str,
        name: str,
        data: Any = None,
        *,
        cron: str | None = None,
        every: float | datetime.timedelta | None = None,
        time_zone: str = "UTC",
        start: datetime.datetime | None = None,
        end: datetime.datetime | None = None,
        limit: int | None = None,
        **options: Any,
    ) -> str:
        """Makes or changes a repeated job; returns the id of the next one.

        Args:
            schedule_id: the schedule's id; the same id again changes it.
            name, data: what each job is added with.
            cron: 5 fields, or 6 with seconds first, in ``time_zone``.
            every: seconds, or a timedelta, between two jobs; the first runs now, or at ``start``.
            start, end: aware datetimes; before and after, none runs.
            limit: how many jobs it makes in all.
            options: further arguments of `add` for each job.

        Raises:
            InvalidOption, InvalidPayload: nothing was changed.
        """
        return await self.schedules.upsert(
            schedule_id, name, data, cron=cron, every=every, time_zone=time_zone, start=start, end=end, limit=limit,
            options=options,
        )  # fmt: skip

    async def pause(self) -> bool:
        """Stops all workers of the queue, ours and others', from fetching; False if it was paused already."""
        return await self.scripts.pause_queue()

    async def resume(self) -> bool:
        """Lets workers fetch again; False if it was not paused."""
        return await self.scripts.resume_queue()

    async def _handles(self, added: Added, encoded: Sequence[Encoded], data: Sequence[Any]) -> list[Job]:
        jobs = list(map(self._handle, added.ids, encoded, data))
        if added.left_out:
            places = sorted(added.left_out)
            for place, stored in zip(places, await self.look_at([added.ids[place] for place in places]), strict=True):
                # one that has ended and was removed meanwhile: all that is known of it is its id
                jobs[place] = stored or Job(self, added.ids[place], encoded[place].shape.name, None, NO_OPTS)
                jobs[place].added = False
        return jobs

    def _handle(self, job_id: str, encoded: Encoded, data: Any) -> Job:
        shape = encoded.shape
        return Job(self, job_id, shape.name, data, self.decode_opts(shape.opts), fields={b"priority": shape.priority})


def _tree(plan: Planned, jobs: Mapping[int, Job]) -> FlowNode:
    return FlowNode(jobs[id(plan)], [_tree(child, jobs) for child in plan.children if id(child) in jobs])
