"""A dead letter whose job somebody runs again by other ways than a replay: it goes once the job has ended anew."""

from __future__ import annotations

import json
from typing import Any

import pytest
from crewline import DeadLetters, InvalidPayload, Job, JobFailed, Queue
from crewline.redis.scripts import Result


class Handler:
    """Fails as often as told, then returns."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.runs = 0

    async def __call__(self, job: Job) -> str:
        self.runs += 1
        if self.runs <= self.failures:
            raise ValueError(f"no {self.runs}")
        return "done"


async def _failed(queue: Queue, until: Any, **options: Any) -> Job:
    """A job that has failed, and has a letter."""
    job = await queue.add("n", 1, attempts=1, **options)
    with pytest.raises(JobFailed):
        await job.result(timeout=20)
    await until(DeadLetters(queue).count)
    return job


@pytest.mark.parametrize("options", [{}, {"remove_on_complete": True}, {"dedup": "d"}])
@pytest.mark.parametrize("fresh", [True, False])
async def test_it_goes_with_the_success_of_its_job(
    queue: Queue, start_worker: Any, until: Any, options: dict[str, Any], fresh: bool
) -> None:
    handle = Handler(1)
    await start_worker(handle)
    job = await _failed(queue, until, **options)
    await job.retry(fresh=fresh)
    assert await job.result(timeout=20) == "done"
    letters = DeadLetters(queue)
    assert (await letters.count(), (await queue.metrics()).dead) == (0, 0)
    assert await letters.replay_all() == 0
    assert handle.runs == 2
    assert [event.name async for event in _past(queue.beside("emails-dlq"))].count("removed") == 1


async def _past(queue: Queue) -> Any:
    last = await queue.last_event_id()
    async for event in queue.events(after="0"):
        yield event
        if event.id == last:
            return


async def test_one_that_fails_again_has_one_letter_which_tells_of_the_last_failure(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    await start_worker(Handler(2))
    job = await _failed(queue, until)
    await queue.retry_all("failed")
    letters = DeadLetters(queue)

    async def told() -> list[str]:
        return [letter.reason for letter in await letters.list()]

    async def told_of_the_last() -> bool:
        return await told() == ["no 2"]

    await until(told_of_the_last)
    found = await queue.get_job(job.id)
    assert found and found.dead_letter_id == (await letters.list())[0].id


async def test_a_letter_that_was_replayed_stays_as_it_is(queue: Queue, start_worker: Any, until: Any) -> None:
    await start_worker(Handler(1))
    job = await _failed(queue, until)
    letters = DeadLetters(queue)
    (letter,) = await letters.list()
    assert await letters.replay(letter.id)
    assert await job.result(timeout=20) == "done"
    assert await queue.beside("emails-dlq").job_state(letter.id) == "completed"


async def test_one_whose_job_another_client_has_done_goes_when_it_is_to_be_replayed(queue: Queue) -> None:
    told = {"letters": "bull:emails-dlq:", "lease_ms": 60_000, "worker": "w"}
    job = await queue.add("n", 1, attempts=1)
    # as a client does that knows of no letters
    for end in (Result(job.id, "t", "failed", "no"), Result(job.id, "t", "completed", "1")):
        fetched = await queue.scripts.finish_and_fetch([], token="t", room=1, **told)
        assert [each.id for each in fetched.jobs] == [job.id]
        assert (await queue.scripts.finish_and_fetch([end], token="", room=0, **told)).codes == [0]
        if end.outcome == "failed":
            await job.retry()
    letters = DeadLetters(queue)
    assert await letters.count() == 1
    assert await letters.replay_all() == 0
    assert await letters.count() == 0
    assert await job.state() == "completed"


@pytest.mark.parametrize("field", ["jobId", "name"])
async def test_one_that_is_no_text_holds_up_no_other(queue: Queue, start_worker: Any, until: Any, field: str) -> None:
    told = {"queue": "emails", "jobId": "a", "name": "n", "reason": "r", "data": 1, "options": {}}
    letters = queue.beside("emails-dlq")
    odd = await letters.add("n", told)
    await queue.redis.hset(letters.keys.job(odd.id), "data", json.dumps(told | {field: "\ud800"}))
    await letters.add("n", told | {"jobId": "b"})
    refused: dict[str, Exception] = {}
    assert await DeadLetters(queue).replay_all(on_error=refused.__setitem__) == 1
    assert isinstance(refused[odd.id], InvalidPayload) and "Unicode" in str(refused[odd.id])
