"""The last job that came while another ran (keep_last_if_active), where that other goes before it has ended."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis as sync_redis
from crewline import CrewlineError, Dedup, Queue
from crewline.redis.scripts import Result
from redis.exceptions import ResponseError

from tests.redis.denying import as_weak, off, restore, snapshot, used
from tests.redis.touching import fetch

KEEP = Dedup("x", keep_last_if_active=True)

#: How one job is taken away while others stay.
TAKES: dict[str, Callable[[Queue], Awaitable[Any]]] = {
    "remove": lambda queue: queue.remove("first"),
    "clean": lambda queue: queue.clean("delayed"),
    "clean some": lambda queue: queue.clean("delayed", limit=1),
}
#: How all go that wait.
CLEARS: dict[str, Callable[[Queue], Awaitable[Any]]] = {
    "drain": lambda queue: queue.drain(delayed=True),
    "obliterate": lambda queue: queue.obliterate(),
}


async def waits_for_its_retry(queue: Queue, *, known: bool = True, **options: Any) -> None:
    """A job that has failed once, and another that came while it ran. Not ``known``: the id's time is over."""
    await queue.add("n", 1, job_id="first", dedup=KEEP)
    assert await fetch(queue, 1) == ["first"]
    await queue.add("n", 2, job_id="last", dedup=KEEP, **options)
    await fetch(queue, 0, results=[Result("first", "t", "retry", "why", delay_ms=60_000)])
    assert await queue.redis.exists(queue.keys.base + "dn:x")
    if not known:
        await queue.redis.delete(queue.keys.base + "de:x")


@pytest.mark.parametrize("known", [True, False], ids=["holds the id", "its time is over"])
@pytest.mark.parametrize("options", [{}, {"priority": 3}, {"delay": 60}], ids=["waits", "by priority", "delayed"])
@pytest.mark.parametrize("way", TAKES)
async def test_what_was_kept_runs_when_the_job_is_taken_away_that_it_waits_for(
    queue: Queue, way: str, options: dict[str, Any], known: bool
) -> None:
    await waits_for_its_retry(queue, known=known, **options)
    await TAKES[way](queue)
    assert await queue.get_job("first") is None
    expected = "delayed" if "delay" in options else "waiting"
    assert await queue.job_state("last") == expected
    assert await queue.redis.get(queue.keys.base + "de:x") == b"last"
    assert not await queue.redis.exists(queue.keys.base + "dn:x")
    assert await queue.redis.zcard(queue.keys.marker)


@pytest.mark.parametrize("known", [True, False], ids=["holds the id", "its time is over"])
@pytest.mark.parametrize("way", CLEARS)
async def test_what_was_kept_goes_with_all_that_waits(queue: Queue, way: str, known: bool) -> None:
    await waits_for_its_retry(queue, known=known)
    await queue.pause()
    await CLEARS[way](queue)
    assert not await queue.redis.exists(queue.keys.base + "de:x", queue.keys.base + "dn:x")
    assert (await queue.metrics()).waiting == 0


async def test_what_was_kept_behind_a_job_that_runs_stays_when_the_queue_is_drained(queue: Queue) -> None:
    await queue.add("n", 1, job_id="first", dedup=KEEP)
    assert await fetch(queue, 1) == ["first"]
    await queue.add("n", 2, job_id="last", dedup=KEEP)
    await queue.add("n", 3)
    assert await queue.drain(delayed=True) == 1
    await fetch(queue, 0, results=[Result("first", "t", "completed", "1")])
    assert await queue.job_state("last") == "waiting"


@pytest.mark.parametrize("way", [*TAKES, "drain"])
async def test_what_was_kept_waits_on_where_another_job_has_the_id_and_brings_it(queue: Queue, way: str) -> None:
    await waits_for_its_retry(queue, known=False)
    await queue.add("n", 3, job_id="second", dedup="x")
    assert await fetch(queue, 1) == ["second"]
    await (TAKES | CLEARS)[way](queue)
    assert await queue.get_job("first") is None
    assert await queue.job_state("last") == "unknown"
    await fetch(queue, 0, results=[Result("second", "t", "completed", "1")])
    assert await queue.job_state("last") == "waiting"


async def test_a_stranger_with_the_id_of_a_job_that_had_it_brings_nothing(queue: Queue) -> None:
    await waits_for_its_retry(queue)
    await queue.add("n", 3, job_id="stranger")
    await queue.redis.set(queue.keys.base + "de:x", "stranger")
    await queue.remove("first")
    assert await queue.job_state("last") == "waiting"


@pytest.mark.parametrize("way", TAKES)
async def test_what_was_kept_is_not_lost_where_the_removal_is_refused_half_way(
    admin: sync_redis.Redis, redis_url: str, way: str
) -> None:
    wrong: list[str] = []
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        await waits_for_its_retry(queue)
        before = await snapshot(queue)
        admin.config_resetstat()
        await TAKES[way](queue)
        for command in used(admin):
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{command}")
            with contextlib.suppress(ResponseError, CrewlineError):
                await TAKES[way](queue)
            admin.execute_command("ACL", "SETUSER", "weak", f"+{command}")
            await TAKES[way](queue)
            state, holder = await queue.job_state("last"), admin.get("bull:emails:de:x")
            if off(admin) or admin.exists("bull:emails:dn:x") or (state, holder) != ("waiting", b"last"):
                wrong.append(f"without {command}: {state}, {off(admin)}, {holder}, {admin.hgetall('bull:emails:dn:x')}")
        admin.flushall()
    assert not wrong, "\n".join(wrong)
