"""Threads and loops beside: what is returned runs, and of what the system refuses nothing is left."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from crewline import CrewlineError, beside


def test_a_loop_that_is_returned_runs() -> None:
    loop = beside.start_loop("a-loop", lambda each: each.run_forever())
    assert asyncio.run_coroutine_threadsafe(asyncio.sleep(0, "ran"), loop).result(30) == "ran"
    [thread] = [each for each in threading.enumerate() if each.name == "a-loop"]
    assert thread.daemon
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)
    loop.close()


def test_where_there_is_no_thread_nothing_is_left_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[asyncio.AbstractEventLoop] = []
    new = asyncio.new_event_loop

    def make() -> asyncio.AbstractEventLoop:
        made.append(new())
        return made[-1]

    def refuse(thread: threading.Thread) -> Any:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(asyncio, "new_event_loop", make)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(beside.ThreadRefused, match="can't start new thread") as raised:
        beside.start_loop("a-loop", lambda each: each.run_forever())
    assert isinstance(raised.value, CrewlineError) and made[0].is_closed()
