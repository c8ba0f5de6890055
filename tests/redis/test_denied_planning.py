"""A change of what is planned that Redis refuses half-way leaves it as it was."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import redis as sync_redis
from crewline import InvalidOption, Queue
from redis.exceptions import ResponseError

from tests.redis.denying import CATEGORIES, as_weak, restore, snapshot, used, weak_user
from tests.redis.planning import CASES, TAKEN_BACK, Step, removed

#: What a call adds to whether it is refused or not: events and numbers that nobody misses, and what wakes workers.
ASIDE = {"events", "id", "marker", "pc", "meta", "gone"}


@pytest.fixture
def admin(redis_url: str) -> Iterator[sync_redis.Redis]:
    with weak_user(redis_url, decode_responses=True) as client:
        yield client
        client.config_set("maxmemory", 0)
        client.flushall()


def state(client: sync_redis.Redis) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in client.keys("bull*"):
        if key.rpartition(":")[2] in ASIDE:
            continue
        kind = client.type(key)
        if kind == "hash":
            found[key] = client.hgetall(key)
        elif kind == "zset":
            found[key] = client.zrange(key, 0, -1, withscores=True)
        elif kind == "list":
            found[key] = client.lrange(key, 0, -1)
        else:
            found[key] = kind
    return found


def timeless(found: dict[str, Any]) -> str:
    """What does not depend on when a call was made."""
    told = json.loads(json.dumps(found))
    for fields in told.values():
        if isinstance(fields, dict) and "timestamp" in fields:
            for moment in ("timestamp", "delay", "processedOn"):
                fields.pop(moment, None)
            opts = json.loads(fields["opts"])
            fields["opts"] = {key: opts[key] for key in sorted(opts) if key not in ("timestamp", "delay")}
        elif isinstance(fields, dict):
            fields.pop("offset", None)
    # what is due at once has an id by the clock
    return re.sub(r"\b1\d{12}\b(\.0)?", "now", json.dumps(told, sort_keys=True))


@pytest.mark.parametrize("case", CASES)
async def test_what_is_refused_half_way_has_changed_nothing(admin: sync_redis.Redis, redis_url: str, case: str) -> None:
    before_it, change = CASES[case]
    wrong: list[str] = []
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        await before_it(queue)
        kept = await snapshot(queue)
        before = state(admin)
        admin.config_resetstat()
        await change_of(change, queue)
        after = timeless(state(admin))
        assert timeless(before) != after
        refused = set()
        for denied in [*used(admin), *CATEGORIES]:
            await restore(queue, kept)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{denied}")
            try:
                await change_of(change, queue)
            except ResponseError:
                refused.add(denied)
                if state(admin) != before:
                    wrong.append(f"without {denied}: {state(admin)}")
            else:
                if timeless(state(admin)) != after:
                    wrong.append(f"without {denied}, not refused: {state(admin)}")
            admin.execute_command("ACL", "SETUSER", "weak", f"+{denied}")
            if denied in refused:
                await change_of(change, queue)
                if timeless(state(admin)) != after:
                    wrong.append(f"again, with {denied}: {timeless(state(admin))}, not {after}")
        assert refused >= {"ZREM", "XADD", "@write"}
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("case", CASES)
async def test_what_a_full_redis_takes_it_takes_whole(admin: sync_redis.Redis, redis_url: str, case: str) -> None:
    before_it, change = CASES[case]
    async with Queue("emails", redis=redis_url) as queue:
        await before_it(queue)
        kept = await snapshot(queue)
        before = state(admin)
        await change_of(change, queue)
        after = timeless(state(admin))
        await restore(queue, kept)
        admin.config_set("maxmemory", 1)
        try:
            await change_of(change, queue)
        except ResponseError:
            # what makes room is not refused for want of it
            assert change not in (removed, *TAKEN_BACK) and state(admin) == before
        else:
            assert timeless(state(admin)) == after
        admin.config_set("maxmemory", 0)


async def change_of(change: Step, queue: Queue) -> None:
    """What says that a schedule has run for the last time is an answer."""
    with contextlib.suppress(InvalidOption):
        await change(queue)


@pytest.mark.parametrize("case", ["made", "moved, waits", "goes on", "removed", "run, another", "run, taken back"])
async def test_to_try_what_is_allowed_is_no_error_to_redis(admin: sync_redis.Redis, redis_url: str, case: str) -> None:
    before_it, change = CASES[case]
    async with Queue("emails", redis=redis_url) as queue:
        await before_it(queue)
        admin.config_resetstat()
        await change_of(change, queue)
        failed = {name for name, told in admin.info("commandstats").items() if told.get("failed_calls")}
    # an entry that a stream does not take shows that it takes others
    assert failed <= {"cmdstat_xadd", "cmdstat_evalsha"}
