"""What the worker's log says of jobs that fail: enough to see what is wrong, and never more than a person can read."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from crewline import Backoff, Job, Queue, Reject, Worker
from crewline.worker.runs import journal

from tests.redis import process_handlers
from tests.redis.conftest import StartWorker

Until = Callable[..., Awaitable[Any]]


async def handle(job: Job) -> object:
    match job.name:
        case "raise":
            raise KeyError(job.data)
        case "reject":
            raise Reject("not an address")
        case "sleep":
            await asyncio.sleep(60)
        case "unusable":
            return object()
        case "noisy":
            raise ValueError("no\n2026-01-01 ERROR crewline.worker job 9\x1b[2J at redis://user:secret@db:6379/0")
    return "done"


def told(caplog: pytest.LogCaptureFixture, job: Job) -> list[str]:
    """The lines about a job that failed."""
    return [line for line in caplog.messages if line.startswith(f"job {job.id} ({job.name}) of queue emails: ")]


async def test_each_attempt_that_failed_has_a_line_and_the_last_one_its_trace(
    queue: Queue, start_worker: StartWorker, caplog: pytest.LogCaptureFixture, until: Until
) -> None:
    await start_worker(handle)
    job = await queue.add("raise", "to", attempts=2, backoff=Backoff("fixed", delay=0.2))
    await until(lambda: len(told(caplog, job)) == 2)
    first, last = told(caplog, job)
    assert first.endswith(": attempt 1 of 2 failed: KeyError: 'to'; tried again in 0.2 s")
    assert last.endswith(": attempt 2 of 2 failed: KeyError: 'to'; failed for good: dead letter in emails-dlq")
    records = [record for record in caplog.records if record.getMessage() in (first, last)]
    assert [record.levelname for record in records] == ["WARNING", "ERROR"]
    assert records[0].exc_text is None
    assert re.match(r"Traceback(.|\n)*raise KeyError\(job.data\)\nKeyError: 'to'$", records[1].exc_text or "")


async def test_with_debug_each_attempt_has_its_trace(
    queue: Queue, start_worker: StartWorker, caplog: pytest.LogCaptureFixture, until: Until
) -> None:
    caplog.set_level(logging.DEBUG, "crewline.worker")
    await start_worker(handle)
    job = await queue.add("raise", "to", attempts=2, backoff=Backoff("fixed", delay=60))
    await until(lambda: told(caplog, job))
    (record,) = (each for each in caplog.records if each.getMessage() in told(caplog, job))
    assert "raise KeyError" in (record.exc_text or "")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("reject", {}, "attempt 1 of 3 failed: not an address; failed for good: dead letter in emails-dlq"),
        ("sleep", {}, r"attempt 1 of 3 failed: TimeoutError: timed out after 0.1 s; tried again in \d.\d s"),
        ("unusable", {}, "attempt 1 of 3 failed: the handler's result .*; failed for good: dead letter in emails-dlq"),
        ("raise", {"attempts": 1}, "attempt 1 of 1 failed: KeyError: 1; failed for good: dead letter in emails-dlq"),
    ],
)
async def test_whatever_way_a_job_fails_it_is_told(
    name: str, options: dict[str, Any], said: str, queue: Queue, start_worker: StartWorker,
    caplog: pytest.LogCaptureFixture, until: Until,
) -> None:  # fmt: skip
    await start_worker(handle, timeout_seconds=0.1)
    job = await queue.add(name, 1, **options)
    (line,) = await until(lambda: told(caplog, job))
    assert re.fullmatch(said, line.partition(": ")[2]), line


async def test_one_that_nobody_can_read_is_told_too(
    queue: Queue, start_worker: StartWorker, caplog: pytest.LogCaptureFixture, until: Until
) -> None:
    job = await queue.add("broken", 1)
    await queue.redis.hset(queue.keys.job(job.id), "data", "{")
    await start_worker(handle)
    (line,) = await until(lambda: told(caplog, job))
    assert "data can't be read: " in line and line.endswith("failed for good: dead letter in emails-dlq")


async def test_without_a_dead_letter_queue_none_is_promised(
    queue: Queue, start_worker: StartWorker, caplog: pytest.LogCaptureFixture, until: Until
) -> None:
    await start_worker(handle, dead_letter_queue="")
    job = await queue.add("reject", 1)
    (line,) = await until(lambda: told(caplog, job))
    assert line.endswith("; failed for good")


@pytest.mark.parametrize(
    ("do", "said"),
    [
        ("die", "attempt 1 of 3 failed: ChildDied: the handler's process exited with code 7; tried again in 60 s"),
        ("raise", "attempt 1 of 3 failed: ValueError: in a child; tried again in 60 s"),
    ],
)
async def test_what_happens_in_a_child_process_is_told(
    do: str, said: str, queue: Queue, start_worker: StartWorker, caplog: pytest.LogCaptureFixture, until: Until
) -> None:
    await start_worker(process_handlers.work, execution="process")
    job = await queue.add("n", {"do": do}, backoff=Backoff("fixed", delay=60))
    (line,) = await until(lambda: told(caplog, job), 30)
    assert line.partition(": ")[2] == said


async def test_what_did_not_end_in_its_grace_is_named_when_it_is_handed_back(
    queue: Queue, start_worker: StartWorker, caplog: pytest.LogCaptureFixture, until: Until
) -> None:
    worker = await start_worker(handle)
    jobs = await queue.add_bulk([("sleep", n) for n in range(3)])
    await until(lambda: worker.running == 3)
    await worker.stop(grace_seconds=0)
    (line,) = await until(lambda: [each for each in caplog.messages if "handed back" in each])
    assert sorted(re.findall(r"\d+", line.rpartition(": ")[2])) == sorted(job.id for job in jobs)


async def test_a_reason_is_one_line_without_passwords_and_nothing_that_a_terminal_obeys(
    queue: Queue, start_worker: StartWorker, caplog: pytest.LogCaptureFixture, until: Until
) -> None:
    await start_worker(handle)
    job = await queue.add("noisy", {"card": "4111-1111"}, attempts=1)
    (line,) = await until(lambda: told(caplog, job))
    (record,) = (each for each in caplog.records if each.getMessage() == line)
    assert "ValueError: no\\u000a2026-01-01 ERROR crewline.worker job 9\\u001b[2J at redis://***@db:6379/0;" in line
    for text in (line, record.exc_text or ""):
        assert "secret" not in text and "4111" not in text and "\x1b" not in text


async def test_thousands_of_failures_are_summed_up(
    queue: Queue, start_worker: StartWorker, caplog: pytest.LogCaptureFixture, until: Until
) -> None:
    caplog.set_level(logging.INFO, "crewline.worker")
    worker = await start_worker(handle, concurrency=100)
    options = {"attempts": 2, "backoff": Backoff("fixed", delay=0)}
    await queue.add_bulk([*(("raise", n % 2, options) for n in range(1000)), *(("fine", n) for n in range(10))])

    async def all_ended() -> bool:
        counts = await queue.metrics()
        return (counts.completed, counts.failed) == (10, 1000)

    await until(all_ended, 60)
    await worker.stop()
    (summary,) = await until(lambda: [each for each in caplog.messages if "since the last summary" in each])
    lines = [each for each in caplog.messages if "failed: KeyError" in each]
    assert len(lines) == 2 * journal.MOST_LINES
    said, _, kinds = summary.partition(" most of them: ")
    assert said == (
        "queue emails: jobs since the last summary: 10 completed, 1,000 attempts failed and are tried again, "
        "1,000 failed for good; 1,940 failures have no line of their own,"
    )
    (one, first), (other, second) = re.findall(r"KeyError: (\d) \((\d+)\)", kinds)
    assert {one, other} == {"0", "1"} and int(first) + int(second) == 1940


async def test_each_minute_has_its_summary_and_lines_of_its_own(
    queue: Queue,
    start_worker: StartWorker,
    caplog: pytest.LogCaptureFixture,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(journal, "SUMMARY_SECONDS", 0.2)
    monkeypatch.setattr(journal, "MOST_LINES", 1)
    caplog.set_level(logging.INFO, "crewline.worker")
    await start_worker(handle)
    for number in (1, 2):
        await queue.add("reject", number)

        def summaries() -> list[str]:
            return [each for each in caplog.messages if each.endswith("last summary: 1 failed for good")]

        await until(lambda: len(summaries()) == number)  # noqa: B023
    assert len([each for each in caplog.messages if "not an address" in each]) == 2
    # nothing has ended since: nothing is to be said
    said = len(caplog.messages)
    await asyncio.sleep(0.5)
    assert len(caplog.messages) == said


async def test_one_that_was_cancelled_is_told_once_and_counted_apart(
    queue: Queue, start_worker: StartWorker, caplog: pytest.LogCaptureFixture, until: Until
) -> None:
    caplog.set_level(logging.INFO, "crewline.worker")
    worker: Worker = await start_worker(handle)
    job = await queue.add("sleep", 1)
    await until(lambda: worker.running)
    await queue.cancel(job.id, "the host is gone")
    await until(lambda: not worker.running)
    await worker.stop()
    await until(lambda: [each for each in caplog.messages if each.endswith("last summary: 1 cancelled")])
    assert len([each for each in caplog.messages if "the host is gone" in each]) == 1
