"""The steps through our client and our worker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from crewline import CrewlineError, Job, Keep, Queue, Worker
from crewline.wire.text import text

from tests.interop.play import play
from tests.interop.steps import (
    CANCELLED,
    CUT_OFF,
    LEASE_MS,
    OUR_KEEP,
    WORKER_NAME,
    Node,
    Options,
    Step,
    drains_right,
    is_new,
    keeps_another,
    settled,
)

#: A lease that is over soon.
STALLED_LEASE_MS = 2


class Ours:
    """Steps through our client and our worker."""

    def __init__(self, url: str, prefix: str, name: str) -> None:
        self._settings: dict[str, Any] = {"redis": url, "prefix": prefix}
        self._queue = Queue(name, **self._settings)

    async def close(self) -> None:
        await self._queue.close()

    async def take(self, step: Step) -> None:
        try:
            await getattr(self, f"_{step[0]}")(*step[1:])
        except CrewlineError:
            pass

    async def _add(self, job_id: str, data: Any, options: Options) -> None:
        await self._queue.add(f"name-{job_id}", data, job_id=job_id, **options.ours())

    async def _add_bulk(self, jobs: list[tuple[str, Any, Options]]) -> None:
        await self._queue.add_bulk([(f"name-{i}", data, {"job_id": i, **options.ours()}) for i, data, options in jobs])

    async def _flow(self, root: Node) -> None:
        if await is_new(self._queue.redis, self._queue.keys.base, root):
            await self._queue.add_flow(root.ours())

    async def _schedule(self, schedule_id: str, every: int) -> None:
        if await settled(self._queue.redis, self._queue.keys.base, schedule_id, every):
            options = {"attempts": 2, "backoff": 0, **OUR_KEEP}
            await self._queue.schedule(schedule_id, "name", {"returns": 1}, every=every, **options)

    async def _unschedule(self, schedule_id: str) -> None:
        if await settled(self._queue.redis, self._queue.keys.base, schedule_id, None):
            await self._queue.schedules.remove(schedule_id)

    async def _work(self) -> None:
        await self._run_one(play)

    async def _during(self, *steps: Step) -> None:
        async def handle(job: Job) -> Any:
            for step in steps:
                await self.take(step)
            return await play(job)

        await self._run_one(handle)

    async def _cut_off(self) -> None:
        async def handle(job: Job) -> Any:
            await self._queue.cancel(job.id, CUT_OFF)
            # a worker hears of it with its next beat
            await asyncio.sleep(20)

        await self._run_one(handle)

    async def _run_one(self, run: Callable[[Job], Awaitable[Any]]) -> None:
        """One job, and what fails without being run: the worker is told to stop while it runs its first."""
        ran = asyncio.Event()

        async def handle(job: Job) -> Any:
            ran.set()
            await worker.stop()
            return await run(job)

        # looking for stalled jobs is a step of its own
        await self._queue.redis.set(self._queue.keys.stalled_check, "1", px=LEASE_MS)
        worker = Worker(
            self._queue.name, handle, concurrency=1, name=WORKER_NAME, dead_letter_queue="", keep_completed=Keep(),
            keep_failed=Keep(), **self._settings,
        )  # fmt: skip
        # an idle worker takes the marker at a moment of its own; theirs is told to fetch, and takes none
        worker._watch.run = asyncio.Event().wait  # type: ignore[method-assign, assignment]
        running = asyncio.create_task(worker.run())
        await asyncio.wait_for(worker.wait_ready(), 10)
        while not ran.is_set():
            found = await self._queue.metrics()
            if found.paused or found.waiting + found.active == 0:
                await worker.stop()
                break
            await asyncio.sleep(0.005)
        await asyncio.wait_for(running, 20)

    async def _stall(self) -> None:
        """A worker takes a job and dies."""
        queue, scripts = self._queue, self._queue.scripts
        fetched = await scripts.finish_and_fetch(
            [], letters="", token="dead", lease_ms=LEASE_MS, worker=WORKER_NAME, room=1
        )
        for each in fetched.jobs:
            job_id, fields = each.id, each.fields
            if b"rjk" in fields:
                job = Job.from_hash(queue, job_id, fields, "dead")
                await queue.schedules.advance(text(fields[b"rjk"]), job_id, job.opts)
            await queue.redis.delete(queue.keys.job(job_id) + ":lock")
            # the first looks at it, the second puts it back; as if its lease had been over by then
            await asyncio.sleep(2 * STALLED_LEASE_MS / 1000)
            await self._look()
            await self._look()

    async def _look(self) -> None:
        await self._queue.redis.delete(self._queue.keys.stalled_check)
        await self._queue.scripts.recover_stalled(LEASE_MS, 3, lease_ms=STALLED_LEASE_MS)

    async def _cancel(self, job_id: str) -> None:
        await self._queue.cancel(job_id, CANCELLED)
        await self._queue.remove(job_id)

    async def _pause(self) -> None:
        await self._queue.pause()

    async def _resume(self) -> None:
        await self._queue.resume()

    async def _remove(self, job_id: str) -> None:
        if not await keeps_another(self._queue.redis, self._queue.keys.base):
            await self._queue.remove(job_id)

    async def _progress(self, job_id: str, value: Any) -> None:
        if job := await self._queue.get_job(job_id):
            await job.progress(value)

    async def _log(self, job_id: str, line: str) -> None:
        if job := await self._queue.get_job(job_id):
            await job.log(line)

    async def _update_data(self, job_id: str, data: Any) -> None:
        await self._queue.update_data(job_id, data)

    async def _promote(self, job_id: str) -> None:
        await self._queue.promote(job_id)

    async def _retry(self, job_id: str) -> None:
        if await self._queue.job_state(job_id) == "failed":
            await self._queue.retry(job_id, fresh=False)

    async def _change_delay(self, job_id: str, seconds: int) -> None:
        await self._queue.change_delay(job_id, seconds)

    async def _change_priority(self, job_id: str, priority: int) -> None:
        await self._queue.change_priority(job_id, priority)

    async def _retry_all(self) -> None:
        await self._queue.retry_all("failed", fresh=False)

    async def _promote_all(self) -> None:
        await self._queue.promote_all()

    async def _drain(self, delayed: bool) -> None:
        if await drains_right(self._queue.redis, self._queue.keys.base):
            await self._queue.drain(delayed=delayed)

    async def _clean(self, state: str) -> None:
        if await keeps_another(self._queue.redis, self._queue.keys.base):
            return
        if state == "wait":
            # theirs leaves those with a priority, ours takes all that wait
            await self._queue._clean(state, await self._queue.scripts.read_clock(), None)
        else:
            await self._queue.clean(state)

    async def _obliterate(self) -> None:
        await self._queue.pause()  # as BullMQ's own method does; ours wants it said
        await self._queue.obliterate()
