"""The worker: one process's share in a queue's work."""

from __future__ import annotations

import re
import socket
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import get_args

from crewline.errors import CrewlineError, InvalidOption
from crewline.middleware import Middleware
from crewline.queue.queue import Queue
from crewline.queue.store import DEFAULT_PREFIX, DEFAULT_REDIS
from crewline.redis.connection import COMMAND_TIMEOUT_SECONDS, client_name
from crewline.upkeep.maintainer import QueueMaintainer
from crewline.wire.checks import (
    A_MILLISECOND,
    check_choice,
    check_count,
    check_seconds,
    check_string,
    check_text,
    check_truth,
)
from crewline.wire.keys import Keys
from crewline.wire.retention import Keep
from crewline.wire.settings import Settings
from crewline.worker.calls.backlog import Backlog
from crewline.worker.calls.commit import Committer
from crewline.worker.calls.intake import Intake
from crewline.worker.calls.larger import LargerWatch
from crewline.worker.calls.leases import LeaseKeeper
from crewline.worker.calls.reach import Reach
from crewline.worker.calls.rights import Rights
from crewline.worker.calls.wakeup import MarkerWatch
from crewline.worker.handlers.targets import Execution, Handler, Targets
from crewline.worker.life import Life
from crewline.worker.liveness import Liveness
from crewline.worker.loopwatch import LoopWatch
from crewline.worker.processes.messages import Where
from crewline.worker.registry.live import LiveSettings
from crewline.worker.registry.presence import Presence
from crewline.worker.runs.calling import Calling
from crewline.worker.runs.execution import Executor
from crewline.worker.runs.interruptions import Interruptions
from crewline.worker.runs.isolation import Isolator
from crewline.worker.runs.journal import Journal
from crewline.worker.runs.listeners import Listeners
from crewline.worker.runs.slots import Slots
from crewline.worker.runs.verdicts import BackoffFunction, OnOOM, Verdicts
from crewline.worker.stopping import Stop
from crewline.worker.tuning import MOST_METRICS_MINUTES, Tuning, rate_to_script
from crewline.worker.work import Work


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
        worker_id: by which it is asked to drain, see `Queue.drain_workers`; a name of its own if None.
        execution: how plain functions run: ``thread`` (as if None) or ``process``; ``async def`` run on the loop.
        timeout_seconds: the longest that a job may run; None for no bound.
        grace_seconds: how long running jobs may go on once the worker is told to stop.
        lease_seconds: how long a job stays this worker's without a renewal; others get it after that.
        stalled_interval_seconds: how often jobs without a lease are looked for; a third of the lease if None.
        max_crashes: how often a job may take down a process that runs nothing but it before it fails for good.
        on_oom: what becomes of a job whose own process was killed for want of memory: ``retry``, as after any end of
            that, ``fail`` for good, or ``larger``: it waits for a worker that is so, once, and an hour at most.
        larger: runs nothing but the jobs that wait for a larger worker, one at a time, and ends by itself once there
            has been none for 10 s.
        dead_letter_queue: where jobs that failed for good go; ``<queue>-dlq`` if None, nowhere if ''.
        keep_completed, keep_failed: retention for jobs that do not bring their own, as those that our producers add do;
            they stay if None.
        rate: ``(jobs, seconds)``: how many jobs may start in that time over all workers of the queue; the queue's own
            rate, where one is set, goes before it.
        backoffs: waits of your own for `Backoff.named`: ``(attempts made, error) -> seconds``.
        middleware: hooks around every job, see `crewline.middleware`.
        metrics_minutes: how many minutes of per-minute counts the queue keeps (BullMQ's own keys), a week's
            at most; 0 for none.

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
        worker_id: str | None = None,
        execution: Execution | None = None,
        timeout_seconds: float | None = None,
        grace_seconds: float = 30.0,
        lease_seconds: float = 30.0,
        stalled_interval_seconds: float | None = None,
        max_crashes: int = 3,
        on_oom: OnOOM = "retry",
        larger: bool = False,
        dead_letter_queue: str | None = None,
        keep_completed: Keep | None = None,
        keep_failed: Keep | None = None,
        rate: tuple[int, float] | None = None,
        backoffs: Mapping[str, BackoffFunction] | None = None,
        middleware: Sequence[Middleware] = (),
        metrics_minutes: int = 0,
    ) -> None:
        if not isinstance(redis, str):
            raise InvalidOption(
                f"redis of a Worker must be a URL such as {DEFAULT_REDIS}: its leases have a client of their own"
            )
        lease_seconds = check_seconds(lease_seconds, "lease_seconds", 0.5)
        grace_seconds = check_seconds(grace_seconds, "grace_seconds")
        timeout_seconds = _or_default(timeout_seconds, "timeout_seconds")
        stalled_interval_seconds = _or_default(stalled_interval_seconds, "stalled_interval_seconds")
        check_count(max_crashes, "max_crashes")
        check_choice(on_oom, "on_oom", get_args(OnOOM))
        if check_truth(larger, "larger"):
            # each has all of its memory
            concurrency = 1
        check_count(metrics_minutes, "metrics_minutes", 0, most=MOST_METRICS_MINUTES)
        own = Settings(
            concurrency=concurrency, timeout_seconds=timeout_seconds, paused=False, rate=rate,
            keep_completed=keep_completed, keep_failed=keep_failed,
        )  # fmt: skip
        lease_ms, leases = round(lease_seconds * 1000), str(uuid.uuid4())
        if name is not None:
            check_string(name, "name")
        if worker_id is not None:
            check_text(worker_id, "worker_id")
        self.name = re.sub(r"[^!-~]", "-", name or socket.gethostname())
        call_seconds = _call_seconds(lease_seconds)
        self.queue = Queue(
            queue, redis=redis, prefix=prefix, dead_letter_queue=dead_letter_queue, timeout_seconds=call_seconds
        )
        self.queue.lease_ms = lease_ms
        letters = self.queue.dead_letter_queue
        self._listeners = Listeners()
        self._slots = slots = Slots(check_count(concurrency, "concurrency"))
        self._journal = Journal(queue, letters)
        slots.on_ended.append(self._journal.ended)
        slots.on_lost.append(self._journal.lost)
        targets = Targets(handler, execution)
        verdicts = Verdicts(slots, max_crashes, on_oom, backoffs, keep_completed, keep_failed)
        self._calling = Calling(targets, slots, Where(redis, prefix, queue, call_seconds, lease_ms), timeout_seconds)
        self._executor = Executor(targets, slots, self._listeners, self._calling, verdicts, middleware)
        self._isolator = Isolator(self.queue.scripts, lease_ms, slots, self._executor, self._calling, targets)
        self._maintainer = QueueMaintainer(
            self.queue, stalled_interval_seconds or lease_seconds / 3, lease_seconds, max_crashes, keep_completed,
            keep_failed,
        )  # fmt: skip
        self._backlog = Backlog(slots)
        reach = Reach(self.queue.url, lambda: self._listeners.emit("ready"))
        self._committer = Committer(
            self.queue, slots, self._backlog,
            Intake(self.queue, slots, self._executor, verdicts, self._isolator, self._maintainer), verdicts,
            letters=Keys(prefix, letters).base if letters else "", lease_ms=lease_ms, worker=self.name,
            leases=leases, rate=rate_to_script(rate), points=metrics_minutes, reach=reach, larger=larger,
        )  # fmt: skip
        self._watch: MarkerWatch | LargerWatch
        if larger:
            self._watch = LargerWatch(self.queue, slots, self._backlog, lambda: self._life.end(None))
        else:
            self._watch = MarkerWatch(
                self.queue, slots, self._backlog, self._committer, client_name=client_name(prefix, queue, self.name),
                lease_ms=lease_ms, timeout_seconds=call_seconds,
            )  # fmt: skip
        self._interruptions = Interruptions(slots, verdicts)
        self._loop_watch = LoopWatch(queue, timeout_seconds, lease_seconds)
        self._tuning = Tuning(
            own, self.queue, slots, self._calling, self._loop_watch, verdicts, self._committer, self._maintainer,
            most=1 if larger else None,
        )  # fmt: skip
        self._leases = LeaseKeeper(
            redis, self.queue.keys, slots.leases, lease_ms, self._lost_in_thread, self._loop_watch.gives_up,
            self._loop_watch.look_seconds,
        )  # fmt: skip
        self._presence = Presence(
            self.queue, slots, self.name, worker_id or "", leases, LiveSettings(queue, self._tuning.follow),
            self._interruptions.cancel,
        )  # fmt: skip
        self._work = Work(
            self.queue, Rights(self.queue, reach), self._committer, self._watch, self._maintainer, self._isolator,
            self._presence, self._calling, self._journal,
        )  # fmt: skip
        stop = Stop(slots, self._isolator, verdicts, self._watch, self._committer)
        self._life = Life(queue, slots, stop, self._leases, self._loop_watch, self._backlog, grace_seconds)
        self._liveness = Liveness(slots, reach, self._loop_watch)

    @property
    def running(self) -> int:
        """How many jobs run now."""
        return len(self._slots.runs)

    @property
    def concurrency(self) -> int:
        """How many jobs run at once; may be set while the worker runs. Jobs above a lower number end as they would."""
        return self._slots.concurrency

    @concurrency.setter
    def concurrency(self, value: int) -> None:
        self._tuning.resize(value)

    def on(self, event: str, callback: Callable[..., None]) -> None:
        """Calls ``callback`` when this worker's ``event`` happens.

        Events: ready(), active(job), completed(job), retrying(job, reason), failed(job, reason), lost(job), stopping().
        """
        self._listeners.add(event, callback)

    def pause(self) -> None:
        """Fetches nothing until `resume`, in this worker alone; what runs goes on. Apart from a pause by settings."""
        self._slots.shut("paused")

    def resume(self) -> None:
        """Fetches again, unless the queue's settings say that its workers are paused."""
        self._slots.admit("paused")

    def trouble(self) -> str:
        """What keeps this worker from its work although its process lives, '' if nothing does; for any thread.

        A Redis that is away is none: the worker tries it, and goes on once it is back.
        """
        return self._liveness.trouble()

    async def wait_ready(self) -> None:
        """Returns once Redis has answered the first fetch; CrewlineError if the worker ends before that."""
        await self._life.wait_for(self._committer.reached)
        if not self._committer.reached.is_set():
            raise CrewlineError(f"the worker of queue {self.queue.name} ended before Redis had answered")

    async def run(self) -> None:
        """Works until `stop`; then lets running jobs end, hands back what does not, and returns.

        Raises:
            CrewlineError: it has run before: a worker runs once.
            DutyFailed: something that a worker does for as long as it lives failed again and again for a reason that
                nobody foresaw; what ran was handed back.
        """
        try:
            await self._life.run(self._work.duties(), self._work.let_go)
        finally:
            self._journal.sum_up()

    async def stop(self, grace_seconds: float | None = None) -> None:
        """Tells the worker to stop; `run` returns once it has, 4 s after the grace period at the latest.

        Args:
            grace_seconds: how long running jobs may go on; what the worker was made with if None. A stop that is under
                way takes it over, from its own beginning on.
        """
        self._life.end(grace_seconds)
        self._listeners.emit("stopping")

    def _lost_in_thread(self, lost: list[tuple[str, str]]) -> None:
        self._life.call_in_loop(self._interruptions.lose, lost)


def _or_default(seconds: float | None, name: str) -> float | None:
    return None if seconds is None else check_seconds(seconds, name, A_MILLISECOND, "leave it out for the default")


def _call_seconds(lease_seconds: float) -> float:
    """How long a call may take: a link that died without a reset is given up while the leases still hold."""
    return min(max(lease_seconds / 3, 1.0), COMMAND_TIMEOUT_SECONDS)
