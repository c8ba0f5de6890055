"""A real Redis for each test session, a fresh queue and a key-leak check for each test."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio
import redis as sync_redis
from crewline import Queue, Worker

from tests import redis_server as server_module
from tests.redis.denying import weak_user
from tests.redis.fuzzing import bench as bench
from tests.redis.leaks import leaks
from tests.redis_server import RedisServer


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with server_module.start(tmp_path_factory.mktemp("redis"), "--hash-max-listpack-value", "1024") as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> Iterator[str]:
    with sync_redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        yield redis_server.url
        leaked = leaks(client)
    assert not leaked, "keys that nobody will ever delete:\n" + "\n".join(leaked[:20])


@pytest_asyncio.fixture
async def queue(redis_url: str) -> AsyncIterator[Queue]:
    async with Queue("emails", redis=redis_url) as opened:
        yield opened


@pytest.fixture
def admin(redis_url: str) -> Iterator[sync_redis.Redis]:
    """Takes rights from the user `weak`, and looks at what becomes of it."""
    with weak_user(redis_url) as client:
        yield client


StartWorker = Callable[..., Awaitable[Worker]]


@pytest_asyncio.fixture
async def start_worker(redis_url: str) -> AsyncIterator[StartWorker]:
    """Starts a worker and waits until it fetches; all are stopped at the end."""
    started: list[tuple[Worker, asyncio.Task[None]]] = []

    async def start(handler: Callable[[Any], Any], queue: str = "emails", **options: Any) -> Worker:
        worker = Worker(queue, handler, **{"redis": redis_url, **options})
        task = asyncio.create_task(worker.run())
        started.append((worker, task))
        await asyncio.wait_for(worker.wait_ready(), 5)
        return worker

    yield start
    for worker, task in started:
        await worker.stop(grace_seconds=0)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, 10)


@pytest.fixture
def until() -> Callable[..., Awaitable[Any]]:
    """Waits until a condition holds; fails with what it last returned."""

    async def wait(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
        deadline = time.monotonic() + seconds
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return value
            assert time.monotonic() < deadline, f"not within {seconds} s: last value {value!r}"
            await asyncio.sleep(0.01)

    return wait
