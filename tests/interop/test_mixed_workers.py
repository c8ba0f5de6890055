"""Workers of both npm majors, the port and ours on one queue: each job is somebody's, and only one's."""

from __future__ import annotations

from collections import Counter

from crewline import Queue

from tests.interop.peers import Peer, until
from tests.interop.play import our_worker

JOBS = 20_000


async def test_each_job_is_handled_exactly_once(node5: Peer, node6: Peer, port: Peer, name: str, url: str) -> None:
    async with Queue(name, redis=url) as queue, our_worker(name, url, concurrency=10) as ours:
        theirs = [await peer.open("Worker", name, concurrency=10) for peer in (node5, node6, port)]
        producers = [await peer.open("Queue", name) for peer in (node5, node6)]
        added = set()
        share = JOBS // 10
        for part in range(10):
            jobs = [(f"job-{n}", {"takesMs": 1}) for n in range(share)]
            if part % 2:
                added |= {job.id for job in await queue.add_bulk(jobs)}
            else:
                producer = producers[part // 2 % 2]
                bulk = [{"name": job, "data": data, "opts": {}} for job, data in jobs]
                added |= {job["id"] for job in await producer("addBulk", bulk)}
        assert len(added) == JOBS

        async def finished() -> bool:
            found = await queue.metrics()
            return found.waiting + found.active == 0

        await until(finished, "the queue is worked off", seconds=60)
        for peer in (node5, node6, port):
            await peer.heard()
        shares = [len(ours.handled), *(len(worker.handled) for worker in theirs)]
        runs = Counter(ours.ids)
        for worker in theirs:
            runs.update(worker.handled)
        assert set(runs) == added
        assert max(runs.values()) == 1, f"run twice: {[job for job, count in runs.items() if count > 1][:10]}"
        assert all(shares), f"a worker had no share: {shares}"
        # ours keeps 1,000 completed jobs unless told otherwise, theirs all of them
        found = await queue.metrics()
        assert found.failed == 0
        assert not await queue.redis.keys(f"bull:{name}:*:lock")
        assert not any(worker.said("error") for worker in theirs)


async def test_priorities_and_delays_hold_across_workers(node5: Peer, node6: Peer, name: str, url: str) -> None:
    """Three workers of one slot each: what runs first is the queue's decision, not a worker's."""
    async with Queue(name, redis=url) as queue:
        await queue.pause()
        for priority in (5, 1, 3):
            await queue.add_bulk([(f"p{priority}", {"takesMs": 10}, {"priority": priority}) for _ in range(20)])
        async with our_worker(name, url, concurrency=1) as ours:
            theirs = [await peer.open("Worker", name) for peer in (node5, node6)]
            await queue.resume()
            await until(lambda: sum(map(len, (ours.handled, *(w.handled for w in theirs)))) == 60, "all run")
            runs = [(run.at * 1000, run.name) for run in ours.handled]
            for worker in theirs:
                runs += [(event["at"], event["name"]) for event in worker.said("handled")]
        order = [job for _, job in sorted(runs)]
        for priority, part in ((1, order[:20]), (3, order[20:40]), (5, order[40:])):
            # at a border one or two of the next class may be stamped before the last of this one
            assert part.count(f"p{priority}") >= 17, order


async def test_a_retry_may_be_made_by_any_worker(node5: Peer, node6: Peer, name: str, url: str) -> None:
    async with Queue(name, redis=url) as queue, our_worker(name, url, concurrency=4) as ours:
        theirs = [await peer.open("Worker", name, concurrency=4) for peer in (node5, node6)]
        jobs = await queue.add_bulk(
            [("flaky", {"fails": 2, "returns": n, "takesMs": 5}, {"attempts": 3, "backoff": 0.01}) for n in range(200)]
        )
        assert [await job.result(timeout=30) for job in jobs] == list(range(200))
        for peer in (node5, node6):
            await peer.heard()
        attempts = Counter((run.job, run.attempt) for run in ours.handled)
        for worker in theirs:
            attempts.update((event["job"], event["attempt"]) for event in worker.said("handled"))
        assert attempts == Counter((job.id, attempt) for job in jobs for attempt in (1, 2, 3))
        seen = await queue.get_job(jobs[0].id)
        assert seen is not None and len(seen.stacktrace) == 2
