"""The fetch that waits in Redis behind the marker: what it brings is run once, and it never outstays its welcome."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crewline import Job, Queue, Worker
from crewline.redis.connection import connect
from crewline.redis.lanes import Lanes
from crewline.redis.scripts import Fetched, Scripts
from crewline.worker import duties
from crewline.worker.calls.backlog import Backlog
from crewline.worker.calls.wakeup import MarkerWatch
from redis.exceptions import ConnectionError

from tests import redis_server as server_module
from tests.chaos.proxy import Proxy
from tests.redis_server import RedisServer


def _seen() -> tuple[list[str], Callable[[Job], Any]]:
    names: list[str] = []

    async def note(job: Job) -> None:
        names.append(job.name)

    return names, note


async def _armed(worker: Worker, until: Any) -> None:
    await until(lambda: worker._watch.armed)


async def test_a_job_whose_answer_was_lost_is_run_at_once_and_once(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, note = _seen()
    together = Lanes.call_together
    lost: list[Any] = []

    async def lose(self: Lanes, *commands: Any) -> list[Any]:
        replies = await together(self, *commands)
        if replies[0] and not lost:
            lost.append(replies)
            raise ConnectionError("the answer is lost")
        return replies

    monkeypatch.setattr(Lanes, "call_together", lose)
    worker = await start_worker(note, lease_seconds=30)
    await _armed(worker, until)
    job = await queue.add("kept", {})
    await job.result(timeout=3)
    assert lost
    assert names == ["kept"]
    stored = await queue.get_job(job.id)
    assert stored is not None and (stored.attempts_started, stored.stalled_count) == (1, 0)
    await until(lambda: worker._slots.reserved <= worker.concurrency)


async def test_what_nobody_foresaw_does_not_leave_what_an_armed_fetch_brought_to_nobody(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    names, note = _seen()
    together, call = Lanes.call_together, Scripts.finish_and_fetch
    lost: list[Any] = []
    failed: list[bool] = []

    async def lose(self: Lanes, *commands: Any) -> list[Any]:
        replies = await together(self, *commands)
        if replies[0] and not lost:
            lost.append(replies)
            raise ConnectionError("the answer is lost")
        return replies

    async def once(self: Scripts, results: Any, **options: Any) -> Fetched:
        if options.get("again") and not failed:
            failed.append(True)
            raise ZeroDivisionError("a bug")
        return await call(self, results, **options)

    monkeypatch.setattr(Lanes, "call_together", lose)
    monkeypatch.setattr(Scripts, "finish_and_fetch", once)
    worker = await start_worker(note, lease_seconds=30)
    await _armed(worker, until)
    job = await queue.add("kept", {})
    await job.result(timeout=5)
    assert failed and names == ["kept"]
    assert "a call to Redis failed unexpectedly: it is made again" in caplog.text
    await until(lambda: worker._slots.reserved <= worker.concurrency)


async def test_what_nobody_foresaw_leaves_no_slot_promised_to_an_armed_fetch_that_was_answered(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    names, note = _seen()
    expect = Backlog.expect_due
    failed: list[bool] = []

    def once(self: Backlog, due_ms: int) -> None:
        if not failed:
            failed.append(True)
            raise ZeroDivisionError("a bug")
        expect(self, due_ms)

    monkeypatch.setattr(duties, "PAUSE_SECONDS", 0.01)
    worker = await start_worker(note, concurrency=3)
    await _armed(worker, until)
    monkeypatch.setattr(Backlog, "expect_due", once)
    # its fetch finds the second one, which is not due
    await queue.add_bulk([("now", {}), ("later", {}, {"delay": 60})])
    await until(lambda: "ZeroDivisionError" in caplog.text)
    worker.pause()
    await until(lambda: worker._slots.reserved == 0)
    worker.resume()
    await (await queue.add("next", {})).result(timeout=5)
    assert failed and names == ["now", "next"]


async def test_nothing_is_roused_while_redis_is_away(tmp_path: Path, until: Any) -> None:
    server = server_module.start(tmp_path)
    _, note = _seen()
    worker = Worker("emails", note, redis=server.url, concurrency=1)
    running = asyncio.create_task(worker.run())
    try:
        await worker.wait_ready()
        await _armed(worker, until)
        server.stop()
        # Redis' end is the end of its read: who wants these slots has nothing to end
        await until(lambda: not worker._watch.armed)
        server = server_module.start(tmp_path, port=server.port)
        await _armed(worker, until)
    finally:
        await worker.stop(grace_seconds=0)
        await asyncio.wait_for(running, 10)
        server.stop()


async def test_a_read_that_does_not_end_is_roused_ever_more_rarely(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[float] = []
    clock = asyncio.get_running_loop().time

    async def in_vain(self: MarkerWatch) -> None:
        attempts.append(clock())

    unblock = MarkerWatch._unblock
    monkeypatch.setattr(MarkerWatch, "_unblock", in_vain)
    _, note = _seen()
    worker = await start_worker(note)
    await _armed(worker, until)
    worker.pause()
    await until(lambda: len(attempts) == 5)
    monkeypatch.setattr(MarkerWatch, "_unblock", unblock)
    # no less than 0.02 + 0.04 + 0.08 + 0.16
    assert attempts[-1] - attempts[0] > 0.29
    await until(lambda: not worker._watch.armed)


async def test_a_worker_that_pauses_leaves_what_comes_to_others(queue: Queue, start_worker: Any, until: Any) -> None:
    mine, note_mine = _seen()
    others, note_others = _seen()
    paused = await start_worker(note_mine)
    await _armed(paused, until)
    paused.pause()
    await until(lambda: not paused._watch.armed)
    await start_worker(note_others)
    for n in range(5):
        job = await queue.add(f"j{n}", {})
        await job.result(timeout=3)
    assert (mine, len(others)) == ([], 5)
    paused.resume()
    await _armed(paused, until)


async def test_what_comes_in_the_moment_of_the_pause_is_handed_back(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    names, note = _seen()
    worker = await start_worker(note)
    await _armed(worker, until)
    # as `pause` does, but for ending the fetch: it brings the job to a worker that is to run nothing
    worker._slots._shut.add("paused")
    job = await queue.add("later", {})
    await asyncio.sleep(0.3)
    assert names == []
    assert await job.state() == "waiting"
    worker.resume()
    await job.result(timeout=3)
    stored = await queue.get_job(job.id)
    assert stored is not None and stored.attempts_made == 1


async def test_an_idle_worker_stops_at_once_and_takes_no_job_with_it(queue: Queue, until: Any, redis_url: str) -> None:
    for _ in range(10):
        names, note = _seen()
        worker = Worker("emails", note, redis=redis_url)
        running = asyncio.create_task(worker.run())
        await _armed(worker, until)
        begun = time.monotonic()
        _, job = await asyncio.gather(worker.stop(), queue.add("crossing", {}))
        await asyncio.wait_for(running, 4)
        # a read of the marker blocks for 5 s
        assert time.monotonic() - begun < 4
        assert await job.state() == ("completed" if names else "waiting")
        assert (await queue.metrics()).active == 0
        await queue.drain()


async def test_a_due_job_does_not_wait_for_slots_that_the_fetch_holds(queue: Queue, start_worker: Any) -> None:
    _, note = _seen()
    await start_worker(note, concurrency=1)
    job = await queue.add("due", {}, delay=0.6)
    # the blocked read would end after 5 s
    await job.result(timeout=3)


@pytest.mark.parametrize("denied", ["client|unblock", "client|id", "client|setname", "client"])
async def test_a_user_that_may_not_unblock_or_name_clients_is_served_too(
    queue: Queue, until: Any, redis_url: str, denied: str
) -> None:
    admin = connect(redis_url)
    await admin.execute_command("ACL", "SETUSER", "plain", "on", ">secret", "~*", "&*", "+@all", f"-{denied}")  # type: ignore[no-untyped-call]
    try:
        names, note = _seen()
        worker = Worker("emails", note, redis=redis_url.replace("//", "//plain:secret@"), concurrency=1)
        running = asyncio.create_task(worker.run())
        await _armed(worker, until)
        job = await queue.add("due", {}, delay=0.4)
        await job.result(timeout=3)
        await _armed(worker, until)
        await worker.stop()
        await asyncio.wait_for(running, 4)
        assert names == ["due"]
    finally:
        await admin.execute_command("ACL", "DELUSER", "plain")  # type: ignore[no-untyped-call]
        await admin.aclose()


async def test_a_user_that_may_not_wait_for_work_is_told_what_that_means(
    queue: Queue, until: Any, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    admin = connect(redis_url)
    await admin.execute_command("ACL", "SETUSER", "plain", "on", ">secret", "~*", "&*", "+@all", "-bzpopmin")  # type: ignore[no-untyped-call]
    try:
        _, note = _seen()
        worker = Worker("emails", note, redis=redis_url.replace("//", "//plain:secret@"), concurrency=1)
        running = asyncio.create_task(worker.run())
        await until(lambda: "can't wait for the queue's marker: this worker looks for jobs every 5 s" in caplog.text)
        await worker.stop()
        await asyncio.wait_for(running, 10)
    finally:
        await admin.execute_command("ACL", "DELUSER", "plain")  # type: ignore[no-untyped-call]
        await admin.aclose()


async def test_a_call_on_a_connection_that_the_server_has_closed_is_made_on_another(queue: Queue) -> None:
    await queue.add("before", {})
    await queue.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")  # type: ignore[no-untyped-call]
    await asyncio.sleep(0.05)
    await queue.add("after", {})
    await queue.add_bulk([("bulk", {}) for _ in range(401)])
    assert (await queue.metrics()).waiting == 403


async def test_a_wake_up_connection_that_was_closed_while_it_rested_is_made_anew(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    gate = asyncio.Event()

    async def handle(job: Job) -> None:
        if job.name == "busy":
            await gate.wait()

    worker = await start_worker(handle, concurrency=1)
    await _armed(worker, until)
    await queue.add("busy", {})
    await until(lambda: worker.running == 1)
    known = worker._watch._client_id
    await queue.redis.execute_command("CLIENT", "KILL", "ID", str(known))
    gate.set()
    await until(lambda: worker.running == 0)
    # the due time ends the blocked read by the connection's own id: a wrong one would make it 5 s
    for _ in range(2):
        job = await queue.add("due", {}, delay=0.3)
        await job.result(timeout=3)
    assert worker._watch._client_id != known


async def test_a_worker_that_begins_beside_a_peer_that_says_nothing_waits_for_work_once_there_is_one_that_does(
    queue: Queue, redis_server: RedisServer, until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    names, note = _seen()
    async with Proxy(redis_server.port, silent=True) as proxy:
        worker = Worker("emails", note, redis=proxy.url, lease_seconds=3)
        running = asyncio.create_task(worker.run())
        await until(lambda: "does not take our calls" in caplog.text)
        proxy.silent = False
        await asyncio.wait_for(worker.wait_ready(), 20)
        await until(lambda: worker._watch.armed, seconds=30)
        await (await queue.add("n", {})).result(timeout=5)
        await worker.stop()
        await asyncio.wait_for(running, 10)
    assert names == ["n"]


async def test_an_acknowledgement_that_can_not_be_written_holds_up_no_later_read(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crewline.worker.calls.wakeup.CONNECT_SECONDS", 0.2)
    tell, stuck = Lanes.tell, []

    async def full(self: Lanes, *commands: Any) -> None:
        if not stuck:
            # the peer reads nothing, and the system's buffer is full
            stuck.append(commands)
            await asyncio.Event().wait()
        await tell(self, *commands)

    monkeypatch.setattr(Lanes, "tell", full)
    names, note = _seen()
    worker = await start_worker(note, lease_seconds=3)
    for name in ("first", "second"):
        await _armed(worker, until)
        await (await queue.add(name, {})).result(timeout=5)
    await _armed(worker, until)
    assert stuck and names == ["first", "second"]


async def test_a_fetch_is_acknowledged_also_where_redis_has_forgotten_the_scripts(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    gate = asyncio.Event()

    async def handle(job: Job) -> None:
        if job.name == "held":
            await gate.wait()

    worker = await start_worker(handle, lease_seconds=30)
    for _ in range(2):
        # the first tells that the script is unknown, the second finds it loaded again
        await _armed(worker, until)
        await queue.redis.script_flush()
        await (await queue.add("n", {})).result(timeout=5)
    await _armed(worker, until)
    job = await queue.add("held", {})
    await until(lambda: worker.running == 1)
    await until(lambda: _is_acknowledged(queue, job))
    gate.set()


async def _is_acknowledged(queue: Queue, job: Job) -> bool:
    held = await queue.redis.pttl(queue.keys.job(job.id) + ":lock")
    return held > 20_000 and await queue.redis.hget(queue.keys.job(job.id), "unread") is None


async def test_what_others_took_while_an_answer_was_late_leaves_no_job_waiting_for_a_wake_up(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, note = _seen()
    together, late = Lanes.call_together, []

    async def stand_still(self: Lanes, *commands: Any) -> list[Any]:
        popped, answer = await together(self, *commands)
        if answer[2] and not late:
            late.append(answer)
            # meanwhile another worker got the first of its jobs, and took the marker with it
            taken = Fetched.of(answer).jobs[0].id
            await queue.redis.delete(queue.keys.job(taken) + ":lock", queue.keys.stalled_check)
            await queue.redis.lrem(queue.keys.active, 0, taken)
            await queue.redis.delete(queue.keys.job(taken), queue.keys.marker)
            answer[0] -= 3_600_000
        return [popped, answer]

    monkeypatch.setattr(Lanes, "call_together", stand_still)
    worker = await start_worker(note, concurrency=2, lease_seconds=30)
    await _armed(worker, until)
    *_, last = await queue.add_bulk([("taken", 1), ("kept", 2), ("next", 3)])
    await last.result(timeout=3)
    assert late and names == ["kept", "next"]
