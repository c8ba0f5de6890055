"""Which letters a listing tells of while others come and go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from crewline import DeadLetters, Job, Queue
from crewline.queue import dead_letters

LETTERS = 23


@pytest.fixture(params=[4, 1000])
def page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(dead_letters, "PAGE", request.param)


async def _dead(queue: Queue, start_worker: Any, until: Any) -> DeadLetters:
    async def fail(job: Job) -> None:
        raise ValueError("no")

    worker = await start_worker(fail)
    letters = DeadLetters(queue)
    for number in range(LETTERS):
        await queue.add("n", number, attempts=1)

    async def all_are_dead() -> bool:
        return await letters.count() == LETTERS

    await until(all_are_dead)
    await worker.stop()
    return letters


def _between_pages(letters: DeadLetters, monkeypatch: pytest.MonkeyPatch, step: Any) -> None:
    redis = letters._letters.redis
    read = redis.lrange

    async def page_then_step(*arguments: Any) -> Any:
        found = await read(*arguments)
        await step(found)
        return found

    monkeypatch.setattr(redis, "lrange", page_then_step)


def _one_more_in(queue: Queue, wait: str) -> Callable[[list[bytes]], Awaitable[None]]:
    """A letter comes after each page that had any."""

    async def one_more(found: list[bytes]) -> None:
        if found:
            await queue.redis.lpush(wait, "later")

    return one_more


async def test_a_letter_that_comes_while_they_are_listed_makes_none_come_twice(
    queue: Queue, start_worker: Any, until: Any, page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = await _dead(queue, start_worker, until)
    wait = letters._letters.keys.wait
    before = [letter.id for letter in await letters.list(LETTERS)]
    _between_pages(letters, monkeypatch, _one_more_in(queue, wait))
    assert [letter.id for letter in await letters.list(100)] == before
    monkeypatch.undo()
    await queue.redis.lrem(wait, 0, "later")


async def test_a_letter_that_leaves_while_they_are_listed_makes_none_be_passed_over(
    queue: Queue, start_worker: Any, until: Any, page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = await _dead(queue, start_worker, until)
    before = [letter.id for letter in await letters.list(LETTERS)]

    there = list(before)

    async def newest_and_oldest_leave(found: list[bytes]) -> None:
        for place in (0, -1) if len(there) > 2 else ():
            assert await letters._letters.remove(there.pop(place))

    _between_pages(letters, monkeypatch, newest_and_oldest_leave)
    listed = [letter.id for letter in await letters.list(100)]
    assert set(there) <= set(listed)
    assert listed == [letter_id for letter_id in before if letter_id in listed]


async def test_a_dry_run_counts_each_letter_once_while_others_come(
    queue: Queue, start_worker: Any, until: Any, page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = await _dead(queue, start_worker, until)
    wait = letters._letters.keys.wait
    _between_pages(letters, monkeypatch, _one_more_in(queue, wait))
    assert await letters.replay_all(dry_run=True) == LETTERS
    monkeypatch.undo()
    await queue.redis.lrem(wait, 0, "later")


async def test_of_a_dead_letter_queue_that_is_shared_each_queue_lists_and_replays_its_own(
    redis_url: str, start_worker: Any, until: Any
) -> None:
    async def fail(job: Job) -> None:
        raise ValueError("no")

    async with (
        Queue("emails", redis=redis_url, dead_letter_queue="graveyard") as emails,
        Queue("other", redis=redis_url, dead_letter_queue="graveyard") as other,
    ):
        letters = DeadLetters(emails)
        mine = [(await emails.add("n", 1, attempts=1)).id for _ in range(2)]
        worker = await start_worker(fail, dead_letter_queue="graveyard")

        async def dead(count: int) -> bool:
            return await letters.count() == count

        await until(lambda: dead(2))
        await start_worker(fail, "other", dead_letter_queue="graveyard")
        await other.add_bulk(("n", 1, {"attempts": 1}) for _ in range(5))
        await until(lambda: dead(7))
        await worker.stop()
        assert [(letter.queue, letter.job_id) for letter in await letters.list()] == [
            ("emails", each) for each in mine[::-1]
        ]
        # others' are newer
        assert [letter.job_id for letter in await letters.list(1)] == [mine[1]]
        assert len(await DeadLetters(other).list()) == 5
        assert await letters.replay_all() == 2
        assert await letters.list() == [] and await letters.count() == 5
