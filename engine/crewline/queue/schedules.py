"""Repeated jobs in BullMQ's job-scheduler layout: Node workers and dashboards see and run them too.

There is no scheduler process. The next iteration is always an ordinary delayed job, and the worker that fetches it
places the one after. An iteration that was lost (deleted, or its worker died in between) is placed again by `heal`.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crewline.errors import InvalidOption
from crewline.queue.by_id import ById
from crewline.wire import jsonio
from crewline.wire.cron import next_cron_ms
from crewline.wire.options import encode_job
from crewline.wire.text import text


@dataclass(frozen=True)
class Schedule:
    """A repeated job.

    Attributes:
        id: the schedule's own id.
        name, data: what each of its jobs is added with.
        cron, time_zone: its expression, or None and every_ms.
        every_ms: milliseconds between iterations, or None.
        start_ms, end_ms, limit: when it begins and ends, and how many iterations it makes; None for no bound.
        next_ms: when the next iteration is due, epoch milliseconds.
        iterations: how many were placed.
    """

    id: str
    name: str
    data: Any
    cron: str | None
    every_ms: int | None
    time_zone: str
    start_ms: int | None
    end_ms: int | None
    limit: int | None
    next_ms: int
    iterations: int


def _moment_ms(moment: datetime.datetime | None, what: str) -> int | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise InvalidOption(f"{what} {moment!r} has no time zone: pass an aware datetime, e.g. datetime.now(UTC)")
    return round(moment.timestamp() * 1000)


class Schedules:
    """The schedules of one queue; see `Queue.schedule` for how they are made."""

    def __init__(self, queue: ById) -> None:
        self._queue = queue

    async def upsert(
        self,
        schedule_id: str,
        name: str,
        data: Any,
        *,
        cron: str | None,
        every: float | datetime.timedelta | None,
        time_zone: str,
        start: datetime.datetime | None,
        end: datetime.datetime | None,
        limit: int | None,
        options: Mapping[str, Any],
    ) -> str:
        """Makes or changes a schedule; returns the id of its next job."""
        if not schedule_id or ":" in schedule_id:
            raise InvalidOption(f"schedule id {schedule_id!r} must not be empty or contain ':'")
        if (cron is None) == (every is None):
            raise InvalidOption("a schedule needs either cron or every: give exactly one")
        if limit is not None and limit < 1:
            raise InvalidOption(f"limit {limit!r} must be 1 or more")
        for given in ("job_id", "delay", "dedup"):
            if given in options:
                raise InvalidOption(f"option {given!r} is each iteration's own: leave it out")
        every_ms = None
        if every is not None:
            seconds = every.total_seconds() if isinstance(every, datetime.timedelta) else every
            every_ms = round(seconds * 1000)
            if every_ms < 1:
                raise InvalidOption(f"every {every!r} must be more than 0 seconds")
        start_ms, end_ms = _moment_ms(start, "start"), _moment_ms(end, "end")
        now_ms = await self._queue.scripts.read_clock()
        if end_ms is not None and end_ms <= now_ms:
            raise InvalidOption(f"end {end!r} is over: the schedule would never run")
        next_ms: int | None = None
        if cron is not None:
            next_ms = next_cron_ms(cron, time_zone, max(now_ms, (start_ms or 0) - 1))
            if next_ms is None:
                raise InvalidOption(f"cron {cron!r} is never due: check its day and month")
        encoded = encode_job(name, data, **options)
        template = encoded.shape.opts
        rule: dict[str, Any] = {"pattern": cron, "every": every_ms, "startDate": start_ms, "endDate": end_ms}
        rule |= {"limit": limit, "tz": time_zone if cron else None}
        rule = {key: value for key, value in rule.items() if value is not None}
        iteration = {**jsonio.loads(template, "options"), "repeat": {**rule, "count": 1}, "repeatJobKey": schedule_id}
        return await self._queue.scripts.upsert_schedule(
            schedule_id, encoded.shape.name, encoded.data, template, jsonio.dumps(iteration, "options"), next_ms,
            jsonio.dumps(rule, "rule"),
        )  # fmt: skip

    async def all(self) -> list[Schedule]:
        """All schedules, the next due first."""
        queue = self._queue
        found: Any = await queue.redis.zrange(queue.keys.base + "repeat", 0, -1, withscores=True)
        schedules = [await self._read(text(schedule_id), int(score)) for schedule_id, score in found]
        return [schedule for schedule in schedules if schedule is not None]

    async def get(self, schedule_id: str) -> Schedule | None:
        """The schedule with that id, or None."""
        score = await self._queue.redis.zscore(self._queue.keys.base + "repeat", schedule_id)
        return None if score is None else await self._read(schedule_id, int(score))

    async def remove(self, schedule_id: str) -> bool:
        """Ends a schedule; a job of it that runs now ends as it would. False if there is none."""
        return await self._queue.scripts.remove_schedule(schedule_id)

    async def advance(self, schedule_id: str, job_id: str, opts: Mapping[str, Any]) -> str | None:
        """Places the iteration after ``job_id``, whose options are ``opts``; None if there is none to place."""
        repeat = opts.get("repeat")
        repeat = dict(repeat) if isinstance(repeat, Mapping) else {}
        schedule = await self.get(schedule_id)
        if schedule is None:
            return None
        count = repeat.get("count")
        count = count + 1 if isinstance(count, int) else schedule.iterations + 1
        now_ms = await self._queue.scripts.read_clock()
        if schedule.limit is not None and count > schedule.limit:
            return None
        next_ms: int | None = None
        if schedule.cron is not None:
            next_ms = next_cron_ms(schedule.cron, schedule.time_zone, max(now_ms, schedule.next_ms))
            if next_ms is None:
                return None
        due_ms = next_ms if next_ms is not None else schedule.next_ms + (schedule.every_ms or 0)
        if schedule.end_ms is not None and due_ms > schedule.end_ms:
            return None
        own = ("jobId", "prevMillis", "delay", "timestamp")
        following = {key: value for key, value in opts.items() if key not in own}
        following |= {"repeat": {**repeat, "count": count}, "repeatJobKey": schedule_id}
        placed = await self._queue.scripts.continue_schedule(
            schedule_id, job_id, next_ms, jsonio.dumps(following, "options")
        )
        return placed or None

    async def heal(self, most: int = 100) -> list[str]:
        """Places iterations that were lost, of up to ``most`` schedules; returns their ids."""
        placed: list[str] = []
        queue = self._queue
        found: Any = await queue.redis.zrange(
            queue.keys.base + "repeat", "-inf", await queue.scripts.read_clock() + 1000, byscore=True, offset=0,
            num=most, withscores=True,
        )  # fmt: skip
        for schedule_id, score in found:
            job_id = f"repeat:{text(schedule_id)}:{int(score)}"
            state = await queue.job_state(job_id)
            # one that waits or runs is in good hands: whoever fetches it goes on
            if state in ("waiting", "active", "delayed"):
                continue
            opts: Mapping[str, Any] = {}
            stored = await queue.redis.hget(queue.keys.job(job_id), "opts")
            if stored is None:
                stored = await queue.redis.hget(queue.keys.base + "repeat:" + text(schedule_id), "opts")
            opts = queue.decode_opts(stored)
            placed_id = await self.advance(text(schedule_id), job_id, opts)
            if placed_id:
                placed.append(placed_id)
        return placed

    async def _read(self, schedule_id: str, next_ms: int) -> Schedule | None:
        raw = await self._queue.redis.hgetall(self._queue.keys.base + "repeat:" + schedule_id)
        stored = {text(key): text(value) for key, value in raw.items()}
        # only a scheduler has an iteration count; what BullMQ 4 and older left is none
        if "ic" not in stored:
            return None

        def number(field: str) -> int | None:
            try:
                return int(float(stored[field]))
            except (KeyError, ValueError, OverflowError):
                return None

        try:
            data = jsonio.loads(stored.get("data", "{}"), "data")
        except ValueError:
            data = None
        return Schedule(
            id=schedule_id, name=stored.get("name", ""), data=data, cron=stored.get("pattern"),
            every_ms=number("every"), time_zone=stored.get("tz") or "UTC", start_ms=number("startDate"),
            end_ms=number("endDate"), limit=number("limit"), next_ms=next_ms, iterations=number("ic") or 0,
        )  # fmt: skip
