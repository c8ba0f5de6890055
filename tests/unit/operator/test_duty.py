"""What is meant never to end goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest
from crewline_operator import duty
from crewline_operator.duty import kept_up


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duty, "AGAIN_SECONDS", 0)


async def test_it_begins_again_however_it_ended_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    ends: Iterator[BaseException | None] = iter([ValueError("unforeseen"), asyncio.CancelledError(), None])
    goes_on = asyncio.Event()

    async def read() -> None:
        with contextlib.suppress(StopIteration):
            end = next(ends)
            if end is not None:
                raise end
            return
        goes_on.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(kept_up("the reader", read))
    await asyncio.wait_for(goes_on.wait(), 5)
    assert [record.getMessage().partition(",")[0] for record in caplog.records] == [
        "the reader has failed", "the reader has failed", "the reader has ended",
    ]  # fmt: skip
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_it_ends_when_it_is_told_to_also_if_nobody_below_lets_that_through() -> None:
    inside = asyncio.Event()

    async def read() -> None:
        inside.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    task = asyncio.create_task(kept_up("the reader", read))
    await asyncio.wait_for(inside.wait(), 5)
    task.cancel()
    await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 5)
    assert task.done()


async def test_what_is_to_end_it_ends_it() -> None:
    calls = 0

    async def duty() -> None:
        nonlocal calls
        calls += 1
        raise LookupError("the data was restored")

    with pytest.raises(LookupError):
        await kept_up("a duty", duty, (LookupError,))
    assert calls == 1
