"""`crewline worker` ends when it is told to, whatever its handlers leave behind, and loses nothing that they said."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from crewline import Job, Queue

HANDLERS = """
import asyncio, atexit, multiprocessing, sys, threading, time

print("imported")
atexit.register(lambda: print("hook ran"))

def pool(job):
    if job.name == "pool":
        with multiprocessing.get_context("fork").Pool(2) as workers:
            return next(workers.imap_unordered(time.sleep, [0.1] * 100), "done") or "done"
    return "done"

async def handle(job):
    loop = asyncio.get_running_loop()
    match job.name:
        case "swallow":
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    pass
        case "thread":
            threading.Thread(target=time.sleep, args=(600,)).start()
        case "hook":
            atexit.register(time.sleep, 600)
        case "loop":
            loop.stop()
        case "cancel":
            for task in asyncio.all_tasks():
                task.cancel()
            await asyncio.sleep(60)
    return "done"
"""

Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def start(redis_url: str, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a worker and returns once it is ready."""
    (tmp_path / "handlers.py").write_text(HANDLERS)
    processes: list[asyncio.subprocess.Process] = []

    async def start(*arguments: str, handler: str = "handle") -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "crewline"), "worker", f"handlers:{handler}", "--grace-seconds", "0.2",
            *arguments, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={"CREWLINE_QUEUE": "emails", "CREWLINE_REDIS_URL": redis_url, "PATH": "/usr/bin"},
        )  # fmt: skip
        processes.append(process)
        assert process.stderr
        while b"ready:" not in (line := await asyncio.wait_for(process.stderr.readline(), 30)):
            assert line, "the worker ended before it was ready"
        return process

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def told_to_stop(process: asyncio.subprocess.Process) -> tuple[str, str]:
    process.send_signal(signal.SIGTERM)
    out, err = await asyncio.wait_for(process.communicate(), 30)
    return out.decode(), err.decode()


async def running(job: Job) -> bool:
    return await job.state() == "active"


async def test_a_handler_that_swallows_its_cancellation_does_not_hold_the_process(
    start: Start, queue: Queue, until: Any
) -> None:
    process = await start()
    job = await queue.add("swallow", {})
    await until(lambda: running(job))
    _, err = await told_to_stop(process)
    assert process.returncode == 0
    assert "does not end when cancelled" in err
    assert await job.state() == "waiting"


@pytest.mark.parametrize("name", ["thread", "hook"])
async def test_what_a_handler_leaves_for_the_exit_does_not_hold_the_process(
    start: Start, queue: Queue, name: str
) -> None:
    process = await start()
    assert await (await queue.add(name, {})).result(timeout=10) == "done"
    out, err = await told_to_stop(process)
    assert process.returncode == 0
    # hooks run last first
    assert ("hook ran" in out) == (name == "thread")
    assert ("is cut off" in err) == (name == "hook")


async def test_what_was_printed_and_what_is_to_run_at_the_exit_is_not_lost(start: Start) -> None:
    out, _ = await told_to_stop(await start())
    assert out == "imported\nhook ran\n"


async def test_a_handler_that_stops_the_loop_ends_as_any_other(start: Start, queue: Queue) -> None:
    process = await start()
    assert await (await queue.add("loop", {})).result(timeout=10) == "done"
    assert await (await queue.add("n", {})).result(timeout=10) == "done"
    _, err = await told_to_stop(process)
    assert process.returncode == 0
    assert "stopped the event loop: the worker goes on" in err


@pytest.mark.parametrize("execution", ["thread", "process"])
async def test_a_pool_that_a_handler_ends_does_not_end_the_worker(start: Start, queue: Queue, execution: str) -> None:
    process = await start("--execution", execution, handler="pool")
    for _ in range(3):
        assert await (await queue.add("pool", {})).result(timeout=30) == "done"
    assert await (await queue.add("n", {})).result(timeout=10) == "done"
    assert process.returncode is None
    _, err = await told_to_stop(process)
    assert process.returncode == 0
    assert err.count("draining") == 1


async def test_a_handler_that_cancels_all_there_is_ends_the_worker_with_a_word(start: Start, queue: Queue) -> None:
    process = await start()
    await queue.add("cancel", {})
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    assert "crewline: something that a handler started has cancelled all that ran here" in err.decode()
    assert "Traceback" not in err.decode()


async def test_a_ready_file_that_can_not_be_taken_away_does_not_keep_the_worker_from_stopping(
    start: Start, queue: Queue, tmp_path: Path, until: Any
) -> None:
    ready = tmp_path / "ready"
    process = await start("--ready-file", str(ready))
    await until(ready.exists)
    ready.unlink()
    (ready / "in the way").mkdir(parents=True)
    _, err = await told_to_stop(process)
    assert process.returncode == 0
    assert "the ready file can't be taken away" in err
