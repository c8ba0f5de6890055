"""Working jobs off: order, results, retries, failures, dead letters."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import threading
import time
from typing import Any

import pytest
from crewline import DeadLetters, Job, JobFailed, JobNotFound, Keep, Queue, Reject, Retry


async def test_a_result_comes_back_to_whoever_waits(queue: Queue, start_worker: Any) -> None:
    async def double(job: Job) -> dict[str, int]:
        return {"twice": job.data["n"] * 2}

    await start_worker(double)
    job = await queue.add("double", {"n": 21})
    assert await job.result(timeout=5) == {"twice": 42}
    assert await job.state() == "completed"
    # and to one that asks after the end
    assert await job.result(timeout=5) == {"twice": 42}


async def test_jobs_run_in_order_lifo_first_and_priorities_last(queue: Queue, start_worker: Any, until: Any) -> None:
    seen: list[str] = []

    async def note(job: Job) -> None:
        seen.append(job.name)

    await queue.add("p5", 0, priority=5)
    await queue.add("p1-first", 0, priority=1)
    await queue.add("p1-second", 0, priority=1)
    await queue.add("plain-1", 0)
    await queue.add("plain-2", 0)
    await queue.add("lifo", 0, lifo=True)
    await start_worker(note, concurrency=1)
    await until(lambda: len(seen) == 6)
    assert seen == ["lifo", "plain-1", "plain-2", "p1-first", "p1-second", "p5"]


async def test_many_jobs_are_each_run_once(queue: Queue, start_worker: Any, until: Any) -> None:
    seen: list[int] = []

    async def note(job: Job) -> None:
        seen.append(job.data)

    await queue.add_bulk(("n", i) for i in range(5000))
    for _ in range(3):
        await start_worker(note, concurrency=70)
    await until(lambda: len(seen) >= 5000, 30)
    await until(lambda: _drained(queue))
    assert sorted(seen) == list(range(5000))
    assert await queue.redis.keys("bull:emails:*:lock") == []


async def _drained(queue: Queue) -> bool:
    counts = await queue.metrics()
    return counts.waiting == counts.active == 0


async def test_a_job_added_while_an_answer_is_on_its_way_is_not_slept_through(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, slow = asyncio.Event(), asyncio.Event()

    async def note(job: Job) -> str:
        return job.name

    worker = await start_worker(note)
    call = worker.queue.scripts.finish_and_fetch

    async def answer_late(results: Any, **options: Any) -> Any:
        answer = await call(results, **options)
        if results and not ended.is_set():
            # Redis found nothing to run; what is added now is told by the marker before this answer is read
            ended.set()
            await slow.wait()
        return answer

    monkeypatch.setattr(worker.queue.scripts, "finish_and_fetch", answer_late)
    await queue.add("first", {})
    await ended.wait()
    second = await queue.add("second", {})

    async def taken() -> bool:
        return not await queue.redis.exists(queue.keys.marker)

    await until(taken)
    # the answer that told the worker of it is read by then
    await asyncio.sleep(0.1)
    slow.set()
    # a worker that sleeps looks again after 5 s
    assert await second.result(timeout=3) == "second"


async def test_a_delayed_job_runs_when_due_and_not_before(queue: Queue, start_worker: Any) -> None:
    async def when(job: Job) -> float:
        return time.time()

    await start_worker(when)
    asked = time.time()
    job = await queue.add("later", None, delay=0.4)
    assert await job.result(timeout=5) - asked >= 0.399


async def test_a_failing_job_is_retried_with_backoff_until_it_succeeds(queue: Queue, start_worker: Any) -> None:
    runs: list[tuple[int, float]] = []

    async def third_time_lucky(job: Job) -> str:
        runs.append((job.attempts_made, time.monotonic()))
        if len(runs) < 3:
            raise ValueError(f"run {len(runs)}")
        return "done"

    await start_worker(third_time_lucky)
    job = await queue.add("n", None, attempts=3, backoff=0.1)
    assert await job.result(timeout=5) == "done"
    assert [made for made, _ in runs] == [0, 1, 2]
    assert all(later[1] - earlier[1] >= 0.099 for earlier, later in itertools.pairwise(runs))
    stored = await queue.get_job(job.id)
    assert stored is not None
    assert (stored.attempts_made, stored.attempts_started) == (3, 3)
    assert len(stored.stacktrace) == 2 and "ValueError: run 1" in stored.stacktrace[0]


async def test_a_job_that_fails_for_good_is_in_failed_and_the_dead_letters(queue: Queue, start_worker: Any) -> None:
    async def fail(job: Job) -> None:
        raise ValueError(f"no route to {job.data['to']}")

    await start_worker(fail)
    job = await queue.add("welcome", {"to": "mars"}, attempts=2, backoff=0, priority=7)
    with pytest.raises(JobFailed, match="no route to mars"):
        await job.result(timeout=5)

    stored = await queue.get_job(job.id)
    assert stored is not None and stored.attempts_made == 2 and await stored.state() == "failed"
    (letter,) = await DeadLetters(queue).list()
    assert (letter.queue, letter.job_id, letter.name) == ("emails", job.id, "welcome")
    assert (letter.reason, letter.attempts, letter.data) == ("no route to mars", 2, {"to": "mars"})
    assert letter.options["priority"] == 7
    assert len(letter.stack) == 2 and "ValueError" in letter.stack[-1]
    assert letter.failed_at_ms == stored.finished_on_ms
    assert stored.dead_letter_id == letter.id
    assert (await queue.metrics()).dead == 1


async def test_reject_fails_at_once_without_a_retry(queue: Queue, start_worker: Any) -> None:
    runs = []

    async def reject(job: Job) -> None:
        runs.append(job.id)
        raise Reject("bad address")

    await start_worker(reject)
    job = await queue.add("n", None, attempts=5)
    with pytest.raises(JobFailed, match="bad address"):
        await job.result(timeout=5)
    assert runs == [job.id]
    assert (await DeadLetters(queue).list())[0].reason == "bad address"


async def test_retry_says_when_to_try_again(queue: Queue, start_worker: Any) -> None:
    times: list[float] = []

    async def later(job: Job) -> str:
        times.append(time.monotonic())
        if len(times) == 1:
            raise Retry("not yet", delay=0.3)
        return "ok"

    await start_worker(later)
    job = await queue.add("n", None, attempts=2, backoff=60.0)
    assert await job.result(timeout=5) == "ok"
    assert times[1] - times[0] >= 0.299


async def test_a_replayed_letter_runs_again_and_only_once(queue: Queue, start_worker: Any) -> None:
    healthy = False

    async def handle(job: Job) -> str:
        if not healthy:
            raise ValueError("broken")
        return "fine"

    await start_worker(handle)
    job = await queue.add("n", {"k": 1}, attempts=1)
    with pytest.raises(JobFailed):
        await job.result(timeout=5)
    healthy = True
    letters = DeadLetters(queue)
    (letter,) = await letters.list()
    assert await letters.replay(letter.id) is True
    assert await letters.replay(letter.id) is False
    assert await job.result(timeout=5) == "fine"
    assert await letters.count() == 0
    stored = await queue.get_job(job.id)
    assert stored is not None and stored.attempts_made == 1 and stored.dead_letter_id == letter.id
    done = await Queue("emails-dlq", redis=queue.redis).get_job(letter.id)
    assert done is not None and done.return_value == {"replayedAs": job.id}


async def test_a_replay_brings_back_a_job_that_was_removed(queue: Queue, start_worker: Any, until: Any) -> None:
    async def fail(job: Job) -> None:
        raise ValueError("broken")

    worker = await start_worker(fail)
    job = await queue.add("n", {"k": 1}, attempts=1, remove_on_fail=True)
    letters = DeadLetters(queue)
    await until(letters.count)
    await worker.stop()
    assert await queue.get_job(job.id) is None
    assert await letters.replay_all() == 1
    again = await queue.get_job(job.id)
    assert again is not None and again.data == {"k": 1} and await again.state() == "waiting"


async def test_progress_and_logs_are_kept_and_announced(queue: Queue, start_worker: Any) -> None:
    async def work(job: Job) -> None:
        for done in (1, 2):
            await job.progress({"done": done, "of": 2})
        await job.log("first")
        await job.log("second")

    await start_worker(work)
    job = await queue.add("n", None)
    await job.result(timeout=5)
    stored = await queue.get_job(job.id)
    assert stored is not None and stored.progress_value == {"done": 2, "of": 2}
    assert await stored.logs() == ["first", "second"]
    entries = [entry for _, entry in await queue.redis.xrange(queue.keys.events)]
    assert [entry[b"data"] for entry in entries if entry[b"event"] == b"progress"] == [
        b'{"done":1,"of":2}',
        b'{"done":2,"of":2}',
    ]


async def test_a_plain_function_runs_in_threads_side_by_side(queue: Queue, start_worker: Any) -> None:
    together = threading.Barrier(3)

    def handle(job: Any) -> int:
        together.wait(timeout=5)
        job.progress(100)
        job.log("from a thread")
        return threading.get_ident()

    await start_worker(handle, concurrency=3)
    jobs = await queue.add_bulk(("n", i) for i in range(3))
    threads = await asyncio.gather(*(job.result(timeout=5) for job in jobs))
    assert len(set(threads)) == 3 and threading.get_ident() not in threads
    stored = await queue.get_job(jobs[0].id)
    assert stored is not None and stored.progress_value == 100 and await stored.logs() == ["from a thread"]


async def test_a_run_that_exceeds_its_time_fails_with_that_reason(queue: Queue, start_worker: Any) -> None:
    async def hang(job: Job) -> None:
        await asyncio.Event().wait()

    await start_worker(hang, timeout_seconds=0.2)
    job = await queue.add("n", None, attempts=1)
    with pytest.raises(JobFailed, match=r"timed out after 0\.2 s"):
        await job.result(timeout=5)


async def test_a_result_that_is_not_json_fails_the_job_for_good(queue: Queue, start_worker: Any) -> None:
    runs = []

    async def handle(job: Job) -> object:
        runs.append(1)
        return {"when": object()}

    await start_worker(handle)
    job = await queue.add("n", None)
    with pytest.raises(JobFailed, match="result is not strict JSON"):
        await job.result(timeout=5)
    assert runs == [1]


async def test_finished_jobs_are_kept_by_count(queue: Queue, start_worker: Any, until: Any) -> None:
    async def handle(job: Job) -> None:
        await job.log("line")

    await start_worker(handle, keep_completed=Keep(count=3))
    jobs = await queue.add_bulk(("n", i) for i in range(20))
    await until(lambda: _drained(queue))
    assert await queue.redis.zcard(queue.keys.completed) == 3
    assert await queue.get_job(jobs[0].id) is None
    assert len(await queue.redis.keys("bull:emails:*:logs")) == 3


async def test_a_job_may_ask_to_be_removed_at_its_end_and_its_result_still_arrives(
    queue: Queue, start_worker: Any
) -> None:
    async def handle(job: Job) -> str:
        return "gone soon"

    await start_worker(handle)
    await (await queue.add("warm", None)).result(timeout=5)
    job = await queue.add("n", None, remove_on_complete=True, delay=0.2)
    assert await job.result(timeout=5) == "gone soon"
    assert await queue.get_job(job.id) is None
    # as long as the event stream tells of it
    assert await job.result(timeout=5) == "gone soon"
    await queue.redis.delete(queue.keys.events)
    with pytest.raises(JobNotFound):
        await job.result(timeout=5)


async def test_waiting_for_a_result_ends_at_its_timeout(queue: Queue) -> None:
    job = await queue.add("n", None)
    with pytest.raises(TimeoutError, match=r"had not ended after 0\.1 s"):
        await job.result(timeout=0.1)


async def test_letters_are_found_and_replayed_by_what_they_say(queue: Queue, start_worker: Any, until: Any) -> None:
    async def fail(job: Job) -> None:
        raise ValueError("no route" if job.data["to"] == "mars" else "full")

    worker = await start_worker(fail)
    await queue.add_bulk(("n", {"to": to}, {"attempts": 1}) for to in ("mars", "venus", "mars"))
    letters = DeadLetters(queue)
    await until(lambda: _count_is(letters, 3))
    await worker.stop()
    assert [letter.data["to"] for letter in await letters.list(reason="No Route")] == ["mars", "mars"]
    assert len(await letters.list(text="venus")) == 1
    assert await letters.list(until=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)) == []
    assert await letters.replay_all(reason="no route", dry_run=True) == 2
    assert await letters.count() == 3
    before = time.monotonic()
    assert await letters.replay_all(reason="no route", per_second=10) == 2
    assert time.monotonic() - before >= 0.19
    assert [letter.data["to"] for letter in await letters.list()] == ["venus"]
    assert (await queue.metrics()).waiting == 2


async def _count_is(letters: DeadLetters, count: int) -> bool:
    return await letters.count() == count
