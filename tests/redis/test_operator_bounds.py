"""What a user of a Redis puts there takes no memory of the operator, which reads for everybody."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from crewline import Queue
from crewline_operator.model.owner import UNKNOWN, claim_key
from crewline_operator.redis.answers import ANSWER_MAX_BYTES, AnswerTooLarge, connect_bounded
from crewline_operator.redis.bounded import Fields, TooLarge, read_fields, read_strings
from crewline_operator.redis.reading import Snapshot
from crewline_operator.redis.registry import ENTRIES_MAX_BYTES, ENTRY_MAX_BYTES, read_entries
from crewline_operator.redis.running import RUNNING_SECONDS, SPREAD_SECONDS
from crewline_operator.redis.snapshot import read_snapshots
from crewline_operator.redis.workers import read_workers
from redis.asyncio import Redis

from tests.redis.polling import EMAILS, other, redis, snapshot

__all__ = ["redis"]

MIB = 2**20
#: What the operator may hold of all that is read in these tests; far less than what is there.
BOUND_MIB = 40


async def greedy(url: str, *queues: str) -> dict[str, Any]:
    """What the operator reads of queues, and by how many MiB that makes a process of its own grow."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.redis.greedy", url, *queues, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(told)
    return found


async def run_jobs(redis: Redis, queue: str, number: int, **fields: bytes) -> None:
    """Have jobs run that are no worker's, whose hashes have these fields."""
    for index in range(number):
        await redis.hset(f"bull:{queue}:{index}", mapping=fields)  # type: ignore[arg-type]
        await redis.lpush(f"bull:{queue}:active", f"{index}")


async def test_the_progress_of_running_jobs_is_not_read_where_it_is_large(redis: Redis, redis_url: str) -> None:
    await run_jobs(redis, "emails", 20, name=b"welcome", progress=b"x" * 5 * MIB)
    found = await greedy(redis_url, "emails")
    assert found["emails"] == [["welcome", "(progress too large to show: 5.0 MiB)"]] * 20
    assert found["grown_mib"] < BOUND_MIB
    await redis.flushdb()


#: A queue's keys, and what somebody has put there.
HOSTILE: dict[str, Callable[[Any, bytes], Any]] = {
    "a name": lambda pipe, large: pipe.lpush("bull:emails:active", "1").hset("bull:emails:1", "name", large),
    "options": lambda pipe, large: pipe.lpush("bull:emails:wait", "1").hset("bull:emails:1", "opts", large),
    "a limit": lambda pipe, large: pipe.hset("bull:emails:meta", "concurrency", large),
    "a pause": lambda pipe, large: pipe.hset("bull:emails:meta", "paused", large),
    "a counter": lambda pipe, large: pipe.set("bull:emails:id", large),
    "a rate's counter": lambda pipe, large: pipe.lpush("bull:emails:wait", "1").set("bull:emails:limiter", large),
    "a claim": lambda pipe, large: pipe.set(claim_key("bull", "emails"), large),
    "settings": lambda pipe, large: pipe.set("bull-crewline:emails:settings", large),
    "an event": lambda pipe, large: pipe.xadd("bull:emails:events", {"returnvalue": large}),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_what_is_large_is_not_read_and_its_queue_is(what: str, redis: Redis, redis_url: str) -> None:
    async with redis.pipeline() as pipe:
        HOSTILE[what](pipe, b"7" * 60 * MIB)
        await pipe.execute()
    found = await greedy(redis_url, "emails", "reports")
    assert found["grown_mib"] < BOUND_MIB
    named = [["(name too large to show: 60 MiB)", None]] if what == "a name" else []
    assert (found["emails"], found["reports"]) == (named, [])
    await redis.flushdb()


MEMBERS: dict[str, Callable[[Any, bytes], Any]] = {
    "an id that waits": lambda pipe, large: pipe.lpush("bull:emails:wait", large),
    "ids that run": lambda pipe, large: pipe.lpush("bull:emails:active", *[large[: 3 * MIB]] * 9),
    "a delayed id": lambda pipe, large: pipe.zadd("bull:emails:delayed", {large: 1}),
    "a mark": lambda pipe, large: pipe.hset("bull-crewline:emails:runs", "uid", large),
    "a mark's name": lambda pipe, large: pipe.hset("bull-crewline:emails:runs", large, "{}"),
}


@pytest.mark.parametrize("what", MEMBERS)
async def test_a_queue_of_which_something_is_large_that_has_no_length_is_told_so_alone(
    what: str, redis: Redis, redis_url: str
) -> None:
    async with redis.pipeline() as pipe:
        MEMBERS[what](pipe, b"x" * 60 * MIB)
        await pipe.execute()
    async with Queue("reports", redis=redis_url) as queue:
        await queue.add("a", {})
    found = await greedy(redis_url, *(f"q{number}" for number in range(30)), "emails", "reports")
    assert found["grown_mib"] < BOUND_MIB
    reason, message = found.pop("emails")
    assert (reason, "4.0 MiB" in message) == ("RedisTooLarge", True)
    assert all(found[queue] == [] for queue in found if queue != "grown_mib")
    await redis.flushdb()


async def test_a_claim_that_is_too_long_is_somebody_elses(redis: Redis) -> None:
    await redis.set(claim_key("bull", "emails"), b"x" * 5000)
    assert (await snapshot(redis)).owner == UNKNOWN
    await redis.flushdb()


async def test_a_result_as_the_last_event_is_no_fault(redis: Redis, redis_url: str) -> None:
    await redis.xadd("bull:emails:events", {"event": "completed", "returnvalue": b"x" * (ANSWER_MAX_BYTES + 1)})
    client = connect_bounded(redis_url)
    _, reports = other("reports")
    found = await read_snapshots(client, [EMAILS, reports], [EMAILS, reports])
    emails = found[EMAILS]
    assert isinstance(emails, Snapshot) and emails.position is None, "nobody can wait for its events"
    seen = found[reports]
    assert isinstance(seen, Snapshot) and seen.position is not None
    await client.aclose()
    await redis.flushdb()


async def test_what_runs_is_read_every_few_seconds_and_not_with_each_count(redis: Redis) -> None:
    async def read(earlier: Snapshot | None) -> Snapshot:
        seen = (await read_snapshots(redis, [EMAILS], (), {EMAILS: earlier} if earlier is not None else {}))[EMAILS]
        assert isinstance(seen, Snapshot)
        return seen

    await run_jobs(redis, "emails", 2, name=b"welcome", progress=b"1")
    first = await read(None)
    await redis.hset("bull:emails:0", "progress", "2")
    await redis.lrem("bull:emails:active", 1, "1")
    second = await read(first)
    assert [(run.id, run.progress) for run in second.running] == [("0", 1)], "what has ended is gone at once"
    third = await read(replace(second, running_at=second.running_at - RUNNING_SECONDS - SPREAD_SECONDS))
    assert [(run.id, run.progress) for run in third.running] == [("0", 2)]
    await redis.lpush("bull:emails:active", "5")
    await redis.lrem("bull:emails:active", 1, "0")
    assert [run.id for run in (await read(third)).running] == ["5"], "nothing is known of those that run"
    await redis.flushdb()


async def test_fields_are_read_up_to_their_bound_each(redis: Redis) -> None:
    await redis.hset("h", mapping={"a": "x" * 10, "b": "y" * 11, "c": ""})
    await redis.set("s", "no hash")
    most = {"a": 10, "b": 10, "c": 10, "d": 10}
    found = await read_fields(redis, [Fields("h", most), Fields("s", most), Fields("none", {"a": 1})])
    assert found == [(b"x" * 10, TooLarge(11), None, None), (None,) * 4, (None,)]
    assert TooLarge(11).of("name") == "(name too large to show: 11 bytes)"
    await redis.delete("h", "s")


async def test_many_fields_are_read_in_answers_that_a_connection_takes_in(redis: Redis, redis_url: str) -> None:
    size, number = 64 * 1024, 3 * ANSWER_MAX_BYTES // (64 * 1024)
    for index in range(number):
        await redis.hset(f"h{index}", "a", b"%d" % index + b"x" * (size - 10))
        await redis.set(f"s{index}", b"%d" % index + b"x" * (size - 10))
    client = connect_bounded(redis_url)
    found = await read_fields(client, [Fields(f"h{index}", {"a": size}) for index in range(number)])
    assert [(each or b"").rstrip(b"x") for (each,) in found] == [b"%d" % index for index in range(number)]  # type: ignore[union-attr]
    keys = [f"s{index}" for index in range(number)]
    strings = [stored async for _, stored in read_strings(client, keys, size, number * size)]
    assert [stored.rstrip(b"x") for stored in strings] == [b"%d" % index for index in range(number)]
    some = [stored async for _, stored in read_strings(client, keys, size, number * size // 2)]
    assert some == strings[: len(some)] and 0 < len(some) <= number // 2, "what would be more together is left out"
    await client.aclose()
    await redis.flushdb()


async def test_an_answer_of_any_kind_is_taken_in_up_to_a_bound(redis: Redis, redis_url: str) -> None:
    await redis.set("large", b"x" * (ANSWER_MAX_BYTES + 1))
    await redis.set("small", b"x" * (ANSWER_MAX_BYTES // 2))
    client = connect_bounded(redis_url)
    for _ in range(3):
        assert await client.get("small") is not None, "one answer is counted apart from the next"
        with pytest.raises(AnswerTooLarge):
            await client.get("large")
        with pytest.raises(AnswerTooLarge):
            async with client.pipeline(transaction=False) as pipe:
                await pipe.get("small").get("small").get("small").execute(raise_on_error=False)
    await client.aclose()
    await redis.delete("large", "small")


@pytest.mark.parametrize(
    ("form", "head"),
    [
        ("redis://{}/0", b"$536870912\r\n"),
        ("redis+sentinel://{}/main/0", b"$536870912\r\n"),
        ("redis+cluster://{}", b"$536870912\r\n"),
        ("redis://{}/0", b"*900000000\r\n"),
        ("redis://{}/0", b"*2\r\n%900000000\r\n"),
    ],
)
async def test_a_server_that_answers_without_end_is_a_fault(form: str, head: bytes) -> None:
    """Whoever makes a JobQueue names its server."""

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read(1)
            for byte in head:
                # A head may come in parts.
                writer.write(bytes([byte]))
                await writer.drain()
            while not writer.is_closing():
                writer.write(b"x" * MIB)
                await writer.drain()

    async with await asyncio.start_server(pour, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        found = await greedy(form.format(f"{host}:{port}"), "emails")
        assert found["emails"][0] == ("RedisTooLarge" if form.startswith("redis:") else "RedisUnreachable")
        assert found["grown_mib"] < BOUND_MIB


async def test_what_workers_tell_is_read_up_to_a_bound(queue: Queue, start_worker: Any) -> None:
    """Anybody may write to the registry, and what a worker says must come through."""

    async def nothing(job: Any) -> None: ...

    await start_worker(nothing, worker_id="pod-1")
    registry, forged = queue.keys.extra("workers"), [f"forged{index}" for index in range(200)]
    for name in forged:
        entry = json.dumps({"id": "pod-2", "leases": "x" * (ENTRY_MAX_BYTES - 100)})
        await queue.redis.set(queue.keys.extra(f"worker:{name}"), entry, ex=60)
        await queue.redis.zadd(registry, {name: 1})
    await queue.redis.set(queue.keys.extra("worker:forged0"), b"x" * 60 * MIB, ex=60)
    await queue.redis.set(queue.keys.extra("drain:pod-2"), b"x" * 60 * MIB, ex=60)
    tracemalloc.start()
    found = await read_workers(queue, ["pod-1", "pod-2", "pod-3"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < BOUND_MIB * MIB
    assert found["pod-1"].known and found["pod-2"].asked == ""
    assert not found["pod-3"].known
    assert len(await read_entries(queue, ["pod-2"])) <= ENTRIES_MAX_BYTES // (ENTRY_MAX_BYTES - 100)
    for name in forged:
        await queue.redis.zrem(registry, name)
    await queue.redis.delete(*(queue.keys.extra(f"worker:{name}") for name in forged), queue.keys.extra("drain:pod-2"))
