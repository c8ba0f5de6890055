"""Reconciles one JobQueue: observe, plan, carry out. What is decided is in plan.py; here is only the doing."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from crewline.queue import Queue

from crewline_operator.api import CONFIG_MAPS, DEPLOYMENTS, JOBQUEUES, SERVICE_ACCOUNTS, Api
from crewline_operator.children.labels import selector_of
from crewline_operator.event_recorder import EventRecorder
from crewline_operator.jobqueue import JobQueue, parse_jobqueue
from crewline_operator.jobqueue_status import NUMBERS
from crewline_operator.metrics import Metrics
from crewline_operator.plan import FAULT_CHECK_SECONDS, Code, Observed, Plan, plan
from crewline_operator.poller import Poller, Pollers, Reading
from crewline_operator.redis_endpoint import Endpoint, Fault, parse_redis_url, resolve_endpoint
from crewline_operator.scaling import History
from crewline_operator.settings import API_VERSION, Settings
from crewline_operator.snapshot import Target
from crewline_operator.status_patch import is_material, merge_patch
from crewline_operator.store import Key, Object, Store
from crewline_operator.twins import Claim, Twins

KIND = "JobQueue"
CHILDREN = {"Deployment": DEPLOYMENTS, "ServiceAccount": SERVICE_ACCOUNTS}
#: Garbage collection takes an old child away within this, when a JobQueue is made anew under the same name.
STALE_CHILD_SECONDS = 1.0


class _StaleChild(Exception):
    """A child of a deleted JobQueue of the same name is still there: come again when it has been collected."""


class _State:
    """What is remembered between two reconciles of a JobQueue; losing it costs a few calls, never a wrong decision."""

    def __init__(self) -> None:
        self.history = History()
        self.endpoint: Endpoint | None = None
        self.endpoint_spec: Mapping[str, Any] | None = None
        self.endpoint_read = 0.0
        #: Child kind -> digest of the manifest that was applied last.
        self.applied: dict[str, str] = {}
        #: The Deployment's generation after that apply: another one means that somebody else changed it.
        self.applied_generation: int | None = None
        self.status_written = 0.0


class JobQueueController:
    """Keeps the workers and the status of all JobQueues right."""

    def __init__(
        self,
        *,
        api: Api,
        store: Store,
        pollers: Pollers,
        events: EventRecorder,
        metrics: Metrics,
        settings: Settings,
        requeue: Callable[[Key, float], None],
    ) -> None:
        self._api = api
        self._store = store
        self._pollers = pollers
        self._events = events
        self._metrics = metrics
        self._settings = settings
        self._requeue = requeue
        self._states: dict[Key, _State] = {}
        self._codes: dict[tuple[str, str], Code] = {}
        self._twins = Twins()

    async def reconcile(self, key: Key) -> None:
        """Bring one JobQueue in line. Raises what the API server's calls raise; then it is to be tried again."""
        obj = self._store.jobqueues.get(key.namespace, key.name)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            self._forget(key)
            return
        jobqueue = parse_jobqueue(obj)
        state = self._states.setdefault(key, _State())
        try:
            observed = await self._observe(key, obj, jobqueue, state)
        except _StaleChild:
            self._requeue(key, STALE_CHILD_SECONDS)
            return
        planned = plan(jobqueue, observed, self._settings)
        await self._apply(planned, observed, state)
        state.history = planned.history
        await self._write_status(key, obj, planned, state)
        await self._pause(key, jobqueue, planned)
        for note in planned.notes:
            self._events.record(KIND, obj, note)
        status = planned.status
        self._metrics.jobqueue(key, observed.reading.snapshot, status["desiredReplicas"], status["readyReplicas"])
        if planned.check_after_seconds is not None:
            self._requeue(key, planned.check_after_seconds)

    def prime(self) -> None:
        """Take up the claims of all known JobQueues before any is reconciled, so that their order decides nothing."""
        for obj in self._store.jobqueues:
            jobqueue = parse_jobqueue(obj)
            endpoint = parse_redis_url(jobqueue.redis_url or "", jobqueue.namespace, "spec.redis.url")
            shown = endpoint.shown if isinstance(endpoint, Endpoint) else obj.get("status", {}).get("redis")
            if shown:
                key = Key(KIND, jobqueue.namespace, jobqueue.name)
                self._twins.claim(key, _claim(shown, jobqueue))

    def config_map_changed(self, namespace: str, name: str, config_map: Object | None) -> None:
        """A ConfigMap with a handler's source has changed, None if it is gone."""
        self._codes[namespace, name] = _code_of(config_map)

    def reset(self) -> None:
        """Forget what was read or applied, so that the next reconcile checks it: the full resync."""
        self._codes.clear()
        for state in self._states.values():
            state.applied.clear()
            state.applied_generation = None
            state.endpoint_spec = None

    def redis_of(self, key: Key) -> Poller | None:
        """The connection to a JobQueue's Redis, None while that is not known."""
        return self._pollers.of(key)

    def _forget(self, key: Key) -> None:
        # The Deployment goes by garbage collection; the jobs stay in Redis, they are the user's.
        self._pollers.unwatch(key)
        if self._states.pop(key, None) is not None:
            self._metrics.forget(key)
        for other in self._twins.release(key):
            self._requeue(other, 0)

    async def _observe(self, key: Key, obj: Object, jobqueue: JobQueue, state: _State) -> Observed:
        endpoint = await self._endpoint(key, obj, jobqueue, state)
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
            history=state.history,
        )

    async def _endpoint(self, key: Key, obj: Object, jobqueue: JobQueue, state: _State) -> Endpoint | Fault:
        """The Redis; a Secret is read again when Redis fails, since its password may have been changed."""
        poller = self._pollers.of(key)
        failing = poller is not None and poller.reading(key).fault is not None
        age = time.monotonic() - state.endpoint_read
        current = not failing or jobqueue.redis_secret is None or age < FAULT_CHECK_SECONDS / 2
        if state.endpoint is not None and state.endpoint_spec == obj["spec"]["redis"] and current:
            return state.endpoint
        resolved = await resolve_endpoint(self._api, jobqueue)
        state.endpoint_read = time.monotonic()
        state.endpoint = resolved if isinstance(resolved, Endpoint) else None
        state.endpoint_spec = obj["spec"]["redis"]
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
        _check_stale(found, jobqueue)
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

    async def _apply(self, planned: Plan, observed: Observed, state: _State) -> None:
        deployment = observed.deployment
        generation = deployment["metadata"].get("generation") if deployment is not None else None
        drifted = generation != state.applied_generation
        for manifest in planned.manifests:
            kind = manifest["kind"]
            digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
            if state.applied.get(kind) == digest and not drifted:
                continue
            applied = await self._api.apply(CHILDREN[kind], manifest)
            state.applied[kind] = digest
            if kind == "Deployment":
                self._store.deployments.put(applied)
                state.applied_generation = applied["metadata"].get("generation")

    async def _write_status(self, key: Key, obj: Object, planned: Plan, state: _State) -> None:
        patch = merge_patch(obj.get("status", {}), planned.status)
        if not patch:
            return
        age = time.monotonic() - state.status_written
        if not is_material(patch, NUMBERS) and age < self._settings.status_seconds:
            self._requeue(key, self._settings.status_seconds - age)
            return
        written = await self._api.patch_status(JOBQUEUES, key.namespace, key.name, patch)
        state.status_written = time.monotonic()
        self._store.jobqueues.put(written)

    async def _pause(self, key: Key, jobqueue: JobQueue, planned: Plan) -> None:
        poller = self._pollers.of(key)
        if planned.pause is None or poller is None:
            return
        queue = Queue(jobqueue.queue, redis=poller.redis, prefix=jobqueue.prefix)
        await (queue.pause() if planned.pause else queue.resume())
        poller.wake()


def _claim(redis: str, jobqueue: JobQueue) -> Claim:
    return Claim(redis, jobqueue.prefix, jobqueue.queue, jobqueue.created, jobqueue.uid)


def _is_owned(obj: Object, jobqueue: JobQueue) -> bool:
    owner = _controller_of(obj)
    if owner is not None:
        return owner.get("uid") == jobqueue.uid
    # Left behind by `kubectl delete --cascade=orphan`: ours to take up again.
    labels = obj["metadata"].get("labels") or {}
    return all(labels.get(name) == value for name, value in selector_of(jobqueue).items())


def _check_stale(obj: Object, jobqueue: JobQueue) -> None:
    owner = _controller_of(obj) or {}
    same = (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) == (API_VERSION, KIND, jobqueue.name)
    if same:
        raise _StaleChild


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
