"""A job that waits for a larger worker of ours is a delayed one to BullMQ: it finds it, may move it, and loses none."""

from __future__ import annotations

from crewline import Job, Queue
from crewline.redis.scripts import Result

from tests.interop.peers import Peer, until

HOUR_MS = 3_600_000


async def _outgrown(queue: Queue) -> Job:
    """One that was killed for want of memory under a worker of ours."""
    job = await queue.add("report", {"returns": "ran"})
    asked = {"letters": "", "token": "t", "lease_ms": 60_000, "worker": "w"}
    await queue.scripts.finish_and_fetch([], room=1, **asked)  # type: ignore[arg-type]
    died = Result(job.id, "t", "back", "", larger="OOMKilled", outgrown=True)
    await queue.scripts.finish_and_fetch([died], room=0, **asked)  # type: ignore[arg-type]
    return job


async def test_their_workers_leave_it_and_their_clients_find_and_promote_it(
    peer: Peer, name: str, queue: Queue
) -> None:
    job = await _outgrown(queue)
    theirs, worker = await peer.open("Queue", name), await peer.open("Worker", name)
    other = await queue.add("other", {"returns": "ran"})
    assert await other.result(timeout=10) == "ran"
    assert await theirs.is_in("delayed", job.id)
    await theirs.job(job.id, "promote")
    assert await job.result(timeout=10) == "ran"
    await peer.heard()
    assert worker.handled == [other.id, job.id]


async def test_their_worker_runs_it_once_its_hour_is_over(peer: Peer, name: str, queue: Queue) -> None:
    job = await _outgrown(queue)
    await queue.redis.zincrby(queue.keys.delayed, -HOUR_MS * 4096, job.id)
    worker = await peer.open("Worker", name)
    assert await job.result(timeout=20) == "ran"
    await peer.heard()
    assert worker.handled == [job.id]
    # what it was told by goes with the next that we hear of it
    fetched = await queue.scripts.finish_and_fetch(
        [], letters="", token="t", lease_ms=60_000, worker="w", room=1, larger=True
    )
    assert (fetched.jobs, await queue.redis.exists(queue.keys.extra("larger"))) == ([], 0)


async def test_what_they_remove_is_gone_for_a_larger_worker_too(peer: Peer, name: str, queue: Queue) -> None:
    job = await _outgrown(queue)
    theirs = await peer.open("Queue", name)
    await theirs("remove", job.id)
    await until(lambda: _gone(queue, job), "their client removes it")
    fetched = await queue.scripts.finish_and_fetch(
        [], letters="", token="t", lease_ms=60_000, worker="w", room=1, larger=True
    )
    assert fetched.jobs == []


async def _gone(queue: Queue, job: Job) -> bool:
    return not await queue.redis.exists(queue.keys.job(job.id))
