"""Random bytes in the keys that a queue consists of, and in its events, harm no job; see fuzzing.py."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from crewline import Queue
from crewline.redis.connection import UNAVAILABLE
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.redis.fuzzing import SOON, STRUCTURES, Bench, fuzz, make, place, raw, scores


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


@pytest.mark.parametrize("limit", ["many", "", "1e99", "nan", "-inf"])
async def test_a_global_limit_that_is_no_number_limits_no_fetch(queue: Queue, limit: str) -> None:
    await queue.add_bulk(("n", n) for n in range(3))
    await queue.redis.hset(queue.keys.meta, "concurrency", limit)
    for n in range(3):
        # with those of the fetches before this one still active
        fetched = await queue.scripts.finish_and_fetch(
            [], letters="", token=f"t{n}", lease_ms=60_000, worker="w", room=1
        )
        assert len(fetched.jobs) == 1


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
                await make(bench.queue.redis, bench.base + job_id, structure)
            await place(bench, where, job_id, score)


@settings(fuzz, max_examples=12)
@given(
    where=st.sampled_from(("delayed", "marker", "prioritized")), score=scores, member=st.sampled_from(("0", "1", "x"))
)
async def test_odd_scores_make_no_worker_spin(bench: Bench, where: str, score: float, member: str) -> None:
    await bench.fresh()
    await place(bench, where, member.encode(), score)
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
        await make(bench.queue.redis, bench.base + job_id, structure)
        if structure == "hash" and named:
            await bench.queue.redis.hset(bench.base + job_id, mapping={"name": "n", "data": "{}", "stc": b"\xff"})
    await place(bench, "active", job_id, 0)
    await bench.still_works()


LETTERS = ("id", "wait", "events", "meta", "marker", "active")


@pytest.mark.parametrize("key", LETTERS)
@pytest.mark.parametrize("structure", ["list", "hash"])
async def test_a_broken_dead_letter_queue_holds_up_no_failing_job(bench: Bench, key: str, structure: str) -> None:
    async with bench.among_good_ones(b"bad-fail"):
        await make(bench.queue.redis, f"bull:emails-dlq:{key}", structure)
        await bench.queue.redis.hset(bench.base + b"bad-fail", mapping={"name": "n", "data": "1", "opts": "{}"})
        await place(bench, "wait", b"bad-fail", 0)
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
    await make(bench.queue.redis, bench.queue.keys.stalled, structure)
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
    await make(queue.redis, name, structure)
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
