"""The operator as a whole: watches fill the store, the work queue says what is next, the reconcilers bring it in line.

One that waits to lead does all of it but write: it watches, reads all queues, and plans.

Before anything is reconciled everything is listed once, so that no decision is made on half a picture; every ten
minutes the same list corrects whatever a watch may have missed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from crewline_operator.deaths.observe import DeathObserver
from crewline_operator.duty import kept_up
from crewline_operator.effects.executor import Executor
from crewline_operator.jobqueue.observe import JobQueueObserver
from crewline_operator.kube.api import Api
from crewline_operator.kube.budget import WriteBudget
from crewline_operator.kube.errors import WentBack, retry_after
from crewline_operator.kube.events import EventRecorder
from crewline_operator.kube.fence import Fence
from crewline_operator.kube.named import NamedObjects
from crewline_operator.kube.operators import OtherOperators
from crewline_operator.kube.store import Store
from crewline_operator.loop.deaths import Deaths
from crewline_operator.loop.failing import Failing
from crewline_operator.loop.intake import Intake
from crewline_operator.loop.jobqueues import JobQueues
from crewline_operator.loop.listing import Listing
from crewline_operator.loop.metrics import Metrics
from crewline_operator.loop.missed import MissedDeletions
from crewline_operator.loop.scheduledjobs import ScheduledJobs
from crewline_operator.loop.workqueue import WorkQueue
from crewline_operator.model.key import Key
from crewline_operator.model.settings import Settings
from crewline_operator.redis.bulkhead import Bulkheads
from crewline_operator.redis.pollers import Pollers
from crewline_operator.scheduledjob.observe import ScheduledJobObserver

log = logging.getLogger(__name__)

#: Reconciles that may change something at one Redis at a time: each has a connection, beside the two that read.
AT_ONE_REDIS = 2


class Controller:
    """All of the operator but kopf."""

    def __init__(self, api: Api, settings: Settings, metrics: Metrics, fence: Fence | None = None) -> None:
        """`fence` is open as long as this process leads; without one it does from the start."""
        self._settings = settings
        self._metrics = metrics
        self._store = Store()
        self._work: WorkQueue[Key] = WorkQueue()
        self._named: NamedObjects[Key] = NamedObjects(api, self._work.add)
        self._intake = Intake(
            store=self._store,
            work=self._work,
            on_pod=lambda pod: self._deaths.on_pod(pod),
        )
        self._listing = Listing(api=api, intake=self._intake, settings=settings)
        self._missed = MissedDeletions(api=api, store=self._store, listing=self._listing, settings=settings)
        self.events = EventRecorder(api)
        self._pollers = Pollers(self._intake.on_reading, settings.poll_seconds)
        self._bulkheads = Bulkheads(self._work.add, max(1, min(AT_ONE_REDIS, (settings.reconcilers - 1) // 2)))
        self._budget = WriteBudget(settings.status_writes_per_second, self._work.add)
        self._executor = Executor(
            api=api,
            store=self._store,
            pollers=self._pollers,
            events=self.events,
            bulkheads=self._bulkheads,
            budget=self._budget,
            fence=fence or Fence.always_open(),
            requeue=self._work.add_after,
        )
        self._observer = JobQueueObserver(
            api=api,
            store=self._store,
            named=self._named,
            pollers=self._pollers,
            bulkheads=self._bulkheads,
            done=self._executor.done,
            operator=settings.operator,
            operators=OtherOperators(api),
            watch_namespaces=settings.watch_namespaces,
        )
        self._jobqueues = JobQueues(
            store=self._store,
            observer=self._observer,
            executor=self._executor,
            metrics=metrics,
            settings=settings,
            requeue=self._work.add_after,
        )
        self._scheduledjobs = ScheduledJobs(
            store=self._store,
            observer=ScheduledJobObserver(
                store=self._store,
                pollers=self._pollers,
                bulkheads=self._bulkheads,
                done=self._executor.done,
                cluster_id=api.cluster_id,
                operator=settings.operator,
            ),
            executor=self._executor,
            settings=settings,
            requeue=self._work.add_after,
        )
        self._deaths = Deaths(
            store=self._store,
            observer=DeathObserver(pollers=self._pollers, bulkheads=self._bulkheads),
            executor=self._executor,
            add=self._work.add,
            requeue=self._work.add_after,
        )
        self._listed = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether the first list is in and reconciling has begun."""
        return self._listed.is_set()

    async def listed(self) -> None:
        """Wait until it is ready: who knows nothing yet must not keep another from leading."""
        await self._listed.wait()

    def lead(self) -> None:
        """This process leads from now on: everything is looked at again."""
        self._metrics.leader(True)
        self._intake.add_all_anew()
        self._deaths.add_all()

    def on_object(self, kind: str, obj: dict[str, Any], event: str | None) -> None:
        """Take in what a watch has seen."""
        self._intake.on_object(kind, obj, event == "DELETED")
        if event is None and self.ready:
            self._missed.watch_began_anew(kind)

    async def run(self) -> None:
        """Run until cancelled. Raises OldSchema, and WentBack in a group."""
        await self._listing.first()
        try:
            async with asyncio.TaskGroup() as group:
                self._begin()
                for name, duty in self._duties().items():
                    group.create_task(kept_up(name, duty, (WentBack,)), name=name)
                await self._work.run(
                    self._reconcile,
                    workers=self._settings.reconcilers,
                    observer=self._metrics.reconciled,
                    retry_after=retry_after,
                    on_failure=Failing(self._store, self._executor, self._jobqueues.is_left).tell,
                )
        finally:
            await self._named.close()
            await self._pollers.close()

    def _duties(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What goes on beside the reconciles."""
        return {
            "the writing of Events": self.events.run,
            "the budget of statuses": self._budget.run,
            "the resync": lambda: self._listing.again(self._resync),
            "the look for missed deletions": self._missed.run,
            "the count of what is to be reconciled": self._report_depth,
        }

    async def _reconcile(self, key: Key) -> None:
        if self._store.of(key.kind).get(key.namespace, key.name) is None:
            self._work.forget(key)
        with self._budget.turn(key):
            if key.kind == "JobQueue":
                await self._jobqueues.reconcile(key)
            elif key.kind == "Pod":
                await self._deaths.reconcile(key)
            else:
                await self._scheduledjobs.reconcile(key)

    def _begin(self) -> None:
        self._listed.set()
        log.info(
            "ready: %d JobQueues, %d ScheduledJobs in %s",
            len(self._store.jobqueues),
            len(self._store.scheduledjobs),
            ", ".join(self._settings.watch_namespaces) or "all namespaces",
        )
        self._intake.add_all()

    def _resync(self) -> None:
        self._observer.reset()
        self._intake.add_all()

    async def _report_depth(self) -> None:
        while True:
            self._metrics.work_queue(len(self._work))
            await asyncio.sleep(1)
