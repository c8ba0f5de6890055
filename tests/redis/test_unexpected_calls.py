"""Calls to Redis that fail for a reason that nobody foresaw: they are made again, so often, and hold no slot then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from crewline import Job, Queue, Worker
from crewline.redis.scripts import Fetched, Scripts
from crewline.worker import duties
from crewline.worker.calls.call import Call
from crewline.worker.calls.commit import MOST_UNEXPECTED
from crewline.worker.duties import DutyFailed


async def _nothing(job: Job) -> None:
    pass


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], list[int]]:
    """So many calls fail; returns what grows by one for each."""
    monkeypatch.setattr(duties, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(Call, "pause_seconds", lambda call: 0.001)
    call = Scripts.finish_and_fetch

    def fail(times: float) -> list[int]:
        failed: list[int] = []

        async def send(scripts: Scripts, results: Any, **options: Any) -> Fetched:
            if len(failed) < times:
                failed.append(options["room"])
                raise ZeroDivisionError("a bug")
            return await call(scripts, results, **options)

        monkeypatch.setattr(Scripts, "finish_and_fetch", send)
        return failed

    return fail


async def test_a_call_that_was_given_up_keeps_no_slot(queue: Queue, start_worker: Any, failing: Any) -> None:
    failed = failing(MOST_UNEXPECTED)
    job = await queue.add("n", 1)
    # its only slot was promised to the call that is given up
    await start_worker(_nothing, concurrency=1)
    await job.result(timeout=10)
    assert failed == [1] * MOST_UNEXPECTED


async def test_calls_that_fail_for_ever_end_the_worker(redis_url: str, failing: Any) -> None:
    failed = failing(float("inf"))
    worker = Worker("emails", _nothing, redis=redis_url, concurrency=1)
    with pytest.raises(DutyFailed, match=r"'commit-\d' failed 5 times, last with ZeroDivisionError"):
        await asyncio.wait_for(worker.run(), 30)
    assert len(failed) >= 5 * MOST_UNEXPECTED
