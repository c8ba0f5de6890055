"""Connections: few stay after a burst, and redis-py's private parts are used with the releases that were tried."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
import redis as redis_py
from crewline import DeadLetters, Job, Queue
from crewline.redis import lanes, private, resting
from redis.exceptions import TimeoutError as RedisTimeout


async def test_a_burst_of_a_thousand_calls_leaves_few_connections_once_they_have_rested(
    queue: Queue, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "SURPLUS_SECONDS", 0.2, raising=False)
    await asyncio.gather(*(queue.add("n", n) for n in range(1000)))

    async def few() -> bool:
        return len(await queue.redis.client_list()) <= 12

    await until(few)
    # the next burst is served as the first was
    await asyncio.gather(*(queue.add("n", n) for n in range(1000)))
    assert (await queue.metrics()).waiting == 2000
    await until(few)


async def test_calls_on_their_way_while_a_queue_closes_leave_no_connection_open(
    queue: Queue, redis_url: str, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(await queue.redis.client_list())
    closing, taken = Queue("emails", redis=redis_url), asyncio.Event()
    connect = closing.redis.connection_pool.get_connection

    async def noted() -> Any:
        connection = await connect()
        taken.set()
        return connection

    monkeypatch.setattr(closing.redis.connection_pool, "get_connection", noted)
    calls = [asyncio.create_task(closing.add("n", n)) for n in range(300)]
    await taken.wait()
    await closing.close()
    # one that had its connection may have lost it
    await asyncio.gather(*calls, return_exceptions=True)

    async def none_left() -> bool:
        return len(await queue.redis.client_list()) == before

    # those few that may rest would do so for a minute
    await until(none_left)


async def test_a_burst_does_not_make_more_connections_at_once_than_a_server_takes(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = queue.redis.connection_pool
    make, making, most = pool.get_connection, 0, 0

    async def counted() -> Any:
        nonlocal making, most
        making += 1
        most = max(most, making)
        try:
            return await make()
        finally:
            making -= 1

    monkeypatch.setattr(pool, "get_connection", counted)
    await asyncio.gather(*(queue.add("n", n) for n in range(300)))
    assert most == lanes.MOST_CONNECTING
    assert (await queue.metrics()).waiting == 300


async def test_how_long_a_burst_takes_its_own_process_is_no_silence_of_redis(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "MOST_CONNECTING", 1)
    connect, went_on = lanes.Lanes._connect, asyncio.Event()

    async def held_up(self: lanes.Lanes) -> Any:
        await went_on.wait()
        return await connect(self)

    monkeypatch.setattr(lanes.Lanes, "_connect", held_up)
    async with Queue("emails", redis=redis_url, timeout_seconds=0.1) as queue:
        calls = asyncio.gather(*(queue.add("n", n) for n in range(3)))
        # longer than Redis has for an answer
        await asyncio.sleep(0.3)
        went_on.set()
        assert len(await calls) == 3


async def test_no_call_of_a_burst_waits_for_another_that_is_not_answered(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "MOST_CONNECTING", 2)
    silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1")
    port = silent.sockets[0].getsockname()[1]
    queue = Queue("emails", redis=f"redis://127.0.0.1:{port}", timeout_seconds=1)
    calls = [asyncio.ensure_future(queue.add("n", n)) for n in range(20)]
    try:
        # two at a time, one after the other, they would take ten times as long as one may
        done, _ = await asyncio.wait(calls, timeout=6)
        assert len(done) == 20
        assert all(isinstance(call.exception(), RedisTimeout) for call in done)
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await queue.close()
        silent.close()


async def test_connections_that_rest_for_long_are_all_closed_and_made_anew_when_needed(
    queue: Queue, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resting, "SURPLUS_SECONDS", 0.05)
    monkeypatch.setattr(resting, "REST_SECONDS", 0.2)
    await asyncio.gather(*(queue.add("n", n) for n in range(5)))
    await until(lambda: not queue.scripts._lanes._resting._idle)
    assert (await queue.add("n", 1)).added


async def test_a_closed_queue_leaves_no_connection_to_a_client_that_it_shares(queue: Queue, until: Any) -> None:
    async with Queue("orders", redis=queue.redis) as other:
        await asyncio.gather(*(other.add("n", n) for n in range(20)))
    assert not queue.redis.connection_pool._in_use_connections
    assert (await queue.add("n", 1)).added


async def test_dead_letters_close_with_their_queue(queue: Queue) -> None:
    async with Queue("orders", redis=queue.redis) as other:
        letters = DeadLetters(other)
        assert await letters._letters.scripts.read_clock() > 0
        rests = letters._letters.scripts._lanes._resting
        assert rests._idle and rests._timer
    assert not rests._idle and rests._timer is None
    assert not queue.redis.connection_pool._in_use_connections


@pytest.mark.parametrize(
    ("version", "direct"), [("8.1.0", True), ("8.1.9", True), ("8.2.0", False), ("9.0.0rc1", False)]
)
async def test_private_parts_are_used_with_releases_they_were_tried_with_and_calls_work_with_any(
    redis_url: str, version: str, direct: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(redis_py, "__version__", version)
    private._is_tried.cache_clear()
    with caplog.at_level(logging.WARNING, "crewline.redis"):
        async with Queue("emails", redis=redis_url) as queue, Queue("orders", redis=redis_url) as other:
            assert queue.scripts._lanes._direct is direct
            jobs = await queue.add_bulk([("n", n) for n in range(600)])
            again = await queue.add("n", 1, job_id="own")
            assert [job.id for job in jobs] == [str(n) for n in range(1, 601)] and again.added
            assert isinstance(await queue.get_job("own"), Job)
            await other.add("n", 1)
    private._is_tried.cache_clear()
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == (0 if direct else 1)
    assert direct or (version in told[0] and "8.1" in told[0])


async def test_a_worker_runs_on_a_release_that_was_not_tried(
    redis_url: str, queue: Queue, start_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_py, "__version__", "8.9.0")

    async def handle(job: Job) -> Any:
        return job.data

    worker = await start_worker(handle, concurrency=5)
    assert not worker.queue.scripts._lanes._direct
    jobs = await queue.add_bulk([("n", n) for n in range(50)])
    assert await asyncio.gather(*(job.result(timeout=20) for job in jobs)) == list(range(50))


async def test_a_server_that_quotes_a_login_has_no_password_told() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while b"HELLO" in await reader.read(4096):
            writer.write(
                b"-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `app`, `TopSecret`, \r\n"
            )
        writer.close()

    old = await asyncio.start_server(refuse, "127.0.0.1")
    port = old.sockets[0].getsockname()[1]
    async with Queue("emails", redis=f"redis://app:TopSecret@127.0.0.1:{port}/0") as queue:
        with pytest.raises(redis_py.exceptions.RedisError, match="unknown command `HELLO`") as refused:
            await queue.add("n", 1)
        with pytest.raises(redis_py.exceptions.RedisError) as beside:
            await queue.redis.ping()
    assert "TopSecret" not in f"{refused.value} {beside.value}"
    old.close()
