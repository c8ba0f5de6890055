"""Jobs whose worker died: found at one look where locks are to be trusted, at two where not, and in bounded calls."""

from __future__ import annotations

from typing import Any

import pytest
from crewline import Queue
from crewline.redis.scripts import Recovered, Result
from crewline.wire.text import text

LEASE_MS = 30_000


async def _fetch(queue: Queue, room: int = 1, **more: Any) -> list[str]:
    asked = {"letters": "", "token": "t", "lease_ms": LEASE_MS, "worker": "w", **more}
    fetched = await queue.scripts.finish_and_fetch([], room=room, **asked)
    return [each.id for each in fetched.jobs]


async def _lose(queue: Queue, *job_ids: str, age_ms: int = LEASE_MS) -> None:
    """The worker of these died: its leases ran out, and they began so long ago."""
    began = await queue.scripts.read_clock() - age_ms
    for job_id in job_ids:
        await queue.redis.hset(queue.keys.job(job_id), "processedOn", str(began))
        await queue.redis.delete(queue.keys.job(job_id) + ":lock")


async def _look(queue: Queue, *, once: bool = True, most: int = 3, **more: Any) -> Recovered:
    await queue.redis.delete(queue.keys.stalled_check)
    return await queue.scripts.recover_stalled(60_000, most, lease_ms=LEASE_MS, once=once, **more)


async def test_one_look_is_enough_where_the_locks_are_to_be_trusted(queue: Queue) -> None:
    await queue.add("n", 1)
    await _lose(queue, *(await _fetch(queue)))
    assert (await _look(queue)).back == ["1"]
    assert await queue.redis.hmget(queue.keys.job("1"), "stc", "suspect") == [b"1", b"1"]
    assert await queue.job_state("1") == "waiting"


async def test_two_looks_are_needed_where_redis_or_the_worker_may_have_stood_still(queue: Queue) -> None:
    await queue.add_bulk([("n", 1), ("n", 2)])
    await _lose(queue, *(await _fetch(queue, room=2)))
    assert (await _look(queue, once=False)).back == []
    # the other one's worker has its lease again
    await queue.redis.set(queue.keys.job("2") + ":lock", "t", px=LEASE_MS)
    assert (await _look(queue, once=False)).back == ["1"]
    assert await queue.redis.smembers(queue.keys.stalled) == set()


async def test_a_job_without_a_lock_stays_active_for_the_length_of_a_lease(queue: Queue) -> None:
    await queue.add("n", 1)
    # as a BullMQ worker runs one that it fetched with the token "0"
    await _lose(queue, *(await _fetch(queue)), age_ms=LEASE_MS - 5000)
    for once in (True, False, False):
        assert await _look(queue, once=once) == ([], [], [])
    assert await queue.redis.smembers(queue.keys.stalled) == set()
    assert await queue.job_state("1") == "active"


async def test_a_job_under_a_lease_is_never_put_into_stalled(queue: Queue) -> None:
    await queue.add("n", 1)
    await _fetch(queue)
    await _look(queue, once=False)
    assert await queue.redis.exists(queue.keys.stalled) == 0


async def test_a_job_goes_back_before_its_equals_in_its_own_class(queue: Queue) -> None:
    await queue.add_bulk([("n", i, {"priority": 4}) for i in range(3)])
    await _lose(queue, *(await _fetch(queue)))
    await _look(queue)
    assert await queue.redis.zrange(queue.keys.prioritized, 0, -1) == [b"1", b"2", b"3"]


async def test_a_job_that_nobody_read_of_never_began(queue: Queue) -> None:
    await queue.add("n", 1)
    before = await queue.redis.hgetall(queue.keys.job("1"))
    await _fetch(queue, unread_ms=20)
    await queue.redis.delete(queue.keys.job("1") + ":lock")
    assert (await _look(queue)).unbegun == ["1"]
    after = await queue.redis.hgetall(queue.keys.job("1"))
    after.pop(b"unread")
    assert after == before
    events = [(entry[b"event"], entry.get(b"prev")) for _, entry in await queue.redis.xrange(queue.keys.events)]
    assert events[-1] == (b"waiting", b"active")


@pytest.mark.parametrize("once", [True, False])
async def test_what_nobody_read_of_never_began_however_late_somebody_looks(queue: Queue, once: bool) -> None:
    await queue.add("n", 1)
    before = await queue.redis.hgetall(queue.keys.job("1"))
    fetched = await queue.scripts.finish_and_fetch(
        [], letters="", token="t", lease_ms=LEASE_MS, worker="w", room=1, unread_ms=20
    )
    # it was fetched so long ago
    began = fetched.now_ms - 3 * LEASE_MS
    await queue.redis.hset(queue.keys.job("1"), mapping={"processedOn": str(began), "unread": f"1:{began}"})
    await queue.redis.delete(queue.keys.job("1") + ":lock")
    if not once:
        # where the locks may not be trusted, who has it has the time until the next look to renew its lease
        assert await _look(queue, once=once) == ([], [], [])
    assert await _look(queue, once=once) == ([], [], ["1"])
    after = await queue.redis.hgetall(queue.keys.job("1"))
    after.pop(b"unread")
    assert after == before


async def test_what_is_read_of_late_is_a_start_like_any(queue: Queue) -> None:
    await queue.add("n", 1)
    fetched = await queue.scripts.finish_and_fetch(
        [], letters="", token="t", lease_ms=LEASE_MS, worker="w", room=1, unread_ms=20
    )
    lock = queue.keys.job("1") + ":lock"
    assert 0 < await queue.redis.pttl(lock) <= 20
    assert await queue.scripts.extend_leases(LEASE_MS, "1", "t", f"1:{fetched.now_ms}") == []
    assert await queue.redis.pttl(lock) > LEASE_MS / 2
    await _lose(queue, "1")
    assert await _look(queue) == (["1"], [], [])


async def test_a_job_that_may_kill_whoever_reads_of_it_is_a_suspect_at_the_third_time(queue: Queue) -> None:
    await queue.add("n", 1)
    found = []
    for _ in range(3):
        await _fetch(queue, unread_ms=20)
        if len(found) == 2:
            await _lose(queue, "1")
        await queue.redis.delete(queue.keys.job("1") + ":lock")
        found.append(await _look(queue))
    assert [each.unbegun for each in found] == [["1"], ["1"], []]
    assert found[-1].back == ["1"]


async def test_another_clients_later_start_is_not_taken_for_one_that_never_began(queue: Queue) -> None:
    await queue.add("n", 1)
    await _fetch(queue, unread_ms=20)
    # BullMQ's fetch writes its own time of start, and leaves our mark
    await _lose(queue, "1", age_ms=1000)
    assert await _look(queue) == ([], [], [])
    assert await queue.job_state("1") == "active"


async def test_a_job_is_doomed_once_it_was_alone_with_a_worker_that_died_too_often(queue: Queue) -> None:
    await queue.add("n", 1)
    for crashes in (1, 2):
        await _fetch(queue)
        await queue.scripts.mark_alone("1", "t")
        await _lose(queue, "1")
        found = await _look(queue, most=2)
        assert (found.back, found.doomed) == ((["1"], []) if crashes == 1 else ([], ["1"]))
    assert await queue.redis.hmget(queue.keys.job("1"), "suspect", "crashes", "alone") == [b"2", b"2", None]
    assert await queue.redis.hget(queue.keys.job("1"), "defa") == b"job took its worker down 2 times"


async def test_all_that_is_active_is_gone_through_in_small_calls(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    await queue.add_bulk([("n", i) for i in range(50)])
    ids = await _fetch(queue, room=50)
    lost = [job_id for n, job_id in enumerate(ids) if n % 3]
    await _lose(queue, *lost)
    calls = 0
    call = queue.scripts.call

    async def counted(name: str, *args: Any) -> Any:
        nonlocal calls
        calls += 1
        return await call(name, *args)

    monkeypatch.setattr(queue.scripts, "call", counted)
    found = await _look(queue, window=7)
    assert sorted(found.back, key=int) == sorted(lost, key=int)
    assert calls >= 50 / 7
    active = [text(job_id) for job_id in await queue.redis.lrange(queue.keys.active, 0, -1)]
    assert active == [job_id for job_id in reversed(ids) if job_id not in lost]
    # the oldest of a window is the next to run, and all are there once
    waiting = [text(job_id) for job_id in await queue.redis.lrange(queue.keys.wait, 0, -1)]
    assert sorted(waiting) == sorted(lost)


async def test_what_is_marked_as_stalled_for_nothing_does_not_pile_up(queue: Queue) -> None:
    await queue.add_bulk([("n", i) for i in range(3)])
    await _fetch(queue, room=2)
    ended = Result("1", "t", "completed", "1")
    await queue.scripts.finish_and_fetch([ended], letters="", token="t", lease_ms=1, worker="w", room=0)
    # BullMQ's check marks all that is active, and does not come again
    await queue.redis.sadd(queue.keys.stalled, "1", "2", *(f"gone-{n}" for n in range(150)))
    for _ in range(20):
        await _look(queue)
    assert await queue.redis.exists(queue.keys.stalled) == 0


@pytest.mark.parametrize("job_id", [b"none", b"", b"\xff", b"a-list"])
async def test_an_id_that_is_no_job_goes_at_the_second_look(queue: Queue, job_id: bytes) -> None:
    if job_id == b"a-list":
        await queue.redis.rpush(queue.keys.job("a-list"), "x")
    await queue.redis.lpush(queue.keys.active, job_id)
    assert await _look(queue) == ([], [], [])
    assert await queue.redis.llen(queue.keys.active) == 1
    assert await _look(queue) == ([], [], [])
    assert await queue.redis.exists(queue.keys.active, queue.keys.stalled, queue.keys.wait) == 0
    # a key that is no job is its client's, not ours to delete
    assert await queue.redis.delete(queue.keys.job("a-list")) == (job_id == b"a-list")


async def test_a_second_look_within_the_interval_finds_nothing_to_do(queue: Queue) -> None:
    await queue.add("n", 1)
    await _lose(queue, *(await _fetch(queue)))
    await queue.redis.set(queue.keys.stalled_check, "1", px=60_000)
    assert await queue.scripts.recover_stalled(60_000, 3, lease_ms=LEASE_MS, once=True) == ([], [], [])


async def test_no_second_look_comes_before_a_worker_that_lives_can_have_renewed_its_leases(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    await queue.add("n", 1)
    await _lose(queue, *(await _fetch(queue)))

    async def handle(job: Any) -> None: ...

    # it begins now, and knows nothing of the last lease
    await start_worker(handle, lease_seconds=LEASE_MS / 1000, stalled_interval_seconds=0.05)
    await until(lambda: queue.redis.sismember(queue.keys.stalled, "1"))
    # whoever looks sets how long nobody does
    assert await queue.redis.pttl(queue.keys.stalled_check) > LEASE_MS / 6
    assert await queue.job_state("1") == "active"
    await _look(queue)


async def _redis_looks(queue: Queue, ago_ms: int | None = None, since_ms: int = 0, last_ms: int = 0) -> Recovered:
    """A look that goes by Redis' record, which says that looks came from ``since_ms`` to ``last_ms`` ago."""
    if ago_ms is None:
        now = await queue.scripts.read_clock()
        record = {"since": str(now - since_ms), "last": str(now - last_ms)}
        await queue.redis.hset(queue.keys.extra("looks"), mapping=record)
    await queue.redis.delete(queue.keys.stalled_check)
    return await queue.scripts.recover_stalled(60_000, 3, lease_ms=LEASE_MS)


@pytest.mark.parametrize(
    ("since_ms", "last_ms", "trusted"),
    [
        (LEASE_MS, LEASE_MS // 3, True),
        # not for a whole lease yet
        (LEASE_MS * 2 // 3, LEASE_MS // 3, False),
        # Redis stood still, or all workers
        (LEASE_MS * 9, LEASE_MS * 2 // 3, False),
        # its clock was set back
        (LEASE_MS * 9, -LEASE_MS, False),
    ],
)
async def test_a_look_is_trusted_where_looks_came_regularly_for_a_whole_lease(
    queue: Queue, since_ms: int, last_ms: int, trusted: bool
) -> None:
    await queue.add("n", 1)
    await _lose(queue, *(await _fetch(queue)))
    found = await _redis_looks(queue, since_ms=since_ms, last_ms=last_ms)
    assert found.back == (["1"] if trusted else [])
    assert bool(await queue.redis.sismember(queue.keys.stalled, "1")) is not trusted
    # its record goes where nobody looks any more
    assert 0 < await queue.redis.pttl(queue.keys.extra("looks")) <= LEASE_MS


async def test_a_look_without_a_record_is_not_trusted_nor_is_one_of_another_type(queue: Queue) -> None:
    await queue.add("n", 1)
    await _lose(queue, *(await _fetch(queue)))
    await queue.redis.set(queue.keys.extra("looks"), "no hash")
    assert (await _redis_looks(queue, 0)).back == []
    assert await queue.job_state("1") == "active"


async def test_a_start_in_the_future_holds_no_job_for_ever(queue: Queue) -> None:
    await queue.add("n", 1)
    await _lose(queue, *(await _fetch(queue)), age_ms=-86_400_000)
    assert (await _look(queue)).back == []
    assert (await _look(queue)).back == ["1"]
