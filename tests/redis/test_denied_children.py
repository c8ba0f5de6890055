"""Whatever is refused when a child is taken away, or is to run again, its parent hears of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import redis as sync_redis
from crewline import CrewlineError, FlowJob, Keep, Queue
from crewline.redis.scripts import Result
from redis.exceptions import ResponseError

from tests.redis import touching, touching_changes
from tests.redis.denying import as_weak, child_runs, off, restore, snapshot, used
from tests.redis.touching import Call


@pytest.mark.parametrize("act", ["remove", "cancel", "clean"])
async def test_a_child_stays_where_its_parent_can_not_be_told(
    admin: sync_redis.Redis, redis_url: str, act: str
) -> None:
    async with Queue("letters", redis=redis_url) as parents:
        tree = FlowJob("n", children=[FlowJob("n", queue="emails", options={"job_id": "child"}, on_failure="fail")])
        await parents.add_flow(tree)
    admin.execute_command("ACL", "SETUSER", "weak", "resetkeys", "~bull:emails:*", "~bull-crewline:emails:*")
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        acts = {
            "remove": lambda: queue.remove("child"),
            "cancel": lambda: queue.cancel("child"),
            "clean": lambda: queue.clean("waiting"),
        }
        with pytest.raises(ResponseError, match=r"bull:letters:.* waits for this job, and can not be told"):
            await acts[act]()
        assert await queue.job_state("child") == "waiting"


@pytest.mark.parametrize("act", ["remove", "cancel", "clean", "drain"])
@pytest.mark.parametrize("options", [{}, {"priority": 3}, {"delay": 60}], ids=["waits", "by priority", "delayed"])
async def test_no_parent_waits_for_a_child_that_was_taken_away_half_way(
    admin: sync_redis.Redis, redis_url: str, act: str, options: dict[str, Any]
) -> None:
    wrong: list[str] = []
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        await queue.add_flow(
            FlowJob("n", queue="letters", options={"job_id": "root", **options}, children=[
                FlowJob("n", queue="emails", options={"job_id": "child"}, on_failure="ignore")
            ])
        )  # fmt: skip
        acts: dict[str, Call] = {
            "remove": lambda: queue.remove("child"),
            "cancel": lambda: queue.cancel("child"),
            "clean": lambda: queue.clean("waiting"),
            "drain": queue.drain,
        }
        before = await snapshot(queue)
        admin.config_resetstat()
        await acts[act]()
        assert not admin.exists("bull:letters:waiting-children")
        for command in used(admin):
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{command}")
            with contextlib.suppress(ResponseError, CrewlineError):
                await acts[act]()
            admin.execute_command("ACL", "SETUSER", "weak", f"+{command}")
            await acts[act]()
            if admin.exists("bull:letters:waiting-children", "bull:letters:root:dependencies"):
                wrong.append(f"without {command}: {admin.smembers('bull:letters:root:dependencies')}")
        admin.flushall()
    assert not wrong, "\n".join(wrong)


GOES: dict[str, Callable[[Queue], Call]] = {
    "remove": lambda queue: lambda: queue.remove("child"),
    "clean": lambda queue: lambda: queue.clean("failed"),
    "sweep": lambda queue: lambda: queue.scripts.sweep_jobs("failed", Keep(count=0)),
    "obliterate": lambda queue: lambda: queue.obliterate(force=True),
    "retention": lambda queue: (
        lambda: touching.fetch(
            queue, 0, results=[Result("other", "t", "failed", "why", keep_failed="1,", letter=False)]
        )
    ),
    "retention of such": lambda queue: (
        lambda: touching.fetch(
            queue, 0, results=[Result("other", "t", "failed", "why", keep_failed="=1,", letter=False)]
        )
    ),
}


@pytest.mark.parametrize("way", GOES)
async def test_no_parent_waits_for_a_failed_child_that_went_half_way(
    admin: sync_redis.Redis, redis_url: str, way: str
) -> None:
    wrong: list[str] = []
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        await child_runs(queue, "wait")
        await touching.fetch(queue, 0, results=[Result("child", "t", "failed", "why", letter=False)])
        opts = "{}" if way == "sweep" else '{"removeOnFail":{"count":1}}'
        await queue.redis.hset(queue.keys.job("child"), "opts", opts)
        await queue.add("n", 1, job_id="other")
        assert await touching.fetch(queue, 1) == ["other"]
        await queue.pause()
        goes, before = GOES[way](queue), await snapshot(queue)
        admin.config_resetstat()
        await goes()
        assert not admin.exists("bull:letters:waiting-children", queue.keys.job("child"))
        for command in used(admin):
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{command}")
            with contextlib.suppress(ResponseError, CrewlineError):
                await goes()
            child = admin.exists(queue.keys.job("child"))
            waits = admin.exists("bull:letters:waiting-children")
            admin.execute_command("ACL", "SETUSER", "weak", f"+{command}")
            if (waits and not child) or (off(admin) and way != "obliterate"):
                wrong.append(f"without {command}: child {child}, its parent waits {waits}, {off(admin)}")
        admin.flushall()
    assert not wrong, "\n".join(wrong)


async def test_to_ask_whether_a_parent_can_be_told_changes_nothing(admin: sync_redis.Redis, redis_url: str) -> None:
    async with Queue("letters", redis=redis_url) as parents:
        tree = FlowJob("n", children=[FlowJob("n", queue="emails", options={"job_id": "child"})])
        await parents.add_flow(tree)
        # as where none was ever written
        await parents.redis.delete(parents.keys.events)
    admin.execute_command("ACL", "SETUSER", "weak", "-type")
    before = {key: admin.dump(key) for key in admin.keys("bull:*")}
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        with pytest.raises(ResponseError, match="can not be told"):
            await queue.remove("child")
    assert {key: admin.dump(key) for key in admin.keys("bull:*")} == before
    admin.flushall()


async def test_a_parent_that_can_not_wait_again_is_told_to_the_log(
    admin: sync_redis.Redis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Queue("emails", redis=redis_url) as queue:
        await touching_changes.ended(queue)
        await queue.redis.hset(queue.keys.job("b"), "parentKey", "bull:letters:1")
    admin.execute_command("ACL", "SETUSER", "weak", "resetkeys", "~bull:emails:*", "~bull-crewline:emails:*")
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        await queue.retry("b")
    assert "bull:letters:1" in caplog.text
    admin.flushall()
