"""The claim on a queue: a key in Redis that says which JobQueue runs it.

Two JobQueues on one queue would fight over its workers and settings. The claim is where the queue is, so that it is the
same queue however its Redis is reached, and whoever may not log in there claims nothing; operators of other clusters
see it, too. Whoever has it keeps it: it is given up when its JobQueue is deleted or is for another queue. One that its
operator does not renew, since the whole cluster is gone, ends after CLAIM_SECONDS.
"""

from __future__ import annotations

import json
import secrets

from crewline.redis.refusals import is_full
from redis.asyncio import Redis
from redis.exceptions import ResponseError, WatchError

from crewline_operator.model.owner import CLAIM_SECONDS, Owner, read_owner
from crewline_operator.redis.answers import connect_bounded
from crewline_operator.redis.certificates import Opened
from crewline_operator.redis.endpoint import Endpoint

#: Anybody may have put there what it is.
CLAIM_MAX_BYTES = 4096
#: For a connection, and for a command.
TIMEOUT_SECONDS = 3.0


async def take_claim(redis: Redis, key: str, owner: Owner, instead_of: Owner | None) -> bool:
    """Claim a queue that nobody has, or that `instead_of` has; whether `owner` has it now."""
    if instead_of is None and await redis.set(key, _encode(owner), nx=True, ex=CLAIM_SECONDS):
        return True
    # Also a key that is there without a text, which is read as none (bounded.py): it is nobody's.
    return await _replace(redis, key, instead_of, owner)


async def renew_claim(redis: Redis, key: str, owner: Owner) -> None:
    """Let a claim hold on that `owner` has by now still, and no other operator in its place."""
    try:
        await _replace(redis, key, owner, owner)
    except ResponseError as error:
        if not is_full(error):
            raise
        # A full Redis takes no new text, and lets the claim hold on as it is: it is ours, as was seen just now.
        await redis.expire(key, CLAIM_SECONDS)


async def give_up_claim(redis: Redis, key: str, owner: Owner) -> bool:
    """Take a claim away if it is still `owner`'s; whether it was."""
    return await _replace(redis, key, owner, None)


async def read_claim(redis: Redis, key: str) -> bytes | None:
    """A claim as it is stored, with the token of whoever wrote it last; None if there is none."""
    stored = await redis.getrange(key, 0, CLAIM_MAX_BYTES - 1)
    return stored if isinstance(stored, bytes) and stored else None


async def claim_at(endpoint: Endpoint, key: str) -> bytes | None:
    """A claim at a Redis that nothing is read of otherwise."""
    with Opened(endpoint) as opened:
        redis: Redis = connect_bounded(
            opened.url,
            called="crewline-operator",
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
        )
        try:
            return await read_claim(redis, key)
        finally:
            await redis.aclose()


def _encode(owner: Owner) -> str:
    """With a token, by which two that are read are one and the same, or not."""
    return json.dumps(json.loads(owner.encode()) | {"token": secrets.token_hex(8)}, sort_keys=True)


async def _replace(redis: Redis, key: str, before: Owner | None, after: Owner | None) -> bool:
    async with redis.pipeline(transaction=True) as pipe:
        await pipe.watch(key)
        stored = await pipe.getrange(key, 0, CLAIM_MAX_BYTES - 1)
        found = read_owner(stored) if isinstance(stored, bytes) and stored else None
        if found != before:
            return False
        if found is not None and after == found and before is not None and found.operator not in ("", before.operator):
            # It is the same JobQueue, which another operator looks after by now.
            return False
        pipe.multi()  # type: ignore[no-untyped-call]
        if after is None:
            pipe.delete(key)
        else:
            pipe.set(key, _encode(after), ex=CLAIM_SECONDS)
        try:
            await pipe.execute()
        except WatchError:
            return False
    return True
