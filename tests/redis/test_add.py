"""Adding jobs: what lands in Redis, and what is refused before anything is sent."""

from __future__ import annotations

import asyncio
import datetime
import json
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from crewline import Backoff, FlowJob, InvalidOption, InvalidPayload, Queue
from crewline.wire.jsonio import UnsafeIntegerWarning
from redis.exceptions import ResponseError


async def test_a_job_is_stored_as_bullmq_reads_it(queue: Queue) -> None:
    job = await queue.add("welcome", {"to": "ä@example.com"}, attempts=5, backoff=Backoff("exponential", 2, 0.25))

    stored = await queue.redis.hgetall(queue.keys.job(job.id))
    assert stored.keys() == {b"name", b"data", b"opts", b"timestamp", b"delay", b"priority"}
    assert json.loads(stored[b"data"]) == {"to": "ä@example.com"}
    assert json.loads(stored[b"opts"]) == {
        "attempts": 5,
        "backoff": {"type": "exponential", "delay": 2000, "jitter": 0.25},
        "removeOnComplete": {"count": 1000, "age": 86400},
        "removeOnFail": {"age": 604800},
    }
    assert (stored[b"delay"], stored[b"priority"]) == (b"0", b"0")
    assert await queue.redis.lrange(queue.keys.wait, 0, -1) == [job.id.encode()]
    assert await queue.redis.zrange(queue.keys.marker, 0, -1) == [b"0"]
    events = [entry[b"event"] for _, entry in await queue.redis.xrange(queue.keys.events)]
    assert events == [b"added", b"waiting"]


async def test_bulk_keeps_order_over_many_calls_and_counts_ids_up(queue: Queue) -> None:
    jobs = await queue.add_bulk(("n", {"i": i}) for i in range(450))
    assert [job.id for job in jobs] == [str(i) for i in range(1, 451)]
    waiting = await queue.redis.lrange(queue.keys.wait, 0, -1)
    assert [int(job_id) for job_id in reversed(waiting)] == list(range(1, 451))


async def test_bulk_goes_on_where_redis_forgets_its_scripts(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    first = queue.scripts.add_jobs

    async def forget(jobs: Any) -> Any:
        added = await first(jobs)
        await queue.redis.script_flush()
        return added

    monkeypatch.setattr(queue.scripts, "add_jobs", forget)
    jobs = await queue.add_bulk([("n", {"n": n}) for n in range(1001)])
    assert [job.id for job in jobs] == [str(n) for n in range(1, 1002)]
    assert await queue.redis.lrange(queue.keys.wait, 0, -1) == [str(n).encode() for n in range(1001, 0, -1)]


async def test_bulk_that_redis_refuses_midway_leaves_no_answer_for_the_next_call(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = queue.scripts.add_jobs

    async def then_break(jobs: Any) -> Any:
        added = await first(jobs)
        await queue.redis.rename(queue.keys.wait, "aside")
        await queue.redis.set(queue.keys.wait, "no list")
        return added

    with monkeypatch.context() as patch:
        patch.setattr(queue.scripts, "add_jobs", then_break)
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await queue.add_bulk([("n", {}) for _ in range(1001)])
    assert await queue.redis.get(queue.keys.wait) == b"no list"
    assert await queue.redis.llen("aside") == 200
    await queue.redis.rename("aside", queue.keys.wait)
    assert len(await queue.add_bulk([("n", {}) for _ in range(401)])) == 401
    assert await queue.redis.llen(queue.keys.wait) == 601


async def test_hundreds_of_calls_at_once_are_all_made(queue: Queue) -> None:
    jobs = await asyncio.gather(*(queue.add("n", n) for n in range(300)))
    found = await asyncio.gather(*(queue.get_job(job.id) for job in jobs))
    assert [job.data for job in found if job] == list(range(300))


async def test_jobs_of_many_kinds_in_one_bulk_each_get_their_own(queue: Queue) -> None:
    rush = {"priority": 2}
    jobs = await queue.add_bulk(
        [
            ("plain", {"n": 0}),
            ("rush", {"n": 1}, rush),
            ("first", {"n": 2}, {"lifo": True}),
            ("late", {"n": 3}, {"delay": 60}),
            ("own", {"n": 4}, {"job_id": "own"}),
            ("once", {"n": 5}, {"dedup": "d"}),
            ("once", {"n": 6}, {"dedup": "d"}),
            ("rush", {"n": 7}, rush),
            ("plain", {"n": 8}),
        ]
    )
    assert [job.id for job in jobs] == ["1", "2", "3", "4", "own", "6", "6", "8", "9"]
    assert await queue.redis.lrange(queue.keys.wait, 0, -1) == [b"9", b"6", b"own", b"1", b"3"]
    assert await queue.redis.zrange(queue.keys.prioritized, 0, -1) == [b"2", b"8"]
    assert await queue.redis.zrange(queue.keys.delayed, 0, -1) == [b"4"]
    for n, job in enumerate(jobs):
        if n != 6:
            assert json.loads(await queue.redis.hget(queue.keys.job(job.id), "data")) == {"n": n}


async def test_a_lost_counter_takes_no_new_job_for_an_old_one(queue: Queue) -> None:
    old = await queue.add_bulk([("old", {}) for _ in range(300)])
    await queue.redis.delete(queue.keys.base + "id")
    new = [await queue.add("new", {}), *await queue.add_bulk([("new", {}) for _ in range(500)])]
    assert not {job.id for job in new} & {job.id for job in old}
    assert await queue.redis.llen(queue.keys.wait) == 801


async def test_a_custom_id_is_stored_once_however_often_it_is_added(queue: Queue) -> None:
    first = await queue.add("n", {"v": 1}, job_id="order-1")
    again = await queue.add("n", {"v": 2}, job_id="order-1")
    assert first.id == again.id == "order-1"
    stored = await queue.get_job("order-1")
    assert stored is not None and stored.data == {"v": 1}
    assert (await queue.metrics()).waiting == 1


async def test_a_delay_may_be_seconds_a_timedelta_or_a_moment(queue: Queue) -> None:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=100)
    ids = [(await queue.add("n", None, delay=delay)).id for delay in (100, datetime.timedelta(seconds=100), moment)]
    seconds, microseconds = await queue.redis.time()
    for job_id in ids:
        due_ms = await queue.redis.zscore(queue.keys.delayed, job_id) // 4096
        assert due_ms == pytest.approx(seconds * 1000 + microseconds / 1000 + 100_000, abs=2000)
    assert await (await queue.get_job(ids[0])).state() == "delayed"  # type: ignore[union-attr]


async def test_a_moment_in_the_past_runs_now(queue: Queue) -> None:
    job = await queue.add("n", None, delay=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    assert await job.state() == "waiting"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"job_id": ""}, "job_id"),
        ({"job_id": "12"}, "job_id"),
        ({"job_id": "a:b"}, "job_id"),
        ({"priority": -1}, "priority"),
        ({"priority": 2**21}, "priority"),
        ({"delay": -1}, "delay"),
        ({"delay": math.nan}, "delay"),
        ({"delay": datetime.datetime(2030, 1, 1)}, "time zone"),
        ({"attempts": 0}, "attempts"),
        ({"backoff": "soon"}, "backoff"),
        ({"remove_on_complete": -5}, "remove_on_complete"),
    ],
)
async def test_a_wrong_option_is_refused_by_name_and_nothing_is_stored(
    queue: Queue, options: dict[str, object], named: str
) -> None:
    with pytest.raises(InvalidOption, match=named):
        await queue.add("n", None, **options)  # type: ignore[arg-type]
    assert await queue.redis.keys("*") == []


def _cycle() -> list[object]:
    loop: list[object] = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"a": {"b": [1, math.nan]}}, r"data is not strict JSON at \.a\.b\[1\].*null"),
        ({"a": b"raw"}, r"at \.a.*bytes"),
        ({"when": datetime.date(2026, 1, 1)}, r"at \.when"),
        (_cycle(), "cycle"),
        ("\ud800", "surrogate"),
        ({(1, 2): 3}, "key"),
        ("x" * (1 << 20), "1,048,578 bytes.*elsewhere"),
    ],
)
async def test_data_that_is_not_strict_json_is_refused_with_its_place(queue: Queue, data: object, said: str) -> None:
    with pytest.raises(InvalidPayload, match=said):
        await queue.add("n", data)
    assert await queue.redis.keys("*") == []


async def test_one_wrong_item_refuses_the_whole_bulk_and_is_named(queue: Queue) -> None:
    jobs = [("n", {"i": i}) for i in range(300)]
    with pytest.raises(InvalidPayload, match="item 299: data"):
        await queue.add_bulk([*jobs[:299], ("n", math.inf)])
    with pytest.raises(InvalidOption, match="item 1: unknown option 'retries'"):
        await queue.add_bulk([("n", 1), ("n", 2, {"retries": 3})])
    assert await queue.redis.keys("*") == []


async def test_a_number_that_node_would_round_is_warned_about(queue: Queue) -> None:
    with pytest.warns(UnsafeIntegerWarning, match=r"data\.order = 9007199254740993"):
        await queue.add("n", {"order": 2**53 + 1})


@pytest.mark.parametrize("name", ["", "a:b", None])
def test_a_queue_name_that_would_break_keys_is_refused(redis_url: str, name: object) -> None:
    with pytest.raises(InvalidOption, match="queue name"):
        Queue(name, redis=redis_url)  # type: ignore[arg-type]


@pytest.mark.parametrize("counter", [2**52, 2**53 - 1, 2**53 + 1, 2**63 - 1])
async def test_where_the_counter_of_ids_is_at_its_end_nothing_is_added_and_it_is_said(
    queue: Queue, counter: int
) -> None:
    await queue.redis.set(queue.keys.base + "id", counter)
    before = await queue.redis.keys("*")
    adds: list[Callable[[], Awaitable[Any]]] = [
        lambda: queue.add("n", 1),
        lambda: queue.add_bulk(("n", n) for n in range(3)),
        lambda: queue.add_flow(FlowJob("n", children=[FlowJob("n")])),
        lambda: queue.schedule("s", "n", every=60),
    ]
    for add in adds:
        with pytest.raises(ResponseError, match=r"the counter of ids bull:emails:id|would overflow"):
            await add()
    assert await queue.redis.keys("*") == before
    assert int(await queue.redis.get(queue.keys.base + "id")) == counter
    await queue.redis.delete(queue.keys.base + "id")


async def test_numbers_up_to_the_end_of_the_counter_are_ids_of_one_job_each(queue: Queue) -> None:
    await queue.redis.set(queue.keys.base + "id", 2**52 - 3)
    jobs = [await queue.add("n", 1), *await queue.add_bulk(("n", n) for n in range(2))]
    assert [job.id for job in jobs] == [str(2**52 - 2), str(2**52 - 1), str(2**52)]
