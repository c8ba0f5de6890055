"""The log of `crewline worker` as people and programs read it, and the line that a terminal has below it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from crewline import Queue

HANDLERS = r"""
import asyncio
from crewline import Reject

class Odd(Exception):
    pass

async def handle(job):
    if job.name == "hostile":
        raise Odd("no\n2026-01-01 00:00:00,000 ERROR   crewline.worker forged\x1b[2J redis://u:secret@db/0")
    if job.name == "print":
        print("begun", end="", flush=True)
        print(" and ended")
    return "fine"
"""

Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def start(redis_url: str, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a worker; all are killed at the end."""
    (tmp_path / "handlers.py").write_text(HANDLERS)
    processes: list[asyncio.subprocess.Process] = []

    async def start(*arguments: str, **options: Any) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "crewline"), "worker", "handlers:handle", "-q", "emails",
            "-r", redis_url, *arguments, cwd=tmp_path, **options,
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def stopped(process: asyncio.subprocess.Process, queue: Queue, until: Any, failed: int = 1) -> list[str]:
    """The lines of its log once so many jobs have failed and it has stopped."""

    async def all_failed() -> bool:
        return (await queue.metrics()).failed == failed

    await until(all_failed, 30)
    process.terminate()
    _, told = await asyncio.wait_for(process.communicate(), 30)
    return told.decode().splitlines()


async def test_a_program_reads_an_object_a_line(queue: Queue, start: Start, until: Any) -> None:
    job = await queue.add("hostile", {"card": "4111"}, attempts=1)
    await queue.add("fine", {"card": "4111"})
    process = await start("--log-format", "json", stderr=asyncio.subprocess.PIPE)
    lines = await stopped(process, queue, until)
    told = [json.loads(line) for line in lines]
    assert {"time", "level", "logger", "message"} <= set.intersection(*(set(each) for each in told))
    (failed,) = (each for each in told if each.get("event") == "failed")
    assert failed | {"time": "", "message": "", "trace": ""} == {
        "time": "", "level": "error", "logger": "crewline.worker", "message": "", "event": "failed", "queue": "emails",
        "job": job.id, "name": "hostile", "attempt": 1, "attempts": 1, "next": "dead letter",
        "dead_letter_queue": "emails-dlq", "trace": "",
        "reason": r"Odd: no\u000a2026-01-01 00:00:00,000 ERROR   crewline.worker forged\u001b[2J redis://***@db/0",
    }  # fmt: skip
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00$", failed["time"])
    assert failed["trace"].startswith("Traceback") and "raise Odd" in failed["trace"]
    (summary,) = (each for each in told if each.get("event") == "summary")
    assert (summary["completed"], summary["failed"], summary["unwritten"]) == (1, 1, 0)
    assert "4111" not in "".join(lines) and "secret" not in "".join(lines)


async def test_a_person_reads_a_line_a_record_and_none_that_a_job_has_forged(
    queue: Queue, start: Start, until: Any
) -> None:
    await queue.add("hostile", {"card": "4111"}, attempts=1)
    lines = await stopped(await start(stderr=asyncio.subprocess.PIPE), queue, until)
    records = [line for line in lines if not line.startswith("  ")]
    assert all(re.match(r"\d{4}-\d\d-\d\d [\d:,]+ [A-Z]+ +crewline\.worker ", line) for line in records)
    assert sorted(line.split()[2] for line in records) == ["ERROR", "INFO", "INFO", "INFO"], lines
    assert not any("forged" in line and "attempt 1 of 1 failed" not in line for line in records)
    assert "  Traceback (most recent call last):" in lines
    text = "\n".join(lines)
    assert "4111" not in text and "secret" not in text and "\x1b" not in text


async def test_the_format_comes_from_the_environment_and_a_wrong_one_is_refused(start: Start) -> None:
    pipe = asyncio.subprocess.PIPE
    process = await start(stderr=pipe, env={**os.environ, "CREWLINE_LOG_FORMAT": "xml"})
    _, told = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2 and b"'xml' is unknown: use text or json" in told


async def test_a_terminal_has_a_line_of_progress_below_what_is_printed(queue: Queue, start: Start) -> None:
    above, terminal = pty.openpty()
    process = await start(stdout=terminal, stderr=terminal, stdin=terminal, env={**os.environ, "TERM": "xterm"})
    os.close(terminal)
    read = ""

    async def read_until(pattern: str) -> None:
        nonlocal read
        while not re.search(pattern, read):
            read += (await asyncio.to_thread(os.read, above, 4096)).decode()

    await asyncio.wait_for(read_until(r"emails: 0 running, 0 completed"), 30)
    await queue.add_bulk([("print", 1), ("hostile", 1, {"attempts": 1})])
    await asyncio.wait_for(read_until(r"emails: 0 running, 1 completed, 0 tried again, 1 failed, \d jobs/s"), 30)
    # what a handler prints in two parts is not torn, and begins where the line was
    assert re.search(r"\r\x1b\[Kbegun\x1b?( and ended)\r\n", read), read
    process.terminate()
    with contextlib.suppress(OSError):
        await asyncio.wait_for(read_until(r"\Z(?!\A)$^"), 30)
    assert await asyncio.wait_for(process.wait(), 30) == 0
    shown = [re.split(r"\r\x1b\[K", line)[-1] for line in read.split("\r\n")]
    assert shown[-1] == "", "the line is taken away"
    assert [line for line in shown if "running" in line] == []
    os.close(above)
