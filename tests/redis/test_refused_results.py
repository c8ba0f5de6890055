"""Results that Redis refuses: their neighbours are written all the same, and the worker goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import redis as sync_redis
from crewline import Job, Queue
from crewline.redis.scripts import Result, Scripts


class Gate:
    """A handler whose jobs all end at once."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def handle(self, job: Job) -> str:
        await self.opened.wait()
        return "fine"


@pytest.fixture
def weak(redis_url: str) -> Iterator[Any]:
    """A user who may do all, until it is forbidden what belongs to jobs whose ids begin with x."""
    with sync_redis.Redis.from_url(redis_url) as admin:

        def forbid(forbidden: bool) -> None:
            keys = ("~bull:emails:[^x]*", "~bull-crewline:*", "~bull:emails-dlq:*") if forbidden else ("~*",)
            admin.execute_command("ACL", "SETUSER", "weak", "resetkeys", *keys)

        admin.execute_command("ACL", "SETUSER", "weak", "on", ">secret", "~*", "&*", "+@all")
        yield forbid
        admin.execute_command("ACL", "DELUSER", "weak")


async def test_what_ends_beside_jobs_whose_results_are_refused_is_written_and_these_are_told_of(
    queue: Queue, redis_url: str, start_worker: Any, until: Any, weak: Any, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    bad = await queue.add_bulk(("n", n, {"job_id": f"x-{n}"}) for n in range(3))
    good = await queue.add_bulk(("n", n) for n in range(7))
    worker = await start_worker(gate.handle, redis=redis_url.replace("//", "//weak:secret@"))
    await until(lambda: worker.running == 10)
    weak(True)
    gate.opened.set()
    for job in good:
        assert await job.result(timeout=10) == "fine"
    assert await (await queue.add("later", {})).result(timeout=10) == "fine"
    await until(lambda: all(f"job x-{n} of queue emails: Redis refuses how it ended" in caplog.text for n in range(3)))
    assert caplog.text.count("Redis refuses how it ended") == 3
    assert not any("does not take our calls" in each.message for each in caplog.records)
    assert {await job.state() for job in bad} == {"active"}
    weak(False)
    for job in bad:
        assert await job.result(timeout=10) == "fine"


async def test_a_result_that_can_not_even_be_sent_ends_no_worker_and_holds_up_no_other(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gate, call, broken = Gate(), Scripts.finish_and_fetch, True

    async def finish_and_fetch(self: Scripts, results: list[Result], **told: Any) -> Any:
        # as a bug in what makes a call of results would
        if broken and any(result.job_id == "bad" for result in results):
            raise ZeroDivisionError("a bug")
        return await call(self, results, **told)

    monkeypatch.setattr("crewline.worker.calls.refused.AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(Scripts, "finish_and_fetch", finish_and_fetch)
    bad = await queue.add("n", 1, job_id="bad")
    good = await queue.add_bulk(("n", n) for n in range(5))
    worker = await start_worker(gate.handle)
    await until(lambda: worker.running == 6)
    gate.opened.set()
    for job in good:
        assert await job.result(timeout=10) == "fine"
    # more often than an error that nobody foresaw may come in a row
    await asyncio.sleep(0.3)
    assert caplog.text.count("job bad of queue emails: Redis refuses how it ended") == 1
    broken = False
    assert await bad.result(timeout=10) == "fine"


async def test_a_worker_that_stops_tries_once_more_and_counts_what_it_could_not_write(
    queue: Queue, redis_url: str, start_worker: Any, until: Any, weak: Any, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    await queue.add("n", 1, job_id="x-1")
    worker = await start_worker(gate.handle, redis=redis_url.replace("//", "//weak:secret@"))
    await until(lambda: worker.running == 1)
    weak(True)
    gate.opened.set()
    await until(lambda: "job x-1 of queue emails: Redis refuses how it ended" in caplog.text)
    assert worker._committer.unwritten == 1 and worker._committer.pending
    weak(False)
    await worker.stop()
    assert await queue.job_state("x-1") == "completed"
