"""The check that ends every test here finds each kind of key that nobody owns, and takes a queue's own for its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from crewline import Backoff, Dedup, FlowJob, Job, Queue, Reject
from redis import Redis

from tests.redis.leaks import leaks

#: By the key left behind: the commands that leave it, and what is said of it.
LEFT: dict[str, tuple[list[list[Any]], str]] = {
    "bull:emails:7": ([["HSET", "bull:emails:7", "name", "n"]], "a job in no state"),
    "bull:emails:a": ([["HSET", "bull:emails:a", "name", "n"]], "a job in no state"),
    "bull:emails:8": ([["ZADD", "bull:emails:completed", 1, "8"]], "a state holds this id, and there is no such job"),
    "bull:emails:s:8": ([["LPUSH", "bull:emails:wait", "s:8"]], "a state holds this id, and there is no such job"),
    "bull:emails:de:x": ([["SET", "bull:emails:de:x", "7"]], "job 7, which holds it, is gone"),
    "bull:emails:dn:x": (
        [["HSET", "bull:emails:dn:x", "name", "n"]],
        "nobody holds this deduplication id, so that the job it keeps is never added",
    ),
    "bull:emails:repeat:s": (
        [["HSET", "bull:emails:repeat:s", "every", 1000]], "neither a schedule's nor a job in any state",
    ),
    "bull:emails:repeat:s:1000": (
        [["ZADD", "bull:emails:repeat", 1, "s"], ["HSET", "bull:emails:repeat:s", "name", "n"],
         ["HSET", "bull:emails:repeat:s:1000", "name", "n"]],
        "neither a schedule's nor a job in any state",
    ),
    "bull:emails:good:lock": ([["SET", "bull:emails:good:lock", "t"]], "a lease without an end"),
    **{
        f"bull:emails:7:{part}": ([["SET", f"bull:emails:7:{part}", "x"]], "job 7 is gone")
        for part in ("logs", "dependencies", "processed", "failed", "unsuccessful")
    },
    "bull:emails:limiter": ([["SET", "bull:emails:limiter", 1]], "a job in no state"),
    "bull:emails:stalled-check": ([["SET", "bull:emails:stalled-check", 1]], "a job in no state"),
    "bull-crewline:emails:cancels": (
        [["HSET", "bull-crewline:emails:cancels", "7", "why"]], "one of our additions without a time to live",
    ),
    "bull-crewline:emails:worker:w": (
        [["SET", "bull-crewline:emails:worker:w", "{}"]], "one of our additions without a time to live",
    ),
    "stray": ([["SET", "stray", 1]], "under no queue"),
}  # fmt: skip


@pytest_asyncio.fixture
async def client(queue: Queue, redis_url: str) -> AsyncIterator[Redis]:
    """Of a Redis with one job in order; what a test leaves there is taken away again."""
    await queue.add("n", {}, job_id="good")
    with Redis.from_url(redis_url) as opened:
        yield opened
        opened.flushall()


@pytest.mark.parametrize("key", LEFT)
def test_a_key_that_nobody_owns_is_found(client: Redis, key: str) -> None:
    commands, why = LEFT[key]
    for command in commands:
        client.execute_command(*command)
    assert leaks(client) == [f"{key}: {why}"]


@pytest.mark.parametrize("key", [key for key, (commands, _) in LEFT.items() if commands[-1][1] == key])
def test_what_has_a_time_to_live_ends_by_itself(client: Redis, key: str) -> None:
    for command in LEFT[key][0]:
        client.execute_command(*command)
    client.expire(key, 60)
    assert leaks(client) == []


async def test_all_that_a_queue_keeps_is_owned(queue: Queue, start_worker: Any, until: Any, client: Redis) -> None:
    async def handle(job: Job) -> None:
        await job.log("seen")
        if job.name == "bad":
            raise Reject("as its name says")

    await queue.add_flow(FlowJob("parent", {}, [FlowJob("child", {}), FlowJob("bad", {}, on_failure="ignore")]))
    await queue.add_flow(FlowJob("waits", {}, [FlowJob("later", {}, options={"delay": 3600})]))
    await queue.schedule("s", "n", {}, every=3600, backoff=Backoff("fixed", 1))
    await queue.add("n", {}, dedup=Dedup("held"), delay=3600)
    await queue.add("n", {}, priority=3)
    await start_worker(handle, metrics_minutes=5)
    await until(lambda: _ended(queue))
    families = {key.decode().split(":")[2] for key in client.keys("bull:emails:*")}
    assert families >= {"completed", "failed", "delayed", "waiting-children", "repeat", "de"}
    assert leaks(client) == []


async def _ended(queue: Queue) -> bool:
    counts = await queue.metrics()
    return counts.waiting == counts.active == 0 and counts.completed >= 4
