"""A user that is denied a command while it is at work loses no job by it: each is in a state, whatever was refused."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import redis as sync_redis
from crewline import CrewlineError, Queue
from redis.exceptions import ResponseError

from tests.redis import touching, touching_changes
from tests.redis.leaks import LISTS, SETS
from tests.redis.needs import ALL
from tests.redis.test_refused_calls import restore, snapshot

#: What workers and producers do all the time.
CASES = {
    name: case
    for case in (*touching.CASES, *touching_changes.CASES)
    if (name := case.__name__).split("_")[0] in ("fetches", "settles", "recovers", "renews", "sweeps")
    or name == "adds_jobs"
}


@pytest.fixture
def admin(redis_url: str) -> Iterator[sync_redis.Redis]:
    with sync_redis.Redis.from_url(redis_url) as client:
        client.execute_command("ACL", "SETUSER", "weak", "reset", "on", ">secret", "~*", "&*", "+@all")
        yield client
        client.execute_command("ACL", "DELUSER", "weak")


def states(client: sync_redis.Redis) -> dict[str, list[str]]:
    """Of each job the states it is in."""
    found: dict[str, list[str]] = {}
    for key in client.keys("bull:emails:*"):
        prefix, queue, suffix = key.decode().split(":", 2)
        if client.type(key) == b"hash" and client.hexists(key, "name") and not suffix.startswith("dn:"):
            base = f"{prefix}:{queue}:"
            found.setdefault(key.decode(), [])
            for name in LISTS:
                found[key.decode()] += [name] * client.lrange(base + name, 0, -1).count(suffix.encode())
            for name in SETS:
                found[key.decode()] += [name] * (client.zscore(base + name, suffix) is not None)
    return found


@pytest.mark.parametrize("name", CASES)
async def test_no_job_is_in_no_state_or_in_two(admin: sync_redis.Redis, redis_url: str, name: str) -> None:
    wrong: list[str] = []
    async with Queue("emails", redis=redis_url.replace("//", "//weak:secret@")) as queue:
        call = await CASES[name](queue)
        before = await snapshot(queue)
        for command in sorted(ALL):
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{command}")
            # a refusal is an answer
            with contextlib.suppress(ResponseError, CrewlineError):
                await call()
            off = {key: found for key, found in states(admin).items() if len(found) != 1}
            if off:
                wrong.append(f"without {command}: {off}")
            admin.execute_command("ACL", "SETUSER", "weak", f"+{command}")
        admin.flushall()
    assert not wrong, "\n".join(wrong)
