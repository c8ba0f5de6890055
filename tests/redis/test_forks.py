"""A handler may fork. Its child is no second worker: it shares no connection, runs no job, and ends where it comes
back."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop
from crewline import CrewlineError, Job, Queue, SyncJob, Worker, sync

from tests.redis.sockets import connections

BESIDE = 5


class Forks:
    """The children that handlers fork, and files that tell what has run in which process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pids: list[int] = []

    def fork(self) -> bool:
        """Whether this is the child."""
        pid = os.fork()
        if pid:
            self.pids.append(pid)
        return pid == 0

    def note(self, what: str, value: object = "") -> None:
        with (self.folder / what).open("a") as file:
            file.write(f"{value or os.getpid()}\n")

    def noted(self, what: str) -> list[str]:
        file = self.folder / what
        return file.read_text().split() if file.exists() else []

    def codes(self) -> list[int]:
        """The exit codes of the children; waits until all have ended."""
        found = []
        while self.pids:
            pid = self.pids.pop()
            deadline = time.monotonic() + 10
            while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                    pytest.fail("a child that a handler has forked does not end")
                time.sleep(0.01)
            found.append(os.waitstatus_to_exitcode(ended[1]))
        return found


@pytest.fixture
def forks(tmp_path: Path) -> Iterator[Forks]:
    made = Forks(tmp_path)
    yield made
    for pid in made.pids:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@asynccontextmanager
async def working(url: str, handler: Callable[[Any], Any], **options: Any) -> AsyncIterator[Queue]:
    worker = Worker("emails", handler, redis=url, concurrency=2 * BESIDE, **options)
    running = asyncio.create_task(worker.run())
    try:
        await worker.wait_ready()
        async with Queue("emails", redis=url) as queue:
            yield queue
    finally:
        await worker.stop(grace_seconds=0)
        await asyncio.wait_for(running, 10)


async def all_is_well(queue: Queue, forks: Forks, jobs: list[Job]) -> None:
    """Each job has run once, in this process, and further jobs do."""
    assert [await job.result(timeout=10) for job in jobs] == [job.data for job in jobs]
    assert forks.noted("ran") == [str(os.getpid())] * len(jobs)
    more = await queue.add_bulk([("plain", n) for n in range(50)])
    assert [await job.result(timeout=10) for job in more] == list(range(50))


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("how", ["return", "raise", "exit", "await", "task"])
def test_a_child_of_an_async_handler_ends_where_it_comes_back_to_the_loop(
    redis_url: str, forks: Forks, how: str, loop: Any
) -> None:
    here, begun = os.getpid(), 0
    go, all_begun = asyncio.Event(), asyncio.Event()

    async def below() -> None:
        if forks.fork():
            await asyncio.sleep(0)
            forks.note("went on")

    async def handle(job: Job) -> Any:
        nonlocal begun
        if job.name == "plain":
            return job.data
        begun += 1
        if begun == 1 + BESIDE:
            all_begun.set()
        await go.wait()
        if job.name == "beside":
            # each of their next steps is ready when the child is made
            forks.note("stepped")
        elif how == "task":
            await asyncio.create_task(below())
        elif forks.fork():
            if how == "raise":
                raise RuntimeError("in the child")
            if how == "exit":
                raise SystemExit(7)
            if how == "await":
                await asyncio.sleep(0)
                forks.note("went on")
            return job.data
        await asyncio.sleep(0.05)
        forks.note("ran")
        return job.data

    async def scene() -> None:
        async with working(redis_url, handle) as queue:
            jobs = await queue.add_bulk([("forks", -1), *(("beside", n) for n in range(BESIDE))])
            await asyncio.wait_for(all_begun.wait(), 10)
            go.set()
            await all_is_well(queue, forks, jobs)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scene())
    assert forks.codes() == [7 if how == "exit" else 1]
    assert forks.noted("went on") == []
    assert forks.noted("stepped") == [str(here)] * BESIDE


@pytest.mark.parametrize("how", ["return", "raise", "exit"])
async def test_a_child_of_a_plain_handler_ends_where_it_comes_back_to_its_thread(
    redis_url: str, forks: Forks, how: str
) -> None:
    def handle(job: SyncJob) -> Any:
        if job.name == "plain":
            return job.data
        if forks.fork():
            if how == "raise":
                raise RuntimeError("in the child")
            if how == "exit":
                raise SystemExit(7)
            return job.data
        forks.note("ran")
        return job.data

    async with working(redis_url, handle) as queue:
        await all_is_well(queue, forks, [await queue.add("forks", n) for n in range(3)])
    assert forks.codes() == [7 if how == "exit" else 1] * 3


@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_a_child_shares_no_connection_with_the_worker(redis_url: str, forks: Forks, kind: str) -> None:
    """Redis would go on with what a dead worker waits for, as long as a child of its kept that connection open."""
    others = connections()

    def fork_and_look() -> None:
        # of the queue, of the wake-up, and of the thread that keeps leases
        assert connections() >= others + 3
        if forks.fork():
            os._exit(connections() - others)
        forks.note("ran")

    async def handle_async(job: Job) -> Any:
        if job.name != "plain":
            await asyncio.sleep(0.5)
            fork_and_look()
        return job.data

    def handle(job: SyncJob) -> Any:
        if job.name != "plain":
            time.sleep(0.5)
            fork_and_look()
        return job.data

    async with working(redis_url, handle_async if kind == "async" else handle, lease_seconds=0.5) as queue:
        await all_is_well(queue, forks, [await queue.add("forks", 1)])
    assert forks.codes() == [0]


async def test_what_a_child_asks_of_a_plain_handlers_job_is_refused(redis_url: str, forks: Forks) -> None:
    def handle(job: SyncJob) -> Any:
        if job.name == "plain":
            return job.data
        if forks.fork():
            try:
                job.progress(50)
            except CrewlineError as error:
                forks.note("told", str(error).replace(" ", "_"))
            os._exit(0)
        forks.note("ran")
        return job.data

    async with working(redis_url, handle) as queue:
        job = await queue.add("forks", 1)
        await all_is_well(queue, forks, [job])
        assert await job.state() == "completed"
    assert forks.codes() == [0]
    assert "a_process_that_its_handler_has_forked" in "".join(forks.noted("told"))


async def test_a_process_that_multiprocessing_forks_does_its_work_and_ends(redis_url: str, forks: Forks) -> None:
    def work(told: Any) -> None:
        async def go() -> int:
            await asyncio.sleep(0.01)
            return 5

        told.put(asyncio.run(go()))

    async def handle(job: Job) -> Any:
        if job.name != "plain":
            context = multiprocessing.get_context("fork")
            told = context.Queue()
            process = context.Process(target=work, args=(told,))
            process.start()
            assert told.get(timeout=10) == 5
            process.join(10)
            assert process.exitcode == 0
            forks.note("ran")
        return job.data

    async with working(redis_url, handle) as queue:
        await all_is_well(queue, forks, [await queue.add("forks", 1)])


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("kind", ["async", "thread"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_to_a_child_ends_it_and_is_not_the_workers(
    redis_url: str, forks: Forks, number: signal.Signals, kind: str, loop: Any
) -> None:
    told = asyncio.Queue[signal.Signals]()

    def end_child() -> None:
        if forks.fork():
            time.sleep(30)
            os._exit(0)
        # at once: it may not have begun
        os.kill(forks.pids[-1], number)
        forks.note("ran")

    async def handle_async(job: Job) -> Any:
        if job.name != "plain":
            end_child()
        return job.data

    def handle(job: SyncJob) -> Any:
        if job.name != "plain":
            end_child()
        return job.data

    async def scene() -> None:
        asyncio.get_running_loop().add_signal_handler(number, told.put_nowait, number)
        async with working(redis_url, handle_async if kind == "async" else handle) as queue:
            await all_is_well(queue, forks, [await queue.add("forks", n) for n in range(5)])
            assert told.empty()
            os.kill(os.getpid(), number)
            assert await told.get() == number and told.empty()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(asyncio.wait_for(scene(), 30))
    # 1: a KeyboardInterrupt that came back to the worker
    assert set(forks.codes()) <= {-number, 1 if number == signal.SIGINT else -number}


async def test_a_queue_that_was_used_before_a_fork_can_be_used_on_both_sides(redis_url: str, forks: Forks) -> None:
    async with Queue("emails", redis=redis_url) as queue:
        await queue.add("before", 1)
        if forks.fork():
            os._exit(asyncio.Runner().run(queue.add("child", 2)).id != "2")
        assert forks.codes() == [0]
        assert (await queue.add("after", 3)).id == "3"
        assert await queue.redis.llen(queue.keys.wait) == 3


def test_a_blocking_queue_that_was_used_before_a_fork_can_be_used_on_both_sides(redis_url: str, forks: Forks) -> None:
    with sync.Queue("emails", redis=redis_url) as queue:
        queue.add("before", 1)
        if forks.fork():
            os._exit(queue.add("child", 2).id != "2")
        assert forks.codes() == [0]
        assert queue.add("after", 3).id == "3"
        assert queue.metrics().waiting == 3
