"""The run that lies ahead of an object stays, and is known to, where Redis refuses the call that was to replace it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis as sync_redis
from crewline import Queue
from crewline.wire.options import encode_job
from redis.exceptions import ResponseError

from tests.redis.denying import as_weak, off, restore, snapshot, used

HOUR = 3_600_000


def add(queue: Queue, run_ms: int, data: int) -> Awaitable[bool]:
    return queue.scripts.add_run("uid", run_ms, '{"name": "digest"}', f"made of {data}", encode_job("n", data))


#: What is done about the run at a time -> ids of the runs ahead afterwards, told from that time.
CHANGES: dict[str, tuple[Callable[[Queue, int], Awaitable[Any]], list[int]]] = {
    "another time": (lambda queue, run: add(queue, run + 1000, 2), [1000]),
    "other data": (lambda queue, run: add(queue, run, 2), [0]),
    "taken back": (lambda queue, run: queue.scripts.take_back_run("uid", False), []),
    "forgotten": (lambda queue, run: queue.scripts.take_back_run("uid", True), []),
    "one that is due": (lambda queue, run: add(queue, run - HOUR, 2), [0]),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_run_ahead_stays_where_its_change_is_refused(
    admin: sync_redis.Redis, redis_url: str, change: str
) -> None:
    wrong: list[str] = []
    act, left = CHANGES[change]
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        run = await queue.scripts.read_clock() + HOUR
        old = queue.keys.job(f"uid-{run}")
        await add(queue, run, 1)

        def ahead() -> dict[str, Any]:
            ids = admin.zrange(queue.keys.delayed, 0, -1)
            return {"jobs": {each: admin.hgetall(queue.keys.job(each.decode())) for each in ids},
                    "runs": admin.hgetall(queue.keys.extra("runs"))}  # fmt: skip

        was, before = ahead(), await snapshot(queue)
        admin.config_resetstat()
        await act(queue, run)
        done = [f"uid-{run + later}".encode() for later in left]
        assert list(ahead()["jobs"]) == done
        changed = admin.hget(old, "data")
        for command in used(admin):
            await restore(queue, before)
            events = admin.xlen(queue.keys.events)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{command}")
            try:
                await act(queue, run)
            except ResponseError:
                if ahead() != was or admin.exists(queue.keys.extra("aside")):
                    wrong.append(f"without {command}: {ahead()}")
                told = [fields for _, fields in admin.xrange(queue.keys.events)][events:]
                if any(fields[b"event"] == b"removed" for fields in told):
                    wrong.append(f"without {command}: told as removed, and it is there")
            admin.execute_command("ACL", "SETUSER", "weak", f"+{command}")
            await act(queue, run)
            if list(ahead()["jobs"]) != done or admin.hget(old, "data") != changed or off(admin):
                wrong.append(f"with {command} again: {ahead()}, {off(admin)}")
        admin.flushall()
    assert not wrong, "\n".join(wrong)
