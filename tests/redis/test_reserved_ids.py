"""Ids that are names of a queue's own keys: no job gets one, and nothing takes such a key for a job."""

from __future__ import annotations

from typing import Any

import pytest
from crewline import DeadLetters, FlowJob, InvalidOption, JobNotFound, Queue
from crewline.wire.keys import RESERVED


@pytest.mark.parametrize("job_id", sorted(RESERVED))
async def test_no_job_gets_the_name_of_a_key_of_the_queue(queue: Queue, job_id: str) -> None:
    with pytest.raises(InvalidOption, match="key that the queue itself has"):
        await queue.add("n", 1, job_id=job_id)
    with pytest.raises(InvalidOption, match="key that the queue itself has"):
        await queue.add_bulk([("n", 1), ("n", 1, {"job_id": job_id})])
    with pytest.raises(InvalidOption, match="key that the queue itself has"):
        await queue.add_flow(FlowJob("root", children=[FlowJob("child", options={"job_id": job_id})]))
    assert not await queue.redis.keys("*")


@pytest.mark.parametrize("job_id", ["wait", "delayed", "events", "id", "meta", "repeat", "repeat:daily", ""])
async def test_no_key_of_the_queue_is_read_as_a_job(queue: Queue, job_id: str) -> None:
    await queue.add("n", 1)
    await queue.add("n", 1, delay=60)
    await queue.schedule("daily", "n", every=3600)
    assert await queue.get_job(job_id) is None and await queue.look_at([job_id]) == [None]
    assert await queue.job_state(job_id) == "unknown"
    for call in (queue.wait_for_result(job_id, 5), anext(queue.watch(job_id)), DeadLetters(queue).get(job_id)):
        with pytest.raises(JobNotFound):
            await call
    await queue.schedules.remove("daily")


@pytest.mark.parametrize("job_id", ["\udcff", None, 5, b"1", ["1"]])
async def test_an_id_that_is_no_text_is_refused_by_all(queue: Queue, job_id: Any) -> None:
    letters = DeadLetters(queue)
    calls: list[Any] = [
        queue.get_job(job_id), queue.look_at([job_id]), queue.job_state(job_id), queue.wait_for_result(job_id, 5),
        anext(queue.watch(job_id)), queue.retry(job_id), queue.cancel(job_id), queue.promote(job_id),
        queue.change_delay(job_id, 1), queue.change_priority(job_id, 1), queue.update_data(job_id, 1),
        queue.remove(job_id), letters.get(job_id), letters.replay(job_id), queue.schedules.get(job_id),
        queue.schedules.remove(job_id),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(InvalidOption, match=r"id .* (must be a string|is no Unicode text)"):
            await call


@pytest.mark.parametrize("job_id", ["meta", "repeat:daily"])
async def test_nothing_by_id_touches_a_key_that_is_no_job(queue: Queue, job_id: str) -> None:
    await queue.pause()
    await queue.schedule("daily", "n", every=3600)
    before = await queue.redis.hgetall(queue.keys.job(job_id))
    calls: list[Any] = [
        queue.cancel(job_id), queue.retry(job_id), queue.promote(job_id), queue.change_delay(job_id, 1),
        queue.change_priority(job_id, 1), queue.update_data(job_id, 1),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(JobNotFound):
            await call
    assert await queue.remove(job_id) is False
    assert before and await queue.redis.hgetall(queue.keys.job(job_id)) == before
    await queue.schedules.remove("daily")


async def test_a_hash_without_a_name_and_a_key_of_another_type_are_no_jobs(queue: Queue) -> None:
    await queue.redis.hset(queue.keys.job("foreign"), "a", "1")
    await queue.redis.set(queue.keys.job("text"), "1")
    for job_id in ("foreign", "text"):
        for call in (
            queue.cancel(job_id), queue.retry(job_id), queue.change_delay(job_id, 1), queue.change_priority(job_id, 1),
            queue.update_data(job_id, 1),
        ):  # fmt: skip
            with pytest.raises(JobNotFound):
                await call
        assert await queue.remove(job_id) is False
        assert await queue.redis.delete(queue.keys.job(job_id)) == 1


async def test_a_letter_of_a_priority_that_is_true_or_of_an_id_that_is_none_holds_up_no_other(queue: Queue) -> None:
    for job_id, options in (("a", {"priority": True}), ("meta", {}), ("b", {})):
        letter = {"queue": "emails", "jobId": job_id, "name": "n", "data": 1, "options": options}
        await queue.beside("emails-dlq").add("n", letter)
    told: list[str] = []
    assert await DeadLetters(queue).replay_all(on_error=lambda letter_id, _: told.append(letter_id)) == 2
    assert told == ["2"]
