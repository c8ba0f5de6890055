"""A paused queue rests for everybody, whoever paused it; and no resume loses a job."""

from __future__ import annotations

import pytest
from crewline import Queue

from tests.interop.peers import Peer, stays, until
from tests.interop.play import our_worker


async def test_their_pause_stops_our_worker_and_their_resume_starts_it(peer: Peer, name: str, url: str) -> None:
    theirs = await peer.open("Queue", name)
    async with our_worker(name, url) as ours:
        await theirs("add", "before", {}, {})
        await until(lambda: ours.names == ["before"], "a job before the pause runs")
        await theirs("pause")
        await theirs("addBulk", [{"name": f"job-{n}", "data": {}, "opts": {}} for n in range(3)])
        await theirs("add", "high", {}, {"priority": 1})
        await stays(lambda: ours.names == ["before"], "no job is started in the pause")
        await theirs("resume")
        await until(lambda: len(ours.handled) == 5, "all run after the resume", seconds=4)
    assert sorted(ours.names[1:]) == ["high", "job-0", "job-1", "job-2"]


async def test_our_pause_stops_their_worker_and_our_resume_starts_it(peer: Peer, name: str, queue: Queue) -> None:
    worker = await peer.open("Worker", name)
    await queue.add("before", {})
    await until(lambda: len(worker.handled) == 1, "a job before the pause runs")
    assert await queue.pause()
    jobs = await queue.add_bulk([(f"job-{n}", {}) for n in range(3)])
    high = await queue.add("high", {}, priority=1)
    theirs = await peer.open("Queue", name)
    assert await theirs("isPaused") is True
    await stays(lambda: len(worker.handled) == 1, "no job is started in the pause")
    assert await queue.resume()
    assert await theirs("isPaused") is False
    await until(lambda: len(worker.handled) == 5, "all run after the resume", seconds=4)
    assert worker.handled[1:] == [*(job.id for job in jobs), high.id]


async def test_a_delayed_job_that_comes_due_in_a_pause_runs_after_it(peer: Peer, name: str, url: str) -> None:
    theirs = await peer.open("Queue", name)
    async with our_worker(name, url) as ours:
        await theirs("pause")
        await theirs("add", "due", {}, {"delay": 100})
        await stays(lambda: not ours.handled, "no job is started in the pause")
        await theirs("resume")
        # BullMQ 5 sets no marker unless it parked something itself: its own workers wait out their poll of 5 s, too
        seconds = 6.5 if peer.flavour == "bullmq5" else 4
        await until(lambda: ours.names == ["due"], "it runs after the resume", seconds)


async def test_our_resume_brings_back_what_bullmq_5_parked_and_keeps_the_order(
    node5: Peer, name: str, url: str, queue: Queue
) -> None:
    theirs = await node5.open("Queue", name)
    for n in range(3):
        await theirs("add", f"old-{n}", {}, {})
    await theirs("pause")
    await theirs("add", "parked", {}, {})
    assert await queue.redis.llen(queue.keys.paused) == 4
    await queue.add("ours", {})
    assert (await queue.metrics()).waiting == 5
    assert await queue.resume()
    assert not await queue.redis.exists(queue.keys.paused)
    async with our_worker(name, url, concurrency=1) as ours:
        await until(lambda: len(ours.handled) == 5, "all five run")
    assert ours.names == ["old-0", "old-1", "old-2", "parked", "ours"]


@pytest.mark.parametrize("parked", [0, 2])
async def test_what_we_add_in_a_pause_of_bullmq_5_outlives_its_resume(
    node5: Peer, name: str, queue: Queue, url: str, parked: int
) -> None:
    """It renames `paused` over `wait`, and wakes nobody where it has nothing to rename."""
    theirs = await node5.open("Queue", name)
    await theirs("pause")
    for n in range(parked):
        await theirs("add", f"parked-{n}", {}, {})
    await queue.add("ours", {})
    await queue.add_bulk([("ours-bulk", {}), ("ours-urgent", {}, {"priority": 1})])
    await theirs("add", "theirs", {}, {})
    await queue.add("first", {}, lifo=True)
    assert (await queue.metrics()).waiting == parked + 5
    async with our_worker(name, url, concurrency=1) as ours:
        await stays(lambda: not ours.handled, "no job is started in the pause")
        await theirs("resume")
        await until(lambda: len(ours.handled) == parked + 5, "all run", 3)
    expected = ["first", *(f"parked-{n}" for n in range(parked)), "ours", "ours-bulk", "theirs", "ours-urgent"]
    assert ours.names == expected


async def test_a_pause_of_bullmq_6_parks_nothing(node6: Peer, name: str, queue: Queue) -> None:
    theirs = await node6.open("Queue", name)
    await theirs("pause")
    await queue.add("ours", {})
    assert await queue.redis.llen(queue.keys.wait) == 1


async def test_our_resume_of_a_large_bullmq_5_pause_loses_nothing(
    node5: Peer, name: str, url: str, queue: Queue
) -> None:
    theirs = await node5.open("Queue", name)
    await theirs("pause")
    parked = await theirs("addBulk", [{"name": "parked", "data": {}, "opts": {}} for _ in range(12_000)])
    waiting = await queue.add_bulk([("waits", {}) for _ in range(300)])
    assert await queue.resume()
    ids = [job.decode() for job in await queue.redis.lrange(queue.keys.wait, 0, -1)]
    assert list(reversed(ids)) == [*(job["id"] for job in parked), *(job.id for job in waiting)]


async def test_bullmq_5_and_6_resume_what_we_paused_without_loss(node: Peer, name: str, queue: Queue) -> None:
    """BullMQ 5 renames `paused` over `wait` where there is one; with our pause there is none."""
    theirs = await node.open("Queue", name)
    await queue.add("before", {})
    await queue.pause()
    await queue.add("during", {})
    await theirs("resume")
    assert await queue.redis.llen(queue.keys.wait) == 2
    worker = await node.open("Worker", name)
    await until(lambda: len(worker.handled) == 2, "both run")


async def test_their_events_tell_of_our_pause_once(node: Peer, name: str, queue: Queue) -> None:
    events = await node.open("QueueEvents", name, lastEventId="0-0")
    assert [await queue.pause(), await queue.pause()] == [True, False]
    assert [await queue.resume(), await queue.resume()] == [True, False]
    await until(lambda: events.said("resumed"), "the resume is told")
    assert [event["event"] for event in events.events] == ["paused", "resumed"]
