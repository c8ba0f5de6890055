"""Clean, drain, obliterate, retry, promote and remove by a BullMQ client on our queues: as on its own."""

from __future__ import annotations

import pytest
from crewline import DeadLetters, Queue
from redis.asyncio import Redis

from tests.interop.dump import lasting_keys
from tests.interop.peers import Peer, PeerError, until
from tests.interop.play import our_worker


async def test_their_retry_of_failed_jobs_runs_them_again_on_our_worker(
    node: Peer, name: str, url: str, queue: Queue
) -> None:
    theirs = await node.open("Queue", name)
    jobs = await queue.add_bulk([("flaky", {"fails": 1}, {"attempts": 1}) for _ in range(5)])
    async with our_worker(name, url) as ours:
        await until(lambda: theirs.counts(failed=5), "all fail")
        await theirs("retryJobs", {"state": "failed"})
        # each has one attempt behind it now, and so ends well
        await until(lambda: theirs.counts(failed=0, completed=5), "all complete", seconds=4)
        assert sorted(ours.ids) == sorted(job.id for job in [*jobs, *jobs])
    seen = await theirs.job(jobs[0].id)
    assert (seen["failedReason"], seen["attemptsMade"]) == (None, 2)


async def test_their_retry_of_one_job_wakes_our_worker(peer: Peer, name: str, url: str, queue: Queue) -> None:
    theirs = await peer.open("Queue", name)
    job = await queue.add("flaky", {"fails": 1, "returns": "well"}, attempts=1)
    async with our_worker(name, url):
        await until(lambda: theirs.is_in("failed", job.id), "it fails")
        await theirs.job(job.id, "retry", "failed")
        await until(lambda: theirs.is_in("completed", job.id), "it completes", seconds=4)
    assert await job.result(timeout=1) == "well"


async def test_their_promotion_runs_our_delayed_jobs_now(peer: Peer, name: str, url: str, queue: Queue) -> None:
    theirs = await peer.open("Queue", name)
    jobs = await queue.add_bulk([(f"later-{n}", {}, {"delay": 3600}) for n in range(3)])
    async with our_worker(name, url) as ours:
        await theirs.job(jobs[0].id, "promote")
        await until(lambda: ours.names == ["later-0"], "the one promoted runs", seconds=4)
        await theirs("promoteJobs", {})
        await until(lambda: len(ours.handled) == 3, "the others run", seconds=4)
    assert await theirs.counts(delayed=0, completed=3)


async def test_their_drain_empties_our_queue_but_for_what_is_delayed(
    peer: Peer, name: str, url: str, queue: Queue
) -> None:
    theirs = await peer.open("Queue", name)
    await queue.add_bulk([("j", {}), ("j", {}, {"priority": 3}), ("j", {}, {"lifo": True})])
    later = await queue.add("later", {}, delay=3600)
    await theirs("drain")
    assert (await queue.metrics()).waiting == 0
    assert await later.state() == "delayed"
    await theirs("drain", True)
    assert await later.state() == "unknown"
    await queue.add("after", {})
    async with our_worker(name, url) as ours:
        await until(lambda: ours.names == ["after"], "the queue works on")


async def test_their_clean_takes_our_finished_jobs_and_their_keys(
    peer: Peer, name: str, url: str, queue: Queue
) -> None:
    theirs = await peer.open("Queue", name)
    fine = await queue.add_bulk([("fine", {"log": "a line"}) for _ in range(3)])
    bad = await queue.add_bulk([("bad", {"fails": 1}, {"attempts": 1}) for _ in range(2)])
    async with our_worker(name, url):
        await until(lambda: theirs.counts(completed=3, failed=2), "all end")
    assert sorted(await theirs("clean", 0, 100, "completed")) == sorted(job.id for job in fine)
    assert sorted(await theirs("clean", 0, 100, "failed")) == sorted(job.id for job in bad)
    assert await theirs.counts(completed=0, failed=0)
    assert not [key for job in (*fine, *bad) for key in await queue.redis.keys(f"bull:{name}:{job.id}*")]
    # the letters tell of the dead all the same
    assert len(await DeadLetters(queue).list()) == 2


async def test_their_clean_takes_our_waiting_and_delayed_jobs(node: Peer, name: str, queue: Queue) -> None:
    theirs = await node.open("Queue", name)
    waiting, high, later = [
        (await queue.add("j", {}, **options)).id for options in ({}, {"priority": 2}, {"delay": 3600})
    ]
    assert await theirs("clean", 0, 100, "wait") == [waiting]
    assert await theirs("clean", 0, 100, "prioritized") == [high]
    assert await theirs("clean", 0, 100, "delayed") == [later]
    assert not await queue.redis.keys(f"bull:{name}:[0-9]*")


async def test_their_obliterate_leaves_nothing_of_our_queue_and_breaks_nothing(
    peer: Peer, name: str, url: str, queue: Queue
) -> None:
    theirs = await peer.open("Queue", name)
    async with our_worker(name, url) as ours:
        await queue.add_bulk([("fine", {"log": "a line", "progress": 1}), ("bad", {"fails": 1}, {"attempts": 1})])
        await until(lambda: theirs.counts(completed=1, failed=1), "both end")
        await queue.add_bulk([("later", {}, {"delay": 3600}), ("high", {}, {"priority": 3, "delay": 3600})])
        await theirs("pause")
        await theirs("obliterate")
        left = [key.decode() for key in await queue.redis.keys(f"bull:{name}:*")]
        # what a running worker of any kind may set again at any moment
        assert {key.rpartition(":")[2] for key in left} <= {"marker", "stalled-check"}
        ours.handled.clear()
        job = await queue.add("after", {"returns": "ran"})
        assert await job.result(timeout=10) == "ran"
        assert ours.names == ["after"]


async def test_their_obliterate_refuses_while_our_worker_runs_a_job(node: Peer, name: str, url: str) -> None:
    theirs = await node.open("Queue", name)
    async with our_worker(name, url) as ours:
        await theirs("add", "runs", {"takesMs": 1500}, {})
        await until(lambda: ours.handled, "it runs")
        await theirs("pause")
        with pytest.raises(PeerError, match="active jobs"):
            await theirs("obliterate")


async def test_their_removal_takes_a_waiting_job_and_not_one_that_we_run(node: Peer, name: str, url: str) -> None:
    theirs = await node.open("Queue", name)
    async with our_worker(name, url, concurrency=1) as ours:
        running = await theirs("add", "runs", {"takesMs": 700}, {})
        await until(lambda: ours.handled, "it runs")
        waiting = await theirs("add", "waits", {}, {})
        await theirs.job(waiting["id"], "remove")
        with pytest.raises(PeerError, match="locked"):
            await theirs.job(running["id"], "remove")
        await until(lambda: theirs.is_in("completed", running["id"]), "it completes")
        assert ours.ids == [running["id"]]
    assert await theirs.is_in("unknown", waiting["id"])


async def test_bullmq_6_finds_no_orphans_among_our_jobs(
    node6: Peer, name: str, url: str, queue: Queue, redis: Redis
) -> None:
    theirs = await node6.open("Queue", name)
    await queue.add_bulk([("fine", {"log": "x"}), ("bad", {"fails": 1}, {"attempts": 1})])
    async with our_worker(name, url):
        await until(lambda: theirs.counts(completed=1, failed=1), "both end")
    await queue.add_bulk([("waits", {}), ("later", {}, {"delay": 60}), ("high", {}, {"priority": 1})])
    before = await lasting_keys(redis, name)
    assert {f"bull:{name}:{job_id}" for job_id in range(1, 6)} < before
    assert await theirs("removeOrphanedJobs", 1000, 0) == 0
    assert await lasting_keys(redis, name) == before


async def test_their_change_of_data_delay_and_priority_holds_for_us(
    node: Peer, name: str, url: str, queue: Queue
) -> None:
    theirs = await node.open("Queue", name)
    data, soon, high = await queue.add_bulk(
        [("data", {"returns": 1}, {"priority": 9}), ("soon", {}, {"delay": 3600}), ("high", {}, {"priority": 8})]
    )
    await theirs.job(data.id, "updateData", {"returns": 2})
    await theirs.job(soon.id, "changeDelay", 50)
    await theirs.job(high.id, "changePriority", {"priority": 0})
    async with our_worker(name, url, concurrency=1) as ours:
        await until(lambda: len(ours.handled) == 3, "all run", seconds=4)
        assert await data.result(timeout=5) == 2
    assert ours.names.index("high") < ours.names.index("data")
