"""The worker: one process's share in a queue's work."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import re
import socket
from collections.abc import Callable, Mapping, Sequence

from crewline.errors import InvalidOption
from crewline.middleware import Middleware
from crewline.queue.queue import Queue
from crewline.queue.store import DEFAULT_PREFIX, DEFAULT_REDIS
from crewline.redis.connection import COMMAND_TIMEOUT_SECONDS, client_name, end_tasks
from crewline.upkeep.keeping import Keeper
from crewline.wire.keys import Keys
from crewline.wire.options import KEEP_COMPLETED, KEEP_FAILED, Keep
from crewline.wire.settings import Settings, check_count
from crewline.worker.calls.commit import Committer
from crewline.worker.calls.leases import LeaseKeeper
from crewline.worker.calls.wakeup import MarkerWatch
from crewline.worker.handlers.targets import Execution, Handler, Targets
from crewline.worker.registry.live import LiveSettings
from crewline.worker.registry.presence import Presence
from crewline.worker.runs.child import Where
from crewline.worker.runs.execution import BackoffFunction, Executor
from crewline.worker.runs.isolation import Isolator
from crewline.worker.runs.listeners import Listeners
from crewline.worker.runs.state import State, result_of

log = logging.getLogger("crewline.worker")

#: Seconds that the first fetch waits at most for the queue's settings.
SETTINGS_SECONDS = 2.0
#: Seconds after which what is settled but not written is given up when a worker stops.
FLUSH_SECONDS = 5.0


class Worker:
    """Runs a queue's jobs.

    Args:
        queue: the queue's name.
        handler: ``async def handle(job)`` (on the event loop) or ``def handle(job)`` (in threads or processes), or a
            `Router`. What it returns, strict JSON, is the job's result; what it raises makes a retry or a failure.
            With a second parameter it gets the job's data too, checked against that parameter's annotation.
        redis: the Redis URL.
        prefix: BullMQ's key prefix.
        concurrency: how many jobs run at once, 1 or more.
        name: shown on each job it runs and in dashboards; the host's name (a pod's, in a pod) if None.
        execution: how plain functions run: ``thread`` (as if None) or ``process``; ``async def`` run on the loop.
        timeout_seconds: the longest that a job may run; None for no bound.
        grace_seconds: how long running jobs may go on once the worker is told to stop.
        lease_seconds: how long a job stays this worker's without a renewal; others get it after that.
        stalled_interval_seconds: how often jobs without a lease are looked for; the lease's length if None.
        max_crashes: how often a job may take its worker down, with nothing beside it, before it fails for good.
        dead_letter_queue: where jobs that failed for good go; ``<queue>-dlq`` if None, nowhere if ''.
        keep_completed, keep_failed: retention for jobs that do not bring their own.
        rate: ``(jobs, seconds)``: how many jobs may start in that time over all workers of the queue; the queue's own
            rate, where one is set, goes before it.
        backoffs: waits of your own for `Backoff.named`: ``(attempts made, error) -> seconds``.
        middleware: hooks around every job, see `crewline.middleware`.
        metrics_minutes: how many minutes of per-minute counts the queue keeps (BullMQ's own keys); 0 for none.

    Raises:
        InvalidOption: an argument that can't be used.
    """

    def __init__(
        self,
        queue: str,
        handler: Handler,
        *,
        redis: str = DEFAULT_REDIS,
        prefix: str = DEFAULT_PREFIX,
        concurrency: int = 10,
        name: str | None = None,
        execution: Execution | None = None,
        timeout_seconds: float | None = None,
        grace_seconds: float = 30.0,
        lease_seconds: float = 30.0,
        stalled_interval_seconds: float | None = None,
        max_crashes: int = 3,
        dead_letter_queue: str | None = None,
        keep_completed: Keep = KEEP_COMPLETED,
        keep_failed: Keep = KEEP_FAILED,
        rate: tuple[int, float] | None = None,
        backoffs: Mapping[str, BackoffFunction] | None = None,
        middleware: Sequence[Middleware] = (),
        metrics_minutes: int = 0,
    ) -> None:
        letters = _letters_queue(queue, dead_letter_queue)
        if not lease_seconds >= 0.5:
            raise InvalidOption(f"lease_seconds {lease_seconds!r} must be 0.5 or more")
        self._own = Settings(
            concurrency=concurrency, paused=False, rate=rate, keep_completed=keep_completed, keep_failed=keep_failed
        )
        self._followed = Settings()
        lease_ms = round(lease_seconds * 1000)
        self.name = re.sub(r"[^!-~]", "-", name or socket.gethostname())
        call_seconds = _call_seconds(lease_seconds)
        self.queue = Queue(queue, redis=redis, prefix=prefix, timeout_seconds=call_seconds)
        self._grace_seconds = grace_seconds
        self._listeners = Listeners()
        self._state = State(check_count(concurrency, "concurrency"))
        self._state.work.set()
        self._executor = Executor(
            Targets(handler, execution), self._state, self._listeners, timeout_seconds, middleware, backoffs or {},
            keep_completed, keep_failed, where=Where(redis, prefix, queue, call_seconds),
        )  # fmt: skip
        self._isolator = Isolator(self.queue.scripts, self._state, self._executor)
        self._keeper = Keeper(
            self.queue, stalled_interval_seconds or lease_seconds, max_crashes, keep_completed, keep_failed
        )
        self._committer = Committer(
            self.queue, self._state, self._executor, self._isolator, self._keeper,
            letters=Keys(prefix, letters).base if letters else "", lease_ms=lease_ms, worker=self.name,
            rate=_rate(rate), points=metrics_minutes,
        )  # fmt: skip
        self._watch = MarkerWatch(
            self.queue, self._state, self._committer, client_name(prefix, queue, self.name), call_seconds
        )
        self._leases = LeaseKeeper(redis, self.queue.keys, self._state.leases, lease_ms, self._lost_in_thread)
        self._presence = Presence(self.queue, self._state, self.name, LiveSettings(queue, self._follow), self._cancel)
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def running(self) -> int:
        """How many jobs run now."""
        return len(self._state.running)

    @property
    def concurrency(self) -> int:
        """How many jobs run at once; may be set while the worker runs. Jobs above a lower number end as they would."""
        return self._state.concurrency

    @concurrency.setter
    def concurrency(self, value: int) -> None:
        self._state.concurrency = check_count(value, "concurrency")
        self._own = dataclasses.replace(self._own, concurrency=value)
        self._executor.resize(value)
        self._state.wake()

    def on(self, event: str, callback: Callable[..., None]) -> None:
        """Calls ``callback`` when this worker's ``event`` happens.

        Events: ready(), active(job), completed(job), retrying(job, reason), failed(job, reason), lost(job), stopping().
        """
        self._listeners.add(event, callback)

    def pause(self) -> None:
        """Fetches nothing until `resume`, in this worker alone; what runs goes on."""
        self._state.paused = True
        self._state.rouse()

    def resume(self) -> None:
        """Fetches again."""
        self._state.paused = False
        self._state.wake()

    async def wait_ready(self) -> None:
        """Returns once Redis has answered the first fetch."""
        await self._committer.reached.wait()
        self._listeners.emit("ready")

    async def run(self) -> None:
        """Works until `stop`; then lets running jobs end, hands back what does not, and returns."""
        self._loop = asyncio.get_running_loop()
        self._leases.start()
        duties = [
            asyncio.create_task(duty, name=f"crewline-{name}")
            for name, duty in (
                ("commit", self._commit()),
                ("wakeup", self._watch.run()),
                ("rouse", self._watch.rouse()),
                ("stalled", self._keeper.recover()),
                ("sweep", self._keeper.sweep()),
                ("isolation", self._isolator.run()),
                ("presence", self._presence.run()),
            )
        ]
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            done, _ = await asyncio.wait([*duties, stopping], return_when=asyncio.FIRST_COMPLETED)
            for duty in done - {stopping}:
                # a duty never ends by itself: this is a bug, and a worker that looks alive but does nothing is worse
                duty.result()
            await self._drain()
        finally:
            await end_tasks(*duties, stopping)
            self._leases.stop()
            await self._keeper.close()
            await self._presence.leave()
            self._executor.close()
            await self.queue.close()

    async def stop(self, grace_seconds: float | None = None) -> None:
        """Tells the worker to stop; `run` returns once it has.

        Args:
            grace_seconds: how long running jobs may go on; what the worker was made with if None.
        """
        if grace_seconds is not None:
            self._grace_seconds = grace_seconds
        self._state.stopping = True
        self._state.rouse()
        self._stopping.set()
        self._listeners.emit("stopping")

    async def _commit(self) -> None:
        # the queue's settings come before the first fetch; a Redis that is away is the committer's to tell of
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._presence.begun.wait(), SETTINGS_SECONDS)
        await self._committer.run()

    def _follow(self, settings: Settings) -> None:
        """Applies the queue's settings; what they leave out is as this worker was made."""
        own, executor = self._own, self._executor
        if settings.paused:
            self.pause()
        elif self._followed.paused:
            self.resume()
        self._followed = settings
        self.concurrency = settings.concurrency or own.concurrency or 1
        self._own = own
        self._committer.limit(_rate(settings.rate or own.rate))
        executor.keep_completed = settings.keep_completed or own.keep_completed or KEEP_COMPLETED
        executor.keep_failed = settings.keep_failed or own.keep_failed or KEEP_FAILED
        self._keeper.retain(executor.keep_completed, executor.keep_failed)
        executor.default_attempts = settings.attempts or 1
        executor.default_backoff = settings.backoff.to_wire() if settings.backoff else None

    async def _drain(self) -> None:
        state = self._state
        if state.running:
            log.info("stopping: %d jobs may end within %g s", len(state.running), self._grace_seconds)
        # one that has not begun goes back at once
        while state.suspects:
            state.settle(result_of(state.suspects.popleft(), "back", ""))
        tasks = [run.task for run in state.running.values() if run.task]
        if tasks:
            await asyncio.wait(tasks, timeout=self._grace_seconds)
        left = list(state.running.values())
        if left:
            log.warning("%d jobs did not end within %g s: handed back", len(left), self._grace_seconds)
        # the job fetched last goes back first, so that they run in their old order
        for run in reversed(left):
            run.handing_back = True
            if run.stoppable and run.task:
                run.task.cancel()
            else:
                # a thread can't be cancelled: its job goes back now, and what it still does is fenced off
                run.lost = True
                state.forget(run)
                state.settle(result_of(run, "back", ""))
        if left:
            await asyncio.wait([run.task for run in left if run.task], timeout=1.0)
        await self._watch.released(1.0)
        deadline = asyncio.get_running_loop().time() + FLUSH_SECONDS
        while (state.settled or state.in_flight) and asyncio.get_running_loop().time() < deadline:
            state.work.set()
            await asyncio.sleep(0.005)
        if state.settled:
            log.error("%d results could not be written: other workers will run these jobs again", len(state.settled))

    def _cancel(self, job_id: str, reason: str) -> None:
        run = self._state.running.get(job_id)
        if run is None:
            return
        log.warning("job %s of queue %s is cancelled: %s", job_id, self.queue.name, reason)
        run.cancelled = reason
        if run.stoppable and run.task:
            run.task.cancel()
        else:
            # what the thread still does is thrown away: its end finds the lease gone
            run.lost = True
            self._state.settle(self._executor.failed(run, reason, "", letter=False))

    def _lost_in_thread(self, lost: list[tuple[str, str]]) -> None:
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._lose, lost)

    def _lose(self, lost: list[tuple[str, str]]) -> None:
        for job_id, token in lost:
            lease = self._state.leases.get(job_id)
            if lease is None or lease.token != token:
                continue  # settled meanwhile
            run = self._state.running.get(job_id)
            if run is None or run.token != token:
                continue  # its result is on the way; the token fences it
            log.warning("job %s of queue %s: the lease is lost, its run is stopped", job_id, self.queue.name)
            del self._state.leases[job_id]
            run.lost = True
            if run.task and run.stoppable:
                run.task.cancel()
            self._listeners.emit("lost", run.job)


def _rate(rate: tuple[int, float] | None) -> tuple[int, int]:
    """As finish_and_fetch takes it: jobs, milliseconds; (0, 0) for none."""
    return (rate[0], round(rate[1] * 1000)) if rate else (0, 0)


def _call_seconds(lease_seconds: float) -> float:
    """How long a call may take: a link that died without a reset is given up while the leases still hold."""
    return min(max(lease_seconds / 3, 1.0), COMMAND_TIMEOUT_SECONDS)


def _letters_queue(queue: str, letters: str | None) -> str:
    if letters == queue:
        raise InvalidOption(f"dead_letter_queue {queue!r} must not be the queue itself: name another, or leave it out")
    if letters is None:
        # a worker on the dead letters themselves must not write letters about letters
        return "" if queue.endswith("-dlq") else f"{queue}-dlq"
    return letters
