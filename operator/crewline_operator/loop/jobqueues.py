"""Reconciles one JobQueue: observe, plan, carry out. What is decided is in plan.py; here is only the doing."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace

from crewline.queue.queue import Queue

from crewline_operator.jobqueue.observe import Observer, StaleChild
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.plan import Plan, plan
from crewline_operator.jobqueue.pods import PODS_REFUSED, deployment_fault
from crewline_operator.jobqueue.spec import JobQueue, parse_jobqueue
from crewline_operator.jobqueue.status import NUMBERS
from crewline_operator.kube.api import DEPLOYMENTS, JOBQUEUES, SERVICE_ACCOUNTS, Api, ApiError
from crewline_operator.kube.events import EventRecorder
from crewline_operator.kube.status import is_material, merge_patch
from crewline_operator.kube.store import Store
from crewline_operator.loop.metrics import Metrics
from crewline_operator.model.fault import Fault
from crewline_operator.model.key import Key, Object
from crewline_operator.model.note import Note
from crewline_operator.model.settings import Settings
from crewline_operator.redis.poller import Pollers
from crewline_operator.scaling.decide import History

KIND = "JobQueue"
CHILDREN = {"Deployment": DEPLOYMENTS, "ServiceAccount": SERVICE_ACCOUNTS}
#: Answers to an apply that will be the same until the user changes something: bad request, forbidden, invalid.
REFUSALS = (400, 403, 422)
#: Garbage collection takes an old child away within this, when a JobQueue is made anew under the same name.
STALE_CHILD_SECONDS = 1.0


class _State:
    """What is remembered between two reconciles of a JobQueue; losing it costs a few calls, never a wrong decision."""

    def __init__(self) -> None:
        self.history = History()
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
        observer: Observer,
        events: EventRecorder,
        metrics: Metrics,
        settings: Settings,
        requeue: Callable[[Key, float], None],
    ) -> None:
        self._api = api
        self._store = store
        self._pollers = pollers
        self._observer = observer
        self._events = events
        self._metrics = metrics
        self._settings = settings
        self._requeue = requeue
        self._states: dict[Key, _State] = {}

    async def reconcile(self, key: Key) -> None:
        """Bring one JobQueue in line. Raises what the API server's and Redis' calls raise; then it is tried again."""
        obj = self._store.jobqueues.get(key.namespace, key.name)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            self._forget(key)
            return
        jobqueue = parse_jobqueue(obj)
        state = self._states.setdefault(key, _State())
        try:
            observed = await self._observer.observe(key, obj, jobqueue, state.history)
        except StaleChild:
            self._requeue(key, STALE_CHILD_SECONDS)
            return
        if observed.first_read_pending:
            # The poller is at it and adds the key again; until then there is nothing to decide by.
            return
        planned = plan(jobqueue, observed, self._settings)
        refusal = await self._apply(planned, observed, state)
        if refusal is not None:
            planned = plan(jobqueue, replace(observed, refusal=refusal), self._settings)
        state.history = planned.history
        await self._write_status(key, obj, planned, state)
        await self._pause(key, obj, jobqueue, planned)
        for note in planned.notes:
            self._events.record(KIND, obj, note)
        status = planned.status
        self._metrics.jobqueue(key, observed.reading.snapshot, status["desiredReplicas"], status["readyReplicas"])
        if planned.check_after_seconds is not None:
            self._requeue(key, planned.check_after_seconds)

    def reset(self) -> None:
        """Forget what was applied, so that the next reconcile applies it again: the full resync."""
        for state in self._states.values():
            state.applied.clear()

    def _forget(self, key: Key) -> None:
        # The Deployment goes by garbage collection; the jobs stay in Redis, they are the user's.
        self._observer.forget(key)
        if self._states.pop(key, None) is not None:
            self._metrics.forget(key)

    async def _apply(self, planned: Plan, observed: Observed, state: _State) -> Fault | None:
        """Apply what changed. Gives what the user has to mend if the API server does not take a manifest."""
        deployment = observed.deployment
        generation = deployment["metadata"].get("generation") if deployment is not None else None
        fault = deployment_fault(deployment)
        # Refused pods may lack their service account, which is not watched: apply it again.
        drifted = generation != state.applied_generation or (fault is not None and fault.reason == PODS_REFUSED)
        for manifest in planned.manifests:
            kind = manifest["kind"]
            digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
            if state.applied.get(kind) == digest and not drifted:
                continue
            try:
                applied = await self._api.apply(CHILDREN[kind], manifest)
            except ApiError as error:
                if error.status not in REFUSALS:
                    raise
                name = manifest["metadata"]["name"]
                return Fault("ApplyRefused", f"the API server refuses {kind} {name!r}: {error}: correct spec.worker")
            state.applied[kind] = digest
            if kind == "Deployment":
                self._store.deployments.put(applied)
                state.applied_generation = applied["metadata"].get("generation")
        return None

    async def _write_status(self, key: Key, obj: Object, planned: Plan, state: _State) -> None:
        patch = merge_patch(obj.get("status", {}), planned.status)
        if not patch:
            return
        age = time.monotonic() - state.status_written
        if not is_material(patch, NUMBERS) and age < self._settings.status_seconds:
            self._requeue(key, self._settings.status_seconds - age)
            return
        try:
            written = await self._api.patch_status(JOBQUEUES, key.namespace, key.name, patch)
        except ApiError as error:
            if error.not_found:
                # It was deleted meanwhile; the watch will say so.
                return
            raise
        state.status_written = time.monotonic()
        self._store.jobqueues.put(written)

    async def _pause(self, key: Key, obj: Object, jobqueue: JobQueue, planned: Plan) -> None:
        poller = self._pollers.of(key)
        if planned.pause is None or poller is None:
            return
        queue = Queue(jobqueue.queue, redis=poller.redis, prefix=jobqueue.prefix)
        changed = await (queue.pause() if planned.pause else queue.resume())
        poller.wake()
        if changed:
            paused = Note("Normal", "QueuePaused", "spec.paused is true: workers take no more jobs")
            resumed = Note("Normal", "QueueResumed", "spec.paused is false again: workers take jobs")
            self._events.record(KIND, obj, paused if planned.pause else resumed)
