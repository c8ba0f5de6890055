"""A Redis that takes calls and never answers holds up its own queues only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from crewline import Queue
from crewline_operator.effects.actions import Follow, RemoveJob, Sweep
from crewline_operator.effects.errors import Refused
from crewline_operator.model.key import Key
from crewline_operator.model.queue_ref import QueueRef
from crewline_operator.redis.bulkhead import Bulkheads, Busy
from crewline_operator.redis.endpoint import Endpoint

from tests.redis.test_operator_executor import Operator, add, jobqueue, stranger

__all__ = ["stranger"]

SLOW = Key("JobQueue", "shop", "slow")
SLOW_REF = QueueRef(SLOW, "bull", "slow")
A, B, C, D = (Key("ScheduledJob", "shop", name) for name in "abcd")


class Silent:
    """A server that takes what it is sent."""

    def __init__(self) -> None:
        self.endpoint = Endpoint("", "")
        self._writers: list[asyncio.StreamWriter] = []
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.endpoint = Endpoint(f"redis://127.0.0.1:{port}/0", "silent")
        try:
            yield
        finally:
            server.close()
            self.hang_up()

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.close()

    async def connected(self, number: int) -> None:
        async with asyncio.timeout(10):
            while len(self._writers) < number:
                self._changed.clear()
                await self._changed.wait()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self._changed.set()
        while await reader.read(4096):
            pass


@pytest_asyncio.fixture
async def silent() -> AsyncIterator[Silent]:
    server = Silent()
    async with server.listening():
        yield server


async def test_at_a_redis_that_does_not_answer_no_more_are_held_than_may_be_there(
    stranger: Operator, silent: Silent, redis_url: str, queue: Queue
) -> None:
    await stranger.do(Follow(silent.endpoint, jobqueue().target), key=SLOW)
    await stranger.do(Follow(Endpoint(redis_url, "answers"), jobqueue().target))
    removal = RemoveJob(SLOW_REF, "run-1")
    held = [asyncio.create_task(stranger.executor.carry_out(key, None, [removal])) for key in (A, B)]
    # Its poller is there, too.
    await silent.connected(3)
    assert not await asyncio.wait_for(stranger.executor.carry_out(C, None, [removal]), 5)
    assert not await asyncio.wait_for(stranger.executor.carry_out(D, None, [removal]), 5)
    assert await asyncio.wait_for(stranger.executor.carry_out(D, None, [add(datetime(2026, 3, 1, tzinfo=UTC))]), 5), (
        "others are served"
    )
    assert (await queue.metrics()).waiting == 1
    assert stranger.again == []
    silent.hang_up()
    for each in held:
        with pytest.raises(Refused):
            await each
    assert stranger.again == [C, D], "each that left makes room for one, in the order in which they came"


def test_who_found_no_room_is_called_once_there_is_some() -> None:
    called: list[Key] = []
    looks: list[Callable[[], None]] = []
    bulkheads = Bulkheads(called.append, 1, lambda _, look: looks.append(look))
    here, there = Endpoint("redis://here", "here"), Endpoint("redis://there", "there")
    with bulkheads.enter(here, A):
        for key in (B, C, B):
            with pytest.raises(Busy), bulkheads.enter(here, key):
                pass
        with bulkheads.enter(there, B):
            pass
        assert called == []
    assert called == [B]
    with bulkheads.enter(here, B):
        pass
    with bulkheads.enter(here, C):
        pass
    assert called == [B, C]


def test_what_can_wait_leaves_a_place_to_others_and_a_dead_workers_jobs_come_first() -> None:
    called: list[Key] = []
    bulkheads = Bulkheads(called.append, 2, lambda *_: None)
    here, pod = Endpoint("redis://here", "here"), Key("Pod", "shop", "dead")
    with bulkheads.enter(here, A, can_wait=True):
        with pytest.raises(Busy), bulkheads.enter(here, B, can_wait=True):
            pass
        with bulkheads.enter(here, C):
            for key in (D, pod):
                with pytest.raises(Busy), bulkheads.enter(here, key):
                    pass
        assert called == [pod]
    assert called == [pod, B]
    # Where one alone may be there, it may be what can wait.
    with Bulkheads(called.append, 1).enter(here, A, can_wait=True):
        pass


async def test_sweeps_do_not_take_the_place_that_is_left(stranger: Operator, silent: Silent) -> None:
    await stranger.do(Follow(silent.endpoint, jobqueue().target), key=SLOW)
    held = asyncio.create_task(stranger.executor.carry_out(A, None, [Sweep(SLOW_REF)]))
    await silent.connected(2)
    assert not await asyncio.wait_for(stranger.executor.carry_out(B, None, [Sweep(SLOW_REF)]), 5)
    other = asyncio.create_task(stranger.executor.carry_out(C, None, [RemoveJob(SLOW_REF, "run-1")]))
    await silent.connected(3)
    silent.hang_up()
    await held
    with pytest.raises(Refused):
        await other


def test_one_that_is_called_and_has_nothing_to_do_there_any_more_leaves_its_room_to_the_next() -> None:
    called: list[Key] = []
    looks: list[Callable[[], None]] = []
    bulkheads = Bulkheads(called.append, 1, lambda _, look: looks.append(look))
    here = Endpoint("redis://here", "here")
    with bulkheads.enter(here, A):
        for key in (B, C, D):
            with pytest.raises(Busy), bulkheads.enter(here, key):
                pass
    assert called == [B], "and it does not come"
    with bulkheads.enter(here, A):
        looks.pop()()
        assert called == [B], "there is no room now: who leaves calls the next"
    assert called == [B, C]
    looks.pop()()
    assert called == [B, C, D]
    assert looks == [], "nobody waits"
