"""What nobody foresaw in a duty of a worker is logged and survived, or ends the worker: it never becomes a shell."""

from __future__ import annotations

import asyncio
import importlib
import logging
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from crewline import CrewlineError, Job, JobFailed, Queue, Worker
from crewline.redis.scripts import Fetched, Scripts
from crewline.upkeep.maintainer import QueueMaintainer
from crewline.worker import duties
from crewline.worker.calls.call import Call
from crewline.worker.calls.commit import Committer
from crewline.worker.calls.leases import LeaseKeeper
from crewline.worker.registry.presence import Presence
from redis.exceptions import OutOfMemoryError, RedisClusterException


async def _nothing(job: Job) -> None:
    pass


async def test_a_duty_that_fails_unexpectedly_is_logged_and_begins_again(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(duties, "PAUSE_SECONDS", 0.01)
    beats: list[int] = []
    beat = Presence._beat

    async def once(self: Presence) -> bool:
        beats.append(1)
        if len(beats) == 2:
            raise ZeroDivisionError("a bug")
        return await beat(self)

    monkeypatch.setattr(Presence, "_beat", once)
    await start_worker(_nothing)
    await until(lambda: len(beats) > 3)
    assert "the worker's duty 'presence' failed unexpectedly" in caplog.text
    assert "ZeroDivisionError: a bug" in caplog.text
    await (await queue.add("n", {})).result(timeout=5)


async def test_a_duty_that_fails_again_and_again_ends_the_worker(
    queue: Queue, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: QueueMaintainer) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(duties, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(QueueMaintainer, "recover", fail)
    begun = asyncio.Event()

    async def handle(job: Job) -> None:
        begun.set()
        await asyncio.sleep(60)

    job = await queue.add("n", {})
    worker = Worker("emails", handle, redis=redis_url, grace_seconds=0)
    with pytest.raises(duties.DutyFailed, match=r"'stalled' failed 5 times, last with ZeroDivisionError"):
        await asyncio.wait_for(worker.run(), 20)
    # what it had is for others
    assert await job.state() == "waiting"


async def test_an_outage_that_a_duty_does_not_deal_with_ends_nothing(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duties, "PAUSE_SECONDS", 0.01)
    looks: list[int] = []

    async def away(self: QueueMaintainer) -> None:
        looks.append(1)
        raise RedisClusterException("no node answers")

    monkeypatch.setattr(QueueMaintainer, "recover", away)
    await start_worker(_nothing)
    await until(lambda: len(looks) > 20)
    await (await queue.add("n", {})).result(timeout=5)


async def test_the_thread_that_keeps_leases_survives_what_nobody_foresaw(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    turns: list[int] = []
    prolong = LeaseKeeper._prolong

    def once(self: LeaseKeeper, extend: Any) -> None:
        turns.append(1)
        if len(turns) == 1:
            raise ZeroDivisionError("a bug")
        prolong(self, extend)

    monkeypatch.setattr(LeaseKeeper, "_prolong", once)

    async def handle(job: Job) -> int:
        await asyncio.sleep(1.5)
        return job.attempts_started

    await start_worker(handle, lease_seconds=0.6)
    assert await (await queue.add("n", {})).result(timeout=10) == 1
    assert "leases could not be prolonged (ZeroDivisionError: a bug)" in caplog.text
    assert "Traceback" in caplog.text


async def test_a_worker_that_gets_no_thread_for_its_leases_ends_and_whoever_waits_for_it_is_told(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(self: LeaseKeeper) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(LeaseKeeper, "start", start)
    worker = Worker("emails", _nothing, redis=redis_url)
    ready = asyncio.create_task(worker.wait_ready())
    with pytest.raises(RuntimeError, match="can't start new thread"):
        await asyncio.wait_for(worker.run(), 10)
    with pytest.raises(CrewlineError, match="ended before Redis had answered"):
        await asyncio.wait_for(ready, 10)


async def test_a_call_that_fails_unexpectedly_keeps_its_results_and_its_slots(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failed: list[int] = []
    call = Scripts.finish_and_fetch

    async def once(self: Scripts, results: Any, **options: Any) -> Fetched:
        if results and not failed:
            failed.append(len(results))
            raise ZeroDivisionError("a bug")
        return await call(self, results, **options)

    monkeypatch.setattr(Scripts, "finish_and_fetch", once)
    worker = await start_worker(_nothing, concurrency=2)
    jobs = await queue.add_bulk(("n", n) for n in range(10))
    for job in jobs:
        await job.result(timeout=5)
    assert failed
    assert "a call to Redis failed unexpectedly: it is made again" in caplog.text
    worker.pause()
    await until(lambda: worker._slots.reserved == 0)


async def test_a_redis_that_refuses_some_calls_and_takes_others_is_told_of_once(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that is full takes a fetch that finds nothing."""
    monkeypatch.setattr(Call, "pause_seconds", lambda self: 0.05)
    call, taken, answered, full = Scripts.finish_and_fetch, Committer.taken, [], [True]

    async def refuse(self: Scripts, results: Any, **options: Any) -> Fetched:
        if results and full:
            raise OutOfMemoryError("command not allowed")
        return await call(self, results, **options)

    def count(self: Committer, call: Call, fetched: Fetched | None) -> None:
        answered.append(fetched)
        taken(self, call, fetched)

    monkeypatch.setattr(Scripts, "finish_and_fetch", refuse)
    monkeypatch.setattr(Committer, "taken", count)
    caplog.set_level(logging.INFO, "crewline.worker")
    await start_worker(_nothing, concurrency=2, lease_seconds=3)
    job = await queue.add("n", {})
    await until(lambda: "does not take our calls" in caplog.text)
    answered.clear()
    await until(lambda: len(answered) >= 2)
    assert caplog.text.count("does not take our calls") == 1
    assert "answers again" not in caplog.text
    full.clear()
    await job.result(timeout=10)
    await until(lambda: "answers again" in caplog.text)


async def test_a_failure_in_the_workers_own_code_ends_as_an_attempt_of_the_job(
    queue: Queue, start_worker: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> int:
        raise OverflowError("a bug")

    monkeypatch.setattr("crewline.wire.backoff.delay_ms", broken)
    monkeypatch.setattr("crewline.worker.runs.verdicts.UNFORESEEN_MS", 10)

    async def handle(job: Job) -> str:
        if job.attempts_made == 0:
            raise ValueError("once")
        return "twice"

    await start_worker(handle)
    assert await (await queue.add("n", {}, attempts=2)).result(timeout=5) == "twice"
    assert "its run ended unexpectedly" in caplog.text


@pytest.mark.parametrize(
    ("does", "said"), [("sys.exit(0)", "called sys.exit(0)"), ("raise KeyboardInterrupt", "raised KeyboardInterrupt")]
)
async def test_a_task_of_a_handler_that_ends_the_program_costs_an_attempt_and_no_worker(
    queue: Queue, redis_url: str, tmp_path: Path, does: str, said: str
) -> None:
    (tmp_path / "exits.py").write_text(
        "import asyncio, sys\n\n\nasync def boom():\n    " + does + "\n\n\n"
        "async def handle(job):\n    if job.data:\n        await asyncio.gather(boom(), asyncio.sleep(1))\n"
        "    return 'ran'\n"
    )
    worker = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "crewline"), "worker", "exits:handle", "-q", "emails", "-r", redis_url,
        "--code-path", str(tmp_path), stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        bad = await queue.add("n", True, attempts=1)
        with pytest.raises(JobFailed, match=re.escape(said)):
            await bad.result(timeout=20)
        assert await (await queue.add("n", False)).result(timeout=10) == "ran"
    finally:
        worker.terminate()
        _, log = await asyncio.wait_for(worker.communicate(), 20)
    assert f"something that a handler started {said}: the worker goes on" in log.decode()
    assert worker.returncode == 0


async def test_what_redis_refuses_a_duty_is_said_once_and_holds_up_no_other(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("crewline.upkeep.maintainer.SWEEP_SECONDS", 0.05)
    monkeypatch.setattr("crewline.upkeep.maintainer.ROUND_MS", 45)
    await queue.redis.set(queue.keys.base + "repeat", "of another type")
    swept: list[str] = []
    sweep = Scripts.sweep_jobs

    async def noted(self: Scripts, state: str, *arguments: Any) -> tuple[int, bool]:
        swept.append(state)
        return await sweep(self, state, *arguments)

    monkeypatch.setattr(Scripts, "sweep_jobs", noted)
    await start_worker(_nothing)
    await until(lambda: swept.count("failed") >= 3)
    assert caplog.text.count("can't keep schedules going: Redis says WRONGTYPE") == 1
    await queue.redis.delete(queue.keys.base + "repeat")


async def test_what_redis_refuses_a_schedules_next_iteration_is_not_told_as_an_outage(
    queue: Queue, start_worker: Any, until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await queue.schedule("ours", "tick", every=3600)
    repeat = queue.keys.base + "repeat"
    await queue.redis.rename(repeat, repeat + "-aside")
    await queue.redis.set(repeat, "of another type")
    await start_worker(_nothing)
    await until(lambda: "can't go on with schedule ours: Redis says" in caplog.text)
    assert "Redis is away" not in caplog.text
    await queue.redis.rename(repeat + "-aside", repeat)
    await queue.schedules.remove("ours")


async def test_a_schedule_that_raises_what_nobody_foresaw_is_named_in_the_log(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    planned = await queue.schedule("ours", "tick", cron="* * * * *")

    def fail(*told: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("crewline.queue.schedules.next_cron_ms", fail)
    await start_worker(_nothing)
    await queue.promote(planned)
    await until(lambda: "schedule ours can't be continued" in caplog.text)
    await queue.schedules.remove("ours")


async def test_why_a_worker_has_ended_is_where_kubernetes_looks(redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "fine.py").write_text("async def handle(job): ...\n")
    (tmp_path / "told").touch()
    program = (
        "import pathlib, crewline.cli, crewline.cli.ending as cli, crewline.worker.duties as duties\n"
        "from crewline.upkeep.maintainer import QueueMaintainer\n"
        f"cli.TERMINATION_LOG, duties.PAUSE_SECONDS = pathlib.Path({str(tmp_path / 'told')!r}), 0.01\n"
        "async def fail(self):\n    raise ZeroDivisionError('a bug')\n"
        "QueueMaintainer.recover = fail\n"
        f"crewline.cli.app(['worker', 'fine:handle', '-q', 'emails', '-r', {redis_url!r}, '--code-path', '.'])\n"
    )
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=tmp_path, stderr=asyncio.subprocess.PIPE
    )
    _, log = await asyncio.wait_for(worker.communicate(), 30)
    reason = "the worker's duty 'stalled' failed 5 times, last with ZeroDivisionError('a bug')"
    assert worker.returncode == 1
    assert (tmp_path / "told").read_text() == reason
    assert f"crewline: the worker has ended: {reason}" in log.decode()


async def test_workers_of_one_name_have_an_entry_each(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as in containers
    monkeypatch.setattr("os.getpid", lambda: 1)
    worker = await start_worker(_nothing, name="mailer")
    # another process knows nothing of this one's workers
    monkeypatch.delitem(sys.modules, Presence.__module__)
    presence = importlib.import_module(Presence.__module__)
    monkeypatch.setattr("crewline.worker.worker.Presence", presence.Presence)
    await start_worker(_nothing, name="mailer")
    await until(lambda: _count(queue, 2))
    await worker.stop()
    await until(lambda: _count(queue, 1))
    (left,) = await queue.workers()
    assert left["name"].startswith("mailer.1.")


async def _count(queue: Queue, workers: int) -> bool:
    return len(await queue.workers()) == workers
