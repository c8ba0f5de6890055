"""Whatever is refused when a job ends or is taken away, its parent hears of it, and its deduplication id is free."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import redis as sync_redis
from crewline import CrewlineError, Dedup, FlowJob, Keep, Queue
from crewline.redis.scripts import Result
from redis.exceptions import ResponseError

from tests.redis import touching, touching_changes
from tests.redis.denying import as_weak, off, restore, snapshot, used
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


async def child_runs(queue: Queue, on_failure: Any = "ignore", **options: Any) -> None:
    """A parent in another queue, whose only child a worker holds; another comes with its deduplication id later."""
    await queue.add_flow(
        FlowJob("n", queue="letters", options={"job_id": "root", **options}, children=[
            FlowJob("n", queue="emails", options={"job_id": "child", "dedup": "x"}, on_failure=on_failure)
        ])
    )  # fmt: skip
    assert await touching.fetch(queue, 1) == ["child"]


ENDS = {
    "completed": Result("child", "t", "completed", '"why"'),
    "failed": Result("child", "t", "failed", "why"),
    "removed": Result("child", "t", "failed", "why", keep_failed="0"),
    "cancelled": Result("child", "t", "retry", "why", delay_ms=1000),
}


@pytest.mark.parametrize("options", [{}, {"priority": 3}, {"delay": 60}], ids=["waits", "by priority", "delayed"])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("on_failure", ["fail", "ignore", "continue", "remove"])
async def test_a_parent_hears_of_an_end_whatever_was_refused(
    admin: sync_redis.Redis, redis_url: str, end: str, on_failure: Any, options: dict[str, Any]
) -> None:
    wrong: list[str] = []
    parent, waiting = "bull:letters:root", "bull:letters:waiting-children"
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        await child_runs(queue, on_failure, **options)
        if end == "cancelled":
            await queue.cancel("child", "no more")

        async def settle() -> list[int]:
            asked: dict[str, Any] = {"token": "u", "letters": touching.LETTERS, "lease_ms": 60_000, "worker": "w"}
            return (await queue.scripts.finish_and_fetch([ENDS[end]], room=0, points=5, **asked)).codes

        def told() -> bool:
            return not admin.exists(waiting, f"{parent}:dependencies")

        before = await snapshot(queue)
        admin.config_resetstat()
        assert await settle() == [0]
        assert told()
        parts = [part for part in ("processed", "failed", "unsuccessful") if admin.exists(f"{parent}:{part}")]
        for command in used(admin):
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{command}")
            try:
                refused = await settle() != [0]
            except ResponseError as error:
                refused = True
                if "can not be" in str(error) and await snapshot(queue) != before:
                    wrong.append(f"without {command}: asked before, and something has changed")
            if not refused and not told():
                wrong.append(f"without {command}: nobody will tell the parent")
            admin.execute_command("ACL", "SETUSER", "weak", f"+{command}")
            if refused:
                await settle()
            has = [part for part in ("processed", "failed", "unsuccessful") if admin.exists(f"{parent}:{part}")]
            if not told() or has != parts or off(admin) or admin.exists("bull:emails:de:x"):
                wrong.append(f"without {command}: {refused}, has {has}, {off(admin)}, {admin.get('bull:emails:de:x')}")
        admin.flushall()
    assert not wrong, "\n".join(wrong)


LAST = Dedup("x", keep_last_if_active=True)


@pytest.mark.parametrize("kept", [{}, {"priority": 3}, {"delay": 60}, {"lifo": True}], ids=str)
@pytest.mark.parametrize("outcome", ["completed", "failed"])
@pytest.mark.parametrize("dedup", [LAST, Dedup("x", 60, keep_last_if_active=True), Dedup("x")], ids=str)
async def test_a_deduplication_id_is_freed_whatever_was_refused(
    admin: sync_redis.Redis, redis_url: str, dedup: Dedup, outcome: str, kept: dict[str, Any]
) -> None:
    wrong: list[str] = []
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        await queue.add("n", 1, job_id="first", dedup=dedup)
        assert await touching.fetch(queue, 1) == ["first"]
        if dedup.keep_last_if_active:
            await queue.add("n", 2, job_id="last", dedup=dedup, **kept)
            assert admin.exists("bull:emails:dn:x")
        end = Result("first", "t", outcome, "1", letter=False)
        before = await snapshot(queue)
        admin.config_resetstat()
        await touching.fetch(queue, 0, results=[end])
        for command in used(admin):
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{command}")
            with contextlib.suppress(ResponseError):
                await touching.fetch(queue, 0, results=[end])
            admin.execute_command("ACL", "SETUSER", "weak", f"+{command}")
            await touching.fetch(queue, 0, results=[end])
            holder, held_by = admin.get("bull:emails:de:x"), b"last" if dedup.keep_last_if_active else None
            if off(admin) or admin.exists("bull:emails:dn:x") or holder != held_by:
                wrong.append(f"without {command}: {off(admin)}, {holder}, {admin.hgetall('bull:emails:dn:x')}")
        admin.flushall()
    assert not wrong, "\n".join(wrong)


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


@pytest.mark.parametrize("known_dead", [False, True], ids=["stalled", "known dead"])
async def test_a_cancelled_child_whose_worker_is_gone_ends_once_its_parent_can_be_told(
    admin: sync_redis.Redis, redis_url: str, known_dead: bool
) -> None:
    wrong: list[str] = []
    parent, waiting = "bull:letters:root", "bull:letters:waiting-children"
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        await child_runs(queue)
        await queue.add("n", 1, job_id="other")
        assert await touching.fetch(queue, 1) == ["other"]
        await queue.cancel("child", "no more")

        async def recover() -> None:
            for job_id in ("child", "other"):
                admin.delete(queue.keys.job(job_id) + ":lock")
            await queue.scripts.recover_stalled(1, 3, lease_ms=1000, once=True)

        async def hand_back() -> None:
            await queue.scripts.hand_back_worker("t", "died", blame=False, most=3, keep_lines=10)

        for job_id in ("child", "other"):
            admin.hset(queue.keys.job(job_id), "processedOn", 5)
        before = await snapshot(queue)
        act = hand_back if known_dead else recover
        admin.config_resetstat()
        await act()
        assert not admin.exists(waiting)
        for command in used(admin):
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{command}")
            with contextlib.suppress(ResponseError):
                await act()
            ended = admin.zscore(queue.keys.failed, "child") is not None
            if ended and admin.exists(waiting, f"{parent}:dependencies"):
                wrong.append(f"without {command}: it ended, and its parent waits")
            admin.execute_command("ACL", "SETUSER", "weak", f"+{command}")
            admin.delete("bull:emails:stalled-check")
            await recover()
            if admin.exists(waiting) or off(admin):
                wrong.append(f"without {command}: {admin.hgetall('bull:emails:child')}, {off(admin)}")
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
