"""Children that are copied from a process which has imported the handler's module: many suspects at once."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from crewline import Job, Queue
from crewline.worker.handlers.targets import Targets
from crewline.worker.processes.answers import ChildDied, ChildUnavailable
from crewline.worker.processes.children import Children
from crewline.worker.processes.copies import Copies
from crewline.worker.processes.link import Link

from tests.redis import process_handlers
from tests.redis.processes import WORK, children, runs, stored, told

__all__ = ["children"]

PARENT = Targets(process_handlers.parent, None).all()[0]

#: A worker as a program of its own, which can be killed.
WORKER = """
import asyncio, sys
from crewline import Worker
from tests.redis import process_handlers

asyncio.run(Worker("emails", process_handlers.parent, redis=sys.argv[1]).run())
"""


async def suspects(queue: Queue, count: int, data: Any) -> list[Job]:
    await queue.pause()
    jobs = await queue.add_bulk(("suspect", data) for _ in range(count))
    for job in jobs:
        await queue.redis.hset(queue.keys.job(job.id), "suspect", "1")
    await queue.resume()
    return jobs


async def test_many_suspects_run_at_once_in_copies_of_one_process(queue: Queue, start_worker: Any, until: Any) -> None:
    jobs = await suspects(queue, 20, {"seconds": 60})
    worker = await start_worker(process_handlers.parent, concurrency=20)
    await until(lambda: worker.running == 20, 60)
    parents = {await told(queue, job, until, "parent") for job in jobs}
    assert len(parents) == 1 and os.getpid() not in parents
    pids = {await told(queue, job, until) for job in jobs}
    assert len(pids) == 20
    for job in jobs:
        await job.cancel()
    await until(lambda: worker.running == 0 and not any(runs(pid) for pid in pids))


@pytest.mark.parametrize(
    ("source", "copied"),
    [
        ("", True),
        ("file = open(__file__)", False),
        ("import threading, time; threading.Thread(target=time.sleep, args=(600,), daemon=True).start()", False),
        ("import socket; server = socket.create_server(('127.0.0.1', 0))", False),
        ("import os; ends = os.pipe()", False),
        ("import multiprocessing; lock = multiprocessing.Lock()", False),
        ("import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)", True),
        ("import os, signal; signal.signal(signal.SIGCHLD, lambda *_: os.waitpid(-1, 0))", True),
    ],
)
async def test_what_an_import_leaves_open_is_not_copied(
    queue: Queue, children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, copied: bool
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    handle = "\nimport os\ndef handle(job): return os.getppid()\n"
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "copied_handlers.py").write_text(handle)
    target = Targets(importlib.import_module("copied_handlers").handle, "process").all()[0]
    (tmp_path / "copied_handlers.py").write_text(source + handle)
    try:
        for _ in range(2):
            parent = (await children.run(await stored(queue, {}), target, timeout=30, alone=True)).value
            assert (parent != os.getpid()) is copied
    finally:
        del sys.modules["copied_handlers"]


async def test_a_copy_that_ends_says_how(queue: Queue, children: Children, until: Any) -> None:
    with pytest.raises(ChildDied, match="process exited with code 7"):
        await children.run(await stored(queue, {"do": "die"}), WORK, timeout=None, alone=True)
    job = await stored(queue, {"do": "in C"})
    running = asyncio.create_task(children.run(job, WORK, timeout=None, alone=True))
    os.kill(await told(queue, job, until), signal.SIGKILL)
    with pytest.raises(ChildDied, match="was killed by SIGKILL") as caught:
        await running
    assert caught.value.code == -signal.SIGKILL


async def test_a_copy_that_something_ends_between_handler_and_answer_says_what(
    queue: Queue, children: Children, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ChildDied, match="process exited with code 1"):
        await children.run(await stored(queue, {"do": "break stdout"}), WORK, timeout=30, alone=True)
    assert "MemoryError: no words left" in capfd.readouterr().err


async def test_a_copy_past_its_time_is_killed(queue: Queue, children: Children, until: Any) -> None:
    job = await stored(queue, {"do": "in C"})
    running = asyncio.create_task(children.run(job, WORK, timeout=1, alone=True))
    pid = await told(queue, job, until)
    with pytest.raises(TimeoutError, match=r"timed out after 1 s: its process was killed"):
        await running
    await until(lambda: not runs(pid))


async def test_a_copy_takes_no_notice_of_what_tells_its_worker_to_stop(queue: Queue, children: Children) -> None:
    job = await stored(queue, {"do": "signal itself"})
    assert (await children.run(job, WORK, timeout=30, alone=True)).value == "went on"
    job = await stored(queue, {"do": "end a fork"})
    assert (await children.run(job, WORK, timeout=30, alone=True)).value == -signal.SIGTERM


async def test_a_copy_can_be_killed_while_what_it_was_copied_from_stands_still(
    queue: Queue, children: Children, until: Any
) -> None:
    job = await stored(queue, {"seconds": 600})
    running = asyncio.create_task(children.run(job, PARENT, timeout=2, alone=True))
    template, pid = await told(queue, job, until, "parent"), await told(queue, job, until)
    os.kill(template, signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError, match="its process was killed"):
            await running
        await until(lambda: not runs(pid))
    finally:
        os.kill(template, signal.SIGCONT)


async def test_what_children_are_copied_from_is_killed_where_it_stands_still(
    queue: Queue, children: Children, until: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("crewline.worker.processes.standstill.LOOKS", 2)
    job = await stored(queue, {"seconds": 600})
    running = asyncio.create_task(children.run(job, PARENT, timeout=None, alone=True))
    template, pid = await told(queue, job, until, "parent"), await told(queue, job, until)
    os.kill(template, signal.SIGSTOP)
    waiting = [children.run(await stored(queue, {}), PARENT, timeout=None, alone=True) for _ in range(3)]
    ends = await asyncio.wait_for(asyncio.gather(running, *waiting, return_exceptions=True), 60)
    assert [type(end) for end in ends] == [ChildUnavailable] * 4
    await until(lambda: not runs(template) and not runs(pid))
    assert len([line for line in caplog.messages if "stands still: it is killed" in line]) == 1
    following = await children.run(await stored(queue, {}), PARENT, timeout=30, alone=True)
    assert following.value not in (template, os.getpid()) and children.copying


async def test_copies_end_with_what_they_are_copied_from_and_the_next_is_copied_from_another(
    queue: Queue, children: Children, until: Any
) -> None:
    job = await stored(queue, {"seconds": 600})
    running = asyncio.create_task(children.run(job, PARENT, timeout=None, alone=True))
    template, pid = await told(queue, job, until, "parent"), await told(queue, job, until)
    os.kill(template, signal.SIGKILL)
    with pytest.raises(ChildUnavailable, match="was copied from has ended"):
        await running
    await until(lambda: not runs(pid))
    following = await children.run(await stored(queue, {}), PARENT, timeout=30, alone=True)
    assert following.value not in (template, os.getpid()) and children.copying


async def test_all_that_come_after_what_children_are_copied_from_has_died_are_copied_from_one(
    queue: Queue, children: Children
) -> None:
    template = (await children.run(await stored(queue, {}), PARENT, timeout=None, alone=True)).value
    os.kill(template, signal.SIGKILL)
    jobs = [await stored(queue, {}) for _ in range(10)]
    running = [children.run(job, PARENT, timeout=60, alone=True) for job in jobs]
    ends = await asyncio.gather(*running, return_exceptions=True)
    # whoever came before its end was known has none
    copied = {end.value for end in ends if not isinstance(end, ChildUnavailable)}  # type: ignore[union-attr]
    copied.add((await children.run(await stored(queue, {}), PARENT, timeout=60, alone=True)).value)
    assert len(copied) == 1 and not copied & {template, os.getpid()}


async def test_what_children_are_copied_from_ends_once_none_has_come_for_long(
    queue: Queue, children: Children, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crewline.worker.processes.starting.TEMPLATE_SECONDS", 0.05)
    first = (await children.run(await stored(queue, {}), PARENT, timeout=30, alone=True)).value
    await until(lambda: not runs(first))
    assert not children.copying
    # nothing is left of it: no zombie, no descriptor
    await until(lambda: not children._living and not Path(f"/proc/{first}").exists())
    second = (await children.run(await stored(queue, {}), PARENT, timeout=30, alone=True)).value
    assert second not in (first, os.getpid())


async def test_a_start_that_was_cancelled_does_not_keep_the_next_children_from_being_copied(
    queue: Queue, children: Children, until: Any
) -> None:
    starting = asyncio.create_task(children.run(await stored(queue, {}), PARENT, timeout=30, alone=True))
    await until(lambda: len(children._living))
    starting.cancel()
    await asyncio.wait({starting})
    await until(lambda: not children._living)
    jobs = [await stored(queue, {}) for _ in range(2)]
    ran = [await children.run(job, PARENT, timeout=30, alone=True) for job in jobs]
    assert ran[0].value == ran[1].value != os.getpid()


async def test_what_children_are_copied_from_ends_also_where_the_only_run_was_cancelled_before_its_copy(
    queue: Queue, children: Children, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crewline.worker.processes.starting.TEMPLATE_SECONDS", 0.05)
    asked = asyncio.Event()

    async def never(link: Link, copies: Copies) -> None:
        asked.set()
        await asyncio.sleep(600)

    monkeypatch.setattr(Link, "open_copy", never)
    running = asyncio.create_task(children.run(await stored(queue, {}), PARENT, timeout=30, alone=True))
    await asyncio.wait_for(asked.wait(), 60)
    assert children.copying
    running.cancel()
    await asyncio.wait({running})
    await until(lambda: not children.copying and not children._living)


async def test_no_copy_outlives_a_worker_that_is_killed(queue: Queue, redis_url: str, until: Any) -> None:
    (job,) = await suspects(queue, 1, {"seconds": 600})
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, redis_url)
    try:
        template, pid = await told(queue, job, until, "parent"), await told(queue, job, until)
        assert worker.pid not in (template, pid) and runs(template) and runs(pid)
    finally:
        worker.kill()
        await worker.wait()
    await until(lambda: not runs(template) and not runs(pid))


async def test_what_a_module_does_at_exit_is_no_copys_to_do(
    queue: Queue, children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    done = tmp_path / "done"
    (tmp_path / "tidy_handlers.py").write_text(
        "import atexit, os, sys\n"
        f"note = lambda: open({str(done)!r}, 'a').write(f'{{os.getpid()}} ')\n"
        "if 'pytest' not in sys.modules: atexit.register(note)\n"
        "def handle(job):\n    print('said')\n    return [os.getppid(), os.getpid()]\n"
    )
    try:
        target = Targets(importlib.import_module("tidy_handlers").handle, "process").all()[0]
        jobs = [await stored(queue, {}) for _ in range(3)]
        told = [(await children.run(job, target, timeout=30, alone=True)).value for job in jobs[:2]]
        # after the last of them
        monkeypatch.setattr("crewline.worker.processes.starting.TEMPLATE_SECONDS", 0.05)
        told.append((await children.run(jobs[2], target, timeout=30, alone=True)).value)
        assert len({parent for parent, _ in told}) == 1
        # a file that is there may not have been written to yet
        await until(lambda: done.exists() and done.read_text())
        assert done.read_text().split() == [str(told[0][0])]
    finally:
        del sys.modules["tidy_handlers"]
