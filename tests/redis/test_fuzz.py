"""Random bytes in everything that a foreign client can write: a worker never dies, never spins, never holds up others.

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

import pytest
import pytest_asyncio
from crewline import Job, Queue, Worker
from crewline.connection import UNAVAILABLE
from hypothesis import HealthCheck, assume, given, settings
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
    "suspect", "alone", "crashes", "deadLetterId", "attemptsMade", "jobId", "",
)  # fmt: skip
STRUCTURES = ("string", "list", "set", "zset", "hash", "stream")


async def _make(redis: Any, key: bytes | str, structure: str) -> None:
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
            state = await self.queue.job_state(job_id)  # type: ignore[arg-type]
            assert state in ("completed", "failed", "delayed", "waiting"), f"the bad job is {state}"
            assert reason or state != "failed"

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


async def _place(bench: Bench, where: str, job_id: bytes, score: float) -> None:
    redis, keys = bench.queue.redis, bench.queue.keys
    if where == "wait":
        await redis.rpush(keys.wait, job_id)
    elif where == "active":
        await redis.lpush(keys.active, job_id)
    else:
        await redis.zadd(getattr(keys, where), {job_id: score})
    await redis.zadd(keys.marker, {"0": 0})


@fuzz
@given(
    fields=st.dictionaries(st.sampled_from(FIELDS), raw, max_size=6),
    named=st.booleans(),
    where=st.sampled_from(("wait", "prioritized", "delayed")),
    job_id=st.sampled_from((b"bad", b"bad-fail", b"\xffbad", b"7")),
)
async def test_garbage_in_the_fields_of_a_job_harms_no_other(
    bench: Bench, fields: dict[str, bytes], named: bool, where: str, job_id: bytes
) -> None:
    mapping: dict[str, bytes] = ({"name": b"n", "data": b"{}", "opts": b"{}"} if named else {}) | fields
    async with bench.among_good_ones(job_id):
        if mapping:
            await bench.queue.redis.hset(bench.base + job_id, mapping=mapping)
        await _place(bench, where, job_id, 1.0)


@fuzz
@given(
    reference=st.sampled_from(("parentKey", "deid", "rjk")),
    target=st.sampled_from(("wait", "meta", "events", "nothing", "", "\u00e9", "a:b", "job")),
    structure=st.sampled_from(STRUCTURES),
    suffix=st.sampled_from((":dependencies", "", ":processed", ":failed", ":unsuccessful", ":lock")),
    failing=st.booleans(),
    parent=raw,
)
async def test_references_to_keys_of_any_kind_harm_no_other(
    bench: Bench, reference: str, target: str, structure: str, suffix: str, failing: bool, parent: bytes
) -> None:
    redis, base = bench.queue.redis, bench.queue.keys.base
    value = f"{base}{target}" if reference == "parentKey" else target
    referred = {
        "parentKey": [value + suffix], "deid": [f"{base}de:{target}", f"{base}dn:{target}"],
        "rjk": [f"{base}repeat:{target}", f"{base}repeat"],
    }[reference]  # fmt: skip
    opts = {"attempts": 1, "de": {"id": target, "keepLastIfActive": True}, "fpof": True, "repeat": {"every": 1000}}
    job_id = b"bad-fail" if failing else b"bad"
    async with bench.among_good_ones(job_id):
        for key in referred:
            if key not in bench.queue.keys.declared():
                await _make(redis, key, structure)
        await redis.hset(
            bench.base + job_id,
            mapping={"name": "n", "data": "{}", "opts": json.dumps(opts), reference: value, "parent": parent},
        )
        await _place(bench, "wait", job_id, 0)


OPTIONS = (
    "attempts", "backoff", "removeOnComplete", "removeOnFail", "kl", "stackTraceLimit", "de", "repeat", "parent",
    "delay", "priority", "lifo", "tm", "sizeLimit", "timestamp", "jobId", "fpof", "idof", "cpof", "rdof", "prevMillis",
)  # fmt: skip
inner = st.dictionaries(st.sampled_from(("type", "delay", "jitter", "count", "age", "limit", "id", "ttl")), json_values)


@fuzz
@given(opts=st.dictionaries(st.sampled_from(OPTIONS), json_values | inner, max_size=6), failing=st.booleans())
async def test_options_of_any_shape_harm_no_other(bench: Bench, opts: dict[str, Any], failing: bool) -> None:
    job_id = b"bad-fail" if failing else b"bad"
    async with bench.among_good_ones(job_id):
        await bench.queue.redis.hset(
            bench.base + job_id, mapping={"name": "n", "data": "{}", "opts": json.dumps(opts).encode()}
        )
        await _place(bench, "wait", job_id, 0)


def _number(value: bytes) -> float | None:
    """As Lua's tonumber reads it; None for what is none."""
    text = value.decode("latin-1").strip(" \t\n\r\f\v")
    with contextlib.suppress(ValueError):
        return float.fromhex(text) if text.lower().lstrip("+-").startswith("0x") else float(text)
    return None


@fuzz
@given(
    meta=st.dictionaries(st.sampled_from(("concurrency", "max", "duration", "opts.maxLenEvents", "version", "")), raw)
)
async def test_garbage_in_the_queue_s_settings_is_ignored(bench: Bench, meta: dict[str, bytes]) -> None:
    limits = {name: _number(meta[name]) for name in ("concurrency", "max", "duration") if name in meta}
    # what is a number is a setting, and a setting of 0 at once, or of 1 in an hour, is meant so
    assume(not (limits.get("concurrency") is not None and limits["concurrency"] < 1))  # type: ignore[operator]
    assume(not (limits.get("max") and limits.get("duration") and limits["duration"] > 1000))  # type: ignore[operator]
    async with bench.among_good_ones():
        if meta:
            await bench.queue.redis.hset(bench.queue.keys.meta, mapping=meta)


EVENTS = st.sampled_from((b"completed", b"failed", b"progress", b"removed", b"added", b"", b"\xff", b"waiting"))


@fuzz
@given(
    entries=st.lists(
        st.tuples(EVENTS, st.dictionaries(st.sampled_from((b"jobId", b"returnvalue", b"data", b"")) | raw, raw)),
        min_size=1, max_size=5,
    )
)  # fmt: skip
async def test_events_of_any_shape_end_no_reader(bench: Bench, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
    await bench.fresh()
    waited_for = await bench.queue.add("good", 1, delay=0.02)
    result = asyncio.create_task(waited_for.result(timeout=SOON))
    for name, fields in entries:
        assume(fields.get(b"jobId") != waited_for.id.encode())
        await bench.queue.redis.xadd(
            bench.queue.keys.events, {b"event": name, **fields} if name else {b"x": b"y"} | fields
        )
    assert await result == {"ran": "good"}
    await bench.still_works()


@fuzz
@given(
    where=st.sampled_from(("wait", "prioritized", "delayed")),
    ids=st.lists(
        st.sampled_from((b"", b"0", b"0:1", b"wait", b"meta", b"events", b"a:lock", b"\xff\x00", b"x" * 2000))
        | st.binary(max_size=8),
        min_size=1, max_size=4,
    ),
    structure=st.sampled_from((*STRUCTURES, "nothing")),
    score=scores,
)  # fmt: skip
async def test_entries_without_a_job_behind_them_harm_no_other(
    bench: Bench, where: str, ids: list[bytes], structure: str, score: float
) -> None:
    async with bench.among_good_ones():
        for job_id in ids:
            if structure != "nothing" and (bench.base + job_id).decode("latin-1") not in bench.queue.keys.declared():
                await _make(bench.queue.redis, bench.base + job_id, structure)
            await _place(bench, where, job_id, score)


@settings(fuzz, max_examples=12)
@given(
    where=st.sampled_from(("delayed", "marker", "prioritized")), score=scores, member=st.sampled_from(("0", "1", "x"))
)
async def test_odd_scores_make_no_worker_spin(bench: Bench, where: str, score: float, member: str) -> None:
    await bench.fresh()
    await _place(bench, where, member.encode(), score)
    await bench.still_works()
    await bench.is_calm()


@settings(fuzz, max_examples=12)
@given(job_id=st.binary(max_size=6), structure=st.sampled_from((*STRUCTURES, "nothing")), named=st.booleans())
async def test_entries_of_active_that_nobody_holds_are_cleared_away(
    bench: Bench, job_id: bytes, structure: str, named: bool
) -> None:
    await bench.fresh()
    declared = (bench.base + job_id).decode("latin-1") in bench.queue.keys.declared()
    if structure != "nothing" and not declared:
        await _make(bench.queue.redis, bench.base + job_id, structure)
        if structure == "hash" and named:
            await bench.queue.redis.hset(bench.base + job_id, mapping={"name": "n", "data": "{}", "stc": b"\xff"})
    await _place(bench, "active", job_id, 0)
    await bench.still_works()


@fuzz
@given(
    key=st.sampled_from((":lock", ":logs", ":dependencies", ":processed", ":failed", ":unsuccessful")),
    structure=st.sampled_from(STRUCTURES),
    failing=st.booleans(),
)
async def test_a_job_s_own_keys_of_any_type_harm_no_other(
    bench: Bench, key: str, structure: str, failing: bool
) -> None:
    job_id = b"bad-fail" if failing else b"bad"
    async with bench.among_good_ones(job_id):
        await bench.queue.redis.hset(bench.base + job_id, mapping={"name": "n", "data": "{}", "opts": '{"attempts":1}'})
        await _make(bench.queue.redis, bench.base + job_id + key.encode(), structure)
        await _place(bench, "wait", job_id, 0)


LETTERS = ("id", "wait", "events", "meta", "marker", "active")


@pytest.mark.parametrize("key", LETTERS)
@pytest.mark.parametrize("structure", ["list", "hash"])
async def test_a_broken_dead_letter_queue_holds_up_no_failing_job(bench: Bench, key: str, structure: str) -> None:
    async with bench.among_good_ones(b"bad-fail"):
        await _make(bench.queue.redis, f"bull:emails-dlq:{key}", structure)
        await bench.queue.redis.hset(bench.base + b"bad-fail", mapping={"name": "n", "data": "1", "opts": "{}"})
        await _place(bench, "wait", b"bad-fail", 0)
    assert await bench.queue.job_state("bad-fail") == "failed"


@pytest.mark.parametrize("value", [b"garbage", b"\xff", b"-5", b"1.5", b"9007199254740993", b"1e400", b""])
async def test_a_rate_limit_that_is_no_number_limits_nothing(bench: Bench, value: bytes) -> None:
    for setting in ({}, {"max": 100, "duration": 100}):
        await bench.fresh()
        if setting:
            await bench.queue.redis.hset(bench.queue.keys.meta, mapping=setting)
        # a foreign client's limit has a time to live; one without must not be for ever
        await bench.queue.redis.set(bench.queue.keys.limiter, value, px=300 if value.startswith(b"900") else None)
        await bench.still_works()
        await bench.is_calm()


@pytest.mark.parametrize("structure", [s for s in STRUCTURES if s != "set"])
async def test_a_stalled_set_of_another_type_does_not_end_the_recovery(bench: Bench, structure: str) -> None:
    await bench.fresh()
    await _make(bench.queue.redis, bench.queue.keys.stalled, structure)
    await bench.still_works()
    await bench.queue.redis.hset(bench.queue.keys.job("left"), mapping={"name": "left", "data": "{}"})
    await bench.queue.redis.lpush(bench.queue.keys.active, "left")
    await bench.until(lambda: "left" in bench.seen, "a job that nobody held")


#: Of these a queue's work consists: of another type they stop it, but only until they are mended.
CORE = (
    "id",
    "wait",
    "active",
    "prioritized",
    "delayed",
    "completed",
    "failed",
    "marker",
    "meta",
    "events",
    "limiter",
    "pc",
)
OWN_TYPE = {"id": "string", "wait": "list", "active": "list", "marker": "zset", "meta": "hash", "events": "stream"}


@pytest.mark.parametrize("key", CORE)
async def test_a_key_of_the_wrong_type_stops_a_queue_only_until_it_is_mended(bench: Bench, key: str) -> None:
    await bench.fresh()
    queue = bench.queue
    jobs = [await queue.add("good", n) for n in range(2)] + [await queue.add("good", 3, delay=0.3, priority=2)]
    await bench.until(lambda: all(job.id in bench.seen for job in jobs[:2]), "the first jobs")
    structure = "hash" if OWN_TYPE.get(key, "zset") != "hash" else "list"
    name = queue.keys.base + key
    kept = await queue.redis.dump(name)
    await _make(queue.redis, name, structure)
    with contextlib.suppress(*UNAVAILABLE):
        jobs.append(await queue.add("good", 4))
    await asyncio.sleep(0.5)
    bench.alive()
    await bench.is_calm(0.5)
    # in one step: the worker tries all the time, and would make the key itself
    if kept:
        await queue.redis.restore(name, 0, kept, replace=True)
    else:
        await queue.redis.delete(name)
    await bench.until(lambda: all(job.id in bench.seen for job in jobs), f"the jobs, {key} being mended", 12)
    await bench.still_works()
    assert {await job.state() for job in jobs} == {"completed"}
