"""What a job keeps of a run that was none, and of one that took its process down."""

from __future__ import annotations

from typing import Any

import pytest
from crewline import Queue
from crewline.redis.scripts import Result
from crewline.wire.text import text


async def _fetch(queue: Queue, token: str = "t", **more: Any) -> str:
    fetched = await queue.scripts.finish_and_fetch(
        [], letters="", token=token, lease_ms=60_000, worker="w", room=1, **more
    )
    (job,) = fetched.jobs
    return job.id


async def _settle(queue: Queue, *results: Result) -> list[int]:
    fetched = await queue.scripts.finish_and_fetch(
        results, letters="", token="none", lease_ms=60_000, worker="w", room=0
    )
    return fetched.codes


async def _fields(queue: Queue, job_id: str) -> dict[str, str]:
    return {text(key): text(value) for key, value in (await queue.redis.hgetall(queue.keys.job(job_id))).items()}


async def test_a_hand_back_leaves_a_job_as_it_was_before_the_fetch(queue: Queue) -> None:
    await queue.add("n", 1, priority=2)
    before = await _fields(queue, "1")
    await _fetch(queue)
    assert (await _fields(queue, "1"))["ats"] == "1"
    assert await _settle(queue, Result("1", "t", "back", "")) == [0]
    assert await _fields(queue, "1") == before
    assert await queue.redis.zscore(queue.keys.prioritized, "1") == 2 * 2**32


async def test_a_hand_back_is_neither_a_start_nor_an_attempt_of_a_job_that_failed_before(
    queue: Queue,
) -> None:
    await queue.add("n", 1)
    await _fetch(queue)
    assert await _settle(queue, Result("1", "t", "retry", "torn")) == [0]
    for _ in range(3):
        await _fetch(queue)
        assert await _settle(queue, Result("1", "t", "back", "")) == [0]
    fields = await _fields(queue, "1")
    assert (fields["ats"], fields["atm"]) == ("1", "1")


async def test_a_hand_back_takes_the_marks_of_the_run_away(queue: Queue) -> None:
    await queue.add("n", 1)
    await _fetch(queue, unread_ms=60_000)
    assert await queue.scripts.mark_alone("1", "t") == 0
    assert await _settle(queue, Result("1", "t", "back", "")) == [0]
    assert not (await _fields(queue, "1")).keys() & {"alone", "unread"}


async def test_a_suspect_whose_process_died_stays_one_and_that_start_counts(queue: Queue) -> None:
    await queue.add("n", 1)
    await queue.redis.hset(queue.keys.job("1"), "suspect", "1")
    for crashes in ("1", "2"):
        await _fetch(queue)
        await queue.scripts.mark_alone("1", "t")
        assert await _settle(queue, Result("1", "t", "back", "", crashed=True)) == [0]
        fields = await _fields(queue, "1")
        assert (fields["crashes"], fields["ats"], fields["suspect"]) == (crashes, crashes, "1")
        assert "alone" not in fields and "atm" not in fields
    assert await queue.job_state("1") == "waiting"


@pytest.mark.parametrize("outcome", ["completed", "failed", "retry"])
async def test_a_suspect_that_ended_is_one_no_more(queue: Queue, outcome: str) -> None:
    await queue.add("n", 1)
    await queue.redis.hset(queue.keys.job("1"), mapping={"suspect": "2", "crashes": "1", "tried": "2", "blamed": "1:1"})
    await _fetch(queue)
    await queue.scripts.mark_alone("1", "t")
    assert await _settle(queue, Result("1", "t", outcome, '"x"', suspect=True)) == [0]
    assert not (await _fields(queue, "1")).keys() & {"suspect", "crashes", "alone", "tried", "blamed"}


@pytest.mark.parametrize(("suspect", "tried"), [("2", "2"), ("many", "1"), (None, None)])
async def test_a_suspect_that_raised_in_a_process_of_its_own_has_been_tried(
    queue: Queue, suspect: str | None, tried: str | None
) -> None:
    await queue.add("n", 1)
    before = await _fields(queue, "1")
    if suspect:
        await queue.redis.hset(queue.keys.job("1"), "suspect", suspect)
    await _fetch(queue)
    assert await _settle(queue, Result("1", "t", "back", "", tried=True)) == [0]
    marks = {"suspect": suspect, "tried": tried} if suspect else {}
    assert await _fields(queue, "1") == before | marks


async def test_a_job_that_is_run_again_has_not_been_tried(queue: Queue) -> None:
    await queue.add("n", 1)
    await _fetch(queue)
    assert await _settle(queue, Result("1", "t", "failed", "torn")) == [0]
    # a worker of BullMQ that ends it leaves our marks
    await queue.redis.hset(queue.keys.job("1"), mapping={"suspect": "1", "tried": "1", "blamed": "1:1"})
    await queue.retry("1")
    assert not (await _fields(queue, "1")).keys() & {"suspect", "tried", "blamed"}


async def _alone_with_a_worker_that_is_counted_as_dead(queue: Queue, most: int) -> str:
    """Returns the start that is blamed."""
    job_key = queue.keys.job("1")
    await queue.add("n", 1)
    await queue.redis.hset(job_key, "suspect", "1")
    await _fetch(queue)
    await queue.scripts.mark_alone("1", "t")
    start = f"1:{await queue.scripts.read_clock() - 60_000}"
    await queue.redis.hset(job_key, "processedOn", start[2:])
    await queue.redis.delete(job_key + ":lock", queue.keys.stalled_check)
    found = await queue.scripts.recover_stalled(60_000, most, lease_ms=60_000, once=True)
    assert found.back + found.doomed == ["1"]
    return start


@pytest.mark.parametrize("outcome", ["completed", "back"])
@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("again", [False, True])
async def test_a_late_result_takes_back_what_its_start_was_blamed_for_since_its_worker_lives(
    queue: Queue, again: bool, most: int, outcome: str
) -> None:
    start = await _alone_with_a_worker_that_is_counted_as_dead(queue, most)
    job_key = queue.keys.job("1")
    assert await queue.redis.hexists(job_key, "defa") is (most == 1)
    if again:
        await _fetch(queue, "another")
    late = Result("1", "t", outcome, "1", suspect=outcome == "completed", alone=start)
    assert await _settle(queue, late) == [-6 if again else -2]
    assert await queue.redis.hmget(job_key, "crashes", "defa", "suspect") == [None, None, b"2"]
    # once only
    await queue.redis.hset(job_key, "crashes", "1")
    await _settle(queue, late)
    assert await queue.redis.hget(job_key, "crashes") == b"1"


@pytest.mark.parametrize("alone", ["", "1:1"])
async def test_a_late_result_takes_back_no_crash_that_another_start_is_blamed_for(queue: Queue, alone: str) -> None:
    await _alone_with_a_worker_that_is_counted_as_dead(queue, 1)
    job_key = queue.keys.job("1")
    before = await queue.redis.hgetall(job_key)
    assert await _settle(queue, Result("1", "t", "completed", "1", suspect=True, alone=alone)) == [-2]
    assert await queue.redis.hgetall(job_key) == before


async def test_what_a_job_was_condemned_for_by_its_family_stays(queue: Queue) -> None:
    start = await _alone_with_a_worker_that_is_counted_as_dead(queue, 1)
    await queue.redis.hset(queue.keys.job("1"), "defa", "a child failed")
    await _settle(queue, Result("1", "t", "completed", "1", suspect=True, alone=start))
    assert await queue.redis.hget(queue.keys.job("1"), "defa") == b"a child failed"


async def test_a_late_result_of_a_suspect_makes_no_job_of_one_that_is_gone(queue: Queue) -> None:
    assert await _settle(queue, Result("1", "t", "completed", "1", suspect=True, alone="1:1")) == [-1]
    assert not await queue.redis.exists(queue.keys.job("1"))


async def test_a_job_whose_children_failed_is_kept_as_one_that_failed(queue: Queue) -> None:
    result = Result("1", "t", "completed", "1", keep_completed="5,", keep_failed="7,60")
    assert '"keep": "7,60"' in result._replace(outcome="failed").sent()[-1]
    assert '"keep": ""' in Result("1", "t", "completed", "1", keep_completed="5,")._replace(outcome="failed").sent()[-1]
