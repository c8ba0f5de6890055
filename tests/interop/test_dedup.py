"""One deduplication id, whichever side adds with it and whichever works."""

from __future__ import annotations

from crewline import Dedup, Queue

from tests.interop.peers import Peer, until
from tests.interop.play import our_worker


async def test_a_dedup_id_of_theirs_holds_for_us_until_our_worker_has_ended_its_job(
    node: Peer, name: str, url: str, queue: Queue
) -> None:
    theirs = await node.open("Queue", name)
    first = await theirs("add", "j", {}, {"deduplication": {"id": "d"}})
    assert (await queue.add("j", {}, dedup=Dedup("d"))).id == first["id"]
    async with our_worker(name, url):
        await until(lambda: theirs.is_in("completed", first["id"]), "it completes")
    second = await queue.add("j", {}, dedup=Dedup("d"))
    assert second.id != first["id"]
    assert (await theirs("add", "j", {}, {"deduplication": {"id": "d"}}))["id"] == second.id
    assert await theirs("getDeduplicationJobId", "d") == second.id


async def test_a_throttle_of_ours_holds_for_them(node: Peer, name: str, queue: Queue) -> None:
    theirs = await node.open("Queue", name)
    first = await queue.add("j", {}, dedup=Dedup("d", ttl_seconds=0.4))
    again = {"deduplication": {"id": "d", "ttl": 400}}
    assert (await theirs("add", "j", {}, again))["id"] == first.id
    await until(lambda: _gone(queue, f"{queue.keys.base}de:d"), "the throttle ends")
    assert (await theirs("add", "j", {}, again))["id"] != first.id


async def test_the_last_of_what_they_add_while_we_run_one_is_run_after_it(node: Peer, name: str, url: str) -> None:
    theirs = await node.open("Queue", name)
    options = {"deduplication": {"id": "d", "keepLastIfActive": True}}
    async with our_worker(name, url) as ours:
        await theirs("add", "first", {"takesMs": 500}, options)
        await until(lambda: ours.handled, "the first runs")
        for label in ("second", "third"):
            await theirs("add", label, {}, options)
        await until(lambda: len(ours.handled) == 2, "one more runs")
        await until(lambda: theirs.counts(completed=2, wait=0, active=0), "all is done")
    assert ours.names == ["first", "third"]


async def _gone(queue: Queue, key: str) -> bool:
    return not await queue.redis.exists(key)
