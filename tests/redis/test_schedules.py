"""Repeated jobs: placed one ahead, continued by workers, healed when lost."""

from __future__ import annotations

import asyncio
import datetime
import itertools
from typing import Any

import pytest
from crewline import InvalidOption, Job, Queue, Worker
from crewline.queue.schedules import Schedules
from crewline.redis.scripts import Result

#: A moment before the first of that year in all time zones, and after all of the year before.
_IN_2100 = datetime.datetime(2099, 12, 31, 1, tzinfo=datetime.UTC)


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


async def test_a_schedule_that_is_used_up_stays_until_it_is_removed_and_does_not_begin_anew(queue: Queue) -> None:
    soon = datetime.datetime.fromtimestamp(await queue.scripts.read_clock() / 1000 + 30, datetime.UTC)
    rules: dict[str, dict[str, Any]] = {"limited": {"every": 60, "limit": 1}, "ended": {"every": 60, "end": soon}}
    last = {name: await queue.schedule(name, "n", **rule) for name, rule in rules.items()}
    fetched = await queue.scripts.finish_and_fetch([], letters="", token="t", lease_ms=60_000, worker="w", room=5)
    for job in fetched.jobs:
        opts = queue.decode_opts(job.fields[b"opts"])
        assert await queue.schedules.advance(job.fields[b"rjk"].decode(), job.id, opts) is None
    ended = [Result(job.id, "t", "completed", "null", keep_completed="0") for job in fetched.jobs]
    await queue.scripts.finish_and_fetch(ended, letters="", token="t", lease_ms=60_000, worker="w", room=0)
    listed = await queue.schedules.all()
    # as each start of a program does, though the jobs are gone
    assert {name: await queue.schedule(name, "n", **rule) for name, rule in rules.items()} == last
    assert await queue.schedules.heal() == [] and await queue.schedules.all() == listed and len(listed) == 2
    assert (await queue.metrics()).delayed == (await queue.metrics()).waiting == 0
    assert await queue.schedule("limited", "n", every=60, limit=2) != last["limited"]
    assert await queue.schedules.remove("ended")
    assert [schedule.id for schedule in await queue.schedules.all()] == ["limited"]


async def test_a_schedule_whose_end_is_over_is_no_error_where_it_was_made_before(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = await queue.scripts.read_clock()
    end = datetime.datetime.fromtimestamp(now_ms / 1000 + 600, datetime.UTC)
    cron = {"cron": "0 0 0 * * *", "end": end + datetime.timedelta(days=1)}
    rules: list[dict[str, Any]] = [{"every": 3600, "end": end}, cron]
    made = [await queue.schedule(f"s{n}", "n", **rule) for n, rule in enumerate(rules)]

    async def read_clock() -> int:
        return now_ms + 3 * 86_400_000

    monkeypatch.setattr(queue.scripts, "read_clock", read_clock)
    assert [await queue.schedule(f"s{n}", "n", **rule) for n, rule in enumerate(rules)] == made
    with pytest.raises(InvalidOption, match="is over"):
        await queue.schedule("another", "n", **rules[0])


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
    urgent = await queue.schedule("t", "n", every=60, priority=3)
    assert await queue.remove(urgent) is False
    assert await queue.redis.zcard(queue.keys.prioritized) == 1


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
        ({"every": 1, "start": _IN_2100, "end": _IN_2100 - datetime.timedelta(1)}, "end .* is before start"),
        ({"cron": "0 0 1 1 *", "start": _IN_2100, "end": _IN_2100}, "is not due before end"),
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


async def _lose(queue: Queue, *schedules: str, due_ms: int | float) -> None:
    """The planned iterations of these were deleted; they had been due at that time."""
    for schedule_id in schedules:
        planned = await queue.schedules.get(schedule_id)
        assert planned is not None
        job_id = f"repeat:{schedule_id}:{planned.next_ms}"
        await queue.redis.lrem(queue.keys.wait, 0, job_id)
        await queue.redis.zrem(queue.keys.delayed, job_id)
        await queue.redis.delete(queue.keys.job(job_id))
        await queue.redis.zadd(queue.keys.base + "repeat", {schedule_id: due_ms})


async def test_no_iteration_is_placed_after_the_end_however_late_it_is(queue: Queue) -> None:
    now_ms = await queue.scripts.read_clock()
    end = datetime.datetime.fromtimestamp(now_ms / 1000 + 600, datetime.UTC)
    await queue.schedule("s", "n", every=3600, end=end)
    # it was due hours ago: the next one by its grid is after the end, the one after it in time is not
    await _lose(queue, "s", due_ms=now_ms - 3 * 3_600_000 - 1000)
    assert await queue.schedules.heal() == []
    assert (await queue.metrics()).delayed == 0


async def test_schedules_that_cant_go_on_hold_up_no_other(queue: Queue) -> None:
    bad, good = [f"bad-{n}" for n in range(5)], [f"good-{n}" for n in range(3)]
    for schedule_id in (*bad, *good):
        await queue.schedule(schedule_id, "n", cron="0 0 1 1 *")
    now_ms = await queue.scripts.read_clock()
    await _lose(queue, *bad, due_ms=now_ms - 60_000)
    await _lose(queue, *good, due_ms=now_ms - 1000)
    for schedule_id in bad:
        await queue.redis.hset(queue.keys.base + "repeat:" + schedule_id, "pattern", "99 * * * *")
    failed: list[str] = []
    healed: list[str] = []
    for _ in range(4):
        healed += await queue.schedules.heal(2, lambda schedule_id, error: failed.append(schedule_id))
    assert set(failed) == set(bad) and len(healed) == 3


@pytest.mark.parametrize("score", [float("-inf"), -1e300, float("inf")])
async def test_a_due_time_that_is_none_ends_no_round(queue: Queue, score: float) -> None:
    for schedule_id in ("odd", "lost"):
        await queue.schedule(schedule_id, "n", every=3600)
    await _lose(queue, "odd", due_ms=score)
    await _lose(queue, "lost", due_ms=1000)
    healed = await queue.schedules.heal()
    assert len(healed) == (1 if score > 0 else 2)
    assert {schedule.id for schedule in await queue.schedules.all()} == {"odd", "lost"}


async def test_a_key_that_is_no_schedule_ends_no_round(queue: Queue) -> None:
    for schedule_id in ("odd", "lost"):
        await queue.schedule(schedule_id, "n", every=3600)
    await _lose(queue, "odd", "lost", due_ms=1000)
    await queue.redis.delete(queue.keys.base + "repeat:odd")
    await queue.redis.set(queue.keys.base + "repeat:odd", "x")
    failed: list[str] = []
    assert len(await queue.schedules.heal(on_error=lambda schedule_id, error: failed.append(schedule_id))) == 1
    assert failed == ["odd"]


async def test_an_earlier_iteration_that_waits_again_is_a_job_like_any(queue: Queue) -> None:
    first = await queue.schedule("s", "n", every=3600)
    later = await queue.schedules.advance("s", first, {})
    assert later and later != first
    assert await queue.drain(delayed=True) == 1
    assert await queue.job_state(later) == "delayed"
    again = await queue.schedule("t", "n", every=3600)
    await queue.schedules.advance("t", again, {})
    assert await queue.remove(again)


async def test_a_changed_rule_takes_no_iteration_away_that_was_begun(queue: Queue) -> None:
    first = await queue.schedule("s", "n", every=3600)
    await queue.scripts.finish_and_fetch([], letters="", token="t", lease_ms=60_000, worker="w", room=1)
    # its worker is dead: it is about to go to another
    await queue.redis.delete(queue.keys.job(first) + ":lock")
    later = await queue.schedule("s", "n", every=7200)
    assert later != first
    assert (await queue.job_state(first), await queue.job_state(later)) == ("active", "waiting")


async def test_a_schedule_whose_record_is_of_another_type_hides_none_of_the_others(queue: Queue) -> None:
    await queue.schedule("ours", "n", every=3600)
    await queue.redis.zadd(queue.keys.base + "repeat", {"broken": 1})
    await queue.redis.set(queue.keys.base + "repeat:broken", "no hash")
    assert [schedule.id for schedule in await queue.schedules.all()] == ["ours"]
    assert await queue.schedules.get("broken") is None
    await queue.redis.delete(queue.keys.base + "repeat:broken")
    await queue.redis.zrem(queue.keys.base + "repeat", "broken")
    assert await queue.schedules.remove("ours")


async def test_an_iteration_that_waits_where_bullmq_5_keeps_it_in_a_pause_is_its_schedules(queue: Queue) -> None:
    iteration = await queue.schedule("tick", "tick", every=3600)
    # as BullMQ 5 pauses
    await queue.redis.rename(queue.keys.wait, queue.keys.paused)
    await queue.redis.hset(queue.keys.meta, mapping={"paused": 1, "version": "bullmq:5.81.5"})
    assert not await queue.remove(iteration)
    assert await queue.redis.lrange(queue.keys.paused, 0, -1) == [iteration.encode()]
    assert await queue.schedules.remove("tick")
    assert await queue.redis.exists(queue.keys.paused, queue.keys.job(iteration)) == 0
