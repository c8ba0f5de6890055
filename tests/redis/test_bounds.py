"""What goes through many jobs comes to an end whatever happens meanwhile, and refuses what it can't be meant for."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from crewline import DeadLetters, InvalidOption, Job, Queue
from crewline.wire.text import MOST_REASON


async def test_all_delayed_jobs_are_those_that_are_delayed_when_it_is_asked(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue.add_bulk(("n", n, {"delay": 60}) for n in range(3))
    promote, calls = queue.scripts.promote_jobs, 0

    async def promoting(most: int, *job_ids: str) -> int:
        nonlocal calls
        calls += 1
        assert calls < 10, "it goes on for ever"
        # as a job that fails at once, and has to wait for its next attempt
        await queue.add("again", 1, delay=30)
        return await promote(most, *job_ids)

    monkeypatch.setattr(queue.scripts, "promote_jobs", promoting)
    assert await queue.promote_all() == 3
    assert (await queue.metrics()).delayed == calls


@pytest.mark.parametrize("options", [{}, {"priority": 3}, {"delay": 60}])
async def test_a_drain_ends_though_a_producer_goes_on(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    await queue.add_bulk(("n", n, options) for n in range(3))
    clean, calls = queue.scripts.clean_jobs, 0

    async def cleaning(*arguments: Any) -> tuple[list[str], int]:
        nonlocal calls
        calls += 1
        assert calls < 10, "it goes on for ever"
        gone = await clean(*arguments)
        await queue.add("more", 1, **options)
        return gone

    monkeypatch.setattr(queue.scripts, "clean_jobs", cleaning)
    assert await queue.drain(delayed=True) == 3


@pytest.mark.parametrize("state", ["wait", "delayed", "", None, 5, []])
async def test_only_what_has_ended_can_be_retried(queue: Queue, start_worker: Any, until: Any, state: Any) -> None:
    async def fail(job: Job) -> None:
        raise ValueError("no")

    worker = await start_worker(fail)
    job = await queue.add("n", 1, attempts=1)
    await until(lambda: _failed(job))
    await worker.stop()
    with pytest.raises(InvalidOption, match=r"state .* can't be retried: use failed or completed"):
        await queue.retry_all(state)
    assert await _failed(job)


async def _failed(job: Job) -> bool:
    return await job.state() == "failed"


async def test_the_reason_of_a_cancel_is_bounded_as_any_reason_is(queue: Queue) -> None:
    job = await queue.add("n", 1)
    assert await job.cancel("x" * 1_000_000)
    reason = await queue.redis.hget(queue.keys.job(job.id), "failedReason")
    assert len(reason) < MOST_REASON + 100 and reason.endswith(b"(1000000 characters)")


@pytest.mark.parametrize(
    "wanted",
    [{"limit": 0}, {"limit": -1}, {"limit": None}, {"limit": "3"}, {"name": 5}, {"reason": b"x"}, {"text": []},
     {"since": 5}, {"until": datetime.datetime(2026, 1, 1)}],
    ids=str,
)  # fmt: skip
async def test_letters_that_cant_be_chosen_so_are_refused_by_name(queue: Queue, wanted: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match=f"^{next(iter(wanted))} "):
        await DeadLetters(queue).list(**wanted)


async def test_what_others_wrote_of_workers_and_minutes_hides_none_of_the_rest(queue: Queue) -> None:
    workers = queue.keys.extra("workers")
    told = {"a": '{"name": "a"}', "b": "{oops", "c": "[1]", "d": "\xff"}
    for name, text in told.items():
        await queue.redis.zadd(workers, {name: 1})
        await queue.redis.set(queue.keys.extra(f"worker:{name}"), text.encode("latin-1"))
    assert [worker["name"] for worker in await queue.workers()] == ["a"]
    history = f"{queue.keys.base}metrics:completed:data"
    await queue.redis.rpush(history, "5", "x", "1e1")
    assert await queue.metrics_history() == [5, 0, 10]
    await queue.redis.delete(workers, history, *(queue.keys.extra(f"worker:{name}") for name in told))


async def test_a_queue_closes_all_that_it_opened_though_a_part_of_it_fails(
    queue: Queue, redis_url: str, until: Any
) -> None:
    async def connected() -> int:
        return len(await queue.redis.client_list())

    before = await connected()
    opened = Queue("orders", redis=redis_url)
    await opened.add("n", 1)
    other = opened.beside("mails")
    await other.add("n", 1)

    async def fail() -> None:
        raise ConnectionError("as told")

    other.close = fail  # type: ignore[method-assign]
    with pytest.raises(ConnectionError, match="as told"):
        await opened.close()

    async def closed() -> bool:
        return await connected() == before

    await until(closed)
