"""What the commands do where nobody reads their output, it can't be written, or what they read is no text."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from crewline import DeadLetters, Job, Queue

from tests.redis.test_cli import _run
from tests.redis.test_cli import crewline as crewline

CREWLINE = str(Path(sys.executable).parent / "crewline")


async def _unread(redis_url: str, *arguments: str) -> tuple[int, str]:
    """Runs a command whose output is a pipe that nobody reads; its exit code and errors."""
    nobody, pipe = os.pipe()
    os.close(nobody)
    try:
        return await _into(pipe, redis_url, *arguments)
    finally:
        os.close(pipe)


async def _into(output: int, redis_url: str, *arguments: str | bytes, **environment: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        CREWLINE, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=asyncio.subprocess.PIPE,
        env={"CREWLINE_QUEUE": "emails", "CREWLINE_REDIS_URL": redis_url, "PATH": "/usr/bin", **environment},
    )  # fmt: skip
    _, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, err.decode()


@pytest.mark.parametrize("verb", ["promote", "retry", "remove", "cancel"])
async def test_work_on_many_jobs_is_done_to_its_end_though_nobody_reads_of_it(
    queue: Queue, redis_url: str, verb: str, start_worker: Any, until: Any
) -> None:
    jobs = await queue.add_bulk(("n", n, {"delay": 600, "attempts": 1}) for n in range(5))
    if verb == "retry":

        async def fail(job: Job) -> None:
            raise ValueError("no")

        worker = await start_worker(fail)
        await queue.promote_all()
        await until(lambda: _in_state(queue, "failed", 5))
        await worker.stop()
    code, err = await _unread(redis_url, "jobs", verb, *(job.id for job in jobs), "nope")
    state = {"promote": "waiting", "retry": "waiting", "remove": None, "cancel": "failed"}[verb]
    counts = await queue.metrics()
    assert counts.delayed == 0 and (state is None or getattr(counts, state) == 5)
    # how the work went is told all the same
    assert code == 1 and err.startswith("crewline: ") and "nope" in err and err.count("\n") == 1


async def _in_state(queue: Queue, state: str, count: int) -> bool:
    return bool(getattr(await queue.metrics(), state) == count)


async def test_a_verb_whose_words_nobody_reads_has_done_its_work(queue: Queue, redis_url: str) -> None:
    assert await _unread(redis_url, "enqueue", "n", "1") == (0, "")
    assert await _unread(redis_url, "enqueue", "n", "1", "--json") == (0, "")
    assert (await queue.metrics()).waiting == 2
    assert await _unread(redis_url, "clean", "waiting") == (0, "")
    assert await _unread(redis_url, "pause") == (0, "")
    counts = await queue.metrics()
    assert counts.waiting == 0 and counts.paused
    assert await _unread(redis_url, "dlq", "replay", "--all") == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [["jobs", "list"], ["jobs", "list", "--json"], ["jobs", "show", "1"], ["queues"], ["queues", "--json"], ["metrics"],
     ["top", "--once"], ["events", "--after", "0"], ["events", "--after", "0", "--json"], ["jobs", "list", "failed"],
     ["queues", "--prefix", "none"], ["dlq", "list"]],
    ids=" ".join,
)  # fmt: skip
async def test_a_look_that_nobody_reads_ends_without_a_word(queue: Queue, redis_url: str, arguments: list[str]) -> None:
    await queue.add("n", 1)
    assert await _unread(redis_url, *arguments) == (1, "")


async def test_a_dead_letter_that_cant_be_shown_is_told(
    queue: Queue, redis_url: str, start_worker: Any, until: Any
) -> None:
    async def fail(job: Job) -> None:
        raise ValueError("no")

    await start_worker(fail)
    await queue.add("n", 1, attempts=1)
    await until(DeadLetters(queue).count)
    assert await _unread(redis_url, "dlq", "show", "1") == (1, "")
    assert await _unread(redis_url, "dlq", "list") == (1, "")
    full = os.open("/dev/full", os.O_WRONLY)
    said = "crewline: the output can't be written: No space left on device\n"
    assert await _into(full, redis_url, "dlq", "show", "1") == (1, said)
    os.close(full)


async def test_a_job_that_is_shown_keeps_its_lines_whole_whatever_their_length(
    queue: Queue, redis_url: str, tmp_path: Path
) -> None:
    text = "several words " * 30
    job = await queue.add("n", {"text": text})
    out = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    code, err = await _into(out, redis_url, "jobs", "show", job.id)
    os.close(out)
    assert (code, err) == (0, "") and text in (tmp_path / "out").read_text()


async def test_output_that_cant_be_written_is_told_and_stops_no_work(queue: Queue, redis_url: str) -> None:
    jobs = await queue.add_bulk(("n", n, {"delay": 600}) for n in range(3))
    full = os.open("/dev/full", os.O_WRONLY)
    said = "crewline: the output can't be written: No space left on device\n"
    assert await _into(full, redis_url, "jobs", "promote", *(job.id for job in jobs)) == (0, said)
    assert (await queue.metrics()).waiting == 3
    assert await _into(full, redis_url, "jobs", "list") == (1, said)
    assert await _into(full, redis_url, "events", "--after", "0") == (1, said)
    os.close(full)


async def test_arguments_in_another_encoding_are_wrong_usage_and_named(redis_url: str) -> None:
    code, err = await _into(asyncio.subprocess.DEVNULL, redis_url, "metrics", b"--queue", b"caf\xe9")
    assert code == 2 and "--queue" in err and "UTF-8" in err and err.count("\n") == 1
    environment = {os.fsdecode(b"CREWLINE_PREFIX"): os.fsdecode(b"caf\xe9")}
    code, err = await _into(asyncio.subprocess.DEVNULL, redis_url, "metrics", **environment)
    assert code == 2 and "CREWLINE_PREFIX" in err and "UTF-8" in err


async def test_a_terminal_without_a_character_gets_its_number(queue: Queue, redis_url: str, tmp_path: Path) -> None:
    job = await queue.add("n", "日本")
    out = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    code, err = await _into(out, redis_url, "jobs", "show", job.id, PYTHONIOENCODING="latin-1")
    os.close(out)
    assert (code, err) == (0, "") and b"\\u65e5\\u672c" in (tmp_path / "out").read_bytes()


@pytest.mark.parametrize(
    ("line", "said"),
    [(b'{"x": "\xff"}', "line 2501 is not strict JSON"), (b'{"x": "\\ud800"}', "line 2501 holds a lone surrogate"),
     (b'"' + b"x" * (1 << 20) + b'"', "line 2501 is 1,048,578 bytes")],
    ids=["encoding", "half a character", "too large"],
)  # fmt: skip
async def test_no_line_is_added_where_one_far_behind_cant_be(
    crewline: Any, queue: Queue, tmp_path: Path, line: bytes, said: str
) -> None:
    (tmp_path / "jobs").write_bytes(b"1\n" * 2500 + line + b"\n")
    lines = os.open(tmp_path / "jobs", os.O_RDONLY)
    process = await asyncio.create_subprocess_exec(
        CREWLINE, "enqueue", "n", "-q", "emails", "-r", queue.url, stdin=lines, stderr=asyncio.subprocess.PIPE
    )
    _, err = await asyncio.wait_for(process.communicate(), 60)
    os.close(lines)
    assert process.returncode == 1 and said in err.decode(), err
    assert (await queue.metrics()).waiting == 0


async def test_data_that_is_json_and_no_jobs_all_the_same_is_wrong_usage(crewline: Any, queue: Queue) -> None:
    for data in ('{"x": "\\ud800"}', "[" * 100_000):
        code, _, err = await _run(crewline, "enqueue", "n", data)
        assert code == 2 and "quote it" in err and "Traceback" not in err
    code, out, err = await _run(crewline, "enqueue", "n", "9007199254740993", "--json")
    assert code == 0 and json.loads(out)["added"] == 1
    assert err == "crewline: data = 9007199254740993 is beyond 2^53: Node workers and dashboards would round it; " \
        "send it as a string\n"  # fmt: skip
