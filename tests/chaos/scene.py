"""A stage for one fault: a Redis, perhaps a proxy before it, workers, jobs; and what was done to them, and when."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crewline import Queue
from crewline.redis.connection import UNAVAILABLE
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from tests import redis_server
from tests.chaos.fleet import Fleet, WorkerProcess
from tests.chaos.proxy import Proxy
from tests.chaos.waiting import until
from tests.redis_server import RedisServer

QUEUE = "chaos"


@dataclass(frozen=True)
class Form:
    """How much of everything.

    Attributes:
        jobs: how many, each with an effect of its own.
        rounds: how often the fault strikes.
        workers, concurrency, lease_seconds: what works on them.
        span_seconds: how long the jobs would take without any fault; theirs follows from it.
        stop_seconds: how long a stopped worker stays stopped, longer than the lease.
        compared: whether a fault that ends workers is preceded by the same work without it, to compare the time.
    """

    jobs: int
    rounds: int
    workers: int
    concurrency: int
    lease_seconds: float
    span_seconds: float
    stop_seconds: float
    compared: bool = False

    @property
    def slots(self) -> int:
        return self.workers * self.concurrency

    @property
    def job_seconds(self) -> float:
        """What a job takes on average, so that all slots together need the span."""
        return self.span_seconds * self.slots / self.jobs


SHORT = Form(jobs=200, rounds=1, workers=2, concurrency=8, lease_seconds=2.0, span_seconds=3.0, stop_seconds=5.0)
LONG = Form(
    jobs=20_000, rounds=3, workers=3, concurrency=20, lease_seconds=10.0, span_seconds=45.0, stop_seconds=60.0,
    compared=True,
)  # fmt: skip


@dataclass(frozen=True)
class Incident:
    """One strike, in seconds of CLOCK_MONOTONIC; ``pid`` is the worker it struck, 0 for all."""

    at: float
    pid: int = 0
    until: float = 0.0


@dataclass(frozen=True)
class Mark:
    """What was active when a fault struck, by Redis' clock."""

    now_ms: int
    active: frozenset[str]


@dataclass
class Scene:
    """Everything a fault may lay hands on."""

    form: Form
    rng: random.Random
    folder: Path
    server: RedisServer
    redis_options: tuple[str, ...]
    queue: Queue
    fleet: Fleet
    proxy: Proxy | None
    incidents: list[Incident] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    injecting: bool = True
    _sizes: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=600))

    async def work_begins(self) -> None:
        """Returns once jobs are under way."""

        async def active() -> bool:
            return bool(await self.queue.redis.llen(self.queue.keys.active))

        await until(active, "the first job under way")

    async def pause_between(self) -> None:
        """A random wait, so that the rounds lie all over the work."""
        share = self.form.span_seconds / (self.form.rounds + 1)
        await asyncio.sleep(self.rng.uniform(0.3, 0.8) * share)

    async def mark(self) -> None:
        """Notes what is active now: the time to recover is how long that takes to end."""
        clock, active = await asyncio.gather(
            self.queue.redis.time(), self.queue.redis.lrange(self.queue.keys.active, 0, -1)
        )
        self.marks.append(Mark(clock[0] * 1000 + clock[1] // 1000, frozenset(member.decode() for member in active)))

    def struck(self, worker: WorkerProcess | None = None, until: float = 0.0, at: float | None = None) -> None:
        now = time.monotonic()
        self.incidents.append(Incident(now if at is None else at, worker.pid if worker else 0, until or now))

    def victim(self) -> WorkerProcess:
        return self.rng.choice(self.fleet.alive())

    async def kill_redis(self, *, power_loss_seconds: float = 0.0, down_seconds: float = 0.2) -> None:
        """Kills the server and starts it again on its files.

        Args:
            power_loss_seconds: how much of the end of the append-only file is lost with it: a killed process loses
                nothing that it has written, a machine without power what was not yet synced.
        """
        aof = self._aof()
        self.server.process.kill()
        killed = time.monotonic()
        await asyncio.to_thread(self.server.process.wait)
        if power_loss_seconds and aof:
            kept = max((size for at, size in self._sizes if at <= killed - power_loss_seconds), default=None)
            assert kept is not None, "the append-only file was not watched for long enough before the power loss"
            with aof.open("r+b") as file:
                file.truncate(kept)
        await asyncio.sleep(down_seconds)
        self.server = await asyncio.to_thread(
            redis_server.start, self.folder / "redis", *self.redis_options, port=self.server.port
        )
        self.struck(at=killed - power_loss_seconds, until=time.monotonic())

    def _aof(self) -> Path | None:
        return next(iter(sorted((self.folder / "redis").glob("appendonlydir/*.incr.aof"), reverse=True)), None)

    async def watch_aof(self) -> None:
        """Keeps the size of the append-only file over time; runs until cancelled."""
        while True:
            aof = self._aof()
            if aof:
                with contextlib.suppress(OSError):
                    self._sizes.append((time.monotonic(), aof.stat().st_size))
            await asyncio.sleep(0.05)

    async def supervise(self) -> None:
        """Replaces workers that ended, as Kubernetes does; runs until cancelled."""
        while True:
            for _ in range(self.form.workers - len(self.fleet.alive())):
                self.fleet.spawn()
            await asyncio.sleep(0.1)

    async def drained(self) -> bool:
        """Nothing waits and nothing runs any more."""
        try:
            counts = await self.queue.metrics()
        except UNAVAILABLE:
            return False
        return counts.waiting == counts.active == counts.delayed == 0


def _patient(url: str) -> Redis:
    """The driver's own client: it asks again where a server that was killed has dropped its connection."""
    return Redis.from_url(url, retry=Retry(ExponentialBackoff(cap=0.5), 10), socket_timeout=30.0)


@contextlib.asynccontextmanager
async def stage(
    form: Form, seed: int, folder: Path, *, redis_options: tuple[str, ...] = (), proxied: bool = False,
    grace_seconds: float = 30.0, environments: list[dict[str, str]] | None = None,
) -> AsyncIterator[Scene]:  # fmt: skip
    """Sets a scene in ``folder`` with all its workers ready, and clears it away again."""
    server = redis_server.start(folder / "redis", *redis_options)
    scene: Scene | None = None
    tasks: list[asyncio.Task[Any]] = []
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(lambda: (scene.server if scene else server).stop())
        proxy = await stack.enter_async_context(Proxy(server.port)) if proxied else None
        queue = await stack.enter_async_context(Queue(QUEUE, redis=_patient(server.url)))
        fleet = Fleet(
            folder, folder / "ledger.txt", QUEUE, proxy.url if proxy else server.url, form.concurrency,
            form.lease_seconds, grace_seconds,
        )  # fmt: skip
        stack.push_async_callback(fleet.stop)
        scene = Scene(form, random.Random(seed), folder, server, redis_options, queue, fleet, proxy)
        # every event stays: one that says `completed` twice for a job would be a result accepted twice
        await queue.redis.hset(queue.keys.meta, "opts.maxLenEvents", "10000000")
        tasks.append(asyncio.create_task(scene.watch_aof()))
        try:
            await fleet.start(form.workers, environments)
            yield scene
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
