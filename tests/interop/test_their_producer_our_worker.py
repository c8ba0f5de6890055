"""What a BullMQ client adds, our worker runs; and what our worker does, BullMQ's clients see as their own."""

from __future__ import annotations

import itertools
import time

import pytest
from crewline import Keep, Queue

from tests.interop.peers import Peer, PeerError, until
from tests.interop.play import our_worker


async def test_runs_what_they_add_one_by_one_in_order(peer: Peer, name: str, url: str) -> None:
    theirs = await peer.open("Queue", name)
    added = [(await theirs("add", f"job-{n}", {"n": n}, {}))["id"] for n in range(10)]
    async with our_worker(name, url, concurrency=1) as ours:
        await until(lambda: len(ours.handled) == 10, "all ten run")
    assert ours.ids == added
    assert ours.names == [f"job-{n}" for n in range(10)]


async def test_runs_what_they_add_in_bulk_in_order(peer: Peer, name: str, url: str) -> None:
    theirs = await peer.open("Queue", name)
    added = await theirs("addBulk", [{"name": f"job-{n}", "data": {"n": n}, "opts": {}} for n in range(300)])
    async with our_worker(name, url, concurrency=1) as ours:
        await until(lambda: len(ours.handled) == 300, "all 300 run")
    assert ours.ids == [job["id"] for job in added]


async def test_reads_their_data_as_they_wrote_it(peer: Peer, name: str, url: str, queue: Queue) -> None:
    theirs = await peer.open("Queue", name)
    data = {
        "text": "Grüße, 世界 🚀",
        "quote": "\"'\\\n",
        "numbers": [0, -1, 1.5, 2**53 - 1, 1e-7],
        "none": None,
        "deep": {"a": [{}]},
    }
    job = await theirs("add", "welcome ✉", data, {})
    ours = await queue.get_job(job["id"])
    assert ours is not None
    assert (ours.name, ours.data) == ("welcome ✉", data)
    async with our_worker(name, url) as worker:
        await until(lambda: worker.names == ["welcome ✉"], "the job runs")


async def test_runs_their_prioritized_jobs_after_those_without_priority_lowest_number_first(
    peer: Peer, name: str, url: str
) -> None:
    theirs = await peer.open("Queue", name)
    for label, priority in (("late", 9), ("first", 1), ("plain", None), ("second", 1), ("last", 2097151)):
        await theirs("add", label, {}, {"priority": priority} if priority else {})
    async with our_worker(name, url, concurrency=1) as ours:
        await until(lambda: len(ours.handled) == 5, "all five run")
    assert ours.names == ["plain", "first", "second", "late", "last"]


async def test_runs_their_lifo_jobs_before_those_that_wait(peer: Peer, name: str, url: str) -> None:
    theirs = await peer.open("Queue", name)
    for label, options in (("a", {}), ("b", {}), ("c", {"lifo": True})):
        await theirs("add", label, {}, options)
    async with our_worker(name, url, concurrency=1) as ours:
        await until(lambda: len(ours.handled) == 3, "all three run")
    assert ours.names == ["c", "a", "b"]


async def test_runs_their_delayed_job_when_it_is_due(peer: Peer, name: str, url: str) -> None:
    theirs = await peer.open("Queue", name)
    async with our_worker(name, url) as ours:
        before = time.time()
        await theirs("add", "later", {}, {"delay": 600})
        await until(lambda: ours.handled, "the delayed job runs")
        waited = ours.handled[0].at - before
    assert 0.59 <= waited < 2.0


async def test_is_woken_at_once_by_their_add(peer: Peer, name: str, url: str) -> None:
    theirs = await peer.open("Queue", name)
    async with our_worker(name, url) as ours:
        # two in turn: the first may meet a worker that has just polled
        for n in (1, 2):
            before = time.time()
            await theirs("add", "now", {}, {})
            await until(lambda n=n: len(ours.handled) == n, "the idle worker runs it")
            assert ours.handled[-1].at - before < 1.0


async def test_keeps_their_custom_id_and_runs_a_second_add_of_it_not_at_all(peer: Peer, name: str, url: str) -> None:
    theirs = await peer.open("Queue", name)
    for _ in range(2):
        assert (await theirs("add", "once", {}, {"jobId": "order-17"}))["id"] == "order-17"
    await theirs("add", "end", {}, {})
    async with our_worker(name, url, concurrency=1) as ours:
        await until(lambda: "end" in ours.names, "the queue is worked off")
    assert ours.names == ["once", "end"]


async def test_retries_as_their_attempts_and_fixed_backoff_say(peer: Peer, name: str, url: str) -> None:
    theirs = await peer.open("Queue", name)
    job = await theirs(
        "add", "flaky", {"fails": 2, "returns": "well"}, {"attempts": 3, "backoff": {"type": "fixed", "delay": 200}}
    )
    async with our_worker(name, url) as ours:
        await until(lambda: len(ours.handled) == 3, "all three attempts")
        await until(lambda: theirs.is_in("completed", job["id"]), "it completes")
    assert [run.attempt for run in ours.handled] == [1, 2, 3]
    waits = [b.at - a.at for a, b in itertools.pairwise(ours.handled)]
    assert all(0.19 <= wait < 1.2 for wait in waits), waits
    seen = await theirs.job(job["id"])
    assert (seen["attemptsMade"], seen["attemptsStarted"], seen["returnvalue"]) == (3, 3, "well")


async def test_retries_at_once_without_a_backoff_and_doubles_an_exponential_one(
    node: Peer, name: str, url: str
) -> None:
    theirs = await node.open("Queue", name)
    async with our_worker(name, url) as ours:
        await theirs("add", "at once", {"fails": 2}, {"attempts": 3})
        await until(lambda: len(ours.handled) == 3, "three attempts")
        assert ours.handled[-1].at - ours.handled[0].at < 1.0
        ours.handled.clear()
        await theirs("add", "doubling", {"fails": 3}, {"attempts": 4, "backoff": {"type": "exponential", "delay": 100}})
        await until(lambda: len(ours.handled) == 4, "four attempts")
    first, second, third = (b.at - a.at for a, b in itertools.pairwise(ours.handled))
    assert 0.09 <= first < 0.19 <= second < 0.39 <= third < 1.0, (first, second, third)


async def test_a_job_without_their_attempts_fails_at_its_first_error(peer: Peer, name: str, url: str) -> None:
    theirs = await peer.open("Queue", name)
    job = await theirs("add", "once", {"fails": 1}, {})
    async with our_worker(name, url) as ours:
        await until(lambda: theirs.is_in("failed", job["id"]), "it fails")
        assert len(ours.handled) == 1


async def test_they_see_a_completed_job_as_completed(peer: Peer, name: str, url: str) -> None:
    theirs = await peer.open("Queue", name)
    jobs = await theirs(
        "addBulk",
        [{"name": "r", "data": {"returns": value}, "opts": {}} for value in ({"ok": [1, "ü"]}, None, 0, "", False)],
    )
    async with our_worker(name, url):
        await until(lambda: theirs.counts(completed=5), "all five complete")
    seen = [await theirs.job(job["id"]) for job in jobs]
    assert [job["returnvalue"] for job in seen] == [{"ok": [1, "ü"]}, None, 0, "", False]
    for job in seen:
        assert job["attemptsMade"] == job["attemptsStarted"] == 1
        assert job["timestamp"] <= job["processedOn"] <= job["finishedOn"] <= time.time() * 1000
        assert not job["failedReason"]


async def test_they_see_a_failed_job_with_reason_and_stack_traces(peer: Peer, name: str, url: str) -> None:
    theirs = await peer.open("Queue", name)
    job = await theirs("add", "flaky", {"fails": 9}, {"attempts": 2})
    async with our_worker(name, url):
        await until(lambda: theirs.is_in("failed", job["id"]), "it fails")
    seen = await theirs.job(job["id"])
    assert seen["failedReason"] == "attempt 2 failed"
    assert seen["attemptsMade"] == 2
    assert len(seen["stacktrace"]) == 2
    assert "attempt 1 failed" in seen["stacktrace"][0]
    assert "attempt 2 failed" in seen["stacktrace"][1]
    assert (await theirs("getFailed", 0, 10))[0]["id"] == job["id"]


async def test_a_rejected_job_has_no_further_attempt(peer: Peer, name: str, url: str) -> None:
    theirs = await peer.open("Queue", name)
    job = await theirs("add", "bad", {"reject": "no such address"}, {"attempts": 5})
    async with our_worker(name, url) as ours:
        await until(lambda: theirs.is_in("failed", job["id"]), "it fails")
        assert len(ours.handled) == 1
    assert (await theirs.job(job["id"]))["failedReason"] == "no such address"


async def test_their_counts_follow_our_worker(peer: Peer, name: str, url: str) -> None:
    theirs = await peer.open("Queue", name)
    await theirs("add", "fine", {}, {})
    await theirs("add", "fails", {"fails": 1}, {})
    await theirs("add", "runs", {"takesMs": 60_000}, {})
    await theirs("add", "later", {}, {"delay": 60_000})
    async with our_worker(name, url, concurrency=3, grace_seconds=0.1):
        await theirs("add", "high", {"takesMs": 60_000}, {"priority": 2})
        await until(
            lambda: theirs.counts(completed=1, failed=1, active=2, delayed=1, wait=0, prioritized=0),
            "each job in its state",
        )
    # what a stopping worker hands back waits again, in the class it came from
    assert await theirs.counts(completed=1, failed=1, active=0, delayed=1, wait=1, prioritized=1)


async def test_their_queue_events_tell_every_step(node: Peer, name: str, url: str) -> None:
    theirs = await node.open("Queue", name)
    events = await node.open("QueueEvents", name, lastEventId="0-0")
    fine = (await theirs("add", "fine", {"progress": {"done": 3, "of": 10}, "returns": {"ok": True}}, {}))["id"]
    flaky = (await theirs("add", "flaky", {"fails": 9}, {"attempts": 2}))["id"]
    async with our_worker(name, url, concurrency=1):
        await until(lambda: events.said("completed", fine) and events.said("failed", flaky), "both ends told")
        await until(lambda: events.said("drained"), "the drained queue told")
    steps = [event["event"] for event in events.events if event.get("jobId") == fine]
    assert steps == ["added", "waiting", "active", "progress", "completed"]
    assert events.said("progress", fine)[0]["data"] == {"done": 3, "of": 10}
    assert events.said("completed", fine)[0]["returnvalue"] == {"ok": True}
    assert [event["event"] for event in events.events if event.get("jobId") == flaky] == [
        "added", "waiting", "active", "waiting", "active", "failed", "retries-exhausted",
    ]  # fmt: skip
    assert events.said("failed", flaky)[0]["failedReason"] == "attempt 2 failed"
    assert not events.said("error")


async def test_their_wait_until_finished_gets_result_and_failure(node: Peer, name: str, url: str) -> None:
    theirs = await node.open("Queue", name)
    events = await node.open("QueueEvents", name)
    async with our_worker(name, url):
        for n in range(3):
            job = await theirs("add", "fine", {"returns": {"n": n}, "takesMs": 20}, {})
            assert await theirs.job(job["id"], "waitUntilFinished", events.handle, 10_000) == {"n": n}
        job = await theirs("add", "bad", {"reject": "no such address", "takesMs": 20}, {})
        with pytest.raises(PeerError, match="no such address"):
            await theirs.job(job["id"], "waitUntilFinished", events.handle, 10_000)


async def test_they_read_the_log_that_our_handler_wrote(peer: Peer, name: str, url: str) -> None:
    theirs = await peer.open("Queue", name)
    job = await theirs("add", "logs", {"log": "sent to ü@example.com"}, {})
    async with our_worker(name, url):
        await until(lambda: theirs.is_in("completed", job["id"]), "it completes")
    assert await theirs("getJobLogs", job["id"]) == {"logs": ["sent to ü@example.com"], "count": 1}


async def test_retention_follows_the_options_that_they_gave_the_job(
    peer: Peer, name: str, url: str, queue: Queue
) -> None:
    theirs = await peer.open("Queue", name)
    gone = await theirs("add", "gone", {}, {"removeOnComplete": True})
    dropped = await theirs("add", "dropped", {"fails": 1}, {"removeOnFail": True})
    kept = [await theirs("add", f"kept-{n}", {}, {"removeOnComplete": {"count": 2}}) for n in range(4)]
    async with our_worker(name, url, concurrency=1, keep_completed=Keep(), keep_failed=Keep()) as ours:
        await until(lambda: len(ours.handled) == 6, "all six run")
        await until(lambda: theirs.is_in("completed", kept[-1]["id"]), "the last completes")
    assert [await queue.job_state(job["id"]) for job in (gone, dropped, *kept)] == [
        "unknown", "unknown", "unknown", "unknown", "completed", "completed",
    ]  # fmt: skip
    assert await queue.get_job(gone["id"]) is None
