"""Repeated jobs: a schedule that one side made goes on in the other's workers."""

from __future__ import annotations

from crewline import Queue

from tests.interop.peers import Peer, until
from tests.interop.play import our_worker


async def test_we_run_their_schedule_on_and_on(node: Peer, name: str, url: str) -> None:
    theirs = await node.open("Queue", name)
    async with our_worker(name, url) as ours:
        await theirs("upsertJobScheduler", "tick", {"every": 300}, {"name": "tick", "data": {"returns": 1}})
        await until(lambda: len(ours.handled) >= 4, "four iterations run", seconds=8)
        await theirs("removeJobScheduler", "tick")
    assert len(set(ours.ids)) == len(ours.ids)
    moments = [int(job.rpartition(":")[2]) for job in ours.ids[:4]]
    # on the grid of the first; a machine too busy for one slot may leave it out
    assert all((moment - moments[0]) % 300 == 0 for moment in moments)


async def test_they_run_our_schedule_on_and_on_and_list_it(node: Peer, name: str, queue: Queue) -> None:
    theirs = await node.open("Queue", name)
    worker = await node.open("Worker", name)
    await queue.schedule("tick", "tick", {"returns": 1}, every=0.3)
    await until(lambda: len(worker.handled) >= 4, "four iterations run", seconds=8)
    (listed,) = await theirs("getJobSchedulers")
    assert (listed["key"], listed["name"], int(listed["every"])) == ("tick", "tick", 300)
    assert await queue.schedules.remove("tick")
    assert await theirs("getJobSchedulersCount") == 0
    assert len(set(worker.handled)) == len(worker.handled)


async def test_our_cron_is_their_cron(node: Peer, name: str, queue: Queue) -> None:
    """The next moments of a rule, computed by both."""
    theirs = await node.open("Queue", name)
    for n, (cron, zone) in enumerate(
        [
            ("*/5 * * * *", "UTC"),
            ("30 2 * * *", "Europe/Berlin"),
            ("0 9 * * 1-5", "America/New_York"),
            ("15 0 1 * *", "UTC"),
        ]
    ):
        await queue.schedule(f"ours-{n}", "j", {}, cron=cron, time_zone=zone)
        await theirs("upsertJobScheduler", f"theirs-{n}", {"pattern": cron, "tz": zone}, {"name": "j"})
        ours, other = [
            await queue.redis.zscore(f"{queue.keys.base}repeat", f"{side}-{n}") for side in ("ours", "theirs")
        ]
        assert ours == other, (cron, zone)
