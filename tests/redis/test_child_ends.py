"""How child processes end, by themselves or by their worker, and what becomes of their job then."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import uvloop
from crewline import JobFailed, Queue, Worker
from crewline.worker.handlers.targets import Targets
from crewline.worker.processes.answers import ChildDied, ChildFailed, ChildUnavailable
from crewline.worker.processes.child import running
from crewline.worker.processes.children import Children
from crewline.worker.processes.copies import Copy
from crewline.worker.processes.link import Link
from crewline.worker.processes.memory import Memory
from crewline.worker.processes.messages import Where
from crewline.worker.processes.starting import Starter

from tests.redis import process_handlers
from tests.redis.processes import WALK, WHO, WORK, children, runs, stored, told

__all__ = ["children"]

#: A worker as a program of its own, which can be killed.
WORKER = """
import asyncio, sys
from crewline import Worker
from tests.redis import process_handlers

asyncio.run(Worker("emails", process_handlers.work, redis=sys.argv[1], execution="process").run())
"""


async def test_a_child_that_dies_between_two_jobs_costs_none(queue: Queue, children: Children, until: Any) -> None:
    pid = (await children.run(await stored(queue, WHO), WORK, timeout=None)).value["pid"]
    os.kill(pid, signal.SIGKILL)
    await until(lambda: children._idle[0].gone)
    assert (await children.run(await stored(queue, WHO), WORK, timeout=None)).value["pid"] != pid


@pytest.mark.parametrize("alone", [False, True])
async def test_a_child_that_dies_before_it_begins_with_a_job_costs_no_attempt(
    queue: Queue, children: Children, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    killed = dying(monkeypatch, 2)
    job = await stored(queue, WHO)
    assert (await children.run(job, WORK, timeout=None, alone=alone)).value["of"] == job.id
    assert len(killed) == 2


@pytest.mark.parametrize("timeout", [None, 1])
async def test_a_child_that_stands_still_before_it_begins_costs_its_job_nothing(
    queue: Queue, children: Children, monkeypatch: pytest.MonkeyPatch, until: Any, timeout: float | None
) -> None:
    pid = (await children.run(await stored(queue, WHO), WORK, timeout=None)).value["pid"]
    monkeypatch.setattr("crewline.worker.processes.standstill.LOOKS", 2)
    os.kill(pid, signal.SIGSTOP)
    running = children.run(await stored(queue, WHO), WORK, timeout=timeout)
    assert (await asyncio.wait_for(running, 30)).value["pid"] != pid
    await until(lambda: not runs(pid))


async def test_a_child_that_is_stopped_while_it_starts_is_not_waited_for(
    queue: Queue, children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crewline.worker.processes.standstill.LOOKS", 2)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    handle = "\ndef handle(job): ...\n"
    (tmp_path / "stopped_handlers.py").write_text(handle)
    target = Targets(importlib.import_module("stopped_handlers").handle, "process").all()[0]
    (tmp_path / "stopped_handlers.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)" + handle)
    try:
        with pytest.raises(ChildUnavailable, match="before it was ready"):
            await asyncio.wait_for(children.run(await stored(queue, {}), target, timeout=None), 30)
    finally:
        del sys.modules["stopped_handlers"]


async def test_a_job_is_not_given_to_ever_more_children_that_die(
    queue: Queue, children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = dying(monkeypatch, 10)
    with pytest.raises(ChildUnavailable, match=r"3 processes, .* ended before they began: .* was killed by SIGKILL"):
        await children.run(await stored(queue, WHO), WORK, timeout=None)
    assert len(killed) == 3


def dying(monkeypatch: pytest.MonkeyPatch, times: int) -> list[Link]:
    """So many children die in the moment in which they are given a job; those that have."""
    killed: list[Link] = []

    def killing(taker: type[Any], name: str) -> None:
        take = getattr(taker, name)

        async def take_and_kill(self: Any, spec: str) -> Link:
            link: Link = await take(self, spec)
            if len(killed) < times:
                assert link.process
                killed.append(link)
                link.process.kill()
                if isinstance(link.process, Copy):
                    # it can be told only through its template
                    await link.ended(10)
            return link

        monkeypatch.setattr(taker, name, take_and_kill)

    killing(Children, "_take")
    killing(Starter, "copy")
    return killed


async def test_children_that_a_smaller_worker_has_no_use_for_end(queue: Queue, start_worker: Any, until: Any) -> None:
    worker = await start_worker(process_handlers.work, execution="process", concurrency=4)
    slow = [await queue.add("n", {"do": "sleep"}) for _ in range(2)]
    pids = {await told(queue, job, until) for job in slow}
    quick = [await queue.add("n", WHO) for _ in range(2)]
    pids |= {(await job.result(timeout=30))["pid"] for job in quick}
    # two that run a job; how many others there are depends on how the quick ones came
    worker.concurrency = 3
    await until(lambda: len(living(worker)) == 3)
    worker.concurrency = 1
    await until(lambda: len(living(worker)) == 2)
    for job in slow:
        await job.cancel()
    await until(lambda: worker.running == 0)
    assert (await (await queue.add("n", WHO)).result(timeout=30))["pid"] not in pids
    assert len(living(worker)) == 1


def living(worker: Worker) -> list[int]:
    links = worker._calling.children._living._links
    return [each.process.pid for each in links if isinstance(each.process, subprocess.Popen) and runs(each.process.pid)]


def test_children_work_on_uvloop_too(redis_url: str) -> None:
    async def go() -> list[str]:
        children = Children(Where(redis_url, "bull", "emails", 5.0), size=2)
        async with Queue("emails", redis=redis_url) as queue:
            told = []
            for do in ("who", "die", "exit"):
                try:
                    told.append((await children.run(await stored(queue, {"do": do}), WORK, timeout=None)).value["of"])
                except (ChildDied, ChildFailed) as error:
                    told.append(str(error))
        children.close()
        assert await children.wait_closed()
        return told

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(go()) == ["1", "the handler's process exited with code 7", "the handler called sys.exit(3)"]


async def test_a_child_that_is_killed_says_by_what(queue: Queue, children: Children, until: Any) -> None:
    job = await stored(queue, {"do": "sleep"})
    running = asyncio.create_task(children.run(job, WORK, timeout=60))
    os.kill(await told(queue, job, until), signal.SIGKILL)
    with pytest.raises(ChildDied, match=r"process was killed by SIGKILL \(out of memory, perhaps\)") as caught:
        await running
    assert caught.value.code == -signal.SIGKILL


async def test_a_child_that_the_kernel_kills_for_want_of_memory_says_so(
    queue: Queue, children: Children, until: Any, tmp_path: Path
) -> None:
    """The kernel's count is the test's here: it grows before the process is killed."""
    told_by = tmp_path / "memory.events"
    told_by.write_text("oom_kill 2\n")
    children._living.memory = Memory([told_by])
    job = await stored(queue, {"do": "sleep"})
    running = asyncio.create_task(children.run(job, WORK, timeout=60))
    pid = await told(queue, job, until)
    told_by.write_text("oom_kill 3\n")
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ChildDied, match=r"process was OOMKilled: out of memory") as caught:
        await running
    assert caught.value.oom
    again = await stored(queue, {"do": "die"})
    with pytest.raises(ChildDied, match="exited with code 7") as caught:
        await children.run(again, WORK, timeout=None)
    assert not caught.value.oom


@pytest.mark.parametrize(("on_oom", "runs_again"), [("retry", True), ("fail", False)])
async def test_a_job_whose_process_was_killed_for_want_of_memory_may_fail_at_once(
    queue: Queue, start_worker: Any, until: Any, tmp_path: Path, on_oom: Any, runs_again: bool
) -> None:
    told_by = tmp_path / "memory.events"
    told_by.write_text("oom_kill 0\n")
    worker: Worker = await start_worker(process_handlers.work, execution="process", concurrency=1, on_oom=on_oom)
    worker._calling.children._living.memory = Memory([told_by])
    job = await queue.add("n", {"do": "sleep"}, attempts=2, backoff=0)
    pid = await told(queue, job, until)
    told_by.write_text("oom_kill 1\n")
    os.kill(pid, signal.SIGKILL)
    if runs_again:

        async def another() -> bool:
            return await told(queue, job, until) != pid

        await until(another, 30)
    else:
        with pytest.raises(JobFailed, match=r"^the handler's process was OOMKilled: out of memory$"):
            await job.result(timeout=30)


async def test_a_child_that_exits_says_with_what_code(queue: Queue, children: Children) -> None:
    with pytest.raises(ChildDied, match="process exited with code 7"):
        await children.run(await stored(queue, {"do": "die"}), WORK, timeout=None)


async def test_a_child_whose_handler_closes_its_line_says_so(queue: Queue, children: Children) -> None:
    with pytest.raises(ChildDied, match="closed the line to the worker"):
        await children.run(await stored(queue, {"do": "hang up"}), WORK, timeout=None)


async def test_a_childs_end_is_seen_though_a_process_it_forked_lives_on(
    queue: Queue, children: Children, until: Any
) -> None:
    job = await stored(queue, {"do": "leave a copy"})
    try:
        with pytest.raises(ChildDied, match="process exited with code 5"):
            await asyncio.wait_for(children.run(job, WORK, timeout=None), 60)
    finally:
        os.kill(await told(queue, job, until, "copy"), signal.SIGKILL)


async def test_a_handler_that_closes_the_loop_of_its_calls_leaves_the_next_job_one(
    queue: Queue, children: Children
) -> None:
    await children.run(await stored(queue, {"do": "close the loop"}), WORK, timeout=60)
    job = await stored(queue, {"do": "pid"})
    await children.run(job, WORK, timeout=60)
    assert await job.logs() == ["from a child"]


def test_a_loop_that_breaks_off_each_time_pauses_before_it_runs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(asyncio.SelectorEventLoop):
        left = 3

        def run_forever(self) -> None:
            self.left -= 1
            if not self.left:
                self.close()
            raise SystemExit(0)

    pauses: list[float] = []
    monkeypatch.setattr(running.time, "sleep", pauses.append)
    running._keep_running(Broken())
    assert len(pauses) == 3 and min(pauses) > 0


async def test_a_copy_that_a_handler_forked_answers_nothing(queue: Queue, children: Children) -> None:
    assert (await children.run(await stored(queue, {"do": "fork"}), WORK, timeout=None)).value == "the handler's own"
    following = await stored(queue, WHO)
    assert (await children.run(following, WORK, timeout=None)).value["of"] == following.id


async def test_a_copy_that_an_async_handler_forked_does_not_go_on_with_its_loop(
    queue: Queue, children: Children, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    job = await stored(queue, {"do": "fork", "note": str(note)})
    await asyncio.wait_for(children.run(job, WALK, timeout=None, alone=True), 60)
    assert not note.exists()


async def test_signals_to_the_whole_group_are_the_workers_to_handle(
    queue: Queue, children: Children, until: Any
) -> None:
    job = await stored(queue, {"do": "fenced"})
    running = asyncio.create_task(children.run(job, WORK, timeout=60))
    pid = await told(queue, job, until)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    await queue.remove(job.id)
    with pytest.raises(ChildFailed, match="it was removed"):
        await running


async def test_a_run_that_is_told_to_end_twice_leaves_no_child(queue: Queue, children: Children, until: Any) -> None:
    job = await stored(queue, {"do": "in C"})
    running = asyncio.create_task(children.run(job, WORK, timeout=60))
    pid = await told(queue, job, until)
    for _ in range(2):
        running.cancel()
        await asyncio.sleep(0)
    await asyncio.wait({running})
    # no zombie either
    await until(lambda: not children._living and not Path(f"/proc/{pid}").exists())


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_children_that_were_closed_hold_no_descriptor(queue: Queue, redis_url: str, until: Any) -> None:
    job = await stored(queue, WHO)
    before = descriptors()
    children = Children(Where(redis_url, "bull", "emails", 5.0), size=2)
    await children.run(job, WORK, timeout=60)
    children.close()
    assert await children.wait_closed()
    await until(lambda: descriptors() <= before)


async def test_a_cancelled_run_ends_once_its_child_has_ended(queue: Queue, children: Children, until: Any) -> None:
    job = await stored(queue, {"do": "in C"})
    running = asyncio.create_task(children.run(job, WORK, timeout=None))
    pid = await told(queue, job, until)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not runs(pid)


async def test_a_run_that_is_cancelled_while_its_child_starts_leaves_none(queue: Queue, children: Children) -> None:
    job = await stored(queue, WHO)
    for turns in range(6):
        running = asyncio.create_task(children.run(job, WORK, timeout=None))
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert (await children.run(job, WORK, timeout=None)).value["of"] == job.id
    assert children_of(os.getpid())
    children.close()
    assert await children.wait_closed()
    assert not children_of(os.getpid())


def children_of(pid: int) -> list[int]:
    """The interpreters among a process' children that run ours."""
    listed = " ".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")).split()
    return [int(each) for each in listed if b"crewline.worker.processes" in Path(f"/proc/{each}/cmdline").read_bytes()]


async def test_closing_kills_a_busy_child_and_an_idle_one(queue: Queue, children: Children, until: Any) -> None:
    first, second = await stored(queue, {"do": "in C"}), await stored(queue, WHO)
    running = asyncio.create_task(children.run(first, WORK, timeout=None))
    busy = await told(queue, first, until)
    idle = (await children.run(second, WORK, timeout=None)).value["pid"]
    children.close()
    with pytest.raises(ChildUnavailable, match="the worker has stopped"):
        await running
    assert await children.wait_closed() and not runs(busy) and not runs(idle)
    with pytest.raises(ChildUnavailable, match="the worker has stopped"):
        await children.run(second, WORK, timeout=None)


async def test_no_child_outlives_a_worker_that_is_killed(queue: Queue, redis_url: str, until: Any) -> None:
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, redis_url)
    try:
        busy = await told(queue, await queue.add("n", {"do": "in C"}), until)
        idle = await (await queue.add("n", {"do": "pid"})).result(timeout=30)
        assert runs(busy) and runs(idle)
    finally:
        worker.kill()
        await worker.wait()
    await until(lambda: not runs(busy) and not runs(idle))
