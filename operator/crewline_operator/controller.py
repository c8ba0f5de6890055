"""The operator as a whole: watches fill the store, the work queue says what is next, the controllers reconcile.

Before anything is reconciled everything is listed once, so that no decision is made on half a picture; every ten
minutes the same list corrects whatever a watch may have missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Iterable
from typing import Any

import aiohttp

from crewline_operator.jobqueue.observe import Observer
from crewline_operator.kube.api import DEPLOYMENTS, JOBQUEUES, PODS, SCHEDULEDJOBS, Api, ApiError, Resource
from crewline_operator.kube.events import EventRecorder
from crewline_operator.kube.store import Collection, Store
from crewline_operator.loop.jobqueues import JobQueueController
from crewline_operator.loop.metrics import Metrics
from crewline_operator.loop.scheduledjobs import ScheduledJobController
from crewline_operator.loop.workqueue import WorkQueue
from crewline_operator.model.fault import describe
from crewline_operator.model.key import Key
from crewline_operator.model.names import JOBQUEUE_LABEL
from crewline_operator.model.settings import Settings
from crewline_operator.redis.poller import Pollers

log = logging.getLogger(__name__)

FIRST_LIST_RETRY_CAP_SECONDS = 10.0
#: CRDs that kubectl applied belong to kubectl, and the chart's next upgrade is refused over them.
CRDS_MISSING = (
    "are the CRDs installed? helm upgrade --reuse-values --set crds.install=true; only without Helm: "
    "kubectl apply -f crds/"
)


class Controller:
    """All of the operator but kopf."""

    def __init__(self, api: Api, settings: Settings, metrics: Metrics) -> None:
        self._api = api
        self._settings = settings
        self._metrics = metrics
        self._store = Store()
        self._work: WorkQueue[Key] = WorkQueue()
        self._events = EventRecorder(api)
        self._pollers = Pollers(self._queues_changed, settings.poll_seconds)
        self._observer = Observer(api=api, store=self._store, pollers=self._pollers, requeue=self._work.add_after)
        self._jobqueues = JobQueueController(
            api=api,
            store=self._store,
            pollers=self._pollers,
            observer=self._observer,
            events=self._events,
            metrics=metrics,
            settings=settings,
            requeue=self._work.add_after,
        )
        self._scheduledjobs = ScheduledJobController(
            api=api,
            store=self._store,
            redis_of=self._pollers.of,
            events=self._events,
            requeue=self._work.add_after,
        )
        self._listed = False

    @property
    def ready(self) -> bool:
        """Whether the first list is in and reconciling has begun."""
        return self._listed

    async def run(self) -> None:
        """Run until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._events.run(), name="events")
                await self._list_first()
                group.create_task(self._resync_forever(), name="resync")
                group.create_task(self._report_depth(), name="work-queue-depth")
                await self._work.run(
                    self._reconcile, workers=self._settings.reconcilers, observer=self._metrics.reconciled
                )
        finally:
            await self._pollers.close()

    def on_object(self, kind: str, obj: dict[str, Any], gone: bool) -> None:
        """Take in what a watch has seen."""
        namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
        if kind == "ConfigMap":
            users = self._store.jobqueues_with_code(namespace, name)
            if users:
                self._observer.config_map_changed(namespace, name, None if gone else obj)
            self._add("JobQueue", users)
            return
        collection = self._collection(kind)
        if gone:
            collection.remove(obj)
        elif not collection.put(obj):
            return
        if kind in ("JobQueue", "ScheduledJob"):
            self._work.add(Key(kind, namespace, name))
            if kind == "JobQueue":
                self._add("ScheduledJob", self._store.scheduledjobs_of(namespace, name))
        else:
            jobqueue = obj["metadata"].get("labels", {}).get(JOBQUEUE_LABEL)
            if jobqueue:
                self._work.add(Key("JobQueue", namespace, jobqueue))

    async def _reconcile(self, key: Key) -> None:
        if self._collection(key.kind).get(key.namespace, key.name) is None:
            self._work.forget(key)
        if key.kind == "JobQueue":
            await self._jobqueues.reconcile(key)
        else:
            await self._scheduledjobs.reconcile(key)

    def _queues_changed(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._work.add(key)

    def _add(self, kind: str, objects: Iterable[Any]) -> None:
        for obj in objects:
            self._work.add(Key(kind, obj["metadata"]["namespace"], obj["metadata"]["name"]))

    def _collection(self, kind: str) -> Collection:
        return {
            "JobQueue": self._store.jobqueues,
            "ScheduledJob": self._store.scheduledjobs,
            "Deployment": self._store.deployments,
            "Pod": self._store.pods,
        }[kind]

    async def _list_first(self) -> None:
        """List everything once; waits for the API server and for the CRDs."""
        wait_seconds = 0.5
        while True:
            try:
                await self._list_all()
            except ApiError as error:
                mend = f" ({CRDS_MISSING})" if error.not_found else ""
                log.warning("can't list: %s%s; trying again in %.1f s", error, mend, wait_seconds)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                log.warning("the API server does not answer: %s; trying again in %.1f s", describe(error), wait_seconds)
            else:
                break
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(FIRST_LIST_RETRY_CAP_SECONDS, wait_seconds * 2)
        self._observer.prime()
        self._listed = True
        log.info(
            "ready: %d JobQueues, %d ScheduledJobs in %s",
            len(self._store.jobqueues),
            len(self._store.scheduledjobs),
            ", ".join(self._settings.watch_namespaces) or "all namespaces",
        )
        self._add_all()

    async def _resync_forever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.resync_seconds * random.uniform(0.9, 1.1))
            try:
                await self._list_all()
            except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
                log.warning("resync: %s; the next one comes in its time", describe(error))
                continue
            self._observer.reset()
            self._jobqueues.reset()
            self._add_all()

    async def _list_all(self) -> None:
        for namespace in self._settings.watch_namespaces or (None,):
            await self._list(self._store.jobqueues, JOBQUEUES, namespace)
            await self._list(self._store.scheduledjobs, SCHEDULEDJOBS, namespace)
            await self._list(self._store.deployments, DEPLOYMENTS, namespace, JOBQUEUE_LABEL)
            await self._list(self._store.pods, PODS, namespace, JOBQUEUE_LABEL)

    async def _list(
        self, collection: Collection, resource: Resource, namespace: str | None, label_selector: str | None = None
    ) -> None:
        objects, version = await self._api.list(resource, namespace, label_selector=label_selector)
        for gone in collection.replace(objects, version, namespace):
            if collection.kind in ("JobQueue", "ScheduledJob"):
                self._add(collection.kind, [gone])

    def _add_all(self) -> None:
        self._add("JobQueue", self._store.jobqueues)
        self._add("ScheduledJob", self._store.scheduledjobs)

    async def _report_depth(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                self._metrics.work_queue(len(self._work))
                await asyncio.sleep(1)
