"""As touching.py, for calls that change what is there, and those that keep it in order."""

from __future__ import annotations

from crewline import DeadLetters, Dedup, FlowJob, Keep, Queue
from crewline.redis.scripts import Result

from tests.redis.touching import Call, Case, fetch, tree


async def ended(queue: Queue) -> None:
    """Two jobs that failed, one of them a child, one that completed; a dead letter for one."""
    await queue.add_flow(
        FlowJob("n", options={"job_id": "parent"}, children=[
            FlowJob("n", options={"job_id": "a"}, on_failure="fail"),
            FlowJob("n", options={"job_id": "b", "priority": 1}),
        ])
    )  # fmt: skip
    await queue.add("n", 1, job_id="c", dedup=Dedup("x", 60))
    ids = await fetch(queue, 3)
    assert set(ids) == {"a", "b", "c"}
    outcomes = {"a": "failed", "b": "failed", "c": "completed"}
    await fetch(queue, 0, results=[Result(i, "t", outcomes[i], '"why"', letter=i == "b") for i in ids])
    for job_id in ids:
        await queue.redis.rpush(queue.keys.job(job_id) + ":logs", "line")
    await queue.redis.delete(queue.keys.marker)


async def retries_a_job(queue: Queue) -> Call:
    await ended(queue)
    return lambda: queue.retry("b")


async def retries_jobs(queue: Queue) -> Call:
    await ended(queue)
    return lambda: queue.scripts.retry_jobs("failed", 2**52, 10, True)


async def replays_a_letter(queue: Queue) -> Call:
    await ended(queue)
    (letter,) = await DeadLetters(queue).list()
    return lambda: DeadLetters(queue).replay(letter.id)


async def replays_a_letter_of_a_removed_job(queue: Queue) -> Call:
    await ended(queue)
    (letter,) = await DeadLetters(queue).list()
    await queue.remove("b")
    return lambda: DeadLetters(queue).replay(letter.id)


async def removes_a_tree(queue: Queue) -> Call:
    await queue.add_flow(tree(4))
    return lambda: queue.remove("root")


async def removes_a_child(queue: Queue) -> Call:
    await ended(queue)
    return lambda: queue.remove("b")


async def cleans_failed_jobs(queue: Queue) -> Call:
    await ended(queue)
    return lambda: queue.clean("failed")


async def cleans_waiting_jobs(queue: Queue) -> Call:
    await queue.add_flow(tree(4))
    return lambda: queue.clean("waiting")


async def sweeps(queue: Queue) -> Call:
    await ended(queue)
    await queue.redis.hset(queue.keys.job("a"), "opts", "{}")
    return lambda: queue.scripts.sweep_jobs("failed", Keep(count=0))


async def obliterates(queue: Queue) -> Call:
    await ended(queue)
    await queue.schedule("s", "n", every=60)
    await queue.scripts.beat("w", "w", 60_000, "{}", "", [])
    await queue.redis.zadd(queue.keys.extra("flows"), {"root": 1})
    await queue.pause()
    return lambda: queue.scripts.obliterate_queue(100, True)


async def pauses_and_resumes(queue: Queue) -> Call:
    await queue.add_bulk(("n", n) for n in range(3))
    await queue.redis.rename(queue.keys.wait, queue.keys.paused)
    await queue.add_bulk(("n", n, {"delay": 1}) for n in range(3))
    await queue.redis.hset(queue.keys.meta, "paused", 1)
    return queue.resume


async def limits(queue: Queue) -> Call:
    await queue.add_bulk(("n", n) for n in range(3))
    await queue.add_bulk(("n", n, {"delay": 1}) for n in range(3))
    return lambda: queue.set_global_concurrency(3)


async def promotes(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"delay": 60, "priority": n}) for n in range(3))
    return queue.promote_all


async def changes_a_delay(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"delay": 60, "job_id": f"d{n}"}) for n in range(6))
    return lambda: queue.change_delay("d1", 70)


async def changes_a_priority(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"job_id": f"d{n}"}) for n in range(6))
    return lambda: queue.change_priority("d1", 7)


async def cancels_a_job_that_waits(queue: Queue) -> Call:
    await queue.add_flow(tree(4))
    await queue.redis.hset(queue.keys.job("leaf3"), mapping={"suspect": 1})
    return lambda: queue.cancel("leaf3", "no more")


async def cancels_a_job_that_runs(queue: Queue) -> Call:
    await queue.add_flow(tree(4))
    await fetch(queue, 2)
    return lambda: queue.cancel("leaf0", "no more")


async def recovers(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"job_id": f"w{n}", "priority": n % 2}) for n in range(8))
    await fetch(queue, 6)
    await queue.cancel("w2", "no more")
    for job_id in ("w0", "w1", "w2", "w3", "w4", "w5", "w6", "w7"):
        await queue.redis.delete(queue.keys.job(job_id) + ":lock")
        await queue.redis.hset(queue.keys.job(job_id), mapping={"processedOn": 5, "alone": 1})
    await queue.redis.hset(queue.keys.job("w4"), "unread", "1:5")
    await queue.redis.sadd(queue.keys.stalled, "w0")
    return lambda: queue.scripts.recover_stalled(1, 3, lease_ms=1000, once=True)


async def renews(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"job_id": f"w{n}"}) for n in range(4))
    await fetch(queue, 4)
    await queue.redis.sadd(queue.keys.stalled, "w0")
    await queue.redis.delete(queue.keys.job("w1") + ":lock")
    started = await queue.redis.hget(queue.keys.job("w1"), "processedOn")
    told = [each for n in range(4) for each in (f"w{n}", "t", f"1:{started.decode()}")]
    return lambda: queue.scripts.extend_leases(1000, *told)


async def beats(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"job_id": f"w{n}"}) for n in range(4))
    await fetch(queue, 4)
    await queue.cancel("w1")
    await queue.redis.set(queue.keys.extra("settings"), "{}")
    return lambda: queue.scripts.beat("w", "w", 60_000, "{}", "", [("w0", "t"), ("w1", "t")])


async def writes_of_a_run(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"job_id": f"w{n}"}) for n in range(6))
    await fetch(queue, 4)

    async def act() -> None:
        await queue.scripts.update_progress("w0", "1", "t")

    return act


async def makes_a_schedule(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"delay": 60, "job_id": f"d{n}"}) for n in range(6))
    return lambda: queue.schedule("s", "n", every=60)


async def changes_a_schedule(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"delay": 60, "job_id": f"d{n}"}) for n in range(6))
    await queue.schedule("s", "n", every=60)
    await queue.schedule("s", "n", every=3600)
    return lambda: queue.schedule("s", "n", every=60)


async def continues_a_schedule(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"delay": 60, "job_id": f"d{n}"}) for n in range(6))
    first = await queue.schedule("s", "n", every=60)
    return lambda: queue.schedules.advance("s", first, {})


async def ends_a_schedule(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"delay": 60, "job_id": f"d{n}"}) for n in range(6))
    await queue.schedule("s", "n", every=60)
    return lambda: queue.schedules.remove("s")


CASES: tuple[Case, ...] = (
    retries_a_job,
    retries_jobs,
    replays_a_letter,
    replays_a_letter_of_a_removed_job,
    removes_a_tree,
    removes_a_child,
    cleans_failed_jobs,
    cleans_waiting_jobs,
    sweeps,
    obliterates,
    pauses_and_resumes,
    limits,
    promotes,
    changes_a_delay,
    changes_a_priority,
    cancels_a_job_that_waits,
    cancels_a_job_that_runs,
    recovers,
    renews,
    beats,
    writes_of_a_run,
    makes_a_schedule,
    changes_a_schedule,
    continues_a_schedule,
    ends_a_schedule,
)
