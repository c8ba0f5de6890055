"""Suspects that no child could run, or that failed in one for want of what their worker has."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from crewline import DeadLetters, Job, JobFailed, Middleware, Queue
from crewline.worker.processes.answers import ChildUnavailable
from crewline.worker.processes.children import Children

from tests.redis import app_handlers, process_handlers
from tests.redis.suspects import a_suspect


async def test_a_suspect_whose_module_no_child_can_import_runs_alone_and_loses_no_attempt(
    queue: Queue, start_worker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a module that can be imported once: a port that it binds, a lock that it takes
    (tmp_path / "once_only.py").write_text(
        f"import os\nopen({str(tmp_path / 'taken')!r}, 'x')\n\n\nasync def handle(job):\n    return os.getpid()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import once_only

    try:
        suspect = await a_suspect(queue, attempts=1)
        await start_worker(once_only.handle)
        assert await suspect.result(timeout=30) == os.getpid()
    finally:
        del sys.modules["once_only"]


@pytest.mark.parametrize("handler", [app_handlers.lean, app_handlers.lean_in_a_thread])
async def test_a_suspect_that_lacks_its_programs_state_in_a_child_runs_in_the_worker_and_loses_no_attempt(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch, handler: Any
) -> None:
    monkeypatch.setattr(app_handlers, "pool", [1])
    told: list[str] = []
    suspect = await a_suspect(queue, attempts=1)
    worker = await start_worker(handler)
    worker.on("failed", lambda job, reason: told.append(reason))
    worker.on("retrying", lambda job, reason: told.append(reason))
    assert await suspect.result(timeout=30) == os.getpid()
    stored = await queue.get_job(suspect.id)
    assert stored is not None and (stored.attempts_started, stored.attempts_made) == (1, 1)
    assert not stored._fields.keys() & {b"suspect", b"tried"}
    assert await DeadLetters(queue).list() == [] and told == []


async def test_a_handler_that_runs_in_processes_fails_as_it_would_where_its_suspect_raises(
    queue: Queue, start_worker: Any
) -> None:
    suspect = await a_suspect(queue, attempts=1)
    await start_worker(app_handlers.lean_in_a_thread, execution="process")
    with pytest.raises(JobFailed, match="there is no pool"):
        await suspect.result(timeout=30)


async def test_a_job_that_raises_in_a_child_is_tried_there_again_once_another_worker_died_with_it(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_handlers, "pool", [1])
    ran: list[bool] = []
    children = Children.run

    async def run(self: Children, job: Job, target: Any, **options: Any) -> Any:
        ran.append(True)
        return await children(self, job, target, **options)

    monkeypatch.setattr(Children, "run", run)
    once = await a_suspect(queue)
    await queue.redis.hset(queue.keys.job(once.id), "tried", "1")
    twice = await a_suspect(queue, times=2)
    await queue.redis.hset(queue.keys.job(twice.id), "tried", "1")
    await start_worker(app_handlers.lean)
    assert await once.result(timeout=30) == os.getpid()
    assert await twice.result(timeout=30) == os.getpid()
    # none for the one that no worker died with since
    assert ran == [True]


class Story(Middleware):
    """What hooks are told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def before(self, job: Job) -> None:
        self.told.append("before")
        if job.data.get("unspeakable"):
            job.data["callback"] = lambda: None

    async def after(self, job: Job, result: Any) -> None:
        self.told.append("after")

    async def failed(self, job: Job, error: BaseException) -> None:
        self.told.append("failed")


async def _no_child(self: Children, job: Job, target: Any, **options: Any) -> Any:
    raise ChildUnavailable("the machine is short of memory")


async def test_hooks_hear_of_the_end_of_a_run_for_which_there_was_no_child(
    queue: Queue, start_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crewline.worker.processes.childless.UNREADY_SECONDS", 0.0)
    monkeypatch.setattr("crewline.worker.runs.calling.PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(Children, "run", _no_child)
    story = Story()
    suspect = await a_suspect(queue, attempts=1)
    await start_worker(process_handlers.either, middleware=[story])
    assert await suspect.result(timeout=30) == os.getpid()
    assert story.told == ["before", "failed", "before", "after"]


async def test_a_suspect_that_a_hook_gave_what_no_process_can_be_sent_runs_alone_and_loses_no_attempt(
    queue: Queue, start_worker: Any
) -> None:
    suspect = await a_suspect(queue, data={"unspeakable": True}, attempts=1)
    await start_worker(process_handlers.either, middleware=[Story()])
    assert await suspect.result(timeout=30) == os.getpid()


async def test_a_child_that_was_not_ready_once_costs_its_handler_no_later_one(
    queue: Queue, start_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crewline.worker.runs.calling.PAUSE_SECONDS", 0.0)
    children, asked = Children.run, []

    async def run(self: Children, job: Job, target: Any, **options: Any) -> Any:
        asked.append(job.id)
        return await (_no_child if len(asked) == 1 else children)(self, job, target, **options)

    monkeypatch.setattr(Children, "run", run)
    suspect = await a_suspect(queue, attempts=1)
    await start_worker(process_handlers.either)
    assert await suspect.result(timeout=30) != os.getpid()
    assert len(asked) == 2
