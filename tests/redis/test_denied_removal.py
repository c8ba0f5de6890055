"""A tree is removed whole or not at all, whatever is denied; nothing above it runs while some of it is there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import redis as sync_redis
from crewline import FlowJob, Queue
from crewline.redis.scripts import Result
from redis.exceptions import ResponseError

from tests.redis.denying import CATEGORIES, as_weak, off, restore, snapshot, used
from tests.redis.touching import fetch


@pytest.fixture
def admin(admin: sync_redis.Redis) -> Iterator[sync_redis.Redis]:
    yield admin
    admin.flushall()


def below(name: str, queue: str = "emails", **options: object) -> FlowJob:
    return FlowJob("n", queue=queue, options={"job_id": name, **options}, on_failure="ignore")


async def above(queue: Queue, *children: FlowJob) -> None:
    """`top` waits for `root`, and that for its children."""
    root = FlowJob("n", options={"job_id": "root"}, children=children)
    await queue.add_flow(FlowJob("n", options={"job_id": "top"}, children=[root]))


def jobs(admin: sync_redis.Redis) -> set[str]:
    """All that is there, but for what wakes workers and tells of events."""
    return {
        key
        for key in map(bytes.decode, admin.keys("bull:*"))
        if key.rpartition(":")[2] not in ("events", "meta", "marker")
    }


async def test_a_tree_that_may_not_go_is_as_it_was(admin: sync_redis.Redis, redis_url: str) -> None:
    wrong: list[str] = []
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        await above(
            queue, below("good"), below("bad"), below("waits"), below("late", delay=60), below("urgent", priority=2),
            below("away", queue="letters"),
        )  # fmt: skip
        await queue.redis.lrem(queue.keys.wait, 0, "waits")
        assert set(await fetch(queue, 2)) == {"good", "bad"}
        await fetch(queue, 0, results=[Result("good", "t", "completed", "1"), Result("bad", "t", "failed", "why")])
        await queue.redis.lpush(queue.keys.wait, "waits")
        before, there = await snapshot(queue), jobs(admin)
        admin.config_resetstat()
        assert await queue.remove("root")
        after = jobs(admin)
        assert admin.lrange(queue.keys.wait, 0, -1) == [b"top"]
        refused = set()
        for denied in [*used(admin), *CATEGORIES]:
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{denied}")
            try:
                await queue.remove("root")
            except ResponseError:
                refused.add(denied)
                if jobs(admin) != there or admin.lrange(queue.keys.wait, 0, -1) != [b"waits"]:
                    wrong.append(f"without {denied}: {jobs(admin) ^ there}, {admin.lrange(queue.keys.wait, 0, -1)}")
                admin.execute_command("ACL", "SETUSER", "weak", "+@all")
                await queue.remove("root")
            admin.execute_command("ACL", "SETUSER", "weak", "+@all")
            if jobs(admin) != after or admin.lrange(queue.keys.wait, 0, -1) != [b"top"]:
                wrong.append(f"{denied} in the end: {jobs(admin) ^ after}, {admin.lrange(queue.keys.wait, 0, -1)}")
    assert not wrong, "\n".join(wrong)
    assert refused >= {"LREM", "ZREM", "SRANDMEMBER", "HRANDFIELD", "XADD", "UNLINK", "@list", "@sortedset", "@write"}


async def test_no_part_of_a_large_tree_runs_while_it_goes(admin: sync_redis.Redis, redis_url: str) -> None:
    wrong: list[str] = []
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        await above(queue, *(below(f"leaf{n}", delay=60 * (n % 2)) for n in range(90)))
        before = await snapshot(queue)
        admin.config_resetstat()
        assert await queue.remove("root")
        for denied in [*used(admin), *CATEGORIES]:
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{denied}")
            with contextlib.suppress(ResponseError):
                await queue.remove("root")
            admin.execute_command("ACL", "SETUSER", "weak", "+@all")
            runs = {b"top", b"root"} & set(admin.lrange(queue.keys.wait, 0, -1))
            if (admin.exists(queue.keys.job("root")) and runs) or off(admin):
                wrong.append(f"without {denied}: {runs}, {off(admin)}")
            await queue.remove("root")
            if admin.lrange(queue.keys.wait, 0, -1) != [b"top"] or admin.exists(queue.keys.delayed) or off(admin):
                wrong.append(f"{denied} in the end: {admin.lrange(queue.keys.wait, 0, 5)}, {off(admin)}")
    assert not wrong, "\n".join(wrong)
