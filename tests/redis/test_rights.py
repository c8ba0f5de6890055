"""A user of Redis who lacks a command or keys: a worker says what is missing, and no job is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import redis as sync_redis
from crewline import FlowJob, Job, Queue, Worker
from crewline.redis.scripts import Result
from redis.exceptions import ResponseError

from tests.redis.denying import as_weak
from tests.redis.needs import OF_WORKERS

ALL_KEYS = ("~bull:*", "~bull-crewline:*")


@pytest.fixture
def admin(redis_url: str) -> Iterator[sync_redis.Redis]:
    with sync_redis.Redis.from_url(redis_url) as client:
        yield client
        client.execute_command("ACL", "DELUSER", "weak")


def weak_url(admin: sync_redis.Redis, redis_url: str, *rules: str) -> str:
    admin.execute_command("ACL", "SETUSER", "weak", "reset", "on", ">secret", "+@all", *rules)
    return as_weak(redis_url)


@pytest.mark.parametrize("command", sorted(OF_WORKERS))
async def test_a_command_that_is_missing_is_told(
    admin: sync_redis.Redis, redis_url: str, until: Any, command: str
) -> None:
    async with Queue("emails", redis=weak_url(admin, redis_url, *ALL_KEYS, f"-{command}")) as queue:
        assert await queue.scripts.check_rights("none") == [command.lower()]
    await until(lambda: not admin.keys())


async def test_a_worker_that_waits_for_its_rights_is_not_in_trouble(
    admin: sync_redis.Redis,
    redis_url: str,
    until: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("crewline.worker.liveness.MOST_SECONDS", 1.0)
    monkeypatch.setattr("crewline.worker.calls.rights.LOOK_MOST_SECONDS", 0.2)

    async def handle(job: Job) -> None:
        raise AssertionError("nothing is fetched")

    worker = Worker("emails", handle, redis=weak_url(admin, redis_url, *ALL_KEYS, "-LREM"))
    running = asyncio.create_task(worker.run())
    await until(lambda: "may not use lrem" in caplog.text)
    for _ in range(15):
        await asyncio.sleep(0.1)
        assert worker.trouble() == ""
    await worker.stop()
    await running


async def test_a_user_who_may_all_that_a_workers_scripts_call_lacks_nothing(
    admin: sync_redis.Redis, redis_url: str
) -> None:
    rules = (*ALL_KEYS, "-@all", *(f"+{command}" for command in (*OF_WORKERS, "EVALSHA", "EVAL")))
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


async def test_a_child_has_not_ended_before_its_parent_can_be_told(
    queue: Queue, admin: sync_redis.Redis, redis_url: str, until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    flow = await queue.add_flow(
        FlowJob("n", queue="other", options={"job_id": "parent"}, children=[FlowJob("n", queue="emails")])
    )
    (child,) = flow.children
    runs: list[str] = []

    async def handle(job: Job) -> None:
        runs.append(job.name)

    url = weak_url(admin, redis_url, "~bull:emails:*", "~bull-crewline:emails:*")
    worker = Worker("emails", handle, redis=url)
    running = asyncio.create_task(worker.run())
    try:
        told = "the parent bull:other:parent waits for this job, and can not be told"
        await until(lambda: "Redis refuses how it ended (completed)" in caplog.text)
        assert told in caplog.text and "can't access at least one of the keys" in caplog.text
        other = await queue.add("other", 1)
        await other.result(timeout=10)
        assert await child.job.state() == "active"
        assert await flow.job.state() == "waiting-children"
        admin.execute_command("ACL", "SETUSER", "weak", *ALL_KEYS)
        await child.job.result(timeout=10)
        assert await flow.job.state() == "waiting"
        assert runs == ["n", "other"]
    finally:
        await worker.stop()
        await running


async def test_a_parent_is_not_lost_where_it_can_not_be_put_anywhere(
    queue: Queue, admin: sync_redis.Redis, redis_url: str
) -> None:
    flow = await queue.add_flow(FlowJob("n", options={"job_id": "parent"}, children=[FlowJob("n")]))
    async with Queue("emails", redis=weak_url(admin, redis_url, *ALL_KEYS, "-rpush")) as weak:
        asked = {"letters": "", "token": "t", "lease_ms": 60_000, "worker": "w"}
        (job,) = (await weak.scripts.finish_and_fetch([], room=1, **asked)).jobs
        with pytest.raises(ResponseError, match="the parent bull:emails:parent waits for this job"):
            await weak.scripts.finish_and_fetch([Result(job.id, "t", "completed", "1")], room=0, **asked)
    assert await queue.job_state(job.id) == "active"
    assert await flow.job.state() == "waiting-children"


@pytest.mark.parametrize("command", ["hdel", "hmget", "hset", "llen", "rpush", "xadd", "zadd", "zcard"])
@pytest.mark.parametrize("delay", [0, 60])
async def test_a_parent_that_can_not_be_let_run_as_it_should_is_in_one_state(
    queue: Queue, admin: sync_redis.Redis, redis_url: str, command: str, delay: int
) -> None:
    options = {"job_id": "parent", "delay": delay}
    # a limit is looked at once it was put where it runs from
    await queue.set_global_concurrency(5)
    await queue.add_flow(FlowJob("n", options=options, children=[FlowJob("n")]))
    async with Queue("emails", redis=weak_url(admin, redis_url, *ALL_KEYS)) as weak:
        asked: dict[str, Any] = {"letters": "", "token": "t", "lease_ms": 60_000, "worker": "w"}
        (job,) = (await weak.scripts.finish_and_fetch([], room=1, **asked)).jobs
        admin.execute_command("ACL", "SETUSER", "weak", f"-{command}")
        # a refusal is an answer
        with contextlib.suppress(ResponseError):
            await weak.scripts.finish_and_fetch([Result(job.id, "t", "completed", "1")], room=0, **asked)
    pipe = queue.redis.pipeline(transaction=False)
    for key in (queue.keys.waiting_children, queue.keys.delayed):
        pipe.zrange(key, 0, -1)
    pipe.lrange(queue.keys.wait, 0, -1)
    assert [each for ids in await pipe.execute() for each in ids].count(b"parent") == 1


async def test_a_leaf_of_a_large_flow_that_can_not_be_put_anywhere_is_where_it_was(
    queue: Queue, admin: sync_redis.Redis, redis_url: str
) -> None:
    await queue.redis.zadd(queue.keys.waiting_children, {"leaf": 1})
    await queue.redis.rpush(queue.keys.extra("flow:root"), "whole", queue.keys.base, "leaf", "1")
    await queue.redis.sadd(queue.keys.job("leaf") + ":dependencies", queue.keys.job("root") + ":adding")
    await queue.redis.hset(queue.keys.job("leaf"), mapping={"name": "n", "opts": "{}", "priority": 0})
    async with Queue("emails", redis=weak_url(admin, redis_url, *ALL_KEYS, "-lpush")) as weak:
        with pytest.raises(ResponseError, match="run this command"):
            await weak.scripts.release_flow("root")
    assert await queue.job_state("leaf") == "waiting-children"
    await queue.redis.flushall()
