"""Repeated jobs: placed one ahead, continued by workers, healed when lost."""

from __future__ import annotations

import asyncio
import datetime
import itertools
from typing import Any

import pytest
from crewline import InvalidOption, Job, Queue, Worker
from crewline.queue.schedules import Schedules


async def test_every_runs_now_and_then_on_its_grid(queue: Queue, start_worker: Any, until: Any) -> None:
    seen: list[tuple[int, Any]] = []

    async def handle(job: Job) -> None:
        seen.append((int(job.id.rsplit(":", 1)[1]), job.data))

    await start_worker(handle)
    first = await queue.schedule("tick", "tick", {"k": 1}, every=0.2)
    assert first.startswith("repeat:tick:")
    await until(lambda: len(seen) >= 4)
    due = [moment for moment, _ in seen[:4]]
    assert due == sorted(set(due)), "an iteration ran twice"
    assert all((later - earlier) % 200 == 0 for earlier, later in itertools.pairwise(due))
    assert seen[0][1] == {"k": 1}
    assert await queue.schedules.remove("tick")
    counts = await queue.metrics()
    assert counts.delayed == 0 and await queue.schedules.all() == []


async def test_a_limit_ends_the_schedule(queue: Queue, start_worker: Any, until: Any) -> None:
    seen: list[str] = []

    async def handle(job: Job) -> None:
        seen.append(job.id)

    await start_worker(handle)
    await queue.schedule("thrice", "n", every=0.05, limit=3)
    await until(lambda: len(seen) == 3)
    await asyncio.sleep(0.3)
    assert len(seen) == 3 and (await queue.metrics()).delayed == 0
    assert await queue.schedules.heal() == []


async def test_cron_is_due_in_its_time_zone(queue: Queue) -> None:
    await queue.schedule("daily", "report", {"for": "all"}, cron="30 9 * * *", time_zone="Europe/Berlin", attempts=5)
    (schedule,) = await queue.schedules.all()
    due = datetime.datetime.fromtimestamp(schedule.next_ms / 1000, datetime.UTC)
    from zoneinfo import ZoneInfo

    assert due.astimezone(ZoneInfo("Europe/Berlin")).strftime("%H:%M:%S") == "09:30:00"
    assert (schedule.cron, schedule.iterations, schedule.data) == ("30 9 * * *", 1, {"for": "all"})
    job = await queue.get_job(f"repeat:daily:{schedule.next_ms}")
    assert job is not None and job.attempts == 5 and job.opts["repeat"]["pattern"] == "30 9 * * *"
    assert await job.state() == "delayed"


async def test_the_same_rule_again_keeps_the_next_job_and_another_replaces_it(queue: Queue) -> None:
    planned = await queue.schedule("s", "n", 1, cron="0 0 1 1 *")
    assert await queue.schedule("s", "n", 2, cron="0 0 1 1 *") == planned
    kept = await queue.get_job(planned)
    assert kept is not None and kept.data == 2
    moved = await queue.schedule("s", "n", 2, cron="0 0 2 1 *")
    assert moved != planned and await queue.get_job(planned) is None
    assert (await queue.metrics()).delayed == 1


async def test_an_iteration_that_was_lost_is_placed_again(queue: Queue, start_worker: Any, until: Any) -> None:
    first = await queue.schedule("tick", "n", every=3600)
    # its worker took it and died before it could place the next one; then the job was deleted, too
    await queue.redis.lrem(queue.keys.wait, 0, first)
    await queue.redis.delete(queue.keys.job(first))
    (healed,) = await queue.schedules.heal()
    assert healed != first and await queue.job_state(healed) == "delayed"
    assert await queue.schedules.heal() == []


async def test_a_planned_iteration_cant_be_removed_by_itself(queue: Queue) -> None:
    planned = await queue.schedule("s", "n", cron="0 0 1 1 *")
    assert await queue.remove(planned) is False
    assert await queue.job_state(planned) == "delayed"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "either cron or every"),
        ({"cron": "* * * * *", "every": 3}, "either cron or every"),
        ({"cron": "61 * * * *"}, "cron '61 "),
        ({"cron": "0 0 31 2 *"}, "cron '0 0 31 2 \\*'"),
        ({"cron": "* * * * *", "time_zone": "Mars/Olympus"}, "time zone 'Mars/Olympus'"),
        ({"every": 0}, "every 0"),
        ({"every": 1, "limit": 0}, "limit 0"),
        ({"every": 1, "job_id": "x"}, "'job_id'"),
        ({"every": 1, "end": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)}, "end .* is over"),
        ({"every": 1, "start": datetime.datetime(2030, 1, 1)}, "start .* no time zone"),
    ],
)
async def test_a_wrong_rule_is_refused(queue: Queue, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        await queue.schedule("s", "n", **arguments)
    assert await queue.redis.keys("*") == []


async def test_a_worker_that_stops_places_the_next_iteration_first(
    queue: Queue, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = Schedules.advance

    async def slowly(self: Schedules, *arguments: Any) -> str | None:
        await asyncio.sleep(0.3)
        return await advance(self, *arguments)

    monkeypatch.setattr(Schedules, "advance", slowly)

    async def handle(job: Job) -> None:
        await worker.stop()

    worker = Worker("emails", handle, redis=redis_url)
    await queue.schedule("hourly", "tick", every=3600)
    await asyncio.wait_for(worker.run(), 10)
    (schedule,) = await queue.schedules.all()
    assert (schedule.iterations, (await queue.metrics()).delayed) == (2, 1)
