"""What the commands show is whole where somebody may paste it, and all of it where a program reads."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from crewline import Job, Queue

from tests.redis.test_cli import _run
from tests.redis.test_cli import crewline as crewline

ID = "0191f5c2-5c1e-7aaf-b8b1-3d2f7cb0e6a4"
WORKER = "orders-7d9c6b5f4-x2x9k"


async def on_terminal(columns: int, redis_url: str, *arguments: str) -> str:
    """What a terminal that is so wide shows, without its colours."""
    above, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "crewline"), *arguments, "-r", redis_url,
        stdin=terminal, stdout=terminal, stderr=terminal, env={"PATH": "/usr/bin", "TERM": "xterm"},
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):
        while part := await asyncio.to_thread(os.read, above, 65536):
            shown += part
    os.close(above)
    assert await process.wait() == 0, shown
    return re.sub(r"\x1b\[[\d;]*m", "", shown.decode()).replace("\r\n", "\n")


@pytest.fixture
async def at_work(queue: Queue, start_worker: Any, until: Any) -> None:
    """A queue with jobs in all states that a table has something of its own for."""

    async def handle(job: Job) -> None:
        if job.name == "fail":
            raise ValueError("the mail server refused the connection, try again later " * 5)
        await asyncio.sleep(600)

    worker = await start_worker(handle, name=WORKER)
    await queue.add_bulk([("fail", "x" * 300, {"job_id": ID, "attempts": 1}), *(("run", n) for n in range(6))])
    await queue.add("later", 1, delay=3600)
    await until(lambda: worker.running == 6)
    await until(lambda: _failed(queue))


async def _failed(queue: Queue) -> bool:
    return (await queue.metrics()).failed == 1


@pytest.mark.parametrize("columns", [80, 120])
async def test_a_terminal_cuts_no_id(columns: int, at_work: None, queue: Queue, redis_url: str) -> None:
    for command in (["jobs", "list", "failed"], ["dlq", "list"]):
        shown = await on_terminal(columns, redis_url, *command, "-q", "emails")
        assert f" {ID}  " in shown and "…" in shown, shown
    (worker,) = await queue.workers()
    shown = await on_terminal(columns, redis_url, "top", "--once")
    assert f" {worker['name']}  emails " in shown
    assert max(map(len, shown.splitlines())) <= columns, shown
    assert re.search(r"\d(, \d)* and \d more$", shown, re.MULTILINE), shown


async def test_a_pipe_gets_all_of_it(at_work: None, crewline: Any, queue: Queue, until: Any) -> None:
    reason = "the mail server refused the connection, try again later " * 5
    for command in (["jobs", "list", "failed"], ["dlq", "list"]):
        _, out, _ = await _run(crewline, *command)
        assert f" {ID}  " in out and reason.rstrip() in out and "…" not in out
    process = await crewline("events", "--after", "0", "--only", "failed")
    line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
    process.kill()
    await process.wait()
    assert f"failedReason={reason}" in line


async def test_a_list_says_since_when_and_until_when(at_work: None, crewline: Any, queue: Queue) -> None:
    moments = {}
    for state, title in (("active", "since"), ("delayed", "due"), ("failed", "ended")):
        _, out, _ = await _run(crewline, "jobs", "list", state)
        header, first, *_ = out.splitlines()
        assert header.split()[2] == title
        moments[state] = re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", first)[0]
    due = datetime.datetime.fromisoformat(moments["delayed"])
    began = datetime.datetime.fromisoformat(moments["active"])
    assert datetime.timedelta(minutes=59) < due - began < datetime.timedelta(minutes=61)


async def test_queues_of_dead_letters_are_no_work(at_work: None, crewline: Any, queue: Queue) -> None:
    async with Queue("a-last-one", redis=queue.url) as other:
        await other.add("n", 1)
    for command in (["queues"], ["top", "--once", "--sort", "name"], ["top", "--once", "--sort", "waiting"]):
        _, out, _ = await _run(crewline, *command)
        names = [line.split()[0] for line in out.split("worker")[0].splitlines() if re.search(r" \d", line)]
        assert [name for name in names if name.startswith(("a-", "emails"))][-1] == "emails-dlq", out
