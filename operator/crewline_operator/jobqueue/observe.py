"""Gathers what a plan is made from: out of the store where it can be trusted, else from the API server and Redis."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from crewline_operator.jobqueue.children.labels import selector_of
from crewline_operator.jobqueue.endpoint import resolve_endpoint
from crewline_operator.jobqueue.observed import Code, Observed
from crewline_operator.jobqueue.spec import JobQueue, parse_jobqueue
from crewline_operator.kube.api import CONFIG_MAPS, DEPLOYMENTS, Api
from crewline_operator.kube.store import Store
from crewline_operator.model.fault import FAULT_CHECK_SECONDS, Fault
from crewline_operator.model.key import Key, Object
from crewline_operator.model.names import API_VERSION
from crewline_operator.redis.claims import Claim, Twins
from crewline_operator.redis.endpoint import Endpoint, parse_redis_url
from crewline_operator.redis.poller import Pollers
from crewline_operator.redis.reading import Reading, Target
from crewline_operator.scaling.decide import History


class StaleChild(Exception):
    """A child of a deleted JobQueue of the same name is still there: come again when it has been collected."""


class _Resolved:
    """The Redis that a spec.redis was resolved to, and when."""

    def __init__(self, endpoint: Endpoint, spec: Mapping[str, Any]) -> None:
        self.endpoint = endpoint
        self.spec = spec
        self.read_at = time.monotonic()


class Observer:
    """Observes JobQueues. What it remembers saves calls; losing it costs no more than these."""

    def __init__(self, *, api: Api, store: Store, pollers: Pollers, requeue: Callable[[Key, float], None]) -> None:
        self._api = api
        self._store = store
        self._pollers = pollers
        self._requeue = requeue
        self._resolved: dict[Key, _Resolved] = {}
        self._codes: dict[tuple[str, str], Code] = {}
        self._twins = Twins()

    def prime(self) -> None:
        """Take up the claims of all known JobQueues before any is reconciled, so that their order decides nothing."""
        for obj in self._store.jobqueues:
            jobqueue = parse_jobqueue(obj)
            endpoint = parse_redis_url(jobqueue.redis_url or "", jobqueue.namespace, "spec.redis.url")
            shown = endpoint.shown if isinstance(endpoint, Endpoint) else obj.get("status", {}).get("redis")
            if shown:
                self._twins.claim(Key("JobQueue", jobqueue.namespace, jobqueue.name), _claim(shown, jobqueue))

    def config_map_changed(self, namespace: str, name: str, config_map: Object | None) -> None:
        """A ConfigMap with a handler's source has changed, None if it is gone."""
        self._codes[namespace, name] = _code_of(config_map)

    def reset(self) -> None:
        """Forget what was read, so that it is read again: the full resync."""
        self._codes.clear()
        self._resolved.clear()

    def forget(self, key: Key) -> None:
        """A JobQueue is gone. Its Redis queue may be another one's now."""
        self._pollers.unwatch(key)
        self._resolved.pop(key, None)
        for other in self._twins.release(key):
            self._requeue(other, 0)

    async def observe(self, key: Key, obj: Object, jobqueue: JobQueue, history: History) -> Observed:
        """What a plan for `jobqueue` is made from. Raises StaleChild, and what the API server's calls raise."""
        endpoint = await self._endpoint(key, obj, jobqueue)
        older_twin: str | None = None
        reading = Reading()
        if isinstance(endpoint, Endpoint):
            older, others = self._twins.claim(key, _claim(endpoint.shown, jobqueue))
            older_twin = f"{older.namespace}/{older.name}" if older is not None else None
            for other in others:
                self._requeue(other, 0)
            target = Target(jobqueue.prefix, jobqueue.queue, jobqueue.dead_letter_queue)
            reading = self._pollers.watch(key, endpoint, target).reading(key)
        else:
            self._pollers.unwatch(key)
        deployment, taken_name = await self._deployment(jobqueue)
        return Observed(
            now=datetime.now(UTC),
            status=obj.get("status", {}),
            deployment=deployment,
            pods=self._store.pods_of(jobqueue.namespace, jobqueue.name),
            endpoint=endpoint,
            reading=reading,
            code=await self._code(jobqueue),
            older_twin=older_twin,
            taken_name=taken_name,
            history=history,
        )

    async def _endpoint(self, key: Key, obj: Object, jobqueue: JobQueue) -> Endpoint | Fault:
        """The Redis; a Secret is read again when Redis fails, since its password may have been changed."""
        known = self._resolved.get(key)
        if known is not None and known.spec == obj["spec"]["redis"]:
            poller = self._pollers.of(key)
            failing = poller is not None and poller.reading(key).fault is not None
            fresh = time.monotonic() - known.read_at < FAULT_CHECK_SECONDS / 2
            if jobqueue.redis_secret is None or not failing or fresh:
                return known.endpoint
        resolved = await resolve_endpoint(self._api, jobqueue)
        if isinstance(resolved, Endpoint):
            self._resolved[key] = _Resolved(resolved, obj["spec"]["redis"])
        else:
            self._resolved.pop(key, None)
        return resolved

    async def _deployment(self, jobqueue: JobQueue) -> tuple[Object | None, str | None]:
        """The workers' Deployment, or what else has its name."""
        deployment = self._store.deployments.get(jobqueue.namespace, jobqueue.name)
        if deployment is not None and _is_owned(deployment, jobqueue):
            return deployment, None
        # The watch may lag, and it does not show objects without our label: ask before making one.
        found = await self._api.find(DEPLOYMENTS, jobqueue.namespace, jobqueue.name)
        if found is None:
            return None, None
        if _is_owned(found, jobqueue):
            self._store.deployments.put(found)
            return found, None
        owner = _controller_of(found) or {}
        if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) == (API_VERSION, "JobQueue", jobqueue.name):
            raise StaleChild
        return None, f"Deployment {jobqueue.name!r}"

    async def _code(self, jobqueue: JobQueue) -> Code:
        name = jobqueue.worker.code_config_map
        if name is None:
            return Code()
        identity = (jobqueue.namespace, name)
        known = self._codes.get(identity)
        if known is None or known.missing:
            known = self._codes[identity] = _code_of(await self._api.find(CONFIG_MAPS, *identity))
        return known


def _claim(redis: str, jobqueue: JobQueue) -> Claim:
    return Claim(redis, jobqueue.prefix, jobqueue.queue, jobqueue.created, jobqueue.uid)


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


def _code_of(config_map: Object | None) -> Code:
    if config_map is None:
        return Code(missing=True)
    digest = hashlib.sha256()
    for name, value in sorted((config_map.get("data") or {}).items()):
        digest.update(f"{name}\0{value}\0".encode())
    for name, value in sorted((config_map.get("binaryData") or {}).items()):
        digest.update(name.encode() + b"\0" + base64.b64decode(value) + b"\0")
    return Code(digest=digest.hexdigest()[:16])
