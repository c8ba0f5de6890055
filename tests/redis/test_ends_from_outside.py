"""A job that is cancelled while nobody runs it ends as any that fails: retention, metrics, and nothing of its runs."""

from __future__ import annotations

from typing import Any

import pytest
from crewline import Keep, Queue
from crewline.redis.scripts import Result

DAY_MS = 24 * 3600 * 1000
#: What a job is told by of having been with workers that died.
SUSPICION = ("suspect", "tried", "alone", "crashes", "blamed", "unread")


async def _fetch(queue: Queue) -> None:
    await queue.scripts.finish_and_fetch([], letters="", token="t", lease_ms=60_000, worker="w", room=1)


async def _settle(queue: Queue, outcome: str, points: int = 0) -> None:
    told = Result("a", "t", outcome, '"x"', suspect=True)
    answer = await queue.scripts.finish_and_fetch(
        [told], letters="", token="t2", lease_ms=60_000, worker="w", room=0, points=points
    )
    assert answer.codes == [0]


async def _cancel(queue: Queue) -> None:
    assert await queue.cancel("a", "no more")


async def _cancel_lost(queue: Queue) -> None:
    """It is cancelled, and its worker dies before it has heard of it."""
    await _fetch(queue)
    await _cancel(queue)
    await queue.redis.delete(queue.keys.job("a") + ":lock")
    await queue.redis.hset(queue.keys.job("a"), "processedOn", "1")
    await queue.redis.delete(queue.keys.stalled_check)
    await queue.scripts.recover_stalled(1, 3, lease_ms=1000, once=True)


async def _cancel_raising(queue: Queue) -> None:
    """It is cancelled, and has raised before its worker has heard of it."""
    await _fetch(queue)
    await _cancel(queue)
    await _settle(queue, "retry")


async def _cancel_handed_back(queue: Queue) -> None:
    """It is cancelled, and its worker has given it back before it has heard of it."""
    await _fetch(queue)
    await _cancel(queue)
    await _settle(queue, "back")


#: Nobody settles these, and so nobody says how many minutes of metrics are kept.
OUTSIDE = [_cancel, _cancel_lost]
CANCELS = [*OUTSIDE, _cancel_raising, _cancel_handed_back]


@pytest.mark.parametrize("end", CANCELS)
async def test_a_job_that_is_not_to_be_kept_goes(queue: Queue, end: Any) -> None:
    await queue.add("n", 1, job_id="a", remove_on_fail=True, dedup="d")
    await end(queue)
    assert await queue.job_state("a") == "unknown"
    assert await queue.redis.exists(queue.keys.job("a"), queue.keys.base + "de:d") == 0
    (event,) = [each for _, each in await queue.redis.xrange(queue.keys.events) if each[b"event"] == b"failed"]
    assert event[b"failedReason"] == b"no more"


@pytest.mark.parametrize("end", CANCELS)
@pytest.mark.parametrize("keep", [1, Keep(count=1), Keep(age_seconds=3600)])
async def test_the_jobs_own_retention_is_applied(queue: Queue, end: Any, keep: Any) -> None:
    await queue.add("n", 1, job_id="old")
    await queue.cancel("old")
    await queue.redis.zadd(queue.keys.failed, {"old": 1000})
    await queue.add("n", 1, job_id="a", remove_on_fail=keep)
    await end(queue)
    assert [await queue.job_state(each) for each in ("old", "a")] == ["unknown", "failed"]


@pytest.mark.parametrize("end", CANCELS)
async def test_the_default_retention_takes_only_jobs_that_have_it(queue: Queue, end: Any) -> None:
    for job_id in ("foreign", "ours"):
        await queue.add("n", 1, job_id=job_id)
        await queue.cancel(job_id)
    await queue.redis.hset(queue.keys.job("foreign"), "opts", "{}")
    await queue.redis.zadd(queue.keys.failed, {"foreign": 1000, "ours": 1000})
    await queue.add("n", 1, job_id="a")
    await end(queue)
    assert [await queue.job_state(each) for each in ("foreign", "ours", "a")] == ["failed", "unknown", "failed"]


@pytest.mark.parametrize(
    "opts",
    ["{}", '{"removeOnFail":false}', '{"removeOnFail":-1}', '{"removeOnFail":"yes"}', '{"removeOnFail":{}}',
     '{"removeOnFail":{"count":-1,"age":1e99}}', "no JSON"],
)  # fmt: skip
async def test_what_is_no_retention_keeps_all(queue: Queue, opts: str) -> None:
    await queue.add("n", 1, job_id="old")
    await queue.cancel("old")
    await queue.redis.zadd(queue.keys.failed, {"old": 1000})
    await queue.add("n", 1, job_id="a")
    await queue.redis.hset(queue.keys.job("a"), "opts", opts)
    await _cancel(queue)
    assert [await queue.job_state(each) for each in ("old", "a")] == ["failed", "failed"]


@pytest.mark.parametrize("end", OUTSIDE)
async def test_it_is_counted_where_the_queue_keeps_counts(queue: Queue, end: Any) -> None:
    async def failed() -> bytes | None:
        return await queue.redis.hget(queue.keys.base + "metrics:failed", "count")

    await queue.add("n", 1, job_id="a")
    await end(queue)
    assert await failed() is None
    # a worker that keeps them
    await queue.remove("a")
    await queue.add("n", 1, job_id="a")
    await _fetch(queue)
    await _settle(queue, "completed", points=5)
    await queue.remove("a")
    await queue.add("n", 1, job_id="a")
    await end(queue)
    assert await failed() == b"1"
    # and in the minute that is told of next
    metrics = queue.keys.base + "metrics:failed"
    await queue.redis.hset(metrics, mapping={"prevTS": 1000, "prevCount": 0})
    await queue.remove("a")
    await queue.add("n", 1, job_id="a")
    await _fetch(queue)
    await _settle(queue, "failed", points=5)
    assert await queue.redis.lindex(metrics + ":data", -1) == b"1"
    assert await failed() == b"2"


@pytest.mark.parametrize("end", [*CANCELS, "completed", "failed", "retry", "retried"])
async def test_a_job_that_has_ended_or_begins_anew_is_no_suspect(queue: Queue, end: Any) -> None:
    await queue.add("n", 1, job_id="a", attempts=3)
    if isinstance(end, str):
        await _fetch(queue)
    if end == "retried":
        await _settle(queue, "failed")
    await queue.redis.hset(queue.keys.job("a"), mapping=dict.fromkeys(SUSPICION, "1"))
    if end == "retried":
        await queue.retry("a")
    elif isinstance(end, str):
        await _settle(queue, end)
    else:
        await end(queue)
    assert await queue.redis.hmget(queue.keys.job("a"), SUSPICION) == [None] * len(SUSPICION)
