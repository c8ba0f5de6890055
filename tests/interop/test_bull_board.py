"""bull-board, the dashboard of BullMQ fleets, shows our queues as BullMQ's own, and its buttons work on them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from crewline import Queue

from tests import redis_server
from tests.interop.bull_board import Board, bull_board
from tests.interop.conftest import NODE
from tests.interop.peers import stays, until
from tests.interop.play import our_worker


@pytest.fixture(params=NODE)
async def board(request: pytest.FixtureRequest, server: redis_server.RedisServer, name: str) -> AsyncIterator[Board]:
    """bull-board on the test's queue, by both npm majors."""
    async with bull_board(request.param, server.port, name) as running:
        yield running


async def test_its_page_counts_our_jobs_by_state(board: Board, name: str, url: str, queue: Queue) -> None:
    assert "Bull Dashboard" in await board.page()
    await queue.add_bulk([("fine", {}) for _ in range(3)])
    await queue.add_bulk([("bad", {"reject": "no"}) for _ in range(2)])
    async with our_worker(name, url):
        await until(lambda: board.counts(name, completed=3, failed=2), "all end")
    waiting = await queue.add_bulk([("waits", {"n": n}) for n in range(4)])
    later = await queue.add("later", {}, delay=3600)
    high = await queue.add("high", {}, priority=7)
    assert await board.counts(name, completed=3, failed=2, waiting=4, delayed=1, prioritized=1)
    listed = (await board.queue(name, "waiting"))["jobs"]
    assert {job["id"]: job["data"] for job in listed} == {job.id: {"n": n} for n, job in enumerate(waiting)}
    [seen] = (await board.queue(name, "delayed"))["jobs"]
    assert (seen["id"], seen["name"], seen["delay"]) == (later.id, "later", 3_600_000)
    [seen] = (await board.queue(name, "prioritized"))["jobs"]
    assert (seen["id"], seen["name"], seen["opts"]["priority"]) == (high.id, "high", 7)


async def test_it_shows_what_came_of_our_jobs(board: Board, name: str, url: str, queue: Queue) -> None:
    data = {"log": "sent to Zoë", "progress": {"sent": 2, "of": 2}, "returns": {"ids": [1, 2], "note": "✓"}}
    fine = await queue.add("fine", data)
    bad = await queue.add("bad", {"log": "no answer", "progress": 40, "fails": 9}, attempts=1)
    async with our_worker(name, url):
        await until(lambda: board.counts(name, completed=1, failed=1), "both end")

    [seen] = (await board.queue(name, "completed"))["jobs"]
    assert await board.job(name, fine.id) == {"job": seen, "status": "completed"}
    assert (seen["id"], seen["name"], seen["data"], seen["attempts"]) == (fine.id, "fine", data, 1)
    assert (seen["progress"], seen["returnValue"]) == (data["progress"], data["returns"])
    assert (seen["isFailed"], seen["stacktrace"], seen.get("failedReason")) == (False, [], None)
    assert seen["timestamp"] <= seen["processedOn"] <= seen["finishedOn"]
    assert await board.logs(name, fine.id) == ["sent to Zoë"]

    [seen] = (await board.queue(name, "failed"))["jobs"]
    assert await board.job(name, bad.id) == {"job": seen, "status": "failed"}
    assert (seen["isFailed"], seen["failedReason"], seen["progress"]) == (True, "attempt 1 failed", 40)
    [stack] = seen["stacktrace"]
    assert "RuntimeError" in stack and "play.py" in stack
    assert await board.logs(name, bad.id) == ["no answer"]


async def test_it_shows_the_job_that_our_worker_runs(board: Board, name: str, url: str, queue: Queue) -> None:
    job = await queue.add("runs", {"progress": 40, "takesMs": 1500})
    assert (await board.queue(name))["hasWorkers"] is False
    async with our_worker(name, url) as ours:
        await until(lambda: ours.handled, "it runs")

        async def progresses() -> bool:
            stored = await queue.get_job(job.id)
            return stored is not None and stored.progress_value == 40

        # it has begun before it says how far it is
        await until(progresses, "it says how far it is")
        seen = await board.queue(name, "active")
        assert (seen["counts"]["active"], seen["hasWorkers"]) == (1, True)
        assert [(run["id"], run["name"], run["progress"]) for run in seen["jobs"]] == [(job.id, "runs", 40)]
        await until(lambda: board.counts(name, completed=1), "it completes")


async def test_its_retry_runs_a_failed_job_again_on_our_worker(board: Board, name: str, url: str, queue: Queue) -> None:
    one, *others = await queue.add_bulk([("flaky", {"fails": 1, "returns": n}, {"attempts": 1}) for n in range(3)])
    async with our_worker(name, url) as ours:
        await until(lambda: board.counts(name, failed=3), "all fail")
        await board.put(f"{name}/{one.id}/retry")
        await until(lambda: board.counts(name, failed=2, completed=1), "the one retried completes", seconds=4)
        assert (await board.job(name, one.id))["job"]["returnValue"] == 0
        await board.put(f"{name}/retry/failed")
        await until(lambda: board.counts(name, completed=3), "the others complete", seconds=4)
        assert sorted(ours.ids) == sorted(job.id for job in [one, *others] * 2)


async def test_its_promotion_runs_a_delayed_job_now(board: Board, name: str, url: str, queue: Queue) -> None:
    jobs = await queue.add_bulk([(f"later-{n}", {}, {"delay": 3600}) for n in range(3)])
    async with our_worker(name, url) as ours:
        await board.put(f"{name}/{jobs[1].id}/promote")
        await until(lambda: ours.names == ["later-1"], "the one promoted runs", seconds=4)
        await board.put(f"{name}/promote")
        await until(lambda: sorted(ours.names) == ["later-0", "later-1", "later-2"], "the others run", seconds=4)
        await until(lambda: board.counts(name, completed=3), "all complete")


async def test_its_clean_takes_finished_jobs_and_their_keys(board: Board, name: str, url: str, queue: Queue) -> None:
    fine = await queue.add_bulk([("fine", {"log": "a line"}) for _ in range(3)])
    bad = await queue.add("bad", {"reject": "no", "log": "a line"})
    async with our_worker(name, url):
        await until(lambda: board.counts(name, completed=3, failed=1), "all end")
    await board.put(f"{name}/{bad.id}/clean")
    await until(lambda: board.counts(name, completed=3), "the failed one is gone")
    # the button leaves what ended within the last 5 s, so two of the jobs shall have ended earlier
    old = [job.id for job in fine[:2]]
    for job_id in old:
        await queue.redis.zincrby(f"bull:{name}:completed", -10_000, job_id)
        await queue.redis.hincrby(f"bull:{name}:{job_id}", "finishedOn", -10_000)
    await board.put(f"{name}/clean/completed")
    assert [job["id"] for job in (await board.queue(name, "completed"))["jobs"]] == [fine[2].id]
    assert not [key for job_id in (*old, bad.id) for key in await queue.redis.keys(f"bull:{name}:{job_id}*")]


async def test_its_pause_stops_our_worker_and_its_resume_starts_it(
    board: Board, name: str, url: str, queue: Queue
) -> None:
    async with our_worker(name, url) as ours:
        await queue.add("before", {})
        await until(lambda: ours.names == ["before"], "a job before the pause runs")
        await board.put(f"{name}/pause")
        assert (await board.queue(name))["isPaused"] is True
        await queue.add("after", {})
        await stays(lambda: ours.names == ["before"], "no job is started in the pause")
        await board.put(f"{name}/resume")
        assert (await board.queue(name))["isPaused"] is False
        # BullMQ 5 sets no marker unless it parked something itself: its own workers wait out their poll of 5 s, too
        await until(lambda: ours.names == ["before", "after"], "it runs after the resume", seconds=6.5)
