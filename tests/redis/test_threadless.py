"""A moment in which the system has no thread to give: what needs one is told so, and later calls find all as it was."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from crewline import CrewlineError, Job, JobFailed, Queue, sync
from crewline.beside import ThreadRefused
from crewline.wire.keys import Keys
from crewline.worker.calls.leases import LeaseKeeper
from crewline.worker.handlers.targets import Targets
from crewline.worker.processes.answers import ChildRefused
from crewline.worker.processes.children import Children

from tests.redis import threadless
from tests.redis.processes import children, stored

__all__ = ["children"]

REFUSED = "can't start new thread"


@pytest.fixture
def child_without_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """While this file is there, children have no thread for a job's calls."""
    file = tmp_path / "threadless"
    file.touch()
    monkeypatch.setenv(threadless.FILE, str(file))
    return file


async def test_a_job_waits_where_its_child_has_no_thread_for_its_calls(
    queue: Queue, start_worker: Any, until: Any, child_without_threads: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await start_worker(threadless.work, execution="process", concurrency=1)
    job = await queue.add("n", 1, attempts=1)
    await until(lambda: REFUSED in caplog.text, 60)
    child_without_threads.unlink()
    first = await job.result(timeout=60)
    # and its child is one for others, too
    assert await (await queue.add("n", 2, attempts=1)).result(timeout=30) == first


@pytest.mark.parametrize("alone", [False, True])
async def test_a_child_that_has_no_thread_for_a_jobs_calls_is_not_kept(
    queue: Queue, children: Children, child_without_threads: Any, alone: bool
) -> None:
    target = Targets(threadless.work, "process").all()[0]
    with pytest.raises(ChildRefused, match=REFUSED):
        await children.run(await stored(queue, {}), target, timeout=None, alone=alone)
    assert not children._idle
    child_without_threads.unlink()
    assert (await children.run(await stored(queue, {}), target, timeout=30, alone=alone)).value


def test_a_blocking_producer_adds_again_once_there_are_threads_again(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as in a process that has asked nothing yet
    monkeypatch.setattr(sync, "_here", sync._Process())
    queue = sync.Queue("emails", redis=redis_url)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", _refuse)
        with pytest.raises(CrewlineError, match=REFUSED):
            queue.add("n", 1)
    assert _within(30, lambda: queue.add("n", 1).id) == "1"
    queue.close()


def test_leases_are_prolonged_once_what_that_takes_is_to_be_had(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is missing at first, the next turn begins anew with it."""
    refused, prolonged = [], threading.Event()
    register = redis.Redis.register_script

    def refuse_once(client: redis.Redis, script: Any) -> Any:
        if not refused:
            refused.append(1)
            raise OSError("too many open files")
        return register(client, script)

    def prolong(keeper: LeaseKeeper, extend: Any) -> None:
        assert extend(keys=Keys("bull", "emails").declared(), args=["bull:emails:", 1000]) == []
        prolonged.set()

    monkeypatch.setattr(redis.Redis, "register_script", refuse_once)
    monkeypatch.setattr(LeaseKeeper, "_prolong", prolong)
    keeper = LeaseKeeper(redis_url, Keys("bull", "emails"), {}, 90, lambda _: None)
    keeper.start()
    assert prolonged.wait(30)
    keeper.stop()
    assert [line for line in caplog.messages if "could not be prolonged" in line] == [
        "leases could not be prolonged (OSError: too many open files): trying again"
    ]


def _refuse(thread: threading.Thread) -> None:
    raise RuntimeError(REFUSED)


def _within(seconds: float, call: Callable[[], Any]) -> Any:
    """What that returns; it may block for so long at most."""
    returned: list[Any] = []
    thread = threading.Thread(target=lambda: returned.append(call()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert returned, f"it blocks for {seconds:g} s and more"
    return returned[0]


@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_a_handler_that_meets_no_thread_by_itself_has_begun(
    queue: Queue, start_worker: Any, until: Any, kind: str
) -> None:
    """Its effects have happened: that is an attempt."""
    runs = 0

    def plain(job: Job) -> None:
        nonlocal runs
        runs += 1
        raise ThreadRefused("a thread of the handler's own could not be started")

    async def handle(job: Job) -> None:
        plain(job)

    await start_worker(plain if kind == "thread" else handle)
    job = await queue.add("n", 1, attempts=1)
    with pytest.raises(JobFailed, match="of the handler's own"):
        await job.result(timeout=20)
    assert runs == 1
