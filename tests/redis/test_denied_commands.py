"""A user that is denied a command while it is at work loses no job by it: each is in a state, whatever was refused."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator

import pytest
import redis as sync_redis
from crewline import CrewlineError, Queue
from crewline.redis.scripts import source
from redis.exceptions import ResponseError

from tests.redis import touching, touching_changes
from tests.redis.leaks import LISTS, PARTS, SETS
from tests.redis.needs import commands_of
from tests.redis.test_refused_calls import restore, snapshot
from tests.unit.engine.test_scripts import NAMES

COMMANDS = set().union(*(commands_of(source(name)) for name in NAMES)) - {"TIME"}
CASES = {case.__name__: case for case in (*touching.CASES, *touching_changes.CASES)}


@pytest.fixture
def admin(redis_url: str) -> Iterator[sync_redis.Redis]:
    with sync_redis.Redis.from_url(redis_url) as client:
        client.execute_command("ACL", "SETUSER", "weak", "reset", "on", ">secret", "~*", "&*", "+@all")
        yield client
        client.execute_command("ACL", "DELUSER", "weak")


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


def used(client: sync_redis.Redis) -> list[str]:
    """The commands that scripts have used since the last reset."""
    return sorted(COMMANDS & {name.removeprefix("cmdstat_").upper() for name in client.info("commandstats")})


@pytest.mark.parametrize("name", CASES)
async def test_no_job_is_in_no_state_or_in_two(admin: sync_redis.Redis, redis_url: str, name: str) -> None:
    wrong: list[str] = []
    async with Queue("emails", redis=redis_url.replace("//", "//weak:secret@")) as queue:
        call = await CASES[name](queue)
        before = await snapshot(queue)
        admin.config_resetstat()
        await call()
        for command in used(admin):
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{command}")
            # a refusal is an answer
            with contextlib.suppress(ResponseError, CrewlineError):
                await call()
            if lost := off(admin):
                wrong.append(f"without {command}: {lost}")
            admin.execute_command("ACL", "SETUSER", "weak", f"+{command}")
            # that it was done before is one, too
            with contextlib.suppress(CrewlineError):
                await call()
            if lost := off(admin):
                wrong.append(f"with {command} again: {lost}")
        admin.flushall()
    assert not wrong, "\n".join(wrong)
