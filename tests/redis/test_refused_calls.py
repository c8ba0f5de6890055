"""A script that Redis refuses, since a key is of another type than it should be, has changed nothing.

Each case makes a queue in which a call touches all that it can touch, then breaks one key after the other. What a
script takes for granted it has to look at before it writes; what it does not need must not end it.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from crewline import CrewlineError, DeadLetters, Dedup, FlowJob, Keep, Queue
from crewline.redis.scripts import Result
from redis.exceptions import ResponseError

from tests.redis.fuzzing import make

Call = Callable[[], Awaitable[Any]]
Case = Callable[[Queue], Awaitable[Call]]

CASES: dict[str, Case] = {}

LETTERS = "bull:emails-dlq:"


def case(prepare: Case) -> Case:
    CASES[prepare.__name__] = prepare
    return prepare


async def fetch(queue: Queue, room: int, **told: Any) -> list[str]:
    asked = {"token": "t", "letters": LETTERS, "lease_ms": 60_000, "worker": "w", "points": 5} | told
    fetched = await queue.scripts.finish_and_fetch(asked.pop("results", []), room=room, **asked)
    return [job.id for job in fetched.jobs]


@case
async def fetches_from_wherever_jobs_are(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"job_id": f"w{n}"}) for n in range(3))
    await queue.add_bulk(("n", n, {"job_id": f"p{n}", "priority": 1}) for n in range(3))
    await queue.add_bulk(("n", n, {"job_id": f"d{n}", "delay": 0.001, "priority": n}) for n in range(2))
    await queue.redis.hset(queue.keys.job("w1"), "suspect", 1)
    await queue.redis.hset(queue.keys.extra("passed"), mapping={"wait": "w0", "at": 1})
    await queue.redis.hset(queue.keys.meta, mapping={"max": 5, "duration": 60_000})
    return lambda: fetch(queue, 5, unread_ms=1000, suspects=0)


@case
async def fetches_again_what_an_answer_was_lost_for(queue: Queue) -> Call:
    await queue.add_bulk(("n", n) for n in range(3))
    await fetch(queue, 2)
    return lambda: fetch(queue, 2, again=True)


@case
async def settles_results_of_all_kinds(queue: Queue) -> Call:
    ids = ["a", "b", "c", "d", "e", "f"]
    await queue.add_flow(
        FlowJob("parent", options={"job_id": "parent"}, children=[
            FlowJob("n", options={"job_id": "a", "dedup": Dedup("x", keep_last_if_active=True)}),
            FlowJob("n", options={"job_id": "b"}, on_failure="fail"),
        ])
    )  # fmt: skip
    await queue.add_bulk(("n", 1, {"job_id": job_id, "priority": 1}) for job_id in ids[2:])
    assert set(await fetch(queue, 6)) == set(ids)
    await queue.add("n", 1, dedup=Dedup("x", keep_last_if_active=True))
    await queue.cancel("d")
    await queue.add_bulk(("n", n) for n in range(3))
    outcomes = ("completed", "failed", "failed", "retry", "back", "retry")
    results = [
        Result(job_id, "t", outcome, '"why"', trace="torn", keep_completed="=1000,86400", keep_failed="1000,86400",
               delay_ms=1000 * (job_id == "f"), suspect=job_id == "c")
        for job_id, outcome in zip(ids, outcomes, strict=True)
    ]  # fmt: skip
    return lambda: fetch(queue, 2, results=results)


@case
async def adds_jobs(queue: Queue) -> Call:
    await queue.add("n", 1, job_id="known")
    await queue.add("n", 1, job_id="held", delay=60, dedup=Dedup("x", 60))
    await queue.add("n", 1, job_id="running", dedup=Dedup("y"))
    await fetch(queue, 2)
    await queue.pause()
    jobs = [
        ("n", 1), ("n", 1, {"priority": 1}), ("n", 1, {"delay": 60}), ("n", 1, {"job_id": "known"}),
        ("n", 1, {"dedup": Dedup("x", 60, replace=True)}), ("n", 1, {"dedup": Dedup("y", keep_last_if_active=True)}),
        ("n", 1, {"job_id": "chosen", "dedup": Dedup("z")}), ("n", 1),
    ]  # fmt: skip
    return lambda: queue.add_bulk(jobs)


def tree(leaves: int = 3) -> FlowJob:
    kinds = ({}, {"priority": 1}, {"delay": 60}, {"dedup": "x"}, {"job_id": "known"})
    return FlowJob("n", options={"job_id": "root"}, children=[
        FlowJob("n", options={"job_id": f"leaf{n}", **kinds[n % 5]}) for n in range(leaves)
    ])  # fmt: skip


@case
async def adds_a_flow(queue: Queue) -> Call:
    await queue.add("n", 1, job_id="known")
    return lambda: queue.add_flow(tree(5))


async def held_flow(queue: Queue) -> None:
    """A large tree whose producer dies before its second part."""
    part = queue.scripts.call
    parts = 0

    async def dies(name: str, *told: Any) -> Any:
        nonlocal parts
        parts += 1
        if parts > 1:
            raise ConnectionError
        return await part(name, *told)

    queue.scripts.call = dies  # type: ignore[method-assign]
    with contextlib.suppress(ConnectionError):
        await queue.add_flow(tree(120))
    del queue.scripts.call


@case
async def adds_a_part_of_a_flow(queue: Queue) -> Call:
    await held_flow(queue)
    jobs = [
        (
            queue.keys.base,
            queue.encode("n", 1, job_id=f"more{n}", extra={"parentKey": queue.keys.job("root"), "parent": "{}"}),
        )
        for n in range(3)
    ]
    sent = [(base, each.job_id, each.shape.name, each.data, *each.shape[1:]) for base, each in jobs]
    return lambda: queue.scripts.call("add_flow", "root", "", *itertools.chain.from_iterable(sent))


@case
async def releases_a_flow(queue: Queue) -> Call:
    await held_flow(queue)
    return lambda: queue.scripts.release_flow("root")


@case
async def gives_a_flow_up(queue: Queue) -> Call:
    await held_flow(queue)
    return lambda: queue.scripts.give_up_flow("root", 2**52)


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


@case
async def retries_a_job(queue: Queue) -> Call:
    await ended(queue)
    return lambda: queue.retry("b")


@case
async def retries_jobs(queue: Queue) -> Call:
    await ended(queue)
    return lambda: queue.scripts.retry_jobs("failed", 2**52, 10, True)


@case
async def replays_a_letter(queue: Queue) -> Call:
    await ended(queue)
    (letter,) = await DeadLetters(queue).list()
    return lambda: DeadLetters(queue).replay(letter.id)


@case
async def replays_a_letter_of_a_removed_job(queue: Queue) -> Call:
    await ended(queue)
    (letter,) = await DeadLetters(queue).list()
    await queue.remove("b")
    return lambda: DeadLetters(queue).replay(letter.id)


@case
async def removes_a_tree(queue: Queue) -> Call:
    await queue.add_flow(tree(4))
    return lambda: queue.remove("root")


@case
async def removes_a_child(queue: Queue) -> Call:
    await ended(queue)
    return lambda: queue.remove("b")


@case
async def cleans_failed_jobs(queue: Queue) -> Call:
    await ended(queue)
    return lambda: queue.clean("failed")


@case
async def cleans_waiting_jobs(queue: Queue) -> Call:
    await queue.add_flow(tree(4))
    return lambda: queue.clean("wait")


@case
async def sweeps(queue: Queue) -> Call:
    await ended(queue)
    await queue.redis.hset(queue.keys.job("a"), "opts", "{}")
    return lambda: queue.scripts.sweep_jobs("failed", Keep(count=0))


@case
async def obliterates(queue: Queue) -> Call:
    await ended(queue)
    await queue.schedule("s", "n", every=60)
    await queue.pause()
    return lambda: queue.scripts.obliterate_queue(100, True)


@case
async def pauses_and_resumes(queue: Queue) -> Call:
    await queue.add_bulk(("n", n) for n in range(3))
    await queue.redis.rename(queue.keys.wait, queue.keys.paused)
    await queue.add_bulk(("n", n, {"delay": 1}) for n in range(3))
    await queue.redis.hset(queue.keys.meta, "paused", 1)
    return queue.resume


@case
async def limits(queue: Queue) -> Call:
    await queue.add_bulk(("n", n) for n in range(3))
    await queue.add_bulk(("n", n, {"delay": 1}) for n in range(3))
    return lambda: queue.set_global_concurrency(3)


@case
async def promotes(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"delay": 60, "priority": n}) for n in range(3))
    return queue.promote_all


@case
async def changes_a_delay(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"delay": 60, "job_id": f"d{n}"}) for n in range(6))
    return lambda: queue.change_delay("d1", 70)


@case
async def changes_a_priority(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"job_id": f"d{n}"}) for n in range(6))
    return lambda: queue.change_priority("d1", 7)


@case
async def cancels_a_job_that_waits(queue: Queue) -> Call:
    await queue.add_flow(tree(4))
    await queue.redis.hset(queue.keys.job("leaf3"), mapping={"suspect": 1})
    return lambda: queue.cancel("leaf3", "no more")


@case
async def cancels_a_job_that_runs(queue: Queue) -> Call:
    await queue.add_flow(tree(4))
    await fetch(queue, 2)
    return lambda: queue.cancel("leaf0", "no more")


@case
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


@case
async def renews(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"job_id": f"w{n}"}) for n in range(4))
    await fetch(queue, 4)
    await queue.redis.sadd(queue.keys.stalled, "w0")
    await queue.redis.delete(queue.keys.job("w1") + ":lock")
    started = await queue.redis.hget(queue.keys.job("w1"), "processedOn")
    told = [each for n in range(4) for each in (f"w{n}", "t", f"1:{started.decode()}")]
    return lambda: queue.scripts.extend_leases(1000, *told)


@case
async def beats(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"job_id": f"w{n}"}) for n in range(4))
    await fetch(queue, 4)
    await queue.cancel("w1")
    await queue.redis.set(queue.keys.extra("settings"), "{}")
    return lambda: queue.scripts.beat(queue.keys, "w", 60_000, "{}", "", [("w0", "t"), ("w1", "t")])


@case
async def writes_of_a_run(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"job_id": f"w{n}"}) for n in range(6))
    await fetch(queue, 4)

    async def act() -> None:
        await queue.scripts.update_progress("w0", "1", "t")

    return act


@case
async def makes_a_schedule(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"delay": 60, "job_id": f"d{n}"}) for n in range(6))
    return lambda: queue.schedule("s", "n", every=60)


@case
async def changes_a_schedule(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"delay": 60, "job_id": f"d{n}"}) for n in range(6))
    await queue.schedule("s", "n", every=60)
    await queue.schedule("s", "n", every=3600)
    return lambda: queue.schedule("s", "n", every=60)


@case
async def continues_a_schedule(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"delay": 60, "job_id": f"d{n}"}) for n in range(6))
    first = await queue.schedule("s", "n", every=60)
    return lambda: queue.schedules.advance("s", first, {})


@case
async def ends_a_schedule(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"delay": 60, "job_id": f"d{n}"}) for n in range(6))
    await queue.schedule("s", "n", every=60)
    return lambda: queue.schedules.remove("s")


async def snapshot(queue: Queue) -> dict[bytes, bytes]:
    keys = sorted(await queue.redis.keys())
    return dict(zip(keys, await dumps(queue, keys), strict=True))


async def dumps(queue: Queue, keys: list[bytes]) -> list[bytes]:
    pipe = queue.redis.pipeline(transaction=False)
    for key in keys:
        pipe.dump(key)
    return await pipe.execute()


async def restore(queue: Queue, kept: dict[bytes, bytes]) -> None:
    await queue.redis.flushall()
    pipe = queue.redis.pipeline(transaction=False)
    for key, value in kept.items():
        pipe.restore(key, 0, value)
    await pipe.execute()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("structure", ["string", "list", "hash", "zset"])
async def test_a_call_that_redis_refuses_has_changed_nothing(queue: Queue, name: str, structure: str) -> None:
    call = await CASES[name](queue)
    before = await snapshot(queue)
    await call()
    touched = {key for key, value in (await snapshot(queue)).items() if before.get(key) != value} | before.keys()
    assert len(touched) > 9
    wrong: list[str] = []
    for key in sorted(touched):
        await restore(queue, before)
        await make(queue.redis, key, structure)
        broken = await snapshot(queue)
        try:
            await call()
        except (ResponseError, CrewlineError) as error:
            after = await snapshot(queue)
            changed = [each.decode() for each in {*broken, *after} if broken.get(each) != after.get(each)]
            if changed:
                wrong.append(f"{key.decode()} is a {structure}, {error} - and changed: {sorted(changed)}")
    await queue.redis.flushall()
    assert not wrong, "\n".join(wrong)
