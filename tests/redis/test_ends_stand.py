"""How a run ended stands, whatever hooks and listeners do about it; and what could not begin has not ended."""

from __future__ import annotations

import asyncio
import errno
import importlib
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from crewline import DeadLetters, Job, JobFailed, Middleware, Queue

from tests.redis import process_handlers


class Cancelled(Middleware):
    async def after(self, job: Job, result: Any) -> None:
        await self._end()

    async def failed(self, job: Job, error: BaseException) -> None:
        await self._end()

    async def _end(self) -> None:
        task = asyncio.ensure_future(asyncio.sleep(60))
        task.cancel()
        await task


class Exits(Cancelled):
    async def _end(self) -> None:
        sys.exit(3)


class Waits(Cancelled):
    async def _end(self) -> None:
        await asyncio.sleep(0)


class Misshapen(Middleware):
    async def after(self, job: Job) -> None:  # type: ignore[override]
        raise AssertionError("never called")

    async def failed(self, job: Job) -> None:  # type: ignore[override]
        raise AssertionError("never called")


class Plain(Middleware):
    def after(self, job: Job, result: Any) -> None:  # type: ignore[override]
        raise ValueError("a bad hook")

    def failed(self, job: Job, error: BaseException) -> None:  # type: ignore[override]
        sys.exit(3)


async def well(job: Job) -> str:
    return "done"


async def badly(job: Job) -> None:
    raise ValueError("no")


async def cancels_itself(job: Job) -> str:
    task = asyncio.current_task()
    assert task
    task.cancel()
    return "done"


@pytest.mark.parametrize("hook", [Cancelled, Exits, Waits, Misshapen, Plain])
@pytest.mark.parametrize(("handle", "state"), [(well, "completed"), (badly, "failed"), (cancels_itself, "completed")])
async def test_a_hook_that_ends_changes_nothing(
    queue: Queue, start_worker: Any, until: Any, hook: type[Middleware], handle: Any, state: str
) -> None:
    runs = 0

    async def count(job: Job) -> Any:
        nonlocal runs
        runs += 1
        return await handle(job)

    await start_worker(count, middleware=[hook(), Waits()])
    job = await queue.add("n", {}, attempts=1)

    async def ended() -> bool:
        return await job.state() == state

    await until(ended)
    assert runs == 1


async def test_a_listener_that_exits_changes_nothing(queue: Queue, start_worker: Any) -> None:
    worker = await start_worker(well)
    worker.on("completed", lambda job: sys.exit(3))
    for _ in range(2):
        job = await queue.add("n", {}, attempts=2)
        assert await job.result(timeout=20) == "done"
        assert await job.state() == "completed"


async def test_jobs_wait_where_the_system_starts_no_process(
    queue: Queue, start_worker: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refused: list[int] = []
    start = subprocess.Popen

    class Refusing(start):  # type: ignore[type-arg, misc, valid-type]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            if len(refused) < 6:
                refused.append(1)
                raise OSError(errno.EMFILE, "Too many open files")
            super().__init__(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", Refusing)
    jobs = await queue.add_bulk(("n", {"do": "who"}, {"attempts": 1}) for _ in range(4))
    await start_worker(process_handlers.work, execution="process", concurrency=4)
    assert {(await job.result(timeout=60))["of"] for job in jobs} == {job.id for job in jobs}
    assert len(refused) == 6
    assert await DeadLetters(queue).list() == []
    assert [line for line in caplog.messages if "can begin nothing now" in line and "Too many open files" in line]


@pytest.fixture
def deadly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A handler whose import kills its process as long as there is a file, and that file."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr("crewline.worker.runs.calling.PAUSE_SECONDS", 0.01)
    file = tmp_path / "deadly"
    source = f"import os\nif os.path.exists({str(file)!r}): os._exit(9)\ndef handle(job): return 'done'\n"
    (tmp_path / "deadly_handlers.py").write_text(source)
    yield importlib.import_module("deadly_handlers").handle, file
    del sys.modules["deadly_handlers"]


async def test_a_child_that_dies_before_it_is_ready_costs_no_attempt(
    queue: Queue, start_worker: Any, until: Any, deadly: Any, caplog: pytest.LogCaptureFixture
) -> None:
    handle, file = deadly
    file.touch()
    job = await queue.add("n", {}, attempts=1)
    await start_worker(handle, execution="process")
    await until(lambda: [line for line in caplog.messages if "exited with code 9 before it was ready" in line], 60)
    file.unlink()
    assert await job.result(timeout=60) == "done"
    after = await queue.get_job(job.id)
    assert after is not None and after.attempts_made == 1


async def test_a_job_fails_at_last_whose_children_die_for_long_before_they_are_ready(
    queue: Queue, start_worker: Any, monkeypatch: pytest.MonkeyPatch, deadly: Any
) -> None:
    monkeypatch.setattr("crewline.worker.processes.childless.UNREADY_SECONDS", 0.5)
    handle, file = deadly
    file.touch()
    await start_worker(handle, execution="process")
    job = await queue.add("n", {}, attempts=2, backoff=0)
    with pytest.raises(JobFailed, match="exited with code 9 before it was ready"):
        await job.result(timeout=60)
    file.unlink()
    assert await (await queue.add("n", {}, attempts=1)).result(timeout=60) == "done"


def refuse_threads(monkeypatch: pytest.MonkeyPatch, name: str) -> list[int]:
    """The first three threads that are called so can't be started; gives one entry for each that was refused."""
    refused: list[int] = []
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith(name) and len(refused) < 3:
            refused.append(1)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    return refused


async def test_jobs_wait_where_the_system_starts_no_thread_for_their_children(
    queue: Queue, start_worker: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refused = refuse_threads(monkeypatch, "crewline-children")
    job = await queue.add("n", {"do": "who"}, attempts=1)
    await start_worker(process_handlers.work, execution="process")
    assert (await job.result(timeout=60))["of"] == job.id
    assert len(refused) == 3
    assert [line for line in caplog.messages if "can begin nothing now" in line and "new thread" in line]


async def test_jobs_wait_where_the_system_starts_no_thread(
    queue: Queue, start_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = refuse_threads(monkeypatch, "crewline-handler")
    job = await queue.add("n", {"do": "who"}, attempts=1)
    await start_worker(process_handlers.work)
    assert (await job.result(timeout=60))["of"] == job.id
    assert len(refused) == 3
