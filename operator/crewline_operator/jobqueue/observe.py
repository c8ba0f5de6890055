"""Gathers what a plan is made from: out of the store where it can be trusted, else from the API server and Redis."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from crewline_operator.effects.done import Done
from crewline_operator.jobqueue.children.labels import selector_of
from crewline_operator.jobqueue.code import Codes
from crewline_operator.jobqueue.endpoint import resolve_endpoint
from crewline_operator.jobqueue.observed import Code, Observed
from crewline_operator.jobqueue.spec import JobQueue, named_queue
from crewline_operator.kube.api import DEPLOYMENTS, JOBQUEUES, SCHEDULEDJOBS, Api, Resource
from crewline_operator.kube.store import Collection, Store
from crewline_operator.model.fault import FAULT_CHECK_SECONDS, Fault
from crewline_operator.model.key import Key, Object
from crewline_operator.model.names import API_VERSION
from crewline_operator.model.owner import Owner
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.poller import Pollers
from crewline_operator.redis.reading import Reading
from crewline_operator.scaling.decide import History


class _Resolved:
    """The Redis that a spec.redis was resolved to, and when."""

    def __init__(self, endpoint: Endpoint, spec: Mapping[str, Any]) -> None:
        self.endpoint = endpoint
        self.spec = spec
        self.read_at = time.monotonic()


@dataclass(frozen=True)
class _Child:
    """The workers' Deployment, or what is in its place: a stranger's, or an earlier JobQueue's that is about to go."""

    deployment: Object | None = None
    taken_name: str | None = None
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
        done: Callable[[Key], Done],
        watch_namespaces: Sequence[str] = (),
    ) -> None:
        self._api = api
        self._store = store
        self._codes = codes
        self._pollers = pollers
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
        self, obj: Object, jobqueue: JobQueue, history: History, unclaimed_since: float | None = None
    ) -> Observed:
        """What a plan for `jobqueue` is made from. Raises what the API server's calls raise."""
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
            status=obj.get("status", {}),
            endpoint=endpoint,
            followed=followed,
            reading=reading,
            claimed=done.claimed,
            unclaimed_since=unclaimed_since,
            history=history,
        )
        if seen.first_read_pending:
            # The queue has to be followed at once: whoever adds to it waits for that, and nothing is decided before.
            return seen
        child = await self._child(jobqueue)
        return replace(
            seen,
            deployment=child.deployment,
            pods=self._store.pods_of(jobqueue.namespace, jobqueue.name),
            code=await self._code(jobqueue),
            owner_gone=await self._is_gone(seen.holder, jobqueue),
            strays=await self._strays(reading, jobqueue),
            taken_name=child.taken_name,
            stale_child=child.stale,
            applied=dict(done.applied),
            status_age_seconds=_age(done.status_written),
            sweep_age_seconds=_age(done.swept),
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

    async def _is_gone(self, holder: Owner | None, jobqueue: JobQueue) -> bool:
        """Whether another JobQueue that has the queue is gone for good, or is for another queue by now."""
        if holder is None or not self._knows(holder):
            return False
        known = await self._find(self._store.jobqueues, JOBQUEUES, holder)
        return known is None or named_queue(known) != (jobqueue.prefix, jobqueue.queue)

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
        namespace, name = scheduledjob["metadata"]["namespace"], scheduledjob["spec"]["queueRef"]["name"]
        target = self._store.jobqueues.get(namespace, name)
        return target is not None and named_queue(target) != (jobqueue.prefix, jobqueue.queue)

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

    async def _child(self, jobqueue: JobQueue) -> _Child:
        """What has the name of the workers' Deployment."""
        deployment = self._store.deployments.get(jobqueue.namespace, jobqueue.name)
        if deployment is not None and _is_owned(deployment, jobqueue):
            return _Child(deployment)
        # The watch may lag, and it does not show objects without our label: ask before making one.
        found = await self._api.find(DEPLOYMENTS, jobqueue.namespace, jobqueue.name)
        if found is None:
            return _Child()
        if _is_owned(found, jobqueue):
            self._store.deployments.put(found)
            return _Child(found)
        owner = _controller_of(found) or {}
        if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) == (API_VERSION, "JobQueue", jobqueue.name):
            return _Child(stale=True)
        return _Child(taken_name=f"Deployment {jobqueue.name!r}")

    async def _code(self, jobqueue: JobQueue) -> Code:
        name = jobqueue.worker.code_config_map
        return await self._codes.find(jobqueue.namespace, name) if name is not None else Code()


def _age(moment: float | None) -> float:
    return math.inf if moment is None else time.monotonic() - moment


def _is_owned(obj: Object, jobqueue: JobQueue) -> bool:
    owner = _controller_of(obj)
    if owner is not None:
        return bool(owner.get("uid") == jobqueue.uid)
    # Left behind by `kubectl delete --cascade=orphan`: ours to take up again.
    labels = obj["metadata"].get("labels") or {}
    return all(labels.get(name) == value for name, value in selector_of(jobqueue).items())


def _controller_of(obj: Object) -> Mapping[str, Any] | None:
    owners = obj["metadata"].get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), None)
