"""What goes on beside the reconciles goes on, whatever ends it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from crewline_operator import duty
from crewline_operator.controller import Controller
from crewline_operator.kube.api import Api
from crewline_operator.loop.metrics import Metrics
from crewline_operator.main import PartEnded, tell_end
from crewline_operator.model.settings import Settings
from kubernetes.aio import client as kube_client

#: Where each is called: what it belongs to, and its name there.
DUTIES = [("events", "run"), ("_budget", "run"), ("_listing", "again"), ("_missed", "run"), ("_metrics", "work_queue")]


@asynccontextmanager
async def running(monkeypatch: pytest.MonkeyPatch, owner: str, name: str, double: Any) -> AsyncIterator[Controller]:
    """A controller of an empty cluster, of which nothing is asked, and one of whose duties is another."""

    async def nothing(*_: Any) -> None: ...

    async with kube_client.ApiClient() as client:
        controller = Controller(Api(client), Settings(), Metrics())
        monkeypatch.setattr(controller._listing, "first", nothing)
        monkeypatch.setattr(getattr(controller, owner), name, double)
        task = asyncio.create_task(controller.run())
        try:
            yield controller
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait_for(task, 5)


@pytest.mark.parametrize("end", [asyncio.CancelledError, ValueError], ids=["a stray cancellation", "an error"])
@pytest.mark.parametrize(("owner", "name"), DUTIES, ids=[".".join(each) for each in DUTIES])
async def test_a_duty_that_ends_is_told_and_begins_again(
    owner: str, name: str, end: type[BaseException], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(duty, "AGAIN_SECONDS", 0)
    calls, again = 0, asyncio.Event()

    def call(*_: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise end("unforeseen")
        again.set()
        # the depth is counted by a call, the others go on
        return None if name == "work_queue" else asyncio.Event().wait()

    async with running(monkeypatch, owner, name, call):
        await asyncio.wait_for(again.wait(), 5)
    (told,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "begins again" in told.getMessage() and told.exc_info


async def _ended(end: BaseException | None) -> asyncio.Task[None]:
    async def part() -> None:
        if end is not None:
            raise end

    task = asyncio.create_task(part(), name="the part")
    await asyncio.wait({task})
    return task


async def test_a_part_that_ends_unasked_ends_the_process_as_one_that_failed() -> None:
    fine = await _ended(None)
    tell_end([fine, await _ended(asyncio.CancelledError())], first=None)
    for end in (None, asyncio.CancelledError()):
        part = await _ended(end)
        with pytest.raises(PartEnded, match="the part has ended"):
            tell_end([fine, part], first=part)
    failed = await _ended(ValueError("why"))
    for first in (None, fine):
        with pytest.raises(ValueError, match="why"):
            tell_end([fine, failed], first=first)
    # as the tasks of the controller tell it
    grouped = await _ended(ExceptionGroup("tasks", [ExceptionGroup("duties", [LookupError("restored")])]))
    with pytest.raises(LookupError, match="restored"):
        tell_end([grouped, failed], first=None)
