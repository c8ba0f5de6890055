"""Random bytes in everything that a foreign client can write: a worker never dies, never spins, never holds up others.

What test_fuzz_jobs.py and test_fuzz_queues.py have in common.

Each example writes its garbage on a live queue, then adds a good job: that must complete within seconds, the garbage
must not stay active, and the readers of the event stream must go on. Derandomized, so that a failure is one for all.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest_asyncio
from crewline import Job, Queue, Worker
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

#: Seconds within which a good job must be through, garbage or not: far less than a wait for a lost wake-up.
SOON = 4.0
#: Script calls that an idle worker may make in a second, whatever it finds.
CALM = 40

fuzz = settings(
    derandomize=True, max_examples=40, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip

numbers = st.sampled_from(
    (
        b"0", b"-1", b"1", b"1.5", b"-0", b"1e15", b"1e309", b"-1e309", b"nan", b"inf", b"-inf", b"0x10", b" 7 ",
        b"1e-9", b"9007199254740993", b"99999999999999999999999", b"2097152", b"4294967296", b"1_0", b"\xd9\xa1",
    )
)  # fmt: skip
texts = st.sampled_from(
    [b"", b"null", b"true", b"NaN", b"[]", b"{}", b'"x"', b"{", b"[1", b"\x00", b"\xff\xfe", b":", b"*"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
raw = st.one_of(
    numbers, texts, st.binary(max_size=30), json_values.map(lambda value: json.dumps(value).encode()),
    st.just(b"[" * 5000), st.just(b"x" * 70_000),
)  # fmt: skip
scores = st.sampled_from([0.0, -1.0, 1e300, -1e300, math.inf, -math.inf, 2.0**53, 4095.0, 1.5e15, 7e15])

FIELDS = (
    "name", "data", "opts", "timestamp", "delay", "priority", "atm", "ats", "stc", "defa", "parentKey", "parent", "rjk",
    "deid", "progress", "processedOn", "pb", "returnvalue", "failedReason", "finishedOn", "stacktrace", "tm", "nrjid",
    "suspect", "tried", "alone", "crashes", "blamed", "deadLetterId", "attemptsMade", "jobId", "",
)  # fmt: skip
STRUCTURES = ("string", "list", "set", "zset", "hash", "stream")


async def make(redis: Any, key: bytes | str, structure: str) -> None:
    """A key of that type, with something in it."""
    await redis.delete(key)
    match structure:
        case "string":
            await redis.set(key, b"\xffgarbage")
        case "list":
            await redis.rpush(key, b"\xff")
        case "set":
            await redis.sadd(key, b"\xff")
        case "zset":
            await redis.zadd(key, {b"\xff": 1})
        case "hash":
            await redis.hset(key, b"\xff", b"\xff")
        case "stream":
            await redis.xadd(key, {b"\xff": b"\xff"})


@dataclass
class Bench:
    """A queue with a worker on it, and a reader of its events."""

    queue: Queue
    worker: Worker
    working: asyncio.Task[None]
    reading: asyncio.Task[None]
    seen: list[str] = field(default_factory=list)

    @property
    def base(self) -> bytes:
        return self.queue.keys.base.encode()

    async def fresh(self) -> None:
        """Away with what the last example wrote."""
        await self.queue.redis.flushdb()

    async def still_works(self) -> None:
        """A good job goes through, workers and readers live, and nothing stays active."""
        await self.complete(await self.queue.add("good", {"n": 1}))
        await self.until(self._idle, "garbage to leave `active`")
        self.alive()

    @contextlib.asynccontextmanager
    async def among_good_ones(self, *bad: bytes) -> AsyncIterator[None]:
        """What is written within is fetched and ended in one call with good jobs, which must complete.

        The jobs ``bad``, if they have a name, must end too: completed, failed with a reason, or to be retried.
        """
        await self.fresh()
        await self.queue.pause()
        first = await self.queue.add("good", 1)
        yield
        last = await self.queue.add("good", 2)
        due = await self.queue.add("good", 3, delay=0.001)
        await self.queue.resume()
        for job in (first, last, due):
            await self.complete(job)
        await self.still_works()
        for job_id in bad:
            await self._accounted_for(job_id)

    async def complete(self, job: Job) -> None:
        assert await job.result(timeout=SOON) == {"ran": "good"}
        assert await job.state() == "completed"
        await self.until(lambda: job.id in self.seen, "the event of the good job")

    async def _accounted_for(self, job_id: bytes) -> None:
        name, reason = await self.queue.redis.hmget(self.base + job_id, "name", "failedReason")
        if name is not None:
            # by its bytes, which may be no text: no producer could ask for it
            sets = [key for key in ("completed", "failed", "delayed", "prioritized") if await self._holds(key, job_id)]
            waits = await self.queue.redis.lpos(self.queue.keys.wait, job_id) is not None
            assert sets or waits, "the bad job is in no state that it may end in"
            assert reason or sets != ["failed"]

    async def _holds(self, key: str, job_id: bytes) -> bool:
        return await self.queue.redis.zscore(getattr(self.queue.keys, key), job_id) is not None

    async def _idle(self) -> bool:
        return bool(await self.queue.redis.llen(self.queue.keys.active) == 0)

    def alive(self) -> None:
        for task in (self.working, self.reading):
            assert not task.done(), task.result()

    async def until(self, condition: Any, what: str, seconds: float = SOON) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            held = condition()
            if asyncio.iscoroutine(held):
                held = await held
            if held:
                return
            self.alive()
            assert loop.time() < deadline, f"not within {seconds:g} s: {what}"
            await asyncio.sleep(0.002)

    async def is_calm(self, seconds: float = 0.4) -> None:
        """The worker waits instead of asking again and again."""
        before = await self._calls()
        await asyncio.sleep(seconds)
        assert await self._calls() - before <= CALM * seconds, "the worker spins"

    async def _calls(self) -> int:
        stats = await self.queue.redis.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval"))


@pytest_asyncio.fixture
async def bench(redis_url: str) -> AsyncIterator[Bench]:
    async def handle(job: Job) -> Any:
        await job.progress(1)
        await job.log("seen")
        if "fail" in job.id:
            raise ValueError("as its id says")
        return {"ran": job.name}

    async def read() -> None:
        async for event in queue.events(after="0-0"):
            if event.name == "completed":
                opened.seen.append(event.job_id)

    async with Queue("emails", redis=redis_url) as queue:
        worker = Worker("emails", handle, redis=redis_url, lease_seconds=0.5, name="fuzz")
        working = asyncio.create_task(worker.run())
        opened = Bench(queue, worker, working, asyncio.create_task(read()))
        await asyncio.wait_for(worker.wait_ready(), 5)
        yield opened
        opened.reading.cancel()
        await worker.stop(grace_seconds=0)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(working, 10)
        await queue.redis.flushdb()


async def place(bench: Bench, where: str, job_id: bytes, score: float) -> None:
    redis, keys = bench.queue.redis, bench.queue.keys
    if where == "wait":
        await redis.rpush(keys.wait, job_id)
    elif where == "active":
        await redis.lpush(keys.active, job_id)
    else:
        await redis.zadd(getattr(keys, where), {job_id: score})
    await redis.zadd(keys.marker, {"0": 0})
