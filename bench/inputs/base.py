"""What scenarios are, and what they fill a queue with."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from crewline import FlowJob, Queue
from crewline.redis.scripts import Result
from crewline.wire.jsonio import MAX_PAYLOAD_BYTES

Scenario = Callable[[Queue], Awaitable[Callable[[], Awaitable[Any]]]]

SCENARIOS: dict[str, Scenario] = {}
#: Those that take longer than all others, as the documentation says.
EXCEPTIONS: set[str] = set()

LEASE_MS = 30_000
#: The largest data that a queue takes by default, without its quotes; and what some jobs of a call may have.
HUGE = "x" * (MAX_PAYLOAD_BYTES - 2)
LARGE = "x" * 20_000
#: Options as large as a client may write them: some scripts read those of each job that they look at.
WIDE = json.dumps({"removeOnFail": {"age": 60}, "lifo": True, "tm": "x" * 100_000})

#: Jobs with data and a result of so many bytes, and further fields, in a sorted set; what a client sends takes longer.
_STORE = """
local large = string.rep('x', ARGV[3])
for n = ARGV[1], ARGV[2] do
  redis.call('HSET', KEYS[1] .. n, 'data', large, 'returnvalue', large, unpack(ARGV, 4))
  redis.call('ZADD', KEYS[2], n, 'old-' .. n)
end
"""


def scenario(name: str, *, exception: bool = False) -> Callable[[Scenario], Scenario]:
    """``name``: the scripts that it is for, and what is there for them."""

    def register(prepare: Scenario) -> Scenario:
        SCENARIOS[name] = prepare
        if exception:
            EXCEPTIONS.add(name)
        return prepare

    return register


async def fetch(queue: Queue, room: int = 1, token: str = "t") -> list[str]:
    """Leases so many jobs, however many calls that takes."""
    ids: list[str] = []
    while len(ids) < room:
        fetched = await queue.scripts.finish_and_fetch(
            [], letters="", token=token, lease_ms=LEASE_MS, worker="w", room=min(room - len(ids), 200)
        )
        ids += [each.id for each in fetched.jobs]
    return ids


async def finish(queue: Queue, results: list[Result], room: int = 0, **told: Any) -> Any:
    """One call of a worker."""
    asked: dict[str, Any] = {"letters": "bull:bench-dlq:", "token": "t2", "lease_ms": LEASE_MS, "worker": "w"}
    return await queue.scripts.finish_and_fetch(results, room=room, **{"points": 60} | asked | told)


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


async def huge(queue: Queue, state: str, count: int, opts: str = "{}") -> None:
    """Jobs in a sorted set, each with data and a result as large as they may be; their ids are old-1, old-2, …."""
    for start in range(1, count + 1, 20):
        await queue.redis.eval(
            _STORE, 2, queue.keys.job("old-"), queue.keys.base + state, start, min(start + 19, count), len(HUGE),
            "name", "n", "opts", opts,
        )  # fmt: skip


async def tree(queue: Queue, count: int, data: str = "") -> str:
    """A parent and its children; the parent's id."""
    flow = await queue.add_flow(FlowJob("root", data, [FlowJob("leaf", data) for _ in range(count - 1)]))
    return flow.job.id
