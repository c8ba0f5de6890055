"""Limits that a BullMQ client sets on a queue hold for our worker, too."""

from __future__ import annotations

from crewline import Queue

from tests.interop.peers import Peer, stays, until
from tests.interop.play import our_worker


async def test_our_worker_keeps_their_global_concurrency(peer: Peer, name: str, url: str, queue: Queue) -> None:
    theirs = await peer.open("Queue", name)
    await theirs("setGlobalConcurrency", 2)
    await theirs("addBulk", [{"name": "j", "data": {"takesMs": 60}, "opts": {}} for _ in range(12)])
    most = 0
    async with our_worker(name, url, concurrency=10) as one, our_worker(name, url, concurrency=10) as other:

        async def finished() -> bool:
            nonlocal most
            found = await queue.metrics()
            most = max(most, found.active)
            return found.waiting + found.active == 0

        # 12 jobs, 2 at a time, 60 ms each: 0.4 s; a limit that only moves with the 5 s poll would take 30 s
        await until(finished, "all run, two at a time", seconds=8)
        assert len(one.handled) + len(other.handled) == 12
    assert most == 2


async def test_a_global_concurrency_is_shared_between_their_worker_and_ours(
    node: Peer, name: str, url: str, queue: Queue
) -> None:
    theirs = await node.open("Queue", name)
    await theirs("setGlobalConcurrency", 3)
    worker = await node.open("Worker", name, concurrency=10)
    most = 0
    async with our_worker(name, url, concurrency=10) as ours:
        await queue.add_bulk([("j", {"takesMs": 40}) for _ in range(60)])

        async def finished() -> bool:
            nonlocal most
            found = await queue.metrics()
            most = max(most, found.active)
            return found.waiting + found.active == 0

        await until(finished, "all run, three at a time", seconds=20)
        await node.heard()
        assert len(ours.handled) + len(worker.handled) == 60
    assert most == 3


async def test_taking_their_global_concurrency_away_lets_our_worker_go_on(
    peer: Peer, name: str, url: str, queue: Queue
) -> None:
    theirs = await peer.open("Queue", name)
    await theirs("setGlobalConcurrency", 1)
    async with our_worker(name, url, concurrency=10) as ours:
        await queue.add_bulk([("j", {"takesMs": 400}) for _ in range(4)])
        await until(lambda: ours.handled, "one runs")
        await stays(lambda: len(ours.handled) == 1, "one at a time", seconds=0.2)
        await theirs("removeGlobalConcurrency")
        await until(lambda: len(ours.handled) == 4, "all run")
        assert max(run.at for run in ours.handled[1:]) - min(run.at for run in ours.handled[1:]) < 0.3


async def test_our_worker_keeps_their_global_rate_limit(peer: Peer, name: str, url: str) -> None:
    theirs = await peer.open("Queue", name)
    await theirs("setGlobalRateLimit", 5, 600)
    await theirs("addBulk", [{"name": "j", "data": {}, "opts": {}} for _ in range(15)])
    async with our_worker(name, url, concurrency=10) as ours:
        await until(lambda: len(ours.handled) == 15, "all run, 5 in 600 ms", seconds=8)
    starts = sorted(run.at for run in ours.handled)
    # three windows: the last one begins two windows after the first job
    assert 1.15 <= starts[10] - starts[0] < 4.0
    for first, sixth in zip(starts, starts[5:], strict=False):
        assert sixth - first > 0.5, starts


async def test_a_global_rate_limit_is_shared_between_their_worker_and_ours(
    node: Peer, name: str, url: str, queue: Queue
) -> None:
    theirs = await node.open("Queue", name)
    await theirs("setGlobalRateLimit", 6, 500)
    worker = await node.open("Worker", name, concurrency=10)
    async with our_worker(name, url, concurrency=10) as ours:
        await queue.add_bulk([("j", {}) for _ in range(24)])
        await until(lambda: len(ours.handled) + len(worker.handled) == 24, "all run, 6 in 500 ms", seconds=15)
    starts = sorted([*(run.at for run in ours.handled), *(event["at"] / 1000 for event in worker.said("handled"))])
    for first, seventh in zip(starts, starts[6:], strict=False):
        assert seventh - first > 0.4, starts


async def test_a_rate_limit_that_they_set_by_hand_holds_our_worker_off(node: Peer, name: str, url: str) -> None:
    theirs = await node.open("Queue", name)
    await theirs("rateLimit", 900)
    async with our_worker(name, url) as ours:
        await theirs("add", "j", {}, {})
        await stays(lambda: not ours.handled, "nothing runs while the limit holds", seconds=0.6)
        await until(lambda: ours.handled, "it runs after the limit", seconds=4)
