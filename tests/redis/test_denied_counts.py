"""What a job counts, attempts, losses and crashes, is counted once, whatever was refused when it moved."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import redis as sync_redis
from crewline import Queue
from crewline.redis.scripts import Result
from redis.exceptions import ResponseError

from tests.redis.denying import CATEGORIES, as_weak, off, restore, snapshot, used
from tests.redis.touching import fetch

COUNTS = ("atm", "ats", "stc", "suspect", "crashes", "tried", "alone", "unread", "defa", "larger")


def counted(admin: sync_redis.Redis, queue: Queue, ids: list[str]) -> dict[str, Any]:
    return {each: dict(zip(COUNTS, admin.hmget(queue.keys.job(each), COUNTS), strict=True)) for each in ids}


ENDS: dict[str, dict[str, Any]] = {
    "retried": {"outcome": "retry", "value": "why"},
    "retried later": {"outcome": "retry", "value": "why", "delay_ms": 60_000},
    "handed back": {"outcome": "back", "value": ""},
    "crashed": {"outcome": "back", "value": "", "crashed": True},
    "tried": {"outcome": "back", "value": "", "tried": True},
    "outgrown": {"outcome": "back", "value": "", "larger": "OOMKilled", "outgrown": True},
    "handed back to a larger worker": {"outcome": "back", "value": "", "larger": "OOMKilled"},
    "retried in a larger worker": {"outcome": "retry", "value": "why", "delay_ms": 60_000, "larger": "OOMKilled"},
}


@pytest.mark.parametrize("priority", [0, 3], ids=["waits", "by priority"])
@pytest.mark.parametrize("end", ENDS)
async def test_an_end_that_is_repeated_counts_once(
    admin: sync_redis.Redis, redis_url: str, end: str, priority: int
) -> None:
    wrong: list[str] = []
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        ids = ["a", "b"]
        await queue.add_bulk(("n", 1, {"job_id": each, "priority": priority, "attempts": 5}) for each in ids)
        for each in ids:
            admin.hset(queue.keys.job(each), mapping={"suspect": 1, "atm": 1, "ats": 2})
        assert await fetch(queue, 2) == ids
        ends = [Result(each, "t", **ENDS[end]) for each in ids]

        async def settle() -> list[int]:
            asked: dict[str, Any] = {"token": "u", "letters": "", "lease_ms": 60_000, "worker": "w"}
            return (await queue.scripts.finish_and_fetch(ends, room=0, **asked)).codes

        before = await snapshot(queue)
        admin.config_resetstat()
        assert await settle() == [0, 0]
        expected = counted(admin, queue, ids)
        for denied in [*used(admin), *CATEGORIES]:
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{denied}")
            codes = None
            with contextlib.suppress(ResponseError):
                codes = await settle()
            admin.execute_command("ACL", "SETUSER", "weak", "+@all")
            codes = codes or await settle()
            told = counted(admin, queue, ids)
            if told != expected or off(admin) or codes != [0, 0]:
                wrong.append(f"without {denied}: {codes}, {told}, {off(admin)}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("known_dead", [False, True], ids=["stalled", "known dead"])
async def test_a_loss_that_is_found_again_counts_once(
    admin: sync_redis.Redis, redis_url: str, known_dead: bool
) -> None:
    wrong: list[str] = []
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        ids = ["began", "alone", "unread", "doomed", "larger"]
        await queue.add_bulk(("n", 1, {"job_id": each, "priority": 3 * (each == "began")}) for each in ids)
        assert set(await fetch(queue, 5)) == set(ids)
        for each in ids:
            admin.hset(queue.keys.job(each), "processedOn", 5)
        for each in ("alone", "doomed"):
            admin.hset(queue.keys.job(each), "alone", 1)
        admin.hset(queue.keys.job("unread"), "unread", "1:5")
        admin.hset(queue.keys.job("doomed"), "crashes", 1)
        admin.hset(queue.keys.job("larger"), "larger", "OOMKilled")

        async def find() -> None:
            if known_dead:
                await queue.scripts.hand_back_worker("t", "died", blame=True, most=2, keep_lines=10)
            else:
                admin.delete("bull:emails:stalled-check", *(queue.keys.job(each) + ":lock" for each in ids))
                await queue.scripts.recover_stalled(1, 2, lease_ms=1000, once=True)

        before = await snapshot(queue)
        admin.config_resetstat()
        await find()
        expected = counted(admin, queue, ids)
        for denied in [*used(admin), *CATEGORIES]:
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{denied}")
            with contextlib.suppress(ResponseError):
                await find()
            admin.execute_command("ACL", "SETUSER", "weak", "+@all")
            await find()
            if counted(admin, queue, ids) != expected or off(admin):
                wrong.append(f"without {denied}: {counted(admin, queue, ids)}, {off(admin)}")
    assert not wrong, "\n".join(wrong)
