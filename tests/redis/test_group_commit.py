"""What a worker's calls carry: slots are filled before the results of many jobs are settled, and never for long."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any, NamedTuple

import pytest
from crewline import Job, Queue, Worker
from crewline.redis.scripts import Fetched, Result, Scripts
from crewline.worker.calls.deciding import FILL_MOST
from redis.exceptions import ConnectionError

SLOTS = 40


class Call(NamedTuple):
    """How many results it carried, how many jobs it had room for, and how many results it left waiting."""

    results: int
    room: int
    waiting: int


class Calls:
    """Every finish_and_fetch of the process: what it carried; and the answer of one to lose.

    `watched` is the worker whose waiting results are counted.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[Call] = []
        self.watched: Worker | None = None
        self.lose_next_fill = self.lose_next_results = False
        self.lost: list[Fetched] = []
        call = Scripts.finish_and_fetch

        async def noted(scripts: Scripts, results: list[Result], **options: Any) -> Fetched:
            waiting = len(self.watched._slots.ended) if self.watched else 0
            self.made.append(Call(len(results), options["room"], waiting))
            fetched = await call(scripts, results, **options)
            if self.lose_next_fill and not results and fetched.jobs:
                self.lose_next_fill = False
                self.lost.append(fetched)
                raise ConnectionError("the answer is lost")
            if self.lose_next_results and results:
                self.lose_next_results = False
                self.lost.append(fetched)
                raise ConnectionError("the answer is lost")
            return fetched

        monkeypatch.setattr(Scripts, "finish_and_fetch", noted)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


class Gated:
    """A handler whose jobs all end at once."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun: Counter[str] = Counter()

    async def __call__(self, job: Job) -> None:
        self.begun[job.id] += 1
        await self.gate.wait()


async def test_slots_of_jobs_that_end_together_are_filled_before_their_results_are_settled(
    queue: Queue, start_worker: Any, until: Any, calls: Calls
) -> None:
    handler = await _half_of_them_running(queue, start_worker, until)
    first, handler.gate = handler.gate, asyncio.Event()
    calls.made.clear()
    first.set()
    await until(lambda: len(handler.begun) == 2 * SLOTS)
    await until(lambda: sum(call.results for call in calls.made) == SLOTS)
    fetched_first = [call.room for call in calls.made if not call.results]
    assert sum(fetched_first) == SLOTS
    assert [(call.results, call.room) for call in calls.made][: len(fetched_first)] == [(0, n) for n in fetched_first]
    handler.gate.set()
    await until(lambda: _completed(queue, 2 * SLOTS))


async def test_results_wait_for_no_more_jobs_than_they_are_and_for_that_once(
    queue: Queue, start_worker: Any, until: Any, calls: Calls
) -> None:
    # so many that several calls carry the results of those that end at once; all others end as soon as they begin
    slots, jobs, handler = 4 * SLOTS, 900, Gated()
    await queue.add_bulk(("n", i) for i in range(jobs))
    calls.watched = await start_worker(handler, concurrency=slots)
    await until(lambda: len(handler.begun) == slots)
    calls.made.clear()
    handler.gate.set()
    await until(lambda: _completed(queue, jobs))
    # results are carried in the order in which jobs ended: `settled` of them so far, `owed` by the end of a filling
    settled = owed = filled = fillings = 0
    for call in calls.made:
        if call.results or not call.waiting:
            settled, filled = settled + call.results, 0
            continue
        if not filled:
            fillings, allowed = fillings + 1, call.waiting + FILL_MOST - 1
            assert settled >= owed, f"{owed - settled} results wait for a second filling"
        filled += call.room
        assert filled <= allowed, f"{call.waiting} results wait while {filled} jobs are fetched"
        owed = settled + call.waiting
    assert fillings
    assert settled == jobs


async def test_a_lost_answer_to_a_call_that_fills_slots_is_asked_for_again(
    queue: Queue, start_worker: Any, until: Any, calls: Calls
) -> None:
    handler = await _half_of_them_running(queue, start_worker, until)
    calls.lose_next_fill = True
    handler.gate.set()
    await until(lambda: _completed(queue, 2 * SLOTS))
    assert calls.lost
    assert set(handler.begun.values()) == {1}
    stored = [await queue.get_job(job_id) for job_id in handler.begun]
    assert {job.attempts_started for job in stored if job} == {1}


async def test_a_result_that_a_lost_call_has_settled_is_refused_to_the_next_in_silence(
    queue: Queue, start_worker: Any, until: Any, calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    gates = {name: asyncio.Event() for name in ("first", "second")}

    async def handle(job: Job) -> None:
        await gates[job.name].wait()

    await queue.add_bulk((name, {}) for name in gates)
    worker = await start_worker(handle, concurrency=2)
    await until(lambda: worker.running == 2)
    calls.lose_next_results = True
    gates["first"].set()
    await until(lambda: calls.lost)
    # the call that carries this one's result carries the other's again, before the lost call is repeated
    gates["second"].set()
    await until(lambda: _completed(queue, 2))
    await until(lambda: not worker._slots.leases)
    assert sum(call.results for call in calls.made) >= 3
    assert "was refused" not in caplog.text


async def _half_of_them_running(queue: Queue, start_worker: Any, until: Any) -> Gated:
    handler = Gated()
    await queue.add_bulk(("n", i) for i in range(2 * SLOTS))
    await start_worker(handler, concurrency=SLOTS)
    await until(lambda: len(handler.begun) == SLOTS)
    return handler


async def _completed(queue: Queue, count: int) -> bool:
    return (await queue.metrics()).completed == count


@pytest.mark.parametrize(("traces", "most"), [(0, 8), (9, 1)])
async def test_a_call_carries_no_more_than_redis_settles_in_a_moment(
    queue: Queue, start_worker: Any, until: Any, calls: Calls, traces: int, most: int
) -> None:
    gate = asyncio.Event()
    begun: list[str] = []

    async def handle(job: Job) -> None:
        begun.append(job.id)
        await gate.wait()
        deep(400)

    def deep(frames: int) -> None:
        # two functions in turns: the trace of one that calls itself is shortened
        deeper(frames) if frames else 1 / 0

    def deeper(frames: int) -> None:
        deep(frames - 1)

    jobs = await queue.add_bulk(("n", {}, {"attempts": 20, "backoff": 60}) for _ in range(SLOTS))
    for job in jobs:
        told = {"atm": traces, "stacktrace": json.dumps(["x" * 8000] * traces)}
        await queue.redis.hset(queue.keys.job(job.id), mapping=told)
    await start_worker(handle, concurrency=SLOTS)
    await until(lambda: len(begun) == SLOTS)
    calls.made.clear()
    gate.set()
    await until(lambda: sum(call.results for call in calls.made) == SLOTS)
    assert max(call.results for call in calls.made) == most
    await until(lambda: _delayed(queue, SLOTS))


async def _delayed(queue: Queue, count: int) -> bool:
    return (await queue.metrics()).delayed == count


async def test_a_result_that_redis_has_taken_is_not_said_to_be_late_however_many_answers_are_lost(
    queue: Queue, start_worker: Any, until: Any, calls: Calls, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    lost, extend = [True], Scripts.extend_leases

    async def extend_leases(self: Scripts, lease_ms: int, *held: Any) -> list[str]:
        answer = await extend(self, lease_ms, *held)
        if lost:
            lost.pop()
            raise ConnectionError("the answer is lost")
        return answer

    async def handle(job: Job) -> None: ...

    monkeypatch.setattr(Scripts, "extend_leases", extend_leases)
    calls.lose_next_results = True
    job = await queue.add("n", {})
    worker = await start_worker(handle)
    await job.result(timeout=10)
    await until(lambda: not lost and not worker._slots.leases and not worker._committer.unwritten)
    assert "was refused" not in caplog.text
