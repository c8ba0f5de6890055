"""Results that Redis refuses: their neighbours are written all the same, and the worker goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import redis as sync_redis
from crewline import Job, Middleware, Queue, Retry
from crewline.redis.scripts import Result, Scripts
from redis.exceptions import ResponseError

from tests.redis.denying import as_weak


class Gate:
    """A handler whose jobs all end at once."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def handle(self, job: Job) -> str:
        await self.opened.wait()
        return "fine"


class Story(Middleware):
    """What hooks and listeners are told of ends."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    async def after(self, job: Job, result: Any) -> None:
        self.ends.append(f"hook of {job.id}")


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
    worker = await start_worker(gate.handle, redis=as_weak(redis_url))
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


async def test_what_is_settled_by_a_call_that_may_not_fetch_is_told_as_settled_once(
    queue: Queue, redis_url: str, start_worker: Any, until: Any, weak: Any, caplog: pytest.LogCaptureFixture
) -> None:
    gate, told = Gate(), Story()
    jobs = await queue.add_bulk(("n", n) for n in range(6))
    worker = await start_worker(gate.handle, redis=as_weak(redis_url), middleware=[told])
    worker.on("completed", lambda job: told.ends.append(f"listened to {job.id}"))
    await until(lambda: worker.running == 6)
    # one of its slots is to be filled by the very call that settles these
    await queue.redis.execute_command("ACL", "SETUSER", "weak", "-rpop")
    later = await queue.add("later", 7)
    gate.opened.set()
    for job in jobs:
        assert await job.result(timeout=10) == "fine"
    await until(lambda: "does not take our calls" in caplog.text)
    assert sorted(told.ends) == sorted(f"{what} {job.id}" for job in jobs for what in ("hook of", "listened to"))
    assert await later.state() == "waiting" and worker._committer.unwritten == 0
    await queue.redis.execute_command("ACL", "SETUSER", "weak", "+rpop")
    assert await later.result(timeout=20) == "fine"
    assert not any(words in caplog.text for words in ("how it ended", "made again"))


async def test_a_fetch_that_is_refused_behind_results_takes_none_of_them_back_and_no_job(
    queue: Queue, redis_url: str, weak: Any
) -> None:
    done = await queue.add("n", 1)
    fetched = await queue.scripts.finish_and_fetch([], letters="", token="t", lease_ms=60_000, worker="w", room=1)
    waiting = await queue.add("n", 2)
    await queue.redis.execute_command("ACL", "SETUSER", "weak", "-set")
    told: list[str] = []
    result = Result(done.id, "t", "completed", "1")
    async with Queue("emails", redis=as_weak(redis_url)) as refused:
        refused.scripts.on_refused = told.extend
        fetched = await refused.scripts.finish_and_fetch(
            [result], letters="", token="u", lease_ms=60_000, worker="w", room=1
        )
    assert (fetched.codes, fetched.jobs, fetched.more) == ([0], [], True)
    (why,) = told
    assert why.startswith("bull:emails:wait: ")
    assert [await job.state() for job in (done, waiting)] == ["completed", "waiting"]
    assert not await queue.redis.exists(queue.keys.job(waiting.id) + ":lock")


async def test_results_that_are_refused_in_the_middle_of_a_call_lose_no_job_and_are_not_said_to_be_late(
    queue: Queue, redis_url: str, start_worker: Any, until: Any, weak: Any, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()

    async def handle(job: Job) -> str:
        if job.data % 2 and not job.attempts_made:
            await gate.opened.wait()
            raise Retry("again", delay=0)
        return await gate.handle(job)

    jobs = await queue.add_bulk(("n", n) for n in range(6))
    worker = await start_worker(handle, redis=as_weak(redis_url))
    await until(lambda: worker.running == 6)
    # those that are to be tried again are asked for before any moves: all of a call stays, or all of it is done
    await queue.redis.execute_command("ACL", "SETUSER", "weak", "-zadd")
    gate.opened.set()
    await until(lambda: "can not be moved" in caplog.text)
    assert {await job.state() for job in jobs} == {"active"}
    await queue.redis.execute_command("ACL", "SETUSER", "weak", "+zadd")
    for job in jobs:
        assert await job.result(timeout=20) == "fine"
    assert "others were given the job" not in caplog.text and "not active any more" not in caplog.text


@pytest.mark.parametrize("outcome", ["completed", "failed", "retry", "back"])
async def test_a_job_whose_end_redis_refuses_to_write_is_in_a_state_all_the_same(
    queue: Queue, redis_url: str, weak: Any, outcome: str
) -> None:
    job = await queue.add("n", 1)
    await queue.scripts.finish_and_fetch([], letters="", token="t", lease_ms=60_000, worker="w", room=1)
    await queue.redis.execute_command("ACL", "SETUSER", "weak", "-zadd")
    async with Queue("emails", redis=as_weak(redis_url)) as refused:
        with contextlib.suppress(ResponseError):
            await refused.scripts.finish_and_fetch(
                [Result(job.id, "t", outcome, "1")], letters="", token="u", lease_ms=60_000, worker="w", room=0
            )
    assert await job.state() == "active"


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
    worker = await start_worker(gate.handle, redis=as_weak(redis_url))
    await until(lambda: worker.running == 1)
    weak(True)
    gate.opened.set()
    await until(lambda: "job x-1 of queue emails: Redis refuses how it ended" in caplog.text)
    assert worker._committer.unwritten == 1 and worker._committer.pending
    weak(False)
    await worker.stop()
    assert await queue.job_state("x-1") == "completed"
