"""Changes of what is planned, each with what is there before it: schedules, their iterations, and runs."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable
from typing import Any

from crewline import Queue
from crewline.redis.scripts import Result
from crewline.wire.options import encode_job

from tests.redis.touching import fetch

Step = Callable[[Queue], Awaitable[Any]]

START = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)
LATER = START + datetime.timedelta(seconds=500)
FIRST = f"repeat:s:{START.timestamp() * 1000:.0f}"


def schedules(**options: Any) -> Step:
    return lambda queue: queue.schedule("s", "n", **{"data": {}} | options)


LATE = schedules(every=60, start=START)
AT_ONCE = schedules(every=3600)


async def promoted(queue: Queue) -> None:
    await LATE(queue)
    await queue.promote(FIRST)


async def parked(queue: Queue) -> None:
    await AT_ONCE(queue)
    await queue.redis.rename(queue.keys.wait, queue.keys.paused)
    await queue.redis.hset(queue.keys.meta, mapping={"paused": 1, "version": "bullmq:5.81.5"})


async def active(queue: Queue) -> None:
    await promoted(queue)
    assert await fetch(queue, 1) == [FIRST]


async def without_a_lease(queue: Queue) -> None:
    await active(queue)
    await queue.redis.delete(queue.keys.job(FIRST) + ":lock")


async def completed(queue: Queue) -> None:
    await active(queue)
    await fetch(queue, 0, results=[Result(FIRST, "t", "completed", "null", trace="", keep_completed="1000,86400")])


async def gone_on(queue: Queue) -> None:
    await completed(queue)
    await queue.schedules.advance("s", FIRST, {})


async def gone(queue: Queue) -> None:
    await LATE(queue)
    await queue.redis.delete(queue.keys.job(FIRST), queue.keys.delayed)


async def foreign(queue: Queue) -> None:
    """As BullMQ leaves it."""
    await LATE(queue)
    record = queue.keys.base + "repeat:s"
    await queue.redis.hdel(record, "data", "opts")
    await queue.redis.hset(record, mapping={"nrjid": FIRST, "offset": 0, "opts": "{}"})
    await queue.redis.hset(queue.keys.job(FIRST), "opts", '{"repeat":{"every":60000,"count":1},"attempts":2}')


async def nothing(queue: Queue) -> None:
    """No schedule."""


CHANGED = schedules(every=120, start=START)
MOVED = schedules(every=60, start=LATER)
FILLED = schedules(every=60, start=START, data=2, attempts=7, priority=3)
ENDED = schedules(every=60, start=START, end=START + datetime.timedelta(seconds=30))


async def goes_on(queue: Queue) -> None:
    await queue.schedules.advance("s", FIRST, {})


async def removed(queue: Queue) -> None:
    await queue.schedules.remove("s")


def run(at: datetime.datetime, digest: str = "d", **options: Any) -> Step:
    job = encode_job("n", digest, **options)
    return lambda queue: queue.scripts.add_run("uid", round(at.timestamp() * 1000), "{}", digest, job)


def taken_back(forget: bool) -> Step:
    return lambda queue: queue.scripts.take_back_run("uid", forget)


RUN_AHEAD = run(START)
TAKEN_BACK = taken_back(False), taken_back(True)

#: What is there, and what is done to it.
CASES: dict[str, tuple[Step, Step]] = {
    "made": (nothing, LATE),
    "made, at once": (nothing, AT_ONCE),
    "made, by priority": (nothing, schedules(every=3600, priority=3)),
    "made, lifo": (nothing, schedules(every=3600, lifo=True)),
    "same time": (LATE, CHANGED),
    "same time, by priority": (LATE, schedules(every=120, start=START, priority=3)),
    "same time, promoted": (promoted, CHANGED),
    "same time, active": (active, CHANGED),
    "same time, completed": (completed, CHANGED),
    "same time, foreign": (foreign, CHANGED),
    "moved": (LATE, MOVED),
    "moved, foreign": (foreign, MOVED),
    "moved, waits": (AT_ONCE, MOVED),
    "moved, waits by priority": (schedules(every=3600, priority=3), MOVED),
    "moved, parked": (parked, MOVED),
    "moved, active": (active, MOVED),
    "moved, without a lease": (without_a_lease, MOVED),
    "moved, gone on": (gone_on, MOVED),
    "moved to now": (LATE, AT_ONCE),
    "moved to now, by priority": (LATE, schedules(every=3600, priority=3)),
    "filled": (LATE, FILLED),
    "filled, promoted": (promoted, FILLED),
    "filled, foreign": (foreign, FILLED),
    "filled, gone": (gone, FILLED),
    "ended": (completed, ENDED),
    "ended, gone on": (gone_on, ENDED),
    "goes on": (LATE, goes_on),
    "goes on, by priority": (schedules(every=60, start=START, priority=3), goes_on),
    "goes on, foreign": (foreign, goes_on),
    "removed": (LATE, removed),
    "removed, waits": (AT_ONCE, removed),
    "removed, waits by priority": (schedules(every=3600, priority=3), removed),
    "removed, parked": (parked, removed),
    "removed, active": (active, removed),
    "removed, without a lease": (without_a_lease, removed),
    "removed, gone": (gone, removed),
    "removed, foreign": (foreign, removed),
    "run": (nothing, run(datetime.datetime.now(datetime.UTC))),
    "run, ahead": (nothing, RUN_AHEAD),
    "run, another": (RUN_AHEAD, run(START, "e")),
    "run, another, by priority": (RUN_AHEAD, run(START, "e", priority=3)),
    "run, moved": (RUN_AHEAD, run(LATER)),
    "run, taken back": (RUN_AHEAD, TAKEN_BACK[0]),
    "run, taken back for good": (RUN_AHEAD, TAKEN_BACK[1]),
}
