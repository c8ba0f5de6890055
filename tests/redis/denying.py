"""A user that Redis denies something, and what becomes of jobs then: what the tests of refused calls share."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import redis as sync_redis
from crewline import CrewlineError, FlowJob, Queue
from crewline.redis.scripts import source
from redis.exceptions import ResponseError

from tests.redis import touching, touching_changes
from tests.redis.leaks import LISTS, PARTS, SETS
from tests.redis.needs import commands_of
from tests.unit.engine.test_scripts import NAMES

#: All that scripts use.
COMMANDS = set().union(*(commands_of(source(name)) for name in NAMES)) - {"TIME"}
#: ... and most of that at once.
CATEGORIES = [
    f"@{name}"
    for name in ("keyspace", "list", "sortedset", "hash", "set", "string", "stream", "read", "write", "fast", "slow")
]
#: By their names.
CASES = {case.__name__: case for case in (*touching.CASES, *touching_changes.CASES)}


@contextlib.contextmanager
def weak_user(redis_url: str, **options: Any) -> Iterator[sync_redis.Redis]:
    """There is a user who may do everything, until this client takes some of it away."""
    with sync_redis.Redis.from_url(redis_url, **options) as client:
        client.execute_command("ACL", "SETUSER", "weak", "reset", "on", ">secret", "~*", "&*", "+@all")
        yield client
        client.execute_command("ACL", "DELUSER", "weak")


def as_weak(redis_url: str) -> str:
    """The URL that this user logs in by."""
    return redis_url.replace("//", "//weak:secret@")


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


def used(client: sync_redis.Redis) -> list[str]:
    """The commands that scripts have used since the last reset."""
    return sorted(COMMANDS & {name.removeprefix("cmdstat_").upper() for name in client.info("commandstats")})


def off(client: sync_redis.Redis) -> dict[str, list[str]]:
    """Jobs that are not in exactly one state, each with those that it is in; and what a state holds that is no job."""
    found: dict[str, list[str]] = defaultdict(list)
    jobs: set[str] = set()
    for key in (key.decode() for key in client.keys("bull:*")):
        prefix, queue, suffix = key.split(":", 2)
        base, kind = f"{prefix}:{queue}:", client.type(key)
        if suffix in LISTS:
            for job_id in client.lrange(key, 0, -1):
                found[base + job_id.decode()].append(suffix)
        elif suffix in SETS:
            for job_id in client.zrange(key, 0, -1):
                found[base + job_id.decode()].append(suffix)
        elif kind == b"hash" and suffix != "meta" and not suffix.startswith(("dn:", "metrics:")):
            schedule = suffix.startswith("repeat:") and suffix.count(":") == 1
            if not schedule and suffix.rpartition(":")[2] not in PARTS:
                jobs.add(key)
    return {key: found[key] for key in sorted({*jobs, *found}) if len(found[key]) != 1 or key not in jobs}


async def child_runs(queue: Queue, on_failure: Any = "ignore", **options: Any) -> None:
    """A parent in another queue, whose only child a worker holds; another comes with its deduplication id later."""
    await queue.add_flow(
        FlowJob("n", queue="letters", options={"job_id": "root", **options}, children=[
            FlowJob("n", queue="emails", options={"job_id": "child", "dedup": "x"}, on_failure=on_failure)
        ])
    )  # fmt: skip
    assert await touching.fetch(queue, 1) == ["child"]


def removed(admin: sync_redis.Redis) -> list[bytes]:
    """The jobs that are told of as removed."""
    told = [fields for _, fields in admin.xrange("bull:emails:events")]
    return [fields[b"jobId"] for fields in told if fields[b"event"] == b"removed"]


async def none_is_lost(
    admin: sync_redis.Redis, redis_url: str, name: str, denials: Callable[[list[str]], list[list[str]]]
) -> None:
    wrong: list[str] = []
    async with Queue("emails", redis=redis_url.replace("//", "//weak:secret@")) as queue:
        call = await CASES[name](queue)
        before = await snapshot(queue)
        admin.config_resetstat()
        await call()
        for denied in denials(used(admin)):
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", *(f"-{each}" for each in denied))
            # a refusal is an answer
            with contextlib.suppress(ResponseError, CrewlineError):
                await call()
            if lost := off(admin):
                wrong.append(f"without {denied}: {lost}")
            admin.execute_command("ACL", "SETUSER", "weak", "+@all")
            # that it was done before is one, too
            with contextlib.suppress(CrewlineError):
                await call()
            if lost := off(admin):
                wrong.append(f"with {denied} again: {lost}")
        admin.flushall()
    assert not wrong, "\n".join(wrong)
