"""Whatever is refused when a job ends, its parent hears of it, and its deduplication id is free."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import redis as sync_redis
from crewline import Dedup, Queue
from crewline.redis.scripts import Result
from redis.exceptions import ResponseError

from tests.redis import touching
from tests.redis.denying import as_weak, child_runs, off, restore, snapshot, used

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
