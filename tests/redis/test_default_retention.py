"""What our producers write where nothing was said is for our jobs: what others keep stays."""

from __future__ import annotations

import pytest
from crewline import Keep, Queue
from crewline.redis.scripts import Result
from crewline.redis.scripts.calls.upkeep import MOST_JOBS
from crewline.upkeep.maintainer import QueueMaintainer
from crewline.wire.text import text

TOLD = {"letters": "", "lease_ms": 60_000, "worker": "w"}


async def _end(queue: Queue, count: int, outcome: str, keep: str) -> None:
    """Fetches and ends so many jobs, one a call."""
    for turn in range(count):
        fetched = await queue.scripts.finish_and_fetch([], token=f"t{turn}", room=1, **TOLD)
        (job,) = fetched.jobs
        ended = Result(job.id, f"t{turn}", outcome, '"x"', keep_completed=keep, keep_failed=keep)
        await queue.scripts.finish_and_fetch([ended], token="", room=0, **TOLD)


@pytest.mark.parametrize(("state", "option"), [("completed", "remove_on_complete"), ("failed", "remove_on_fail")])
async def test_the_default_takes_none_but_jobs_that_have_it(queue: Queue, state: str, option: str) -> None:
    for_ever = [job.id for job in await queue.add_bulk(("n", 1, {option: False}) for _ in range(70))]
    await _end(queue, 70, state, "")
    ours = [job.id for job in await queue.add_bulk(("n", 1, {option: Keep(count=2, age_seconds=60)}) for _ in range(9))]
    await _end(queue, 9, state, "=2,60")
    finished = [text(each) for each in await queue.redis.zrange(queue.keys.base + state, 0, -1)]
    # those that stay lie before ours, and are stepped over a part a call
    assert sorted(finished, key=int) == for_ever + ours[-2:]
    assert {await queue.job_state(job_id) for job_id in ours[:-2]} == {"unknown"}


async def test_the_default_takes_what_is_too_old(queue: Queue) -> None:
    old = [job.id for job in await queue.add_bulk(("n", 1, {"remove_on_complete": Keep(5, 60)}) for _ in range(2))]
    await _end(queue, 2, "completed", "")
    await queue.redis.zadd(queue.keys.completed, dict.fromkeys(old, 1000))
    new = await queue.add("n", 1, remove_on_complete=Keep(5, 60))
    await _end(queue, 1, "completed", "=5,60")
    assert await queue.redis.zrange(queue.keys.completed, 0, -1) == [new.id.encode()]


async def test_what_was_stepped_over_is_looked_at_again_once_it_is_gone(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crewline.redis.scripts.calls.upkeep.KEEP_COMPLETED", Keep(count=2))
    for_ever = await queue.add_bulk(("n", 1, {"remove_on_complete": False}) for _ in range(3))
    await _end(queue, 3, "completed", "")
    kept = {"remove_on_complete": Keep(count=2)}
    await queue.add_bulk(("n", 1, kept) for _ in range(6))
    await _end(queue, 3, "completed", "=2,")
    for job in for_ever:
        await job.remove()
    await queue.scripts.sweep_jobs("completed", Keep())
    await _end(queue, 3, "completed", "=2,")
    assert await queue.redis.zcard(queue.keys.completed) == 2


async def test_the_default_is_written_as_scripts_look_for_it(queue: Queue) -> None:
    job = await queue.add("n", 1)
    written = text(await queue.redis.hget(queue.keys.job(job.id), "opts"))
    assert '"removeOnComplete":{"count":1000,"age":86400}' in written
    assert '"removeOnFail":{"age":604800}' in written


async def test_one_round_of_sweeping_looks_at_more_than_one_call_does(queue: Queue) -> None:
    await queue.add_bulk(("n", 1) for _ in range(3 * MOST_JOBS))
    results: list[Result] = []
    for turn in range(3 * MOST_JOBS // 50 + 1):
        token = f"t{turn}"
        fetched = await queue.scripts.finish_and_fetch(results, token=token, room=50, **TOLD)
        results = [Result(job.id, token, "completed", "1") for job in fetched.jobs]
    assert await queue.redis.zcard(queue.keys.completed) == 3 * MOST_JOBS
    await QueueMaintainer(queue, 60, 30, 3, Keep(count=5), None).sweep_once()
    assert await queue.redis.zcard(queue.keys.completed) == 5
