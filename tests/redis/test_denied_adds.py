"""An add that Redis refuses half-way leaves no job behind and takes none away; the next call does it whole."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis as sync_redis
from crewline import Dedup, FlowJob, Queue
from redis.exceptions import ResponseError

from tests.redis import touching
from tests.redis.denying import as_weak, off, removed, restore, snapshot, used


async def test_a_tree_that_was_refused_is_added_whole_by_the_next_call(admin: sync_redis.Redis, redis_url: str) -> None:
    tree = FlowJob("n", options={"job_id": "root"}, children=[FlowJob("n", options={"job_id": "leaf"})])
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        admin.execute_command("ACL", "SETUSER", "weak", "-zadd")
        with pytest.raises(ResponseError):
            await queue.add_flow(tree)
        assert not admin.exists(queue.keys.job("root"), queue.keys.job("leaf"))
        admin.execute_command("ACL", "SETUSER", "weak", "+zadd")
        await queue.add_flow(tree)
        assert await queue.job_state("root") == "waiting-children"
        assert await queue.job_state("leaf") == "waiting"


async def test_a_refused_add_leaves_a_job_alone_that_was_there_before(admin: sync_redis.Redis, redis_url: str) -> None:
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        # where an end of the list is far away
        await queue.add_bulk(("n", n, {"job_id": f"j{n}"}) for n in range(2500))
        admin.execute_command("ACL", "SETUSER", "weak", "-zadd")
        with pytest.raises(ResponseError):
            await queue.add_bulk([("n", 1, {"job_id": "j1250"}), ("n", 1, {"delay": 60})])
        assert admin.exists(queue.keys.job("j1250"))


def replacing(number: int) -> tuple[str, int, dict[str, Any]]:
    return "n", number, {"job_id": f"new{number}", "delay": 1000, "dedup": Dedup("x", replace=True)}


def leaf(job_id: str, dedup: Dedup) -> FlowJob:
    return FlowJob("n", options={"job_id": job_id, "delay": 1000, "dedup": dedup})


REPLACES: dict[str, Callable[[Queue], Awaitable[Any]]] = {
    "one": lambda queue: queue.add("n", 1, job_id="new1", dedup=Dedup("x", 60, replace=True)),
    "delayed": lambda queue: queue.add("n", 1, **replacing(1)[2]),
    "bulk": lambda queue: queue.add_bulk([("n", 0), replacing(1), replacing(2), ("n", 0, {"priority": 1})]),
    "flow": lambda queue: queue.add_flow(
        FlowJob("n", children=[leaf("new1", Dedup("x", 60, replace=True, extend=True)), FlowJob("n")])
    ),
}


@pytest.mark.parametrize("child", [False, True], ids=["alone", "a child"])
@pytest.mark.parametrize("ttl", [None, 60])
@pytest.mark.parametrize("way", REPLACES)
async def test_a_job_that_a_refused_add_was_to_replace_waits_as_before(
    admin: sync_redis.Redis, redis_url: str, way: str, ttl: float | None, child: bool
) -> None:
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        old = leaf("old", Dedup("x", ttl, replace=True))
        if child:
            await queue.add_flow(FlowJob("n", queue="letters", children=[dataclasses.replace(old, queue="emails")]))
        else:
            await queue.add("n", 1, **old.options)
        held, waiting = "bull:emails:de:x", "bull:letters:waiting-children"
        before, job = await snapshot(queue), admin.hgetall(queue.keys.job("old"))
        admin.config_resetstat()
        await REPLACES[way](queue)
        assert not admin.exists(queue.keys.job("old"), waiting)
        assert removed(admin) == ([b"old", b"new1"] if way == "bulk" else [b"old"])
        refused = set()
        for command in used(admin):
            await restore(queue, before)
            if ttl:
                admin.pexpire(held, 50_000)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{command}")
            try:
                await REPLACES[way](queue)
            except ResponseError:
                refused.add(command)
                assert admin.hgetall(queue.keys.job("old")) == job, command
                assert admin.zrange("bull:emails:delayed", 0, -1) == [b"old"], command
                assert admin.get(held) == b"old", command
                assert admin.pttl(held) in (range(1, 50_001) if ttl else [-1]), command
                assert admin.zcard(waiting) == child, command
                assert removed(admin) == [], command
            else:
                assert not admin.exists(waiting), command
            admin.execute_command("ACL", "SETUSER", "weak", f"+{command}")
            await REPLACES[way](queue)
            assert not admin.exists(queue.keys.job("old"), waiting), command
            assert admin.get(held) == (b"new2" if way == "bulk" else b"new1"), command
        assert refused >= {"HSET", "SET", "XADD", "XTRIM", "UNLINK"} | ({"SISMEMBER", "SREM"} if child else set())
    admin.flushall()


async def test_a_throttle_is_not_taken_by_an_add_that_is_refused(admin: sync_redis.Redis, redis_url: str) -> None:
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        admin.execute_command("ACL", "SETUSER", "weak", "-hset")
        with pytest.raises(ResponseError):
            await queue.add("n", 1, job_id="new", dedup=Dedup("x", 60))
        admin.execute_command("ACL", "SETUSER", "weak", "+hset")
        await queue.add("n", 1, job_id="new", dedup=Dedup("x", 60))
        assert await queue.job_state("new") == "waiting"


async def test_a_job_takes_the_id_of_one_that_was_replaced_in_its_call(admin: sync_redis.Redis, redis_url: str) -> None:
    async with Queue("emails", redis=redis_url) as queue:
        await queue.add_bulk([replacing(1)])
        await queue.add_bulk([replacing(2), ("again", 3, {"job_id": "new1"})])
        assert admin.hget(queue.keys.job("new1"), "name") == b"again"
        assert not off(admin)


async def test_a_large_tree_that_is_refused_half_way_is_let_go_by_the_next_call(
    admin: sync_redis.Redis, redis_url: str
) -> None:
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        call = await touching.releases_a_flow(queue)
        admin.execute_command("ACL", "SETUSER", "weak", "-lpush")
        with pytest.raises(ResponseError):
            await call()
        admin.execute_command("ACL", "SETUSER", "weak", "+lpush")
        while await call() > 0:
            pass
        assert admin.zrange("bull:emails:waiting-children", 0, -1) == [b"root"]


@pytest.mark.parametrize("act", [touching.releases_a_flow, touching.gives_a_flow_up], ids=["all there", "given up"])
async def test_a_job_that_a_large_tree_was_to_replace_is_lost_by_no_refusal(
    admin: sync_redis.Redis, redis_url: str, act: touching.Case
) -> None:
    wrong: list[str] = []
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        call = await act(queue)
        old, new = queue.keys.job("held"), queue.keys.job("leaf3")
        before = await snapshot(queue)
        assert admin.exists(old, new) == 2
        admin.config_resetstat()

        async def to_its_end() -> None:
            more: Any = True
            while more:
                left = await call()
                more = left > 0 if isinstance(left, int) else left[1]

        await to_its_end()
        stays = admin.exists(old, new), admin.get("bull:emails:de:x")
        assert stays[0] == 1
        for command in used(admin):
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{command}")
            with contextlib.suppress(ResponseError):
                await to_its_end()
            if not admin.exists(old, new):
                wrong.append(f"without {command}: both are gone")
            admin.execute_command("ACL", "SETUSER", "weak", f"+{command}")
            await to_its_end()
            if (admin.exists(old, new), admin.get("bull:emails:de:x")) != stays or off(admin):
                wrong.append(f"with {command} again: {admin.keys('bull:emails:*')}, {off(admin)}")
        admin.flushall()
    assert not wrong, "\n".join(wrong)
