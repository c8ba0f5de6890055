"""What our client adds, a BullMQ worker runs; and our client follows it as if a worker of ours did."""

from __future__ import annotations

import asyncio
import datetime
import itertools

import pytest
from crewline import Backoff, JobFailed, Keep, Queue

from tests.interop.peers import Peer, until


async def test_they_run_what_we_add_one_by_one_in_order(peer: Peer, name: str, queue: Queue) -> None:
    added = [(await queue.add(f"job-{n}", {"n": n})).id for n in range(10)]
    worker = await peer.open("Worker", name)
    await until(lambda: len(worker.handled) == 10, "all ten run")
    assert worker.handled == added


async def test_they_run_what_we_add_in_bulk_in_order(peer: Peer, name: str, queue: Queue) -> None:
    added = await queue.add_bulk([(f"job-{n}", {"n": n}) for n in range(300)])
    worker = await peer.open("Worker", name)
    await until(lambda: len(worker.handled) == 300, "all 300 run")
    assert worker.handled == [job.id for job in added]


async def test_they_read_our_data_as_we_wrote_it(peer: Peer, name: str, queue: Queue) -> None:
    data = {
        "text": "Grüße, 世界 🚀",
        "quote": "\"'\\\n\u2028",
        "numbers": [0, -1, 1.5, 2**53 - 1, 1e-7],
        "none": None,
        "deep": {"a": [{}]},
    }
    job = await queue.add("welcome ✉", data)
    theirs = await peer.open("Queue", name)
    seen = await theirs.job(job.id)
    assert (seen["name"], seen["data"]) == ("welcome ✉", data)


async def test_they_read_our_options_as_theirs(peer: Peer, name: str, queue: Queue) -> None:
    job = await queue.add(
        "all",
        {},
        job_id="order-17",
        delay=60,
        priority=7,
        attempts=4,
        backoff=Backoff("exponential", 1.5, jitter=0.25),
        remove_on_complete=Keep(count=10, age_seconds=60),
        remove_on_fail=False,
    )
    theirs = await peer.open("Queue", name)
    seen = await theirs.job(job.id)
    assert (seen["id"], seen["delay"], seen["priority"]) == ("order-17", 60_000, 7)
    assert abs(seen["timestamp"] - datetime.datetime.now().timestamp() * 1000) < 60_000
    assert seen["opts"]["attempts"] == 4
    assert seen["opts"]["backoff"] == {"type": "exponential", "delay": 1500, "jitter": 0.25}
    assert seen["opts"]["removeOnComplete"] == {"count": 10, "age": 60}
    assert seen["opts"]["removeOnFail"] is False
    assert (seen["attemptsMade"], seen["progress"]) == (0, 0)


async def test_they_run_our_prioritized_jobs_after_those_without_priority_lowest_number_first(
    peer: Peer, name: str, queue: Queue
) -> None:
    labels = {}
    for label, priority in (("late", 9), ("first", 1), ("plain", 0), ("second", 1), ("last", 2097151)):
        labels[(await queue.add(label, {}, priority=priority)).id] = label
    worker = await peer.open("Worker", name)
    await until(lambda: len(worker.handled) == 5, "all five run")
    assert [labels[job] for job in worker.handled] == ["plain", "first", "second", "late", "last"]


async def test_they_run_our_lifo_jobs_before_those_that_wait(peer: Peer, name: str, queue: Queue) -> None:
    a, b = await queue.add("a", {}), await queue.add("b", {})
    c = await queue.add("c", {}, lifo=True)
    worker = await peer.open("Worker", name)
    await until(lambda: len(worker.handled) == 3, "all three run")
    assert worker.handled == [c.id, a.id, b.id]


async def test_our_add_wakes_their_idle_worker_at_once(peer: Peer, name: str, queue: Queue) -> None:
    worker = await peer.open("Worker", name)
    loop = asyncio.get_running_loop()
    # the first job may meet a worker that has just polled, the second one that blocks in its 5 s read
    for n in (1, 2, 3):
        before = loop.time()
        await queue.add("now", {})
        await until(lambda n=n: len(worker.handled) == n, "the idle worker runs it")
        assert loop.time() - before < 1.0


async def test_our_bulk_add_wakes_all_their_idle_workers(node: Peer, name: str, queue: Queue) -> None:
    workers = [await node.open("Worker", name) for _ in range(3)]
    await queue.add("warm", {})
    await until(lambda: sum(len(worker.handled) for worker in workers) == 1, "one takes the first job")
    loop = asyncio.get_running_loop()
    before = loop.time()
    await queue.add_bulk([("slow", {"takesMs": 300}) for _ in range(3)])
    await until(lambda: sum(len(worker.handled) for worker in workers) == 4, "all three are taken")
    assert loop.time() - before < 1.0


async def test_they_run_our_delayed_jobs_when_they_are_due(peer: Peer, name: str, queue: Queue) -> None:
    worker = await peer.open("Worker", name)
    loop = asyncio.get_running_loop()
    before = loop.time()
    await queue.add("later", {}, delay=0.6)
    await queue.add("at", {}, delay=datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=0.8))
    await until(lambda: worker.handled, "the first is due")
    assert 0.59 <= loop.time() - before < 2.5  # the port rounds its waits up to whole seconds
    await until(lambda: len(worker.handled) == 2, "the second is due")
    assert 0.79 <= loop.time() - before < 3.5
    assert worker.handled == ["1", "2"]


async def test_they_retry_as_our_attempts_and_backoff_say(peer: Peer, name: str, queue: Queue) -> None:
    job = await queue.add("flaky", {"fails": 2, "returns": "well"}, attempts=3, backoff=0.2)
    worker = await peer.open("Worker", name)
    assert await job.result(timeout=15) == "well"
    await peer.heard()
    runs = worker.said("handled")
    assert [run["attempt"] for run in runs] == [1, 2, 3]
    waits = [b["at"] - a["at"] for a, b in itertools.pairwise(runs)]
    assert all(190 <= wait < 2500 for wait in waits), waits
    seen = await queue.get_job(job.id)
    assert seen is not None and (seen.attempts_made, seen.attempts_started) == (3, 3)


async def test_a_result_of_theirs_comes_back_to_us(peer: Peer, name: str, queue: Queue) -> None:
    await peer.open("Worker", name)
    for value in ({"ok": [1, "ü"]}, None, 0, "", False):
        job = await queue.add("r", {"returns": value})
        assert await job.result(timeout=10) == value
        assert await job.state() == "completed"
        seen = await queue.get_job(job.id)
        assert seen is not None
        assert (seen.return_value, seen.failed_reason, seen.attempts_made) == (value, None, 1)
        assert seen.processed_on_ms and seen.finished_on_ms
        assert seen.timestamp_ms <= seen.processed_on_ms + 1000 and seen.processed_on_ms <= seen.finished_on_ms


async def test_a_failure_of_theirs_comes_back_to_us_with_reason_and_stack(peer: Peer, name: str, queue: Queue) -> None:
    await peer.open("Worker", name)
    job = await queue.add("bad", {"fails": 9}, attempts=2, backoff=0)
    with pytest.raises(JobFailed, match="attempt 2 failed"):
        await job.result(timeout=10)
    assert await job.state() == "failed"
    seen = await queue.get_job(job.id)
    assert seen is not None
    assert (seen.failed_reason, seen.attempts_made, len(seen.stacktrace)) == ("attempt 2 failed", 2, 2)
    # and to one that asks after the end
    with pytest.raises(JobFailed, match="attempt 2 failed"):
        await job.result(timeout=10)


async def test_progress_and_logs_of_theirs_are_ours_to_read(peer: Peer, name: str, queue: Queue) -> None:
    seen = []

    async def follow() -> None:
        async for event in queue.events(after="0-0"):
            if event.name == "progress":
                seen.append((event.job_id, event.fields["data"]))

    following = asyncio.create_task(follow())
    await peer.open("Worker", name)
    job = await queue.add("long", {"progress": {"done": 3, "of": 10}, "log": "sent ✉"})
    await job.result(timeout=10)
    await until(lambda: seen, "the progress event")
    following.cancel()
    assert seen == [(job.id, '{"done":3,"of":10}')] or seen == [(job.id, '{"done": 3, "of": 10}')]
    again = await queue.get_job(job.id)
    assert again is not None and again.progress_value == {"done": 3, "of": 10}
    assert await again.logs() == ["sent ✉"]


async def test_our_metrics_count_what_their_worker_does(peer: Peer, name: str, queue: Queue) -> None:
    await queue.add("fine", {})
    await queue.add("fails", {"fails": 1}, attempts=1)
    await queue.add("later", {}, delay=3600)
    worker = await peer.open("Worker", name)
    await until(lambda: len(worker.handled) == 2, "both run")
    running = await queue.add("runs", {"takesMs": 1500})
    waiting = [await queue.add("waits", {}), await queue.add("waits", {}, priority=3)]
    await until(lambda: running.id in worker.handled, "the long one runs")
    found = await queue.metrics()
    assert (found.completed, found.failed, found.delayed, found.active) == (1, 1, 1, 1)
    assert (found.waiting, found.prioritized) == (2, 1)
    assert await running.state() == "active"
    assert {await job.state() for job in waiting} == {"waiting"}


async def test_a_job_that_their_worker_runs_can_not_be_removed_by_us(node: Peer, name: str, queue: Queue) -> None:
    worker = await node.open("Worker", name)
    job = await queue.add("runs", {"takesMs": 700, "returns": "done"})
    await until(lambda: worker.handled == [job.id], "it runs")
    assert await queue.remove(job.id) is False
    assert await job.result(timeout=10) == "done"
    assert await queue.remove(job.id) is True
    assert await queue.get_job(job.id) is None


async def test_retention_in_their_worker_follows_our_options(peer: Peer, name: str, queue: Queue) -> None:
    gone = await queue.add("gone", {}, remove_on_complete=True)
    kept = [await queue.add(f"kept-{n}", {}, remove_on_complete=2) for n in range(4)]
    await peer.open("Worker", name)
    await kept[-1].result(timeout=10)
    assert [await job.state() for job in (gone, *kept)] == [
        "unknown", "unknown", "unknown", "completed", "completed",
    ]  # fmt: skip


async def test_their_events_tell_of_what_we_add_and_remove(node: Peer, name: str, queue: Queue) -> None:
    events = await node.open("QueueEvents", name, lastEventId="0-0")
    await queue.add("a", {}, job_id="a")
    await queue.add("a", {}, job_id="a")
    await queue.add("b", {}, job_id="b", delay=60)
    await queue.add("c", {}, job_id="c", priority=3)
    assert await queue.remove("a")
    assert await queue.pause() and await queue.resume()
    await until(lambda: events.said("resumed"), "all events")

    def told(job: str) -> list[str]:
        return [event["event"] for event in events.events if event.get("jobId") == job]

    assert told("a") == ["added", "waiting", "duplicated", "removed"]
    assert told("b") == ["added", "delayed"]
    assert told("c") == ["added", "waiting"]
    assert events.said("added", "b")[0]["name"] == "b"
    assert abs(events.said("delayed", "b")[0]["delay"] - datetime.datetime.now().timestamp() * 1000 - 60_000) < 10_000
    assert [event["event"] for event in events.events if "jobId" not in event] == ["paused", "resumed"]
    assert not events.said("error")
