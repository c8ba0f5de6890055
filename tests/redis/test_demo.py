"""The demo's last screen, from the jobs of a real queue: 100 of them, read at once."""

from __future__ import annotations

import io
from typing import Any

import pytest
from crewline import Job, Queue
from rich.console import Console

from tests.example_code import load
from tools.demo import __main__ as demo
from tools.demo.work import Times, chunks, collect, job_of


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    text = io.StringIO()
    monkeypatch.setattr(demo, "console", Console(file=text, width=120))
    return text


async def _run(queue: Queue, start_worker: Any, until: Any, handler: Any) -> list[str]:
    files = chunks()
    jobs = [job_of(f) for f in files]
    await queue.add_bulk((name, data, {**options, "backoff": 0}) for name, data, options in jobs)
    await start_worker(handler)

    async def all_ended() -> bool:
        counts = await queue.metrics()
        return counts.completed + counts.failed == len(files)

    await until(all_ended, 60)
    return [f.stem for f in files]


async def test_the_last_screen_shows_a_right_answer_and_the_dead_letters(
    queue: Queue, start_worker: Any, until: Any, printed: io.StringIO
) -> None:
    ids = await _run(queue, start_worker, until, load("handlers").count)
    assert len(ids) == 100
    assert demo.show(await collect(queue, ids, {"nextScheduleTime": "soon"}, Times()))
    screen = printed.getvalue()
    assert "48,500 requests" in screen
    assert "check: the jobs' answer equals a direct count of the same files" in screen
    for chunk in ("chunk-017", "chunk-042", "chunk-073"):
        assert f"{chunk}   3 attempts" in screen
    assert "not due yet; next run soon" in screen


async def test_a_handler_that_counts_wrong_is_found_out(
    queue: Queue, start_worker: Any, until: Any, printed: io.StringIO
) -> None:
    count = load("handlers").count

    async def miscount(job: Job) -> dict[str, Any]:
        found: dict[str, Any] = await count(job)
        return found | {"requests": found["requests"] + (job.id == "chunk-003")}

    ids = await _run(queue, start_worker, until, miscount)
    assert not demo.show(await collect(queue, ids, {}, Times()))
    assert "the jobs counted 48,501 requests, the files hold 48,500" in printed.getvalue()
