"""A queue without workers is woken by what an unmodified BullMQ client adds: nobody has to be told to wake it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.interop.peers import Peer, until
from tests.redis.sleepers import asleep


@pytest.mark.parametrize("options", [{}, {"priority": 3}, {"lifo": True}])
async def test_what_they_add_is_seen_by_its_event(peer: Peer, name: str, url: str, options: dict[str, Any]) -> None:
    theirs = await peer.open("Queue", name)
    async with asleep(url, name) as sleepers:
        await until(lambda: sleepers.waiting(name) == 0, "it is read")
        await theirs("add", "job", {}, options)
        await until(lambda: sleepers.waiting(name) == 1, "the job is seen")


async def test_a_pause_that_they_lift_and_a_delay_that_they_end_are_seen(peer: Peer, name: str, url: str) -> None:
    theirs = await peer.open("Queue", name)
    await theirs("pause")
    await theirs("add", "job", {}, {})
    async with asleep(url, name) as sleepers:
        await until(lambda: sleepers.demand(name) == 0, "it is read")
        await theirs("resume")
        await until(lambda: sleepers.demand(name) == 1, "nothing holds the job any more")
        await theirs("add", "later", {}, {"delay": 3_600_000})
        await until(lambda: sleepers.delayed(name) == 1, "when it is due is known")
