"""A user of Redis who lacks a command or keys: a worker says what is missing, and no job is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import redis as sync_redis
from crewline import Job, Queue, Worker
from crewline.redis.scripts import source

from tests.redis.needs import commands_of
from tests.unit.engine.test_scripts import NAMES

ALL_KEYS = ("~bull:*", "~bull-crewline:*")
COMMANDS = sorted(set().union(*(commands_of(source(name)) for name in NAMES)) - {"TIME"})


@pytest.fixture
def admin(redis_url: str) -> Iterator[sync_redis.Redis]:
    with sync_redis.Redis.from_url(redis_url) as client:
        yield client
        client.execute_command("ACL", "DELUSER", "weak")


def weak_url(admin: sync_redis.Redis, redis_url: str, *rules: str) -> str:
    admin.execute_command("ACL", "SETUSER", "weak", "reset", "on", ">secret", "+@all", *rules)
    return redis_url.replace("//", "//weak:secret@")


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_command_that_is_missing_is_told(
    admin: sync_redis.Redis, redis_url: str, until: Any, command: str
) -> None:
    async with Queue("emails", redis=weak_url(admin, redis_url, *ALL_KEYS, f"-{command}")) as queue:
        assert await queue.scripts.check_rights("none") == [command.lower()]
    await until(lambda: not admin.keys())


async def test_a_user_who_may_all_that_is_needed_lacks_nothing(admin: sync_redis.Redis, redis_url: str) -> None:
    rules = (*ALL_KEYS, "-@all", *(f"+{command}" for command in (*COMMANDS, "TIME", "EVALSHA", "EVAL")))
    async with Queue("emails", redis=weak_url(admin, redis_url, *rules)) as queue:
        assert await queue.scripts.check_rights("none") == []


async def test_keys_of_ours_that_are_missing_are_told(admin: sync_redis.Redis, redis_url: str) -> None:
    async with Queue("emails", redis=weak_url(admin, redis_url, "~bull:*")) as queue:
        assert await queue.scripts.check_rights("none") == ["bull-crewline:emails:*"]


async def test_a_worker_that_lacks_a_command_says_so_fetches_nothing_and_begins_once_it_may(
    queue: Queue, admin: sync_redis.Redis, redis_url: str, until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "crewline.worker")
    jobs = await queue.add_bulk(("n", n) for n in range(3))

    async def handle(job: Job) -> None:
        pass

    worker = Worker("emails", handle, redis=weak_url(admin, redis_url, *ALL_KEYS, "-hgetall", "-zadd"))
    running = asyncio.create_task(worker.run())
    try:
        await until(lambda: "may not use hgetall, zadd" in caplog.text)
        assert await queue.redis.llen(queue.keys.wait) == 3
        assert not worker._committer.reached.is_set()
        admin.execute_command("ACL", "SETUSER", "weak", "+hgetall", "+zadd")
        for job in jobs:
            await job.result(timeout=10)
        assert caplog.text.count("may not use") == 1
    finally:
        await worker.stop()
        await running
