"""A script that Redis refuses, since a key is of another type than it should be, has changed nothing.

What a script takes for granted it has to look at before it writes; what it does not need must not end it.
"""

from __future__ import annotations

import pytest
from crewline import CrewlineError, Queue
from redis.exceptions import ResponseError

from tests.redis import touching, touching_changes
from tests.redis.fuzzing import make

#: By their names.
CASES = {case.__name__: case for case in (*touching.CASES, *touching_changes.CASES)}


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
