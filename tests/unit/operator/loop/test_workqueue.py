"""The work queue: one reconcile for a burst of events, never two of one key at once, backoff, delays."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from crewline_operator import duty
from crewline_operator.loop.workqueue import HEAP_SLACK, WorkQueue


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def running(
    queue: WorkQueue[str], reconcile: Callable[[str], Awaitable[None]], workers: int = 2, timeout_seconds: float = 5
) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run(reconcile, workers=workers, timeout_seconds=timeout_seconds))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_burst_of_adds_is_one_reconcile() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for _ in range(100):
        queue.add("a")
    assert len(queue) == 1
    assert await queue.get() == "a"
    assert len(queue) == 0


async def test_a_key_added_while_it_is_reconciled_runs_once_more_afterwards() -> None:
    queue: WorkQueue[str] = WorkQueue()
    runs: list[str] = []
    inside, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def reconcile(key: str) -> None:
        runs.append(key)
        if len(runs) == 1:
            inside.set()
            await go_on.wait()
        else:
            done.set()

    async with running(queue, reconcile):
        queue.add("a")
        await asyncio.wait_for(inside.wait(), 5)
        queue.add("a")
        queue.add("a")
        assert len(queue) == 0, "it must not be given to another worker while it runs"
        go_on.set()
        await asyncio.wait_for(done.wait(), 5)
    assert runs == ["a", "a"]


async def test_one_key_is_never_reconciled_twice_at_once_and_others_go_on_beside_it() -> None:
    queue: WorkQueue[str] = WorkQueue()
    at_once: dict[str, int] = {}
    most: dict[str, int] = {}
    done: set[str] = set()
    others_done = asyncio.Event()

    async def reconcile(key: str) -> None:
        at_once[key] = at_once.get(key, 0) + 1
        most[key] = max(most.get(key, 0), at_once[key])
        if key == "slow":
            queue.add("slow")
            await others_done.wait()
        done.add(key)
        if done >= {"b", "c"}:
            others_done.set()
        at_once[key] -= 1

    async with running(queue, reconcile):
        for key in ("slow", "b", "c"):
            queue.add(key)
        await asyncio.wait_for(others_done.wait(), 5)
    assert most["slow"] == 1


async def taken(queue: WorkQueue[str]) -> list[str]:
    """The keys that are ready, which are reconciled with that."""
    keys = [await queue.get() for _ in range(len(queue))]
    for key in keys:
        with queue.processing(key):
            pass
    return keys


async def test_a_failing_key_is_tried_again_later_and_each_time_later_up_to_the_cap() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock=clock, backoff_seconds=1, backoff_cap_seconds=5, jitter=0)
    for expected in (1, 2, 4, 5, 5):
        assert queue.failed("a") == expected
        clock.now += expected - 0.1
        assert queue.promote_due() == pytest.approx(0.1)
        clock.now += 0.1
        queue.promote_due()
        assert await taken(queue) == ["a"]


async def test_a_failing_key_waits_for_its_next_try_whatever_is_seen_of_it_meanwhile() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock=clock, backoff_seconds=8, jitter=0)
    with queue.processing("a"):
        queue.add("a")
        queue.failed("a")
    queue.add("a")
    queue.add_after("a", 1)
    queue.add_after("a", 0)
    clock.now += 7.9
    assert queue.promote_due() == pytest.approx(0.1)
    assert len(queue) == 0
    clock.now += 0.1
    queue.promote_due()
    assert await taken(queue) == ["a"]
    queue.add("a")
    assert await taken(queue) == ["a"], "it has had its try"


async def test_a_failing_key_that_is_forgotten_may_be_added_at_once() -> None:
    queue: WorkQueue[str] = WorkQueue(backoff_seconds=8, jitter=0)
    queue.failed("a")
    queue.forget("a")
    queue.add("a")
    assert await taken(queue) == ["a"]
    assert queue.failed("a") == 8, "and its backoff begins anew"


async def test_who_wants_to_be_left_alone_is_not_asked_before() -> None:
    queue: WorkQueue[str] = WorkQueue(clock=Clock(), backoff_seconds=1, jitter=0.2)
    assert 30 <= queue.failed("a", 30) <= 36
    assert queue.failed("b", 0.1) >= 0.8


async def test_an_error_says_when_its_key_is_tried_again() -> None:
    queue: WorkQueue[str] = WorkQueue(backoff_seconds=0.001)
    asked, told = asyncio.Event(), []

    async def reconcile(_: str) -> None:
        raise ConnectionError("busy")

    def retry_after(error: BaseException) -> float:
        told.append(str(error))
        asked.set()
        return 600

    task = asyncio.create_task(queue.run(reconcile, workers=1, retry_after=retry_after))
    queue.add("a")
    await asyncio.wait_for(asked.wait(), 5)
    await asyncio.sleep(0)
    queue.add("a")
    remaining = queue.promote_due()
    task.cancel()
    assert (told, len(queue)) == (["busy"], 0)
    assert remaining is not None and remaining > 590


async def test_plans_that_are_planned_over_do_not_pile_up() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock=clock)
    for round_ in range(1000):
        for key in ("a", "b", "c"):
            queue.add_after(key, 3600 - round_)
            queue.add(key)
        await taken(queue)
        queue.add_after("d", 3600 - round_)
    assert len(queue._heap) <= 2 * len(queue._due) + HEAP_SLACK
    clock.now += 3600
    queue.promote_due()
    assert await taken(queue) == ["d"]


async def test_success_ends_the_backoff() -> None:
    queue: WorkQueue[str] = WorkQueue(backoff_seconds=0.01, jitter=0)
    outcomes = iter([RuntimeError("first"), RuntimeError("second"), None])
    succeeded = asyncio.Event()

    async def reconcile(_: str) -> None:
        error = next(outcomes)
        if error is not None:
            raise error
        succeeded.set()

    async with running(queue, reconcile):
        queue.add("a")
        await asyncio.wait_for(succeeded.wait(), 5)
    assert queue.failed("a") == 0.01


async def test_a_reconcile_that_hangs_is_given_up_and_tried_again() -> None:
    queue: WorkQueue[str] = WorkQueue(backoff_seconds=0.01)
    tries: list[str] = []
    again = asyncio.Event()

    async def reconcile(key: str) -> None:
        tries.append(key)
        if len(tries) > 1:
            again.set()
        await asyncio.Event().wait()

    async with running(queue, reconcile, timeout_seconds=0.02):
        queue.add("a")
        await asyncio.wait_for(again.wait(), 5)
    assert tries[:2] == ["a", "a"]


async def test_a_cancellation_that_nobody_asked_for_is_a_failure_and_ends_no_worker() -> None:
    queue: WorkQueue[str] = WorkQueue(backoff_seconds=0.01)
    tries: list[str] = []
    again = asyncio.Event()

    async def reconcile(key: str) -> None:
        tries.append(key)
        if tries.count(key) == 1:
            raise asyncio.CancelledError
        if set(tries) == {"a", "b", "c"} and all(tries.count(each) > 1 for each in "abc"):
            again.set()

    async with running(queue, reconcile, workers=1):
        for key in ("a", "b", "c"):
            queue.add(key)
        await asyncio.wait_for(again.wait(), 5)


async def test_a_cancelled_queue_ends_while_it_reconciles() -> None:
    queue: WorkQueue[str] = WorkQueue()
    inside = asyncio.Event()

    async def reconcile(_: str) -> None:
        inside.set()
        await asyncio.Event().wait()

    async with running(queue, reconcile):
        queue.add("a")
        await asyncio.wait_for(inside.wait(), 5)
    assert len(queue) == 0


async def test_a_delayed_key_comes_in_its_time_and_the_earlier_of_two_delays_counts() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock=clock)
    queue.add_after("a", 10)
    queue.add_after("a", 3)
    queue.add_after("a", 7)
    clock.now += 2.9
    assert queue.promote_due() == pytest.approx(0.1)
    assert len(queue) == 0
    clock.now += 0.1
    assert queue.promote_due() is None
    assert len(queue) == 1


async def test_a_key_that_is_added_now_does_not_come_a_second_time_for_its_earlier_delay() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock=clock)
    queue.add_after("a", 3)
    queue.add("a")
    assert await queue.get() == "a"
    with queue.processing("a"):
        pass
    clock.now += 10
    queue.promote_due()
    assert len(queue) == 0


async def test_a_forgotten_key_does_not_come_back() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock=clock)
    queue.failed("a")
    queue.forget("a")
    clock.now += 100
    assert queue.promote_due() is None
    assert len(queue) == 0


@pytest.mark.parametrize("end", [asyncio.CancelledError, ValueError])
async def test_the_timer_goes_on_however_it_has_ended(
    end: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duty, "AGAIN_SECONDS", 0)
    queue: WorkQueue[str] = WorkQueue()
    came, promote, calls = asyncio.Event(), queue.promote_due, 0

    def fails_once() -> float | None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise end("unforeseen")
        return promote()

    async def reconcile(_: str) -> None:
        came.set()

    monkeypatch.setattr(queue, "promote_due", fails_once)
    async with running(queue, reconcile):
        queue.add_after("a", 0.01)
        await asyncio.wait_for(came.wait(), 5)


async def test_each_failure_is_told_with_how_many_there_were_in_a_row_and_telling_may_fail() -> None:
    queue: WorkQueue[str] = WorkQueue(backoff_seconds=0.01)
    results = iter([ValueError("one"), ValueError("two"), None, ValueError("three")])
    told: asyncio.Queue[tuple[str, str, int]] = asyncio.Queue()

    async def reconcile(key: str) -> None:
        error = next(results)
        if error is not None:
            raise error
        queue.add_after(key, 0.01)

    async def tell(key: str, error: BaseException, failures: int) -> None:
        told.put_nowait((key, str(error), failures))
        raise ValueError("the status can't be written either")

    running = asyncio.create_task(queue.run(reconcile, workers=1, on_failure=tell))
    queue.add("a")
    async with asyncio.timeout(30):
        assert [await told.get() for _ in range(3)] == [("a", "one", 1), ("a", "two", 2), ("a", "three", 1)]
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
