"""How long Redis stands still for a call of each script at its largest input: `.venv/bin/python bench/scripts.py`.

Each script's header says its bound; this makes calls of that size and prints how much processor time Redis' main thread
takes for the longest call of a scenario, the least of some repeats. `--most MS` ends it with 1 if one took longer than
that, but for those scenarios that say they are an exception.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from crewline import Dedup, FlowJob, Keep, Queue
from crewline.queue.dead_letters import DeadLetters
from crewline.redis.scripts import MOST_JOBS, Result, Scripts
from crewline.wire.text import text
from server import Server

Scenario = Callable[[Queue], Awaitable[Callable[[], Awaitable[Any]]]]

SCENARIOS: dict[str, Scenario] = {}
#: Entries of the long list in which one id is looked for.
LONG = 1_000_000
LEASE_MS = 30_000


def scenario(name: str) -> Callable[[Scenario], Scenario]:
    def register(prepare: Scenario) -> Scenario:
        SCENARIOS[name] = prepare
        return prepare

    return register


async def fetch(queue: Queue, room: int = 1, token: str = "t") -> list[str]:
    ids: list[str] = []
    while room > 0:
        fetched = await queue.scripts.finish_and_fetch(
            [], letters="", token=token, lease_ms=LEASE_MS, worker="w", room=min(room, 200)
        )
        ids += [each.id for each in fetched.jobs]
        room -= 200
    return ids


async def ended(queue: Queue, state: str, count: int, opts: str = "{}") -> None:
    """Finished jobs, written as they are in Redis; each holds a place in a parent that waits."""
    parent = queue.keys.job("parent")
    pipe = queue.redis.pipeline(transaction=False)
    for n in range(count):
        key = queue.keys.job(f"old-{state}-{n}")
        link = json.dumps({"id": "parent", "queueKey": queue.keys.base[:-1]})
        told = {"name": "n", "data": "1", "opts": opts, "parentKey": parent, "parent": link, "deid": f"d{n}"}
        pipe.hset(key, mapping=told)
        pipe.rpush(key + ":logs", *["a line"] * 20)
        pipe.sadd(parent + ":dependencies", key)
        pipe.zadd(queue.keys.base + state, {f"old-{state}-{n}": n + 1})
    await pipe.execute()


async def tree(queue: Queue, count: int) -> str:
    flow = await queue.add_flow(FlowJob("root", children=[FlowJob("leaf", n) for n in range(count - 1)]))
    return flow.job.id


@scenario("add_jobs: 200, prioritized")
async def _(queue: Queue) -> Any:
    return lambda: queue.add_bulk([("n", "x" * 500, {"priority": n % 9}) for n in range(200)])


@scenario("add_jobs: 100 that replace delayed ones")
async def _(queue: Queue) -> Any:
    def jobs() -> list[Any]:
        return [("n", n, {"delay": 60, "dedup": Dedup(f"d{n}", 60, True, True)}) for n in range(200)]

    await queue.add_bulk(jobs())
    return lambda: queue.add_bulk(jobs())


@scenario("add_flow, release_flow: a tree of 20,000")
async def _(queue: Queue) -> Any:
    return lambda: tree(queue, 20_000)


@scenario("give_up_flow: half of a tree of 1,000, with deduplication ids")
async def _(queue: Queue) -> Any:
    call = queue.scripts.call
    parts = 0

    async def dies(name: str, *arguments: Any) -> Any:
        nonlocal parts
        parts += 1
        if parts > 5:
            raise ConnectionError
        return await call(name, *arguments)

    queue.scripts.call = dies  # type: ignore[method-assign]
    leaves = [FlowJob("leaf", "x" * 500, options={"dedup": f"d{n}"}) for n in range(1000)]
    with contextlib.suppress(ConnectionError):
        await queue.add_flow(FlowJob("root", children=leaves))
    del queue.scripts.call
    return lambda: queue.settle_flows(older_than=0)


@scenario("upsert_schedule, continue_schedule, remove_schedule")
async def _(queue: Queue) -> Any:
    async def act() -> None:
        first = await queue.schedule("s", "n", every=3600)
        await queue.schedules.advance("s", first, {})
        await queue.schedules.remove("s")

    return act


@scenario("replay_dead_letter: with 1,000 old ones to prune")
async def _(queue: Queue) -> Any:
    await queue.add("n", 1)
    await fetch(queue)
    letters = Queue("bench-dlq", redis=queue.redis)
    await ended(letters, "completed", 1200)
    failed = Result("1", "t", "failed", "torn")
    await queue.scripts.finish_and_fetch(
        [failed], letters=letters.keys.base, token="t", lease_ms=LEASE_MS, worker="w", room=0
    )
    return DeadLetters(queue).replay_all


@scenario("finish_and_fetch: 25 completed, 25 fetched, 50 pruned")
async def _(queue: Queue) -> Any:
    return await results(queue, "completed")


@scenario("finish_and_fetch: 25 failed with letters, 25 fetched, 50 due, 50 pruned")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", n, {"delay": 0.001, "priority": 3}) for n in range(1000)])
    return await results(queue, "failed")


async def results(queue: Queue, outcome: str) -> Any:
    await queue.add_bulk([("n", "x" * 500) for _ in range(100)])
    ids = await fetch(queue, 25)
    await ended(queue, outcome, 2000)
    keep = "1000,86400"
    told = {"trace": "x" * 8000, "keep_completed": keep, "keep_failed": keep}
    done = [Result(job_id, "t", outcome, '"' + "x" * 500 + '"', **told) for job_id in ids]
    return lambda: queue.scripts.finish_and_fetch(
        done, letters="bull:bench-dlq:", token="t2", lease_ms=LEASE_MS, worker="w", room=25, points=60
    )


@scenario("extend_leases: 250")
async def _(queue: Queue) -> Any:
    return await leases(queue, lost=False)


@scenario("extend_leases: 250 that ran out, of 10,000 active")
async def _(queue: Queue) -> Any:
    return await leases(queue, lost=True)


@scenario("extend_leases: 250 that ran out, in the middle of 100,000 active")
async def _(queue: Queue) -> Any:
    return await leases(queue, lost=True, active=100_000)


async def leases(queue: Queue, *, lost: bool, active: int = 10_000) -> Any:
    await queue.add_bulk([("n", n) for n in range(250)])
    held: list[str | int] = []
    for job_id in await fetch(queue, 250):
        told = await queue.redis.hmget(queue.keys.job(job_id), "ats", "processedOn")
        held += (job_id, "t", f"{text(told[0])}:{text(told[1])}")
        if lost:
            await queue.redis.delete(queue.keys.job(job_id) + ":lock")
    for start in range(0, active - 250, 5000):
        # half of the others are newer, half are older
        push = queue.redis.rpush if start % 10_000 else queue.redis.lpush
        await push(queue.keys.active, *(f"other-{n}" for n in range(start, min(start + 5000, active - 250))))
    return lambda: queue.scripts.extend_leases(LEASE_MS, *held)


@scenario("mark_alone, update_progress, append_log, update_data")
async def _(queue: Queue) -> Any:
    await queue.add("n", 1)
    await fetch(queue)

    async def act() -> None:
        await queue.scripts.mark_alone("1", "t")
        await queue.scripts.update_progress("1", '"' + "x" * 1000 + '"', "t")
        await queue.scripts.append_log("1", "x" * 1000, 100, "t")
        await queue.scripts.update_data("1", "1")

    return act


@scenario("beat: 1,000 running jobs, one to be cancelled")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", n) for n in range(1000)])
    running = [(job_id, "t") for job_id in await fetch(queue, 1000)]
    await queue.cancel("1")
    return lambda: queue.scripts.beat(queue.keys, "w", 1000, "{}", "", running)


@scenario("change_delay, change_priority, retry_job, cancel_job")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", n, {"delay": 60}) for n in range(1000)])

    async def act() -> None:
        await queue.change_delay("500", 70)
        await queue.change_priority("500", 3)
        await queue.cancel("500")
        await queue.retry("500")

    return act


@scenario("promote_jobs: 200")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", n, {"delay": 60, "priority": 3}) for n in range(1000)])
    return queue.promote_all


@scenario("retry_jobs: 200")
async def _(queue: Queue) -> Any:
    await ended(queue, "failed", 1000)
    return queue.retry_all


@scenario("remove_job: a tree of 1,000")
async def _(queue: Queue) -> Any:
    root = await tree(queue, 1000)
    return lambda: queue.remove(root)


@scenario("remove_job: one that completed, with 10,000 log lines")
async def _(queue: Queue) -> Any:
    await ended(queue, "completed", 1)
    await queue.redis.rpush(queue.keys.job("old-completed-0") + ":logs", *["a line"] * 10_000)
    return lambda: queue.remove("old-completed-0")


@scenario("clean_jobs: 1,000 failed children")
async def _(queue: Queue) -> Any:
    await ended(queue, "failed", 1000)
    return lambda: queue.clean("failed")


@scenario("clean_jobs: drain of 2,000 that wait")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", n, {"dedup": f"d{n}"}) for n in range(2000)])
    return queue.drain


@scenario("obliterate_queue")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", n, {"dedup": f"d{n}"}) for n in range(2000)])
    await ended(queue, "failed", 1000)
    for n in range(50):
        await queue.schedule(f"s{n}", "n", every=3600)
    await queue.pause()
    return queue.obliterate


@scenario("pause_queue, resume_queue: 10,000 parked jobs, limit_queue")
async def _(queue: Queue) -> Any:
    await queue.redis.rpush(queue.keys.paused, *(f"parked-{n}" for n in range(10_000)))

    async def act() -> None:
        await queue.pause()
        await queue.resume()
        await queue.set_global_concurrency(5)

    return act


@scenario("finish_and_fetch: 20 completed, 2,000 suspects looked past")
async def _(queue: Queue) -> Any:
    return await suspects(queue, 2000, "x" * 50_000)


@scenario("finish_and_fetch: 20 completed, 100,000 suspects looked past")
async def _(queue: Queue) -> Any:
    return await suspects(queue, 100_000, "x")


async def suspects(queue: Queue, count: int, data: str) -> Any:
    await queue.add_bulk(("n", "x") for _ in range(20))
    done = [Result(job_id, "t", "completed", '"done"') for job_id in await fetch(queue, 20)]
    pipe = queue.redis.pipeline(transaction=False)
    for n in range(count):
        pipe.hset(queue.keys.job(f"suspect-{n}"), mapping={"name": "n", "data": data, "suspect": 1})
        pipe.lpush(queue.keys.wait, f"suspect-{n}")
    await pipe.execute()
    # what is found is taken out from behind all of them
    await queue.add_bulk(("n", "x") for _ in range(100))

    async def act() -> None:
        looked, results = None, done
        while looked is None or looked.next_due_ms == looked.now_ms:
            looked = await queue.scripts.finish_and_fetch(
                results, letters="", token="t", lease_ms=60_000, worker="w", room=25, suspects=0
            )
            results = []
        assert len(looked.jobs) == 25

    return act


@scenario("recover_stalled: 1,000 whose workers died")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", n, {"priority": 3}) for n in range(1000)])
    ids = await fetch(queue, 1000)
    await queue.redis.delete(*(queue.keys.job(job_id) + ":lock" for job_id in ids))
    return lambda: queue.scripts.recover_stalled(1, 3, lease_ms=0, once=True)


@scenario("sweep_jobs: 1,000 failed children")
async def _(queue: Queue) -> Any:
    await ended(queue, "failed", 1000, '{"attempts":3,"backoff":{"type":"fixed","delay":5},"removeOnFail":{"age":60}}')

    async def act() -> None:
        while (await queue.scripts.sweep_jobs("failed", Keep()))[1]:
            pass

    return act


@scenario("read_clock")
async def _(queue: Queue) -> Any:
    return queue.scripts.read_clock


@scenario("exception: remove_job, cancel_job, change_priority in a list of a million")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", n) for n in range(3)])
    for start in range(0, LONG, 10_000):
        push = queue.redis.rpush if start % 20_000 else queue.redis.lpush
        await push(queue.keys.wait, *(f"other-{n}" for n in range(start, start + 10_000)))

    async def act() -> None:
        await queue.change_priority("1", 3)
        await queue.cancel("2")
        await queue.remove("3")

    return act


def busy_seconds(server: Server) -> float:
    told = server.r.info("cpu")
    return float(told["used_cpu_user_main_thread"]) + float(told["used_cpu_sys_main_thread"])


async def longest(server: Server, prepare: Scenario) -> float:
    """Milliseconds of the longest call of a scenario."""
    server.flush()
    took: list[float] = []
    call = Scripts.call

    async def timed(self: Scripts, name: str, *arguments: Any) -> Any:
        before = busy_seconds(server)
        answer = await call(self, name, *arguments)
        took.append((busy_seconds(server) - before) * 1000)
        return answer

    async with Queue("bench", redis=f"redis://127.0.0.1:{server.port}/0") as queue:
        act = await prepare(queue)
        Scripts.call = timed  # type: ignore[method-assign]
        try:
            await act()
        finally:
            Scripts.call = call  # type: ignore[method-assign]
    return max(took)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--most", type=float, default=0.0, metavar="MS")
    parser.add_argument("only", nargs="*", help="parts of scenarios' names")
    asked = parser.parse_args()
    server, late = Server(), []
    print(f"| script, at its bound ({MOST_JOBS} jobs where its header says no other) | longest call, ms |")
    print("|---|---:|")
    try:
        for name, prepare in SCENARIOS.items():
            if asked.only and not any(part in name for part in asked.only):
                continue
            runs = [await longest(server, prepare) for _ in range(asked.repeat)]
            least_ms = min(runs)
            print(f"| {name} | {least_ms:.2f} |", flush=True)
            if asked.most and least_ms > asked.most and not name.startswith("exception"):
                late.append(name)
    finally:
        server.stop()
    if late:
        sys.exit(f"scripts: longer than {asked.most:g} ms: {', '.join(late)}")


if __name__ == "__main__":
    asyncio.run(main())
