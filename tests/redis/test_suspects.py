"""Suspects: beside a worker's other slots in children of their own, or alone in it where no child can run them."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from crewline import DeadLetters, Job, JobFailed, Middleware, Queue
from crewline.redis.scripts import Scripts
from crewline.wire.text import text
from crewline.worker.processes.answers import ChildUnavailable
from crewline.worker.processes.children import Children

from tests.redis import app_handlers, process_handlers


async def _suspect(queue: Queue, times: int = 1, data: Any = None, **options: Any) -> Job:
    """A job that was with so many workers that died."""
    await queue.pause()
    job = await queue.add("suspect", data or {}, **options)
    await queue.redis.hset(queue.keys.job(job.id), "suspect", str(times))
    await queue.resume()
    return job


async def test_a_suspect_runs_in_a_child_while_other_slots_go_on(queue: Queue, start_worker: Any, until: Any) -> None:
    worker = await start_worker(process_handlers.either, concurrency=2)
    long = await queue.add("long", {})
    await until(lambda: worker.running == 1)
    suspect = await _suspect(queue)
    assert await suspect.result(timeout=20) != os.getpid()
    assert await long.state() == "active"
    assert await queue.redis.hget(queue.keys.job(suspect.id), "suspect") is None
    await long.cancel()


async def test_a_job_that_takes_its_own_process_down_fails_for_good_and_costs_no_other_anything(
    queue: Queue, start_worker: Any
) -> None:
    suspect = await _suspect(queue, data={"die": True}, attempts=5)
    other = await _suspect(queue)
    await start_worker(process_handlers.either, max_crashes=2)
    with pytest.raises(JobFailed, match=r"took its process down 2 times: .* exited with code 7"):
        await suspect.result(timeout=30)
    assert await other.result(timeout=20) != os.getpid()
    (letter,) = await DeadLetters(queue).list()
    assert (letter.job_id, letter.attempts) == (suspect.id, 1)


async def test_no_worker_takes_more_suspects_than_it_can_deal_with(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crewline.worker.runs.isolation.MOST_CHILDREN", 1)
    await queue.pause()
    jobs = await queue.add_bulk(("suspect", {}) for _ in range(60))
    for job in jobs:
        await queue.redis.hset(queue.keys.job(job.id), "suspect", "1")
    worker = await start_worker(process_handlers.either, concurrency=4)
    await queue.resume()
    await until(lambda: worker.running == 1)
    await asyncio.sleep(0.3)
    # one runs, one waits, and what calls under way brought besides was handed back
    assert len(worker._slots.mine()) <= 2 + 4


async def test_a_fetch_looks_past_suspects_beyond_its_number_and_leaves_them_where_they_were(queue: Queue) -> None:
    jobs = await queue.add_bulk(("n", {}) for _ in range(5))
    urgent = await queue.add_bulk(("n", {}, {"priority": 1}) for _ in range(2))
    for job in (*jobs[:4], urgent[0]):
        await queue.redis.hset(queue.keys.job(job.id), "suspect", "1")
    scores = await queue.redis.zrange(queue.keys.prioritized, 0, -1, withscores=True)
    await queue.redis.delete(queue.keys.marker)
    fetched = await queue.scripts.finish_and_fetch(
        [], letters="", token="t", lease_ms=60_000, worker="w", room=7, suspects=1
    )
    assert [each.id for each in fetched.jobs] == [jobs[0].id, jobs[4].id, urgent[1].id]
    waiting = await queue.redis.lrange(queue.keys.wait, 0, -1)
    assert [text(each) for each in reversed(waiting)] == [job.id for job in jobs[1:4]]
    assert await queue.redis.zrange(queue.keys.prioritized, 0, -1, withscores=True) == scores[:1]
    assert await queue.redis.llen(queue.keys.active) == 3
    assert not await queue.redis.exists(queue.keys.marker)


async def test_a_beat_tells_what_runs_and_not_what_waits(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crewline.worker.runs.isolation.MOST_CHILDREN", 1)
    gate = asyncio.Event()

    async def handle(job: Job) -> None:
        await gate.wait()

    worker = await start_worker(handle, concurrency=1)
    running = await queue.add("n", {})
    await until(lambda: worker.running == 1)
    # one more suspect than this worker has room for
    waiting = await _suspect(queue)
    worker.concurrency = 2
    await until(lambda: len(worker._slots.mine()) == 2)
    worker.concurrency = 1

    async def told() -> bool:
        (entry,) = await queue.workers()
        return bool(entry["slots"] == 1 and entry["running"])

    await until(told)
    (entry,) = await queue.workers()
    assert (entry["busy"], entry["running"]) == (1, [running.id])
    await waiting.cancel()
    gate.set()


async def test_a_suspect_whose_module_no_child_can_import_runs_alone_and_loses_no_attempt(
    queue: Queue, start_worker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a module that can be imported once: a port that it binds, a lock that it takes
    (tmp_path / "once_only.py").write_text(
        f"import os\nopen({str(tmp_path / 'taken')!r}, 'x')\n\n\nasync def handle(job):\n    return os.getpid()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import once_only

    try:
        suspect = await _suspect(queue, attempts=1)
        await start_worker(once_only.handle)
        assert await suspect.result(timeout=30) == os.getpid()
    finally:
        del sys.modules["once_only"]


async def test_a_loner_whose_worker_had_only_stood_still_is_blamed_for_nothing(queue: Queue, start_worker: Any) -> None:
    crashes: list[int] = []

    async def handle(job: Job) -> None:
        crashes.append(job.crashes)
        if len(crashes) == 1:
            # others count its worker as dead meanwhile
            await queue.redis.delete(queue.keys.job(job.id) + ":lock", queue.keys.stalled_check)
            await asyncio.sleep(0.01)
            found = await queue.scripts.recover_stalled(1, 3, lease_ms=1, once=True)
            assert found.back == [job.id]
            assert await queue.redis.hget(queue.keys.job(job.id), "crashes") == b"1"

    loner = await _suspect(queue, times=3)
    await start_worker(handle)
    await loner.result(timeout=20)
    assert crashes == [0, 0]


async def test_a_loner_has_its_worker_until_its_job_says_that_it_is_alone_no_more(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A death beside others would be taken for its own."""
    monkeypatch.setattr("crewline.worker.runs.isolation.ALONE_SECONDS", 0.1)
    mark, away, gate = Scripts.mark_alone, [True, True], asyncio.Event()

    async def mark_later(self: Scripts, job_id: str, token: str, alone: bool = True) -> int:
        if not alone and away:
            away.pop()
            raise ConnectionError("Redis is away")
        return await mark(self, job_id, token, alone)

    async def handle(job: Job) -> Any:
        if job.name == "suspect":
            await gate.wait()
        return await queue.redis.hget(queue.keys.job(loner.id), "alone")

    monkeypatch.setattr(Scripts, "mark_alone", mark_later)
    loner = await _suspect(queue, times=3)
    worker = await start_worker(handle)
    await until(lambda: worker.running == 1)
    assert await queue.redis.hget(queue.keys.job(loner.id), "alone")
    beside = await queue.add("n", {})
    assert await beside.result(timeout=10) is None
    assert not away
    gate.set()
    await loner.result(timeout=10)


async def test_a_loner_of_which_nobody_knows_whether_its_job_says_so_has_its_worker_until_it_does_not(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crewline.worker.runs.isolation.ALONE_SECONDS", 0.1)
    mark, gate = Scripts.mark_alone, asyncio.Event()

    async def unheard(self: Scripts, job_id: str, token: str, alone: bool = True) -> int:
        code = await mark(self, job_id, token, alone)
        if alone:
            raise TimeoutError("it was carried out, and its answer is lost")
        return code

    async def handle(job: Job) -> bool:
        if job.name == "suspect":
            await gate.wait()
        return bool(await queue.redis.hexists(queue.keys.job(loner.id), "alone"))

    monkeypatch.setattr(Scripts, "mark_alone", unheard)
    loner = await _suspect(queue, times=3)
    worker = await start_worker(handle)
    await until(lambda: worker.running == 1)
    beside = await queue.add("n", {})
    assert not await beside.result(timeout=10)
    gate.set()
    await loner.result(timeout=10)


async def test_a_loner_whose_lease_ran_out_goes_on_where_nobody_else_has_its_job(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was all that its worker ran, and would be blamed for a death that was none."""
    monkeypatch.setattr("crewline.worker.runs.isolation.ALONE_SECONDS", 0.05)
    gate = asyncio.Event()
    lost: list[Job] = []

    async def handle(job: Job) -> bool:
        if job.name == "suspect":
            # as an outage that was longer than the lease
            await queue.redis.delete(queue.keys.job(job.id) + ":lock")
            await gate.wait()
        return bool(await queue.redis.hexists(queue.keys.job(loner.id), "alone"))

    loner = await _suspect(queue, times=3)
    worker = await start_worker(handle, lease_seconds=2)
    worker.on("lost", lost.append)
    await until(lambda: worker.running == 1)
    beside = await queue.add("n", {})
    assert not await beside.result(timeout=10)
    assert lost == []
    gate.set()
    await loner.result(timeout=10)


async def test_a_loner_that_is_cancelled_holds_up_nobody(queue: Queue, start_worker: Any, until: Any) -> None:
    gate = asyncio.Event()

    async def handle(job: Job) -> str:
        if job.name == "long":
            await gate.wait()
        return "ran"

    worker = await start_worker(handle, concurrency=2)
    await queue.add("long", {})
    await until(lambda: worker.running == 1)
    loner = await _suspect(queue, times=3)
    await until(lambda: worker._slots.is_shut("exclusive"))
    await loner.cancel("no more")
    with pytest.raises(JobFailed, match="no more"):
        await loner.result(timeout=5)
    assert await (await queue.add("n", {})).result(timeout=5) == "ran"
    gate.set()


async def test_what_comes_behind_a_loner_runs_in_its_old_order(queue: Queue, start_worker: Any) -> None:
    ran: list[str] = []

    async def handle(job: Job) -> None:
        ran.append(job.id)

    loner = await _suspect(queue, times=3)
    jobs = await queue.add_bulk(("n", {}) for _ in range(5))
    await start_worker(handle)
    for job in jobs:
        await job.result(timeout=20)
    assert ran == [loner.id, *(job.id for job in jobs)]


async def test_suspects_that_need_the_whole_worker_are_fetched_one_at_a_time(queue: Queue, start_worker: Any) -> None:
    ends: list[str] = []

    async def handle(job: Job) -> None: ...

    await queue.pause()
    jobs = [await _suspect(queue) for _ in range(4)]
    worker = await start_worker(handle)
    worker._slots.on_ended.append(lambda job, result: ends.append(result.outcome))
    await queue.resume()
    for job in jobs:
        await job.result(timeout=20)
    assert ends == ["completed"] * 4


async def test_a_loner_is_alone_until_redis_has_heard_that_it_is_so_no_more(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crewline.worker.runs.isolation.ALONE_SECONDS", 0.05)
    gate, failures = asyncio.Event(), 2
    mark = Scripts.mark_alone

    async def unheard(self: Scripts, job_id: str, token: str, alone: bool = True) -> int:
        nonlocal failures
        if not alone and failures:
            failures -= 1
            raise ConnectionError("Redis is away")
        return await mark(self, job_id, token, alone)

    monkeypatch.setattr(Scripts, "mark_alone", unheard)

    async def handle(job: Job) -> str:
        if job.id == loner.id:
            await gate.wait()
        return "ran"

    loner = await _suspect(queue, times=3)
    await start_worker(handle)
    assert await (await queue.add("n", {})).result(timeout=20) == "ran"
    assert failures == 0 and await queue.redis.hget(queue.keys.job(loner.id), "alone") is None
    gate.set()
    assert await loner.result(timeout=20) == "ran"


@pytest.mark.parametrize("handler", [app_handlers.lean, app_handlers.lean_in_a_thread])
async def test_a_suspect_that_lacks_its_programs_state_in_a_child_runs_in_the_worker_and_loses_no_attempt(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch, handler: Any
) -> None:
    monkeypatch.setattr(app_handlers, "pool", [1])
    told: list[str] = []
    suspect = await _suspect(queue, attempts=1)
    worker = await start_worker(handler)
    worker.on("failed", lambda job, reason: told.append(reason))
    worker.on("retrying", lambda job, reason: told.append(reason))
    assert await suspect.result(timeout=30) == os.getpid()
    stored = await queue.get_job(suspect.id)
    assert stored is not None and (stored.attempts_started, stored.attempts_made) == (1, 1)
    assert not stored._fields.keys() & {b"suspect", b"tried"}
    assert await DeadLetters(queue).list() == [] and told == []


async def test_a_handler_that_runs_in_processes_fails_as_it_would_where_its_suspect_raises(
    queue: Queue, start_worker: Any
) -> None:
    suspect = await _suspect(queue, attempts=1)
    await start_worker(app_handlers.lean_in_a_thread, execution="process")
    with pytest.raises(JobFailed, match="there is no pool"):
        await suspect.result(timeout=30)


async def test_a_job_that_raises_in_a_child_is_tried_there_again_once_another_worker_died_with_it(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_handlers, "pool", [1])
    ran: list[bool] = []
    children = Children.run

    async def run(self: Children, job: Job, target: Any, **options: Any) -> Any:
        ran.append(True)
        return await children(self, job, target, **options)

    monkeypatch.setattr(Children, "run", run)
    once = await _suspect(queue)
    await queue.redis.hset(queue.keys.job(once.id), "tried", "1")
    twice = await _suspect(queue, times=2)
    await queue.redis.hset(queue.keys.job(twice.id), "tried", "1")
    await start_worker(app_handlers.lean)
    assert await once.result(timeout=30) == os.getpid()
    assert await twice.result(timeout=30) == os.getpid()
    # none for the one that no worker died with since
    assert ran == [True]


class Story(Middleware):
    """What hooks are told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def before(self, job: Job) -> None:
        self.told.append("before")
        if job.data.get("unspeakable"):
            job.data["callback"] = lambda: None

    async def after(self, job: Job, result: Any) -> None:
        self.told.append("after")

    async def failed(self, job: Job, error: BaseException) -> None:
        self.told.append("failed")


async def _no_child(self: Children, job: Job, target: Any, **options: Any) -> Any:
    raise ChildUnavailable("the machine is short of memory")


async def test_hooks_hear_of_the_end_of_a_run_for_which_there_was_no_child(
    queue: Queue, start_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crewline.worker.processes.childless.UNREADY_SECONDS", 0.0)
    monkeypatch.setattr("crewline.worker.runs.calling.PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(Children, "run", _no_child)
    story = Story()
    suspect = await _suspect(queue, attempts=1)
    await start_worker(process_handlers.either, middleware=[story])
    assert await suspect.result(timeout=30) == os.getpid()
    assert story.told == ["before", "failed", "before", "after"]


async def test_a_suspect_that_a_hook_gave_what_no_process_can_be_sent_runs_alone_and_loses_no_attempt(
    queue: Queue, start_worker: Any
) -> None:
    suspect = await _suspect(queue, data={"unspeakable": True}, attempts=1)
    await start_worker(process_handlers.either, middleware=[Story()])
    assert await suspect.result(timeout=30) == os.getpid()


async def test_a_child_that_was_not_ready_once_costs_its_handler_no_later_one(
    queue: Queue, start_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crewline.worker.runs.calling.PAUSE_SECONDS", 0.0)
    children, asked = Children.run, []

    async def run(self: Children, job: Job, target: Any, **options: Any) -> Any:
        asked.append(job.id)
        return await (_no_child if len(asked) == 1 else children)(self, job, target, **options)

    monkeypatch.setattr(Children, "run", run)
    suspect = await _suspect(queue, attempts=1)
    await start_worker(process_handlers.either)
    assert await suspect.result(timeout=30) != os.getpid()
    assert len(asked) == 2
