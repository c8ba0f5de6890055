"""What a worker takes for the time by Redis' clock, from answers that it read in time and late."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvloop
from crewline.worker.calls.backlog import Backlog
from crewline.worker.runs.slots import Slots


class Clock:
    """The loop's clock, at the test's command; Redis' clock is `ahead` of it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.ahead = 500.0

    def time(self) -> float:
        return self.now

    def redis_ms(self) -> int:
        return int((self.now + self.ahead) * 1000)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: made)
    return made


def _ask(backlog: Backlog, clock: Clock, there: float, back: float) -> None:
    """A call that takes so many seconds there, and whose answer is read so many seconds after Redis gave it."""
    left = clock.now
    clock.now += there
    told = clock.redis_ms()
    clock.now += back
    backlog.heard(told, left)


def test_an_answer_that_was_read_late_does_not_set_the_clock_back(clock: Clock) -> None:
    backlog = Backlog(Slots(1))
    _ask(backlog, clock, 0.001, 0.001)
    _ask(backlog, clock, 0.001, 20)
    assert backlog.redis_now_ms() == pytest.approx(clock.redis_ms(), abs=3)


def test_an_answer_that_came_faster_tells_the_time_better(clock: Clock) -> None:
    backlog = Backlog(Slots(1))
    _ask(backlog, clock, 0.001, 20)
    _ask(backlog, clock, 0.001, 0.001)
    assert backlog.redis_now_ms() == pytest.approx(clock.redis_ms(), abs=3)


@pytest.mark.parametrize("step", [-3600.0, -5.0, 5.0, 3600.0])
def test_a_step_of_redis_clock_is_followed_with_the_next_answer(clock: Clock, step: float) -> None:
    backlog = Backlog(Slots(1))
    _ask(backlog, clock, 0.001, 0.001)
    clock.ahead += step
    _ask(backlog, clock, 0.001, 0.001)
    assert backlog.redis_now_ms() == pytest.approx(clock.redis_ms(), abs=3)


def test_clocks_that_drift_apart_are_followed_also_where_calls_take_long(clock: Clock) -> None:
    backlog = Backlog(Slots(1))
    for _ in range(1000):
        clock.ahead -= 0.01
        _ask(backlog, clock, 0.005, 0.005)
    assert backlog.redis_now_ms() == pytest.approx(clock.redis_ms(), abs=12)


class _Late(uvloop.Loop):
    """In which time passes between the asking for a timer and its making."""

    def call_at(self, when: float, callback: Any, *args: Any, **more: Any) -> asyncio.Handle:
        return super().call_at(min(when, self.time()), callback, *args, **more)


def test_a_timer_that_is_due_by_the_time_it_is_made_is_one_like_any() -> None:
    async def wait() -> None:
        slots = Slots(1)
        slots.work.clear()
        backlog = Backlog(slots)
        backlog.expect_limit(1)
        backlog.expect_limit(1)
        await slots.work.wait()
        backlog.expect_limit(1)
        backlog.close()

    with asyncio.Runner(loop_factory=_Late) as runner:
        runner.run(asyncio.wait_for(wait(), 5))


class _Noting(asyncio.SelectorEventLoop):
    """Knows the timers that were made."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[asyncio.TimerHandle] = []

    def call_at(self, when: float, callback: Any, *args: Any, **more: Any) -> asyncio.TimerHandle:
        self.made.append(super().call_at(when, callback, *args, **more))
        return self.made[-1]


@pytest.mark.parametrize(("step_ms", "made"), [(0, 1), (1000, 1), (-1000, 50)])
def test_whatever_each_fetch_tells_of_a_limit_there_is_one_timer_the_earliest(step_ms: int, made: int) -> None:
    async def tell() -> list[asyncio.TimerHandle]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, _Noting)
        backlog, before = Backlog(Slots(1)), len(loop.made)
        for turn in range(50):
            backlog.expect_limit(600_000 + turn * step_ms)
        timers = loop.made[before:]
        assert len(timers) == made
        [left] = [each for each in timers if not each.cancelled()]
        assert left.when() == min(each.when() for each in timers)
        backlog.close()
        assert left.cancelled()
        return timers

    with asyncio.Runner(loop_factory=_Noting) as runner:
        assert runner.run(tell())
