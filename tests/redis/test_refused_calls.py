"""A script that Redis refuses, since a key is of another type than it should be, has changed nothing.

What a script takes for granted it has to look at before it writes; what it does not need must not end it.
"""

from __future__ import annotations

import pytest
from crewline import CrewlineError, Queue
from redis.exceptions import ResponseError

from tests.redis.denying import CASES, restore, snapshot
from tests.redis.fuzzing import make


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
