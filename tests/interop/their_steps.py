"""The steps through npm bullmq."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from tests.interop.peers import Peer, PeerError, Remote
from tests.interop.steps import (
    CUT_OFF,
    LEASE_MS,
    THEIR_KEEP,
    WORKER_NAME,
    Node,
    Options,
    Step,
    drains_right,
    is_new,
    keeps_another,
    settled,
)


class Theirs:
    """Steps through npm bullmq."""

    def __init__(self, base: str, name: str, redis: Redis, queue: Remote, worker: Remote, flows: Remote) -> None:
        self._base = base
        self._name = name
        self._redis = redis
        self._queue = queue
        self._worker = worker
        self._flows = flows

    @classmethod
    async def open(cls, peer: Peer, prefix: str, name: str, redis: Redis) -> Theirs:
        worker = {"manual": True, "name": WORKER_NAME, "lockDuration": LEASE_MS, "maxStalledCount": 1000}
        return cls(
            f"{prefix}:{name}:",
            name,
            redis,
            await peer.open("Queue", name, prefix=prefix),
            await peer.open("Worker", name, prefix=prefix, **worker),
            await peer.open("FlowProducer", name, prefix=prefix),
        )

    async def close(self) -> None:
        await self._flows.close()
        await self._worker.close()
        await self._queue.close()

    async def take(self, step: Step) -> None:
        name, *arguments = step
        try:
            await getattr(self, f"_{name}")(*arguments)
        except PeerError:
            pass

    async def _add(self, job_id: str, data: Any, options: Options) -> None:
        await self._queue("add", f"name-{job_id}", data, {"jobId": job_id, **options.theirs()})

    async def _add_bulk(self, jobs: list[tuple[str, Any, Options]]) -> None:
        bulk = [
            {"name": f"name-{i}", "data": data, "opts": {"jobId": i, **options.theirs()}} for i, data, options in jobs
        ]
        await self._queue("addBulk", bulk)

    async def _flow(self, root: Node) -> None:
        if await is_new(self._redis, self._base, root):
            await self._flows("add", root.theirs(self._name))

    async def _schedule(self, schedule_id: str, every: int) -> None:
        template = {"name": "name", "data": {"returns": 1}, "opts": {"attempts": 2, **THEIR_KEEP}}
        if await settled(self._redis, self._base, schedule_id, every):
            await self._queue("upsertJobScheduler", schedule_id, {"every": every * 1000}, template)

    async def _unschedule(self, schedule_id: str) -> None:
        if await settled(self._redis, self._base, schedule_id, None):
            await self._queue("removeJobScheduler", schedule_id)

    async def _work(self) -> None:
        if await self._worker.fetch():
            await self._worker.finish()

    async def _during(self, *steps: Step) -> None:
        if await self._worker.fetch():
            for step in steps:
                await self.take(step)
            await self._worker.finish()

    async def _cut_off(self) -> None:
        if await self._worker.fetch():
            await self._worker.finish(CUT_OFF)

    async def _stall(self) -> None:
        if job := await self._worker("getNextJob", "dead", {"block": False}):
            await self._look()
            await self._redis.delete(f"{self._base}{job['id']}:lock")
            await self._look()

    async def _look(self) -> None:
        await self._redis.delete(f"{self._base}stalled-check")
        await self._worker("moveStalledJobsToWait")

    async def _cancel(self, job_id: str) -> None:
        await self._remove(job_id)

    async def _pause(self) -> None:
        await self._queue("pause")

    async def _resume(self) -> None:
        await self._queue("resume")

    async def _remove(self, job_id: str) -> None:
        if not await keeps_another(self._redis, self._base):
            await self._queue("remove", job_id)

    async def _progress(self, job_id: str, value: Any) -> None:
        await self._queue.job(job_id, "updateProgress", value)

    async def _log(self, job_id: str, line: str) -> None:
        await self._queue.job(job_id, "log", line)

    async def _update_data(self, job_id: str, data: Any) -> None:
        await self._queue.job(job_id, "updateData", data)

    async def _promote(self, job_id: str) -> None:
        await self._queue.job(job_id, "promote")

    async def _retry(self, job_id: str) -> None:
        await self._queue.job(job_id, "retry", "failed")

    async def _change_delay(self, job_id: str, seconds: int) -> None:
        await self._queue.job(job_id, "changeDelay", seconds * 1000)

    async def _change_priority(self, job_id: str, priority: int) -> None:
        await self._queue.job(job_id, "changePriority", {"priority": priority})

    async def _retry_all(self) -> None:
        await self._queue("retryJobs", {"state": "failed"})

    async def _promote_all(self) -> None:
        await self._queue("promoteJobs", {})

    async def _drain(self, delayed: bool) -> None:
        if await drains_right(self._redis, self._base):
            await self._queue("drain", delayed)

    async def _clean(self, state: str) -> None:
        if not await keeps_another(self._redis, self._base):
            await self._queue("clean", 0, 0, state)

    async def _obliterate(self) -> None:
        await self._queue("obliterate")
