"""What an add had stored when it was refused is gone, or known to those who take it away: no parent waits for ever."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import redis as sync_redis
from crewline import CrewlineError, Dedup, FlowJob, Queue
from redis.exceptions import ResponseError

from tests.redis.denying import CATEGORIES, as_weak, off, restore, snapshot, used

FLOWS = "bull-crewline:emails:flows"


@pytest.fixture
def admin(admin: sync_redis.Redis) -> Iterator[sync_redis.Redis]:
    yield admin
    admin.flushall()


def tree(leaves: int) -> FlowJob:
    """Its first leaf replaces a job that waits already."""
    options: list[dict[str, object]] = [{"delay": 60, "dedup": Dedup("x", replace=True)}, {"priority": 3}, {}]
    return FlowJob("n", options={"job_id": "root"}, children=[
        FlowJob("n", options={"job_id": f"leaf{n}", **options[min(n, 2)]}) for n in range(leaves)
    ])  # fmt: skip


async def given_up(queue: Queue) -> None:
    while True:
        _, more, *_ = await queue.scripts.call("give_up_flow", "root", 2**52)
        if more == 2:
            while await queue.scripts.release_flow("root") > 0:
                pass
        if more != 1:
            return


@pytest.mark.parametrize("leaves", [4, 150], ids=["in one call", "in parts"])
async def test_a_tree_that_was_refused_is_whole_after_the_next_call_or_goes(
    admin: sync_redis.Redis, redis_url: str, leaves: int
) -> None:
    wrong: list[str] = []
    root = "bull:emails:root"
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        await queue.add("n", 1, job_id="old", delay=100, dedup=Dedup("x"))
        before = await snapshot(queue)
        admin.config_resetstat()
        await queue.add_flow(tree(leaves))
        for denied in [*used(admin), *CATEGORIES]:
            for comes_back in (True, False):
                await restore(queue, before)
                admin.execute_command("ACL", "SETUSER", "weak", f"-{denied}")
                with contextlib.suppress(ResponseError, CrewlineError):
                    await queue.add_flow(tree(leaves))
                admin.execute_command("ACL", "SETUSER", "weak", "+@all")
                hangs = admin.exists(root) and b"bull:emails:root:adding" in admin.smembers(root + ":dependencies")
                if off(admin) or (hangs and not admin.zcard(FLOWS)):
                    wrong.append(f"without {denied}: {off(admin)}, {admin.smembers(root + ':dependencies')}")
                if comes_back:
                    await queue.add_flow(tree(leaves))
                    waits = admin.scard(root + ":dependencies"), admin.exists(FLOWS), admin.exists("bull:emails:old")
                    if waits != (leaves, 0, 0) or off(admin):
                        wrong.append(f"{denied} and again: {waits}, {off(admin)}")
                    continue
                await given_up(queue)
                waits = admin.scard(root + ":dependencies"), admin.exists(FLOWS), admin.exists(root)
                if waits not in ((leaves, 0, 1), (0, 0, 0)) or off(admin):
                    wrong.append(f"{denied} and given up: {waits}, {off(admin)}")
    assert not wrong, "\n".join(wrong)


async def test_what_a_refused_call_had_added_is_gone(admin: sync_redis.Redis, redis_url: str) -> None:
    jobs = [
        ("n", 1, {"job_id": "late", "delay": 60}), ("n", 2, {"job_id": "urgent", "priority": 3}),
        ("n", 3, {"lifo": True}),
        ("n", 4, {"job_id": "new", "delay": 60, "dedup": Dedup("x", replace=True)}),
    ]  # fmt: skip
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        await queue.add("n", 1, job_id="old", delay=100, dedup=Dedup("x"))
        before = await snapshot(queue)
        admin.config_resetstat()
        await queue.add_bulk(jobs)
        refused = set()
        for denied in [*used(admin), *CATEGORIES]:
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{denied}")
            try:
                await queue.add_bulk(jobs)
            except ResponseError:
                refused.add(denied)
                assert admin.zrange("bull:emails:delayed", 0, -1) == [b"old"], denied
                assert not admin.exists("bull:emails:prioritized", "bull:emails:wait", "bull:emails:late"), denied
            admin.execute_command("ACL", "SETUSER", "weak", "+@all")
        assert refused >= {"ZREM", "XADD", "@sortedset", "@list"}
