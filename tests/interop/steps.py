"""The same steps through BullMQ and through us: a vocabulary that both sides speak, for the differential tests.

A step is a tuple of its name and its arguments, as `STEPS` lists them. Job ids are the caller's, so that they are the
same on both sides; a step on a job that does not exist, or can't take it, leaves things as they are on both.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from crewline import CrewlineError, Dedup, FlowJob, Job, Keep, Queue, Worker

from tests.interop.peers import Peer, PeerError, Remote
from tests.interop.play import play

Step = tuple[Any, ...]

WORKER_NAME = "worker"


#: Said on both sides: where it is left out, BullMQ's jobs stay for ever and ours for a day or seven.
OUR_KEEP: dict[str, Any] = {"remove_on_complete": False, "remove_on_fail": False}
THEIR_KEEP: dict[str, Any] = {"removeOnComplete": False, "removeOnFail": False}

#: What a child's failure does to its parent, as BullMQ's options name it.
ON_FAILURE = {
    "fail": "failParentOnFailure",
    "ignore": "ignoreDependencyOnFailure",
    "continue": "continueParentOnFailure",
    "remove": "removeDependencyOnFailure",
}


@dataclass(frozen=True)
class Node:
    """A job of a flow and its children."""

    job_id: str
    data: Any = None
    children: tuple[Node, ...] = ()
    on_failure: str = "wait"
    attempts: int = 1

    def ours(self) -> FlowJob:
        return FlowJob(
            f"name-{self.job_id}", self.data, [child.ours() for child in self.children], on_failure=self.on_failure,
            options={"job_id": self.job_id, "attempts": self.attempts, "backoff": 0, **OUR_KEEP},
        )  # fmt: skip

    def theirs(self, queue: str) -> dict[str, Any]:
        options: dict[str, Any] = {"jobId": self.job_id, "attempts": self.attempts, **THEIR_KEEP}
        if self.on_failure != "wait":
            options[ON_FAILURE[self.on_failure]] = True
        node = {"name": f"name-{self.job_id}", "queueName": queue, "data": self.data, "opts": options}
        return node | ({"children": [child.theirs(queue) for child in self.children]} if self.children else {})


@dataclass(frozen=True)
class Options:
    """Of one job; delays in seconds."""

    delay: int = 0
    priority: int = 0
    lifo: bool = False
    attempts: int = 1
    backoff: int = 0
    keep: int | None = None
    dedup: Dedup | None = None

    def ours(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "delay": self.delay,
            "priority": self.priority,
            "lifo": self.lifo,
            "attempts": self.attempts,
            "backoff": self.backoff,
            **OUR_KEEP,
        }
        if self.dedup:
            options["dedup"] = self.dedup
        if self.keep is not None:
            options |= {"remove_on_complete": self.keep or True, "remove_on_fail": self.keep or True}
        return options

    def theirs(self) -> dict[str, Any]:
        options: dict[str, Any] = {"attempts": self.attempts, **THEIR_KEEP}
        if self.delay:
            options["delay"] = self.delay * 1000
        if self.priority:
            options["priority"] = self.priority
        if self.lifo:
            options["lifo"] = True
        if self.backoff:
            options["backoff"] = {"type": "fixed", "delay": self.backoff * 1000}
        if self.dedup:
            options["deduplication"] = self.dedup.to_wire()
        if self.keep is not None:
            options |= {"removeOnComplete": self.keep or True, "removeOnFail": self.keep or True}
        return options


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
        await self._queue.add_flow(root.ours())

    async def _schedule(self, schedule_id: str, every: int) -> None:
        await self._queue.schedule(schedule_id, "name", {"returns": 1}, every=every, attempts=2, backoff=0, **OUR_KEEP)

    async def _unschedule(self, schedule_id: str) -> None:
        await self._queue.schedules.remove(schedule_id)

    async def _work(self) -> None:
        """One job, and what fails without being run: the worker is told to stop while it runs its first."""
        ran = asyncio.Event()

        async def handle(job: Job) -> Any:
            ran.set()
            await worker.stop()
            return await play(job)

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

    async def _pause(self) -> None:
        await self._queue.pause()

    async def _resume(self) -> None:
        await self._queue.resume()

    async def _remove(self, job_id: str) -> None:
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
        await self._queue.drain(delayed=delayed)

    async def _clean(self, state: str) -> None:
        await self._queue.clean(state)

    async def _obliterate(self) -> None:
        await self._queue.pause()  # as BullMQ's own method does; ours wants it said
        await self._queue.obliterate()


class Theirs:
    """Steps through npm bullmq."""

    def __init__(self, name: str, queue: Remote, worker: Remote, flows: Remote) -> None:
        self._name = name
        self._queue = queue
        self._worker = worker
        self._flows = flows

    @classmethod
    async def open(cls, peer: Peer, prefix: str, name: str) -> Theirs:
        return cls(
            name,
            await peer.open("Queue", name, prefix=prefix),
            await peer.open("Worker", name, prefix=prefix, manual=True, name=WORKER_NAME),
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
        await self._flows("add", root.theirs(self._name))

    async def _schedule(self, schedule_id: str, every: int) -> None:
        template = {"name": "name", "data": {"returns": 1}, "opts": {"attempts": 2, **THEIR_KEEP}}
        await self._queue("upsertJobScheduler", schedule_id, {"every": every * 1000}, template)

    async def _unschedule(self, schedule_id: str) -> None:
        await self._queue("removeJobScheduler", schedule_id)

    async def _work(self) -> None:
        await self._worker.work()

    async def _pause(self) -> None:
        await self._queue("pause")

    async def _resume(self) -> None:
        await self._queue("resume")

    async def _remove(self, job_id: str) -> None:
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
        await self._queue("drain", delayed)

    async def _clean(self, state: str) -> None:
        await self._queue("clean", 0, 0, state)

    async def _obliterate(self) -> None:
        await self._queue("obliterate")
