"""What was refused half-way comes to the same end when it is called again, and not twice."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import redis as sync_redis
from crewline import CrewlineError, DeadLetters, Queue
from crewline.redis.scripts import Result
from redis.exceptions import ResponseError

from tests.redis.denying import CATEGORIES, as_weak, restore, snapshot, used, weak_user
from tests.redis.touching import fetch


@pytest.fixture
def admin(redis_url: str) -> Iterator[sync_redis.Redis]:
    with weak_user(redis_url, decode_responses=True) as client:
        yield client
        client.flushall()


async def test_what_a_dead_worker_ran_is_handed_back_by_the_next_call(admin: sync_redis.Redis, redis_url: str) -> None:
    dead, wrong, refused = {"name": "w", "leases": "t"}, [], set()
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        ids = ["a", "b", "c", "d"]
        await queue.add_bulk(("n", 1, {"job_id": each, "priority": 3 * (each == "d")}) for each in ids)
        fresh = [admin.hgetall(queue.keys.job(each)) for each in ids]
        assert await fetch(queue, 4) == ids
        before = await snapshot(queue)
        admin.config_resetstat()
        await queue.hand_back_worker(dead, "gone", blame=False)
        for denied in [*used(admin), *CATEGORIES]:
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{denied}")
            try:
                await queue.hand_back_worker(dead, "gone", blame=False)
            except ResponseError:
                refused.add(denied)
            locked = {each for each in ids if admin.exists(queue.keys.job(each) + ":lock")}
            if locked != set(admin.lrange(queue.keys.active, 0, -1)):
                wrong.append(f"without {denied}: {locked} have a lock, {admin.lrange(queue.keys.active, 0, -1)} run")
            admin.execute_command("ACL", "SETUSER", "weak", "+@all")
            await queue.hand_back_worker(dead, "gone", blame=False)
            there = [admin.hgetall(queue.keys.job(each)) for each in ids]
            waits = sorted(admin.lrange(queue.keys.wait, 0, -1)), admin.zrange(queue.keys.prioritized, 0, -1)
            if waits != (ids[:3], ids[3:]) or there != fresh or admin.exists(queue.keys.active):
                wrong.append(f"{denied} and again: {waits}, {there}")
    assert not wrong, "\n".join(wrong)
    assert refused >= {"XADD", "RPUSH", "HDEL", "LSET", "LREM", "HGET", "@list", "@hash"}


@pytest.mark.parametrize("is_gone", [False, True], ids=["job there", "job gone"])
@pytest.mark.parametrize("priority", [0, 3])
async def test_a_letter_that_was_replayed_is_not_replayed_again(
    admin: sync_redis.Redis, redis_url: str, is_gone: bool, priority: int
) -> None:
    wrong: list[str] = []
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        await queue.add("n", 1, job_id="a", priority=priority)
        assert await fetch(queue, 1) == ["a"]
        await fetch(queue, 0, results=[Result("a", "t", "failed", "why", keep_failed="0" if is_gone else "")])
        (letter,) = await DeadLetters(queue).list()
        before = await snapshot(queue)
        admin.config_resetstat()
        assert await DeadLetters(queue).replay(letter.id)
        for denied in [*used(admin), *CATEGORIES]:
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{denied}")
            with contextlib.suppress(ResponseError, CrewlineError):
                await DeadLetters(queue).replay(letter.id)
            waits = admin.llen("bull:emails-dlq:wait")
            runs = "a" in {*admin.lrange(queue.keys.wait, 0, -1), *admin.zrange(queue.keys.prioritized, 0, -1)}
            if runs == bool(waits):
                wrong.append(f"without {denied}: the job runs: {runs}, letters: {waits}")
            admin.execute_command("ACL", "SETUSER", "weak", "+@all")
            if waits and not await DeadLetters(queue).replay(letter.id):
                wrong.append(f"{denied} and again: not replayed")
            if await queue.job_state("a") not in ("waiting", "prioritized") or admin.llen("bull:emails-dlq:wait"):
                wrong.append(f"{denied} and again: {await queue.job_state('a')}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("failed_before", [False, True], ids=["first", "replayed"])
@pytest.mark.parametrize("keep", ["", "0", "1000,86400"], ids=["kept", "removed", "some kept"])
async def test_an_end_that_was_refused_half_way_writes_one_letter(
    admin: sync_redis.Redis, redis_url: str, failed_before: bool, keep: str
) -> None:
    wrong: list[str] = []
    unwritten = {"INCR", "LPUSH"} if keep == "0" else set()
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        await queue.add("n", 1, job_id="a")
        await queue.add_bulk(("n", n, {"job_id": f"b{n}"}) for n in range(4))
        ends = [Result("a", "t", "failed", "why", trace="torn", exhausted=True, keep_failed=keep)]
        if failed_before:
            assert await fetch(queue, 1) == ["a"]
            await fetch(queue, 0, results=[Result("a", "t", "failed", "why")])
            (letter,) = await DeadLetters(queue).list()
            assert await DeadLetters(queue).replay(letter.id)
        assert set(await fetch(queue, 5)) == {"a", "b0", "b1", "b2", "b3"}
        # some more, so that `active` is cut at its end
        ends += [Result(f"b{n}", "t", "failed", "why", letter=False) for n in range(4)]
        before = await snapshot(queue)
        admin.config_resetstat()
        await fetch(queue, 0, results=ends)
        for denied in [*used(admin), *CATEGORIES]:
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{denied}")
            with contextlib.suppress(ResponseError):
                await fetch(queue, 0, results=ends)
            admin.execute_command("ACL", "SETUSER", "weak", "+@all")
            await fetch(queue, 0, results=ends)
            letters = admin.llen("bull:emails-dlq:wait")
            told = admin.hmget(queue.keys.job("a"), "atm", "stacktrace", "deadLetterError")
            # where the letter itself is refused the job ends all the same, and says so while it is kept
            if letters != 1 and not told[2] and denied not in unwritten:
                wrong.append(f"{denied}: {letters} letters")
            if keep != "0" and told[:2] != ["1", '["torn"]']:
                wrong.append(f"{denied}: {told}")
    assert not wrong, "\n".join(wrong)


#: What moves or takes away jobs, and says whether it did.
MOVES: dict[str, Callable[[Queue], Awaitable[Any]]] = {
    "retry": lambda queue: queue.retry("a"),
    "retry all": lambda queue: queue.retry_all(),
    "retry all that completed": lambda queue: queue.retry_all("completed"),
    "promote": lambda queue: queue.promote("late"),
    "promote all": lambda queue: queue.promote_all(),
    "cancel": lambda queue: queue.cancel("late"),
    "remove": lambda queue: queue.remove("late"),
    "clean": lambda queue: queue.clean("delayed"),
}


async def stands(queue: Queue) -> dict[str, Any]:
    """Which jobs there are, where they are, and what they say but for when they ended; and who is woken."""
    admin, keys = queue.redis, queue.keys
    jobs = {job_id: await admin.hgetall(keys.job(job_id)) for job_id in ("a", "b", "c", "late", "later")}
    for fields in jobs.values():
        fields.pop(b"finishedOn", None)
    states = {job_id: await queue.job_state(job_id) for job_id in jobs}
    ended = {job_id: await admin.hexists(keys.job(job_id), "finishedOn") for job_id in jobs}
    woken = await admin.zrange(keys.marker, 0, -1)
    return {"jobs": jobs, "states": states, "ended": ended, "woken": woken}


@pytest.mark.parametrize("priority", [0, 3], ids=["waits", "by priority"])
@pytest.mark.parametrize("act", MOVES)
async def test_what_was_refused_is_done_by_the_next_call_which_says_so(
    admin: sync_redis.Redis, redis_url: str, act: str, priority: int
) -> None:
    wrong: list[str] = []
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        await queue.add_bulk(("n", 1, {"job_id": each, "priority": priority}) for each in "abc")
        assert await fetch(queue, 3) == ["a", "b", "c"]
        outcomes = {"a": "failed", "b": "failed", "c": "completed"}
        await fetch(queue, 0, results=[Result(each, "t", outcomes[each], '"why"', letter=False) for each in "abc"])
        for job_id, delay in (("late", 60), ("later", 90)):
            await queue.add("n", 1, job_id=job_id, delay=delay, priority=priority)
        admin.delete(queue.keys.marker)
        before = await snapshot(queue)
        admin.config_resetstat()
        said = await MOVES[act](queue)
        expected = await stands(queue)
        for denied in [*used(admin), *CATEGORIES]:
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{denied}")
            try:
                answer = await MOVES[act](queue)
            except (ResponseError, CrewlineError):
                answer = None
                admin.execute_command("ACL", "SETUSER", "weak", "+@all")
                with contextlib.suppress(CrewlineError):
                    answer = await MOVES[act](queue)
            admin.execute_command("ACL", "SETUSER", "weak", "+@all")
            if answer != said or await stands(queue) != expected:
                wrong.append(f"without {denied}: {answer}, {await stands(queue)}")
    assert not wrong, "\n".join(wrong)
