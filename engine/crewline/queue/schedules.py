"""Repeated jobs in BullMQ's job-scheduler layout: Node workers and dashboards see and run them too.

There is no scheduler process. The next iteration is always an ordinary delayed job, and the worker that fetches it
places the one after. An iteration that was lost (deleted, or its worker died in between) is placed again by `heal`.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from redis.exceptions import ResponseError

from crewline.errors import CrewlineError, InvalidOption
from crewline.queue.by_id import ById
from crewline.queue.schedule import MOST_MS, Schedule, iteration_id, stored_schedule, whole_ms
from crewline.redis.connection import is_wrong_type
from crewline.wire import jsonio
from crewline.wire.checks import A_MILLISECOND, check_callable, check_count, check_seconds, check_text
from crewline.wire.cron import Cron, check_zone, next_cron_ms
from crewline.wire.options import check_options, encode_job
from crewline.wire.text import text

#: Seconds for which `Schedules.heal` remembers where it is to go on.
PLACE_SECONDS = 86_400


def _moment_ms(moment: datetime.datetime | None, what: str) -> int | None:
    if moment is None:
        return None
    if not isinstance(moment, datetime.datetime) or moment.tzinfo is None:
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
        """Makes or changes a schedule; returns the id of its next job, or of its last where it is used up."""
        if ":" in check_text(schedule_id, "schedule id"):
            raise InvalidOption(f"schedule id {schedule_id!r} must not contain ':' (it parts Redis keys): use '-'")
        if (cron is None) == (every is None):
            raise InvalidOption("a schedule needs either cron or every: give exactly one")
        if limit is not None:
            check_count(limit, "limit")
        check_options(options)
        for given in ("job_id", "delay", "dedup"):
            if given in options:
                raise InvalidOption(f"option {given!r} is each iteration's own: leave it out")
        every_ms = None
        if every is not None:
            every_ms = round(check_seconds(every, "every", A_MILLISECOND) * 1000)
        start_ms, end_ms = _moment_ms(start, "start"), _moment_ms(end, "end")
        check_zone(time_zone)
        if cron is not None:
            Cron(cron, time_zone)
        encoded = encode_job(name, data, max_payload_bytes=self._queue.max_payload_bytes, **options)
        now_ms = await self._queue.scripts.read_clock()
        over, next_ms = "", None
        if end_ms is not None and end_ms <= now_ms:
            over = f"end {end!r} is over"
        elif start_ms is not None and end_ms is not None and start_ms > end_ms:
            over = f"end {end!r} is before start {start!r}"
        elif cron is not None:
            next_ms = next_cron_ms(cron, time_zone, max(now_ms, (start_ms or 0) - 1))
            if next_ms is None:
                raise InvalidOption(f"cron {cron!r} is never due: check its day and month")
            if end_ms is not None and next_ms > end_ms:
                over = f"cron {cron!r} is not due before end {end!r}"
        if over:
            made = await self.get(schedule_id)
            if made is None or (made.cron, made.every_ms, made.end_ms) != (cron, every_ms, end_ms):
                raise InvalidOption(f"{over}: the schedule would never run")
            # made at each start of a program, and used up by now
            return iteration_id(schedule_id, made.next_ms)
        template = encoded.shape.opts
        rule: dict[str, Any] = {"pattern": cron, "every": every_ms, "startDate": start_ms, "endDate": end_ms}
        rule |= {"limit": limit, "tz": time_zone if cron else None}
        rule = {key: value for key, value in rule.items() if value is not None}
        iteration = {**jsonio.loads(template, "options"), "repeat": {**rule, "count": 1}, "repeatJobKey": schedule_id}
        placed = await self._queue.scripts.upsert_schedule(
            schedule_id, encoded.shape.name, encoded.data, template, jsonio.dumps(iteration, "options"), next_ms,
            jsonio.dumps(rule, "rule"),
        )  # fmt: skip
        if not placed:
            raise InvalidOption(
                f"schedule {schedule_id!r} has run for the last time before its end {end!r}: it is removed"
            )
        return placed

    async def all(self) -> list[Schedule]:
        """All schedules, the next due first; those that are used up, too, until they are removed."""
        queue = self._queue
        found: Any = await queue.redis.zrange(queue.keys.base + "repeat", 0, -1, withscores=True)
        schedules = [await self._read(text(schedule_id), whole_ms(score)) for schedule_id, score in found]
        return [schedule for schedule in schedules if schedule is not None]

    async def get(self, schedule_id: str) -> Schedule | None:
        """The schedule with that id, or None."""
        if schedule_id == "":
            return None
        check_text(schedule_id, "schedule id")
        score = await self._queue.redis.zscore(self._queue.keys.base + "repeat", schedule_id)
        return None if score is None else await self._read(schedule_id, whole_ms(score))

    async def remove(self, schedule_id: str) -> bool:
        """Ends a schedule; a job of it that runs now ends as it would. False if there is none."""
        check_text(schedule_id, "schedule id")
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
        # what the schedule says now; one that an older client made says nothing: then as this one was
        template = schedule.opts or opts
        own = ("jobId", "prevMillis", "delay", "timestamp")
        following = {key: value for key, value in template.items() if key not in own}
        following |= {"repeat": {**repeat, "count": count}, "repeatJobKey": schedule_id}
        placed = await self._queue.scripts.continue_schedule(
            schedule_id, job_id, next_ms, jsonio.dumps(following, "options")
        )
        return placed or None

    async def heal(
        self, most: int = 100, on_error: Callable[[str, Exception], None] = lambda schedule_id, error: None
    ) -> list[str]:
        """Places iterations that were lost; returns their ids.

        It looks at up to ``most`` schedules that are due and goes on behind them the next time, so that those that
        can't be continued, which ``on_error`` is told of, hold up no other.
        """
        check_count(most, "most")
        check_callable(on_error, "on_error")
        placed: list[str] = []
        queue = self._queue
        place = queue.keys.extra("heal")
        try:
            skip = int(await queue.redis.get(place) or 0)
        except ValueError:
            skip = 0
        found: Any = await queue.redis.zrange(
            queue.keys.base + "repeat", "-inf", await queue.scripts.read_clock() + 1000, byscore=True, offset=skip,
            num=most, withscores=True,
        )  # fmt: skip
        for schedule_id, score in found:
            try:
                placed_id = await self._heal(text(schedule_id), score)
            except (CrewlineError, ValueError, ResponseError) as error:
                on_error(text(schedule_id), error)
            else:
                if placed_id:
                    placed.append(placed_id)
        if len(found) < most:
            await queue.redis.delete(place)
        else:
            # those that were placed are not due any more
            await queue.redis.set(place, skip + len(found) - len(placed), ex=PLACE_SECONDS)
        return placed

    async def _heal(self, schedule_id: str, score: float) -> str | None:
        queue = self._queue
        if not abs(score) < MOST_MS:
            # a foreign client's: no iteration has such an id; it is as one that was lost just now
            score = await queue.scripts.read_clock()
            await queue.redis.zadd(queue.keys.base + "repeat", {schedule_id: score}, xx=True)
        job_id = iteration_id(schedule_id, int(score))
        # one that waits or runs is in good hands: whoever fetches it goes on
        if await queue.job_state(job_id) in ("waiting", "active", "delayed"):
            return None
        stored = await queue.redis.hget(queue.keys.job(job_id), "opts")
        if stored is None:
            stored = await queue.redis.hget(queue.keys.base + "repeat:" + schedule_id, "opts")
        return await self.advance(schedule_id, job_id, queue.decode_opts(stored))

    async def _read(self, schedule_id: str, next_ms: int) -> Schedule | None:
        try:
            raw = await self._queue.redis.hgetall(self._queue.keys.base + "repeat:" + schedule_id)
        except ResponseError as error:
            if not is_wrong_type(error):
                raise
            return None
        return stored_schedule(self._queue, schedule_id, next_ms, raw)
