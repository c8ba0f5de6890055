"""Gathers what a plan is made from: out of the store where it can be trusted, else from the API server and Redis."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from crewline.redis.connection import UNAVAILABLE

from crewline_operator.effects.done import Done
from crewline_operator.jobqueue.children.ownership import Standing, standing
from crewline_operator.jobqueue.code import Codes
from crewline_operator.jobqueue.endpoint import resolve_endpoint
from crewline_operator.jobqueue.observed import Code, Observed
from crewline_operator.jobqueue.pods import is_worker_of
from crewline_operator.jobqueue.spec import JobQueue, named_queue
from crewline_operator.kube.api import DEPLOYMENTS, JOBQUEUES, SCHEDULEDJOBS, SERVICE_ACCOUNTS, Api, Resource
from crewline_operator.kube.store import Collection, Store
from crewline_operator.model.deletion_cost import is_marked
from crewline_operator.model.fault import FAULT_CHECK_SECONDS, Fault
from crewline_operator.model.fields import Fields, Unreadable
from crewline_operator.model.key import Key, Object, status_of
from crewline_operator.model.names import JOBQUEUE_LABEL
from crewline_operator.model.owner import Owner
from crewline_operator.model.worker import Worker
from crewline_operator.redis.bulkhead import Bulkheads, Busy
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.pollers import Pollers
from crewline_operator.redis.reading import Reading
from crewline_operator.redis.workers import read_workers
from crewline_operator.scaling.decide import History

#: A look at the workers of a queue, two round trips.
REDIS_TIMEOUT_SECONDS = 5.0


class _Resolved:
    """The Redis that a spec.redis was resolved to, and when."""

    def __init__(self, endpoint: Endpoint, spec: Mapping[str, Any]) -> None:
        self.endpoint = endpoint
        self.spec = spec
        self.read_at = time.monotonic()


#: The kinds of children, and where they are asked for.
CHILDREN = {"ServiceAccount": SERVICE_ACCOUNTS, "Deployment": DEPLOYMENTS}


@dataclass
class _Children:
    """A JobQueue's children by kind, and what is in their places."""

    own: dict[str, Object] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)
    stale: bool = False


class JobQueueObserver:
    """Observes JobQueues and changes nothing. What it remembers saves calls; losing it costs no more than these."""

    def __init__(
        self,
        *,
        api: Api,
        store: Store,
        codes: Codes,
        pollers: Pollers,
        bulkheads: Bulkheads,
        done: Callable[[Key], Done],
        watch_namespaces: Sequence[str] = (),
    ) -> None:
        self._api = api
        self._store = store
        self._codes = codes
        self._pollers = pollers
        self._bulkheads = bulkheads
        self._done = done
        self._watch_namespaces = watch_namespaces
        self._resolved: dict[Key, _Resolved] = {}

    def reset(self) -> None:
        """Forget what was read, so that it is read again: the full resync."""
        self._resolved.clear()

    def forget(self, key: Key) -> None:
        """A JobQueue is gone."""
        self._resolved.pop(key, None)

    async def observe(
        self,
        obj: Object,
        jobqueue: JobQueue,
        history: History,
        unclaimed_since: float | None = None,
        *,
        looks: bool = False,
        telling: frozenset[str] = frozenset(),
    ) -> Observed:
        """What a plan for `jobqueue` is made from, given what the last one left for it to know.

        Raises what the API server's calls raise.
        """
        key = jobqueue.key
        endpoint = await self._endpoint(key, obj, jobqueue)
        followed = self._pollers.followed(key)
        reading = Reading()
        if isinstance(endpoint, Endpoint) and followed == (endpoint, jobqueue.target):
            reading = self._pollers.reading(key)
        done = self._done(key)
        seen = Observed(
            now=datetime.now(UTC),
            clock=time.monotonic(),
            me=Owner(self._api.cluster_id, jobqueue.namespace, jobqueue.name, jobqueue.uid),
            status=status_of(obj),
            endpoint=endpoint,
            followed=followed,
            reading=reading,
            attention=self._pollers.attention(key),
            claimed=done.claimed,
            unclaimed_since=unclaimed_since,
            history=history,
        )
        if seen.first_read_pending:
            # The queue has to be followed at once: whoever adds to it waits for that, and nothing is decided before.
            return seen
        children = await self._children(jobqueue)
        labelled = self._store.pods_of(jobqueue.namespace, jobqueue.name)
        pods = [pod for pod in labelled if is_worker_of(jobqueue.name, pod)]
        looked = looks or any(_drains(pod) for pod in pods)
        return replace(
            seen,
            looked=looked,
            telling=telling,
            workers=await self._workers(jobqueue, pods) if looked else None,
            deployment=children.own.get("Deployment"),
            service_account=children.own.get("ServiceAccount"),
            pods=pods,
            code=await self._code(jobqueue),
            owner_gone=await self._is_gone(seen.holder, jobqueue),
            strays=await self._strays(reading, jobqueue),
            taken_name=" and ".join(children.foreign) or None,
            stale_child=children.stale,
            applied=dict(done.applied),
            pause_denied=done.pause_denied,
            drain_denied=done.drain_denied,
            status_age_seconds=done.status_age_seconds(time.monotonic()),
            sweep_age_seconds=done.sweep_age_seconds(time.monotonic()),
            known_seconds=done.known_seconds(time.monotonic()),
        )

    async def _endpoint(self, key: Key, obj: Object, jobqueue: JobQueue) -> Endpoint | Fault:
        """The Redis; a Secret is read again when Redis fails, since its password may have been changed."""
        known = self._resolved.get(key)
        if known is not None and known.spec == obj["spec"]["redis"]:
            failing = self._pollers.reading(key).fault is not None
            fresh = time.monotonic() - known.read_at < FAULT_CHECK_SECONDS / 2
            if jobqueue.redis_secret is None or not failing or fresh:
                return known.endpoint
        resolved = await resolve_endpoint(self._api, jobqueue)
        if isinstance(resolved, Endpoint):
            self._resolved[key] = _Resolved(resolved, obj["spec"]["redis"])
        else:
            self._resolved.pop(key, None)
        return resolved

    async def _workers(self, jobqueue: JobQueue, pods: Sequence[Object]) -> dict[str, Worker] | None:
        """What the workers in these pods tell of themselves; None if that can't be read now."""
        if not pods:
            return {}
        followed, queue = self._pollers.followed(jobqueue.key), self._pollers.queue(jobqueue.queue_ref)
        if followed is None or queue is None:
            return None
        with contextlib.suppress(Busy, *UNAVAILABLE), self._bulkheads.enter(followed[0], jobqueue.key):
            async with queue, asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                return await read_workers(queue, [pod["metadata"]["uid"] for pod in pods])
        return None

    async def _is_gone(self, holder: Owner | None, jobqueue: JobQueue) -> bool:
        """Whether another JobQueue that has the queue is gone for good, or is for another queue by now."""
        if holder is None or not self._knows(holder):
            return False
        known = await self._find(self._store.jobqueues, JOBQUEUES, holder)
        return known is None or _names_another(known, jobqueue)

    async def _strays(self, reading: Reading, jobqueue: JobQueue) -> list[str]:
        """Whose runs are not to come, though nobody could take them back when their ScheduledJob went."""
        strays = []
        for owner in reading.snapshot.schedulers if reading.snapshot is not None else ():
            if not self._knows(owner):
                continue
            known = await self._find(self._store.scheduledjobs, SCHEDULEDJOBS, owner)
            if known is None or self._adds_elsewhere(known, jobqueue):
                strays.append(owner.uid)
        return strays

    def _adds_elsewhere(self, scheduledjob: Object, jobqueue: JobQueue) -> bool:
        try:
            name = Fields(scheduledjob.get("spec"), "spec").required("queueRef").text("name")
        except Unreadable:
            return False
        target = self._store.jobqueues.get(scheduledjob["metadata"]["namespace"], name)
        return target is not None and _names_another(target, jobqueue)

    def _knows(self, owner: Owner) -> bool:
        """Whether it can be told here that an object is gone."""
        watched = not self._watch_namespaces or owner.namespace in self._watch_namespaces
        return watched and owner.cluster == self._api.cluster_id

    async def _find(self, watched: Collection, resource: Resource, owner: Owner) -> Object | None:
        """The object that `owner` names, None if it is gone for good."""
        known = watched.get(owner.namespace, owner.name)
        if known is None or known["metadata"]["uid"] != owner.uid:
            # The watch may lag.
            known = await self._api.find(resource, owner.namespace, owner.name)
        return known if known is not None and known["metadata"]["uid"] == owner.uid else None

    async def _children(self, jobqueue: JobQueue) -> _Children:
        """What has the names of the children."""
        children = _Children()
        for kind in CHILDREN:
            found = await self._find_child(kind, jobqueue)
            if found is None:
                continue
            match standing(found, jobqueue):
                case Standing.OURS:
                    children.own[kind] = found
                case Standing.EARLIER:
                    children.stale = True
                case Standing.FOREIGN:
                    children.foreign.append(f"{kind} {jobqueue.name!r}")
        return children

    async def _find_child(self, kind: str, jobqueue: JobQueue) -> Object | None:
        """What has the name of a child, whoever made it."""
        collection = self._store.of(kind)
        known = collection.get(jobqueue.namespace, jobqueue.name)
        if known is not None and standing(known, jobqueue) is Standing.OURS:
            return known
        # The watch may lag, and it does not show objects without our label: ask before making one.
        found = await self._api.find(CHILDREN[kind], jobqueue.namespace, jobqueue.name)
        if found is not None and JOBQUEUE_LABEL in (found["metadata"].get("labels") or {}):
            collection.put(found)
        return found

    async def _code(self, jobqueue: JobQueue) -> Code:
        name = jobqueue.worker.code_config_map
        return await self._codes.find(jobqueue.namespace, name) if name is not None else Code()


def _drains(pod: Object) -> bool:
    """Whether a pod's worker is to fetch nothing."""
    return bool(pod["metadata"].get("deletionTimestamp")) or is_marked(pod)


def _names_another(obj: Object, jobqueue: JobQueue) -> bool:
    """Whether a JobQueue is for another queue than `jobqueue`. What can't be read is left as it was."""
    try:
        return named_queue(obj) != (jobqueue.prefix, jobqueue.queue)
    except Unreadable:
        return False
