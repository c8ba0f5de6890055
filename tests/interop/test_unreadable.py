"""What a foreign client wrote and nobody can read harms that job alone."""

from __future__ import annotations

import json

import pytest
from crewline import DeadLetters, Queue

from tests.interop.peers import Peer, until
from tests.interop.play import our_worker

UNREADABLE = [
    pytest.param(b'{"v": NaN}', id="not a number"),
    pytest.param(b'{"v": 1', id="cut off"),
    pytest.param(b"\xff\xfe{}", id="not text"),
    pytest.param(b"[" * 100_000, id="nested without end"),
]


@pytest.mark.parametrize("data", UNREADABLE)
async def test_a_job_with_unreadable_data_fails_with_a_reason_and_the_others_run(
    data: bytes, node6: Peer, name: str, url: str, queue: Queue
) -> None:
    theirs = await node6.open("Queue", name)
    bad = (await theirs("add", "bad", {}, {"attempts": 3}))["id"]
    await queue.redis.hset(queue.keys.job(bad), "data", data)
    good = [job["id"] for job in await theirs("addBulk", [{"name": "g", "data": {}, "opts": {}} for _ in range(5)])]
    async with our_worker(name, url, concurrency=1) as ours:
        await until(lambda: theirs.counts(completed=5, active=0), "the others run")
    assert ours.ids == good
    assert await queue.job_state(bad) == "failed"
    reason = await queue.redis.hget(queue.keys.job(bad), "failedReason")
    assert reason is not None and b"data can't be read" in reason
    (letter,) = await DeadLetters(queue).list()
    assert (letter.job_id, letter.name, letter.reason) == (bad, "bad", reason.decode())
    # every client reads the dead letter's page
    letters = await node6.open("Queue", f"{name}-dlq")
    (page,) = await letters("getWaiting", 0, 10)
    assert page["data"]["jobId"] == bad
    assert isinstance(page["data"]["data"], str)
    raw = await queue.redis.hget(f"bull:{name}-dlq:{letter.id}", "data")
    assert raw is not None and json.loads(raw)["jobId"] == bad


async def test_a_job_without_data_runs_with_an_empty_object_as_in_bullmq(
    node6: Peer, name: str, url: str, queue: Queue
) -> None:
    theirs = await node6.open("Queue", name)
    job_id = (await theirs("add", "empty", {"returns": "not this"}, {}))["id"]
    await queue.redis.hdel(queue.keys.job(job_id), "data")
    async with our_worker(name, url):
        await until(lambda: theirs.is_in("completed", job_id), "it runs")
    seen = await queue.get_job(job_id)
    assert seen is not None and (seen.data, seen.return_value) == ({}, None)


@pytest.mark.parametrize("options", ["{not json", '{"attempts": NaN}', '["a list"]', b"\xff", ""])
async def test_unreadable_options_count_as_none(
    options: str | bytes, node6: Peer, name: str, url: str, queue: Queue
) -> None:
    theirs = await node6.open("Queue", name)
    job_id = (await theirs("add", "odd", {"fails": 1}, {"attempts": 3}))["id"]
    await queue.redis.hset(queue.keys.job(job_id), "opts", options)
    async with our_worker(name, url) as ours:
        await until(lambda: _failed(queue, job_id), "it fails at its first attempt")
        assert len(ours.handled) == 1
    (letter,) = await DeadLetters(queue).list()
    assert letter.job_id == job_id
    raw = await queue.redis.hget(f"bull:{name}-dlq:{letter.id}", "data")
    assert raw is not None and json.loads(raw)["options"] == {}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"gr\xc3\xbc\xc3\x9fe \xf0\x9f\x9a\x80", "grüße 🚀"),
        (b"a\xffb\xc3", "a?b?"),
        (b"\xed\xa0\x80\xe2\x82", "?????"),
        (b"\xf4\x90\x80\x80\xc0\xaf", "??????"),
    ],
)
async def test_a_letter_is_readable_json_whatever_bytes_the_name_holds(
    written: bytes, read: str, node6: Peer, name: str, url: str, queue: Queue
) -> None:
    theirs = await node6.open("Queue", name)
    job_id = (await theirs("add", "odd", {"fails": 1}, {}))["id"]
    await queue.redis.hset(queue.keys.job(job_id), "name", written)
    async with our_worker(name, url):
        await until(lambda: _failed(queue, job_id), "it fails")
    (letter,) = await DeadLetters(queue).list()
    raw = await queue.redis.hget(f"bull:{name}-dlq:{letter.id}", "data")
    assert raw is not None and json.loads(raw)["name"] == letter.name == read


async def test_a_numeric_field_that_is_no_number_stops_nobody(node6: Peer, name: str, url: str, queue: Queue) -> None:
    theirs = await node6.open("Queue", name)
    job_id = (await theirs("add", "odd", {"returns": "ran"}, {}))["id"]
    await queue.redis.hset(
        queue.keys.job(job_id), mapping={"timestamp": "soon", "priority": "high", "atm": "many", "ats": "x", "stc": "?"}
    )
    after = (await theirs("add", "after", {}, {}))["id"]
    async with our_worker(name, url) as ours:
        await until(lambda: theirs.is_in("completed", after), "the next one completes")
        await until(lambda: theirs.counts(active=0), "nothing stays active")
    assert after in ours.ids


async def test_an_id_without_a_job_stops_nobody(node6: Peer, name: str, url: str, queue: Queue) -> None:
    theirs = await node6.open("Queue", name)
    gone = (await theirs("add", "gone", {}, {}))["id"]
    after = (await theirs("add", "after", {}, {}))["id"]
    await queue.redis.delete(queue.keys.job(gone))
    async with our_worker(name, url) as ours:
        await until(lambda: theirs.is_in("completed", after), "the next one completes")
    assert ours.ids == [after]
    assert await theirs.counts(active=0, wait=0, failed=0)


async def _failed(queue: Queue, job_id: str) -> bool:
    return await queue.job_state(job_id) == "failed"
