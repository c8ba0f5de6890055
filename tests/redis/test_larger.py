"""Jobs that died for want of memory wait for a larger worker: it alone takes them, once; nobody loses one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from crewline import DeadLetters, Job, JobFailed, Queue, Worker
from crewline.redis.scripts import Fetched, Recovered, Result
from crewline.wire.text import text
from crewline.worker.processes.memory import Memory

from tests.redis import process_handlers

LEASE_MS = 30_000
DEAD = {"name": "pod-1.1.ab", "leases": "dead"}
HOUR_MS = 3_600_000


async def fetch(queue: Queue, worker: str, room: int = 1, *results: Result, **more: Any) -> Fetched:
    asked = {"letters": "", "token": f"{worker}:1", "lease_ms": LEASE_MS, "worker": worker, **more}
    return await queue.scripts.finish_and_fetch(results, room=room, **asked)


async def ids(queue: Queue, worker: str, room: int = 1, **more: Any) -> list[str]:
    return [each.id for each in (await fetch(queue, worker, room, **more)).jobs]


async def fields(queue: Queue, job_id: str, *names: str) -> list[str | None]:
    found = await queue.redis.hmget(queue.keys.job(job_id), names)
    return [value.decode() if value is not None else None for value in found]


async def waiting_for_larger(queue: Queue) -> list[str]:
    return [text(each) for each in await queue.redis.zrange(queue.keys.extra("larger"), 0, -1)]


async def outgrow(queue: Queue, job_id: str, cause: str = "OOMKilled in small") -> None:
    """The job's own process was killed in a worker that has it and lives."""
    await fetch(queue, "small", 0, Result(job_id, "small:1", "back", "", larger=cause, outgrown=True))


async def one_outgrown(queue: Queue, **options: Any) -> Job:
    job = await queue.add("n", 1, **options)
    assert await ids(queue, "small") == [job.id]
    await outgrow(queue, job.id)
    return job


async def hours_later(queue: Queue) -> None:
    for job_id in await queue.redis.zrange(queue.keys.delayed, 0, -1):
        await queue.redis.zincrby(queue.keys.delayed, -HOUR_MS * 4096, job_id)


async def test_it_waits_where_no_other_worker_takes_it_and_any_client_finds_it(queue: Queue) -> None:
    job = await one_outgrown(queue)
    assert await ids(queue, "small", 5) == []
    assert (await job.state(), await waiting_for_larger(queue)) == ("delayed", [job.id])
    told = await fields(queue, job.id, "larger", "failedReason", "suspect", "atm", "ats")
    assert told == ["OOMKilled in small", "OOMKilled in small", "1", None, "1"]
    assert HOUR_MS < await queue.redis.pttl(queue.keys.extra("larger")) + 5000 <= HOUR_MS + 5000


async def test_a_larger_worker_takes_it_and_nothing_else(queue: Queue) -> None:
    job = await one_outgrown(queue)
    other = await queue.add("n", 2)
    late = await queue.add("n", 3, delay=60)
    assert await ids(queue, "big", 5, larger=True) == [job.id]
    assert await ids(queue, "bigger", 5, larger=True) == []
    assert (await job.state(), await other.state(), await late.state()) == ("active", "waiting", "delayed")
    assert (await waiting_for_larger(queue), await fields(queue, job.id, "delay", "ats")) == ([], ["0", "2"])


async def test_several_are_taken_one_a_call_the_first_one_first(queue: Queue) -> None:
    jobs = [await one_outgrown(queue) for _ in range(3)]
    assert [await ids(queue, f"big{n}", 5, larger=True) for n in range(4)] == [*([job.id] for job in jobs), []]


async def test_its_end_clears_what_it_was_told_by(queue: Queue) -> None:
    job = await one_outgrown(queue)
    await fetch(queue, "big", larger=True)
    await fetch(queue, "big", 0, Result(job.id, "big:1", "completed", "1", suspect=True))
    assert (await job.state(), await fields(queue, job.id, "larger", "suspect")) == ("completed", [None, None])


async def test_a_call_whose_answer_was_lost_brings_it_again(queue: Queue) -> None:
    job = await one_outgrown(queue)
    assert await ids(queue, "big", larger=True) == [job.id]
    assert await ids(queue, "big", larger=True, again=1) == [job.id]


async def test_a_paused_queue_and_a_full_one_give_it_to_nobody(queue: Queue) -> None:
    job = await one_outgrown(queue)
    await queue.pause()
    assert await ids(queue, "big", larger=True) == []
    await queue.resume()
    await queue.set_global_concurrency(1)
    other = await queue.add("n", 2)
    assert await ids(queue, "small") == [other.id]
    assert await ids(queue, "big", larger=True) == []
    assert await waiting_for_larger(queue) == [job.id]


async def test_handed_back_or_tried_again_it_waits_for_a_larger_worker_once_more(queue: Queue) -> None:
    job = await one_outgrown(queue)
    await fetch(queue, "big", larger=True)
    await fetch(queue, "big", 0, Result(job.id, "big:1", "back", "", larger="OOMKilled in small"))
    assert (await ids(queue, "small"), await fields(queue, job.id, "ats", "suspect")) == ([], ["1", "1"])
    assert await ids(queue, "big", larger=True) == [job.id]
    again = Result(job.id, "big:1", "retry", "broken", delay_ms=60_000, suspect=True, larger="OOMKilled in small")
    await fetch(queue, "big", 0, again)
    assert await fields(queue, job.id, "larger", "atm") == ["OOMKilled in small", "1"]
    # its wait first
    assert await ids(queue, "big", larger=True) == []
    await queue.redis.zadd(queue.keys.extra("larger"), {job.id: 0})
    assert await ids(queue, "big", larger=True) == [job.id]


async def test_where_no_larger_worker_comes_within_an_hour_any_worker_takes_it(queue: Queue) -> None:
    job = await one_outgrown(queue)
    await hours_later(queue)
    assert await ids(queue, "small") == [job.id]
    assert await ids(queue, "big", larger=True) == []
    assert await waiting_for_larger(queue) == []


@pytest.mark.parametrize("way", ["promoted", "removed", "drained"])
async def test_whoever_takes_it_away_meanwhile_has_it(queue: Queue, way: str) -> None:
    job = await one_outgrown(queue)
    match way:
        case "promoted":
            await job.promote()
        case "removed":
            await job.remove()
        case _:
            await queue.drain(delayed=True)
    assert await ids(queue, "big", larger=True) == []
    assert await waiting_for_larger(queue) == []
    assert await ids(queue, "small") == ([job.id] if way == "promoted" else [])


async def test_a_user_without_rights_to_our_keys_loses_no_job(queue: Queue) -> None:
    """Its own keys of another type are the same to the script: it can't be told who waits."""
    await queue.redis.set(queue.keys.extra("larger"), "x", ex=60)
    job = await one_outgrown(queue)
    assert await job.state() == "waiting"
    assert await ids(queue, "big", larger=True) == []
    assert await ids(queue, "small") == [job.id]


async def test_the_worker_that_died_of_the_only_job_it_had_leaves_it_to_a_larger_one(queue: Queue) -> None:
    job = await queue.add("n", 1)
    await fetch(queue, "dead")
    found = await queue.hand_back_worker(DEAD, "OOMKilled in pod-1", blame=True, fail_alone=True, larger_first=True)
    assert found == Recovered([job.id], [], [])
    assert (await job.state(), await waiting_for_larger(queue)) == ("delayed", [job.id])
    assert await fields(queue, job.id, "suspect", "crashes", "larger") == ["1", None, "OOMKilled in pod-1"]
    assert await job.logs() == ["crewline: OOMKilled in pod-1"]


async def test_its_neighbours_are_suspects_and_wait_for_nobody(queue: Queue) -> None:
    await queue.add_bulk([("n", n) for n in range(3)])
    await fetch(queue, "dead", 3)
    await queue.redis.hset(queue.keys.job("2"), "alone", "1")
    found = await queue.hand_back_worker(DEAD, "OOMKilled", blame=True, fail_alone=True, larger_first=True)
    assert found == Recovered(["3", "2", "1"], [], [])
    assert (await waiting_for_larger(queue), await ids(queue, "small", 5)) == (["2"], ["1", "3"])
    assert await fields(queue, "1", "atm", "larger", "crashes") == [None, None, None]


async def test_one_that_a_larger_worker_dies_of_too_fails_and_tells_both(queue: Queue, start_worker: Any) -> None:
    job = await one_outgrown(queue)
    await fetch(queue, "dead", larger=True)
    found = await queue.hand_back_worker(DEAD, "OOMKilled in big", blame=True, fail_alone=True, larger_first=True)
    assert found == Recovered([], [job.id], [])
    await start_worker(process_handlers.either)
    why = "job took its worker down once: OOMKilled in big; before that, OOMKilled in small"
    with pytest.raises(JobFailed, match=f"^{why}$"):
        await job.result(timeout=10)
    (letter,) = await DeadLetters(queue).list()
    assert (letter.job_id, letter.reason) == (job.id, why)
    assert await fields(queue, job.id, "larger") == [None]


async def test_one_whose_larger_worker_was_lost_waits_for_the_next(queue: Queue) -> None:
    job = await one_outgrown(queue)
    await fetch(queue, "dead", larger=True)
    await queue.hand_back_worker(DEAD, "evicted", blame=False)
    assert (await ids(queue, "small"), await fields(queue, job.id, "ats")) == ([], ["1"])
    await fetch(queue, "dead", larger=True)
    await queue.redis.delete(queue.keys.job(job.id) + ":lock")
    await queue.redis.hset(queue.keys.job(job.id), "processedOn", "1")
    found = await queue.scripts.recover_stalled(1, 3, lease_ms=LEASE_MS, once=True)
    assert found == Recovered([job.id], [], [])
    assert (await ids(queue, "small"), await ids(queue, "big", larger=True)) == ([], [job.id])


async def test_begun_anew_by_hand_it_is_as_any_job(queue: Queue) -> None:
    job = await one_outgrown(queue)
    await fetch(queue, "big", larger=True)
    await fetch(queue, "big", 0, Result(job.id, "big:1", "failed", "broken"))
    await queue.redis.hset(queue.keys.job(job.id), "larger", "left by another client's end")
    await job.retry()
    assert await fields(queue, job.id, "larger") == [None]


async def test_obliterate_takes_the_set_too(queue: Queue) -> None:
    await one_outgrown(queue)
    await queue.pause()
    await queue.obliterate()
    assert not await queue.redis.keys("*larger*")


def count_kills(told_by: Path, kills: int) -> None:
    told_by.write_text(f"oom_kill {kills}\n")


async def killed_for_memory(worker: Worker, queue: Queue, job: Job, until: Any, told_by: Path) -> None:
    """The kernel's count is the test's here; the process is killed as the kernel does."""

    async def pid() -> int | None:
        told = await queue.redis.hget(queue.keys.job(job.id), "progress")
        return json.loads(told).get("pid") if told else None

    process = await until(pid, 30)
    count_kills(told_by, Memory([told_by]).kills() + 1)
    await queue.redis.hdel(queue.keys.job(job.id), "progress")
    os.kill(process, signal.SIGKILL)


async def start(start_worker: Any, told_by: Path, **options: Any) -> Worker:
    count_kills(told_by, 0)
    worker: Worker = await start_worker(process_handlers.work, execution="process", on_oom="larger", **options)
    worker._calling.children._living.memory = Memory([told_by])
    return worker


async def test_a_job_whose_process_was_killed_runs_in_a_larger_worker_and_its_neighbour_goes_on(
    queue: Queue, start_worker: Any, until: Any, tmp_path: Path
) -> None:
    small = await start(start_worker, tmp_path / "small", concurrency=2)
    neighbour = await queue.add("n", {"do": "sleep"})
    await until(lambda: small.running == 1)
    job = await queue.add("n", {"do": "sleep"}, attempts=1)
    await killed_for_memory(small, queue, job, until, tmp_path / "small")
    await until(job_is(job, "delayed"))
    assert await neighbour.state() == "active"
    await queue.redis.hset(queue.keys.job(job.id), "data", json.dumps({"do": "pid"}))
    big = await start(start_worker, tmp_path / "big", larger=True, concurrency=7)
    assert await job.result(timeout=30)
    assert (big.concurrency, await neighbour.state()) == (1, "active")
    assert await fields(queue, job.id, "atm", "larger") == ["1", None]
    await neighbour.cancel()


async def test_a_job_whose_process_is_killed_in_the_larger_worker_too_fails_and_tells_both(
    queue: Queue, start_worker: Any, until: Any, tmp_path: Path
) -> None:
    job = await one_outgrown(queue, attempts=5)
    await queue.redis.hset(queue.keys.job(job.id), "data", json.dumps({"do": "sleep"}))
    big = await start(start_worker, tmp_path / "big", larger=True)
    await killed_for_memory(big, queue, job, until, tmp_path / "big")
    why = "the handler's process was OOMKilled: out of memory; before that, OOMKilled in small"
    with pytest.raises(JobFailed, match=f"^{why}$"):
        await job.result(timeout=30)


async def test_a_larger_worker_leaves_the_marker_to_others_and_ends_when_no_job_waits_for_one(
    queue: Queue, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crewline.worker.calls.larger.LOOK_SECONDS", 0.05)
    monkeypatch.setattr("crewline.worker.calls.larger.IDLE_SECONDS", 0.5)
    outgrown = await one_outgrown(queue)
    other = await queue.add("n", {})
    worker = Worker("emails", process_handlers.either, redis=redis_url, larger=True)
    await queue.redis.hset(queue.keys.job(outgrown.id), "data", "{}")
    await asyncio.wait_for(worker.run(), 30)
    assert (await outgrown.state(), await other.state()) == ("completed", "waiting")
    assert await queue.redis.zscore(queue.keys.marker, "0") == 0


async def test_a_larger_worker_is_not_kept_for_a_paused_queue(
    queue: Queue, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crewline.worker.calls.larger.LOOK_SECONDS", 0.05)
    monkeypatch.setattr("crewline.worker.calls.larger.IDLE_SECONDS", 0.5)
    job = await one_outgrown(queue)
    await queue.pause()
    await asyncio.wait_for(Worker("emails", process_handlers.either, redis=redis_url, larger=True).run(), 30)
    assert (await job.state(), await waiting_for_larger(queue)) == ("delayed", [job.id])


async def test_what_else_is_due_keeps_no_larger_worker_busy(
    queue: Queue, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes none of that, and would ask for it without a pause."""
    monkeypatch.setattr("crewline.worker.calls.larger.LOOK_SECONDS", 0.05)
    monkeypatch.setattr("crewline.worker.calls.larger.IDLE_SECONDS", 0.5)
    await one_outgrown(queue)
    late = await queue.add("n", 1, delay=0.001)
    await queue.pause()
    await asyncio.sleep(0.01)
    assert not (await fetch(queue, "big", larger=True)).more
    await asyncio.wait_for(Worker("emails", process_handlers.either, redis=redis_url, larger=True).run(), 30)
    assert await late.state() == "delayed"


async def test_a_job_that_has_come_to_the_id_since_waits_for_its_own_time(queue: Queue) -> None:
    job = await one_outgrown(queue, job_id="report")
    await job.remove()
    again = await queue.add("n", 1, job_id="report", delay=7200)
    assert await waiting_for_larger(queue) == ["report"]
    assert await ids(queue, "big", larger=True) == []
    assert (await again.state(), await waiting_for_larger(queue)) == ("delayed", [])


def job_is(job: Job, state: str) -> Any:
    async def look() -> bool:
        return await job.state() == state

    return look
