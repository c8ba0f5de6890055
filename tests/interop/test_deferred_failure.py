"""A job that stalled too often is failed by whoever fetches it next: the note of it (`defa`) is read across engines."""

from __future__ import annotations

from crewline import DeadLetters, Queue

from tests.interop.peers import Peer, until
from tests.interop.play import our_worker

REASON = "job stalled more than allowable limit"


async def _stall(queue: Queue, job_id: str) -> None:
    """As a worker leaves a job when it dies: active, without a lock, and seen so by the last check."""
    keys = queue.keys
    await queue.redis.lrem(keys.wait, 1, job_id)
    await queue.redis.lpush(keys.active, job_id)
    await queue.redis.sadd(keys.stalled, job_id)
    await queue.redis.delete(f"{keys.base}stalled-check")


async def test_we_fail_a_job_that_their_check_found_stalled_too_often(
    node: Peer, name: str, url: str, queue: Queue
) -> None:
    theirs = await node.open("Queue", name)
    job_id = (await theirs("add", "poison", {"returns": "ran"}, {"attempts": 5}))["id"]
    await _stall(queue, job_id)
    checker = await node.open("Worker", name, manual=True, maxStalledCount=0)
    await checker("startStalledCheckTimer")
    await until(lambda: queue.redis.hget(queue.keys.job(job_id), "defa"), "their check condemns it")
    await checker.close()
    async with our_worker(name, url) as ours:
        await until(lambda: theirs.is_in("failed", job_id), "our worker fails it")
        assert ours.handled == []
    seen = await theirs.job(job_id)
    assert seen["failedReason"] == REASON
    assert await queue.redis.hget(queue.keys.job(job_id), "defa") is None
    (letter,) = await DeadLetters(queue).list()
    assert (letter.job_id, letter.reason) == (job_id, REASON)


async def test_we_run_again_what_their_check_found_stalled_once(node: Peer, name: str, url: str, queue: Queue) -> None:
    theirs = await node.open("Queue", name)
    job_id = (await theirs("add", "unlucky", {"returns": "ran"}, {}))["id"]
    await _stall(queue, job_id)
    checker = await node.open("Worker", name, manual=True, maxStalledCount=1)
    events = await node.open("QueueEvents", name, lastEventId="0-0")
    await checker("startStalledCheckTimer")
    await until(lambda: events.said("stalled", job_id), "their check puts it back")
    await checker.close()
    async with our_worker(name, url) as ours:
        await until(lambda: theirs.is_in("completed", job_id), "our worker runs it")
        assert ours.ids == [job_id]
    seen = await theirs.job(job_id)
    assert (seen["returnvalue"], seen["stalledCounter"], seen["attemptsMade"]) == ("ran", 1, 1)


async def test_they_fail_a_job_that_we_condemned(peer: Peer, name: str, queue: Queue) -> None:
    job = await queue.add("poison", {"returns": "ran"}, attempts=5)
    await queue.redis.hset(queue.keys.job(job.id), "defa", "job took its worker down 3 times")
    worker = await peer.open("Worker", name)
    await until(lambda: _state(queue, job.id, "failed"), "their worker fails it")
    await peer.heard()
    assert worker.handled == []
    seen = await queue.get_job(job.id)
    assert seen is not None and seen.failed_reason == "job took its worker down 3 times"


async def test_they_run_what_our_check_put_back(peer: Peer, name: str, url: str, queue: Queue) -> None:
    """Our checks mark a dead worker's jobs as suspects; a worker that knows no suspects just runs them."""
    job = await queue.add("unlucky", {"returns": "ran"})
    await _stall(queue, job.id)
    await queue.pause()
    async with our_worker(name, url, stalled_interval_seconds=0.2):
        await until(lambda: _state(queue, job.id, "waiting"), "our check puts it back")
    await queue.resume()
    worker = await peer.open("Worker", name)
    assert await job.result(timeout=10) == "ran"
    await peer.heard()
    assert worker.handled == [job.id]
    theirs = await peer.open("Queue", name)
    assert (await theirs.job(job.id))["stalledCounter"] == 1


async def test_our_job_survives_their_stalled_check_while_we_run_it(node: Peer, name: str, url: str) -> None:
    """Our lease is their lock: a check of theirs leaves a job alone that our worker holds."""
    theirs = await node.open("Queue", name)
    checker = await node.open("Worker", name, manual=True, stalledInterval=100)
    await checker("startStalledCheckTimer")
    async with our_worker(name, url, lease_seconds=0.5) as ours:
        job = await theirs("add", "long", {"takesMs": 2000, "returns": "ran"}, {})
        await until(lambda: theirs.is_in("completed", job["id"]), "it completes")
        assert ours.ids == [job["id"]]
    seen = await theirs.job(job["id"])
    assert (seen["stalledCounter"], seen["attemptsStarted"]) == (0, 1)


async def _state(queue: Queue, job_id: str, state: str) -> bool:
    return await queue.job_state(job_id) == state
