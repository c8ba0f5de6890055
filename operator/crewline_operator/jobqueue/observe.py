"""Gathers what a plan is made from: out of the store where it can be trusted, else from the API server and Redis."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TypeVar

from crewline.queue.queue import Queue
from crewline.redis.connection import UNAVAILABLE

from crewline_operator.effects.done import Done
from crewline_operator.jobqueue.children.find import ChildFinder
from crewline_operator.jobqueue.children.larger_pod import larger_name
from crewline_operator.jobqueue.children.template_digest import is_outdated
from crewline_operator.jobqueue.endpoint import Found, resolve_endpoint
from crewline_operator.jobqueue.has_queue import operator_of
from crewline_operator.jobqueue.live import is_settled
from crewline_operator.jobqueue.move import Settled, may_move, settle
from crewline_operator.jobqueue.observed import Code, Move, Observed
from crewline_operator.jobqueue.others import Others
from crewline_operator.jobqueue.places import Places
from crewline_operator.jobqueue.pods import is_leaving, is_worker_of, rollout_of
from crewline_operator.jobqueue.redis_spec import CONFIG_MAP, RedisSpec
from crewline_operator.jobqueue.spec import JobQueue, parse_jobqueue
from crewline_operator.kube.api import Api
from crewline_operator.kube.named import Named, NamedObjects
from crewline_operator.kube.operators import OtherOperators
from crewline_operator.kube.resources import PODS, REPLICA_SETS
from crewline_operator.kube.store import Store
from crewline_operator.model.deletion_cost import is_marked
from crewline_operator.model.fault import Fault
from crewline_operator.model.key import Key, Object, status_of
from crewline_operator.model.names import JOBQUEUE_LABEL
from crewline_operator.model.owner import Owner
from crewline_operator.model.worker import Worker
from crewline_operator.redis.bulkhead import Bulkheads, Busy
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.left import read_left
from crewline_operator.redis.pollers import Pollers
from crewline_operator.redis.reading import Reading, Target
from crewline_operator.redis.workers import read_workers
from crewline_operator.scaling.decide import History

#: A look at a queue, two round trips.
REDIS_TIMEOUT_SECONDS = 5.0


T = TypeVar("T")


@dataclass(frozen=True)
class _Resolved:
    """The Redis that a spec.redis was resolved to, and by what."""

    spec: tuple[RedisSpec, Target]
    found: Found
    endpoint: Endpoint | Fault


CODE = "code"
REFERRING = (True, False, CODE)


class JobQueueObserver:
    """Observes JobQueues and changes nothing. What it remembers saves calls; losing it costs no more than these."""

    def __init__(
        self,
        *,
        api: Api,
        store: Store,
        named: NamedObjects[Key],
        pollers: Pollers,
        bulkheads: Bulkheads,
        done: Callable[[Key], Done],
        operator: str,
        operators: OtherOperators,
        watch_namespaces: Sequence[str] = (),
    ) -> None:
        self._api = api
        self._store = store
        self._named = named
        self._pollers = pollers
        self._bulkheads = bulkheads
        self._done = done
        self._children = ChildFinder(api=api, store=store)
        self._places = Places(pollers=pollers, bulkheads=bulkheads)
        self._operator = operator
        self._operators = operators
        self._others = Others(api=api, store=store, watch_namespaces=watch_namespaces)
        #: By the JobQueue, and whether it is the Redis that it serves, which may be another than its spec names.
        self._resolved: dict[tuple[Key, bool], _Resolved] = {}
        #: By the JobQueue, and what refers: either Redis, or the handler.
        self._references: dict[tuple[Key, bool | str], frozenset[Named]] = {}

    def reset(self) -> None:
        """Forget what was read, so that it is read again: the full resync."""
        self._resolved.clear()

    def forget(self, key: Key) -> None:
        """A JobQueue is gone."""
        self._named.refer(key)
        self._places.forget(key)
        for served in (True, False):
            self._resolved.pop((key, served), None)
        for what in REFERRING:
            self._references.pop((key, what), None)

    async def settle(self, obj: Object) -> Settled:
        """Which queue a JobQueue serves. Raises Unreadable, and what the API server's calls raise."""
        wanted = parse_jobqueue(obj)
        if not may_move(obj, wanted):
            self._references.pop((wanted.key, False), None)
            return Settled(obj, wanted)
        endpoint = await self._endpoint(wanted, served=False)
        settled = settle(obj, wanted, endpoint)
        served = settled.jobqueue
        if settled.move is None or (served.prefix, served.queue) != (wanted.prefix, wanted.queue):
            return settled
        if isinstance(endpoint, Endpoint) and await self._places.is_same(served, endpoint):
            return Settled(obj, wanted, same_place=True)
        return settled

    async def observe(
        self,
        settled: Settled,
        history: History,
        unclaimed_since: float | None = None,
        *,
        unready_since: float | None = None,
        looks: bool = False,
        telling: frozenset[str] = frozenset(),
        idle_since: Mapping[str, float] = MappingProxyType({}),
        told_operator: str = "",
    ) -> Observed:
        """What a plan for the queue that is served is made from, given what the last one left for it to know.

        Raises what the API server's calls raise.
        """
        obj, jobqueue, move = settled.obj, settled.jobqueue, settled.move
        key = jobqueue.key
        endpoint = await self._endpoint(jobqueue)
        followed = self._pollers.followed(key)
        reading = Reading()
        if isinstance(endpoint, Endpoint) and followed == (endpoint, jobqueue.target):
            reading = self._pollers.reading(key)
        done = self._done(key)
        seen = Observed(
            now=datetime.now(UTC),
            clock=time.monotonic(),
            me=Owner(self._api.cluster_id, jobqueue.namespace, jobqueue.name, jobqueue.uid, self._operator),
            status=status_of(obj),
            endpoint=endpoint,
            followed=followed,
            reading=reading,
            attention=self._pollers.attention(key),
            claimed=done.claimed,
            unclaimed_since=unclaimed_since,
            unready_since=unready_since,
            history=history,
            move=move,
            same_place=settled.same_place,
            going=bool(obj["metadata"].get("deletionTimestamp")),
        )
        if seen.first_read_pending:
            # The queue has to be followed at once: whoever adds to it waits for that, and nothing is decided before.
            return seen
        children = await self._children.find(jobqueue)
        labelled = self._store.pods_of(jobqueue.namespace, jobqueue.name)
        pods = [pod for pod in labelled if is_worker_of(jobqueue.name, pod)]
        deployment = children.own.get("Deployment")
        follow = is_settled(jobqueue, seen.status.get("settings"), reading, deployment)
        looked = looks or not follow or any(_drains(pod) for pod in pods)
        return replace(
            seen,
            looked=looked,
            telling=telling,
            idle_since=idle_since,
            workers=await self._workers(jobqueue, pods) if looked else None,
            move=await self._left(move, jobqueue) if move is not None else None,
            deployment=deployment,
            service_account=children.own.get("ServiceAccount"),
            disruption_budget=children.own.get("PodDisruptionBudget"),
            pods=pods,
            larger=await self._larger(jobqueue, reading),
            replica_sets=await self._replica_sets(jobqueue, deployment, pods),
            code=await self._code(jobqueue),
            other_operator=await self._other_operator(seen, deployment),
            told_operator=told_operator,
            owner_gone=await self._others.is_gone(seen.holder, jobqueue),
            strays=await self._others.strays(reading, jobqueue),
            taken_name=" and ".join(children.foreign) or None,
            stale_child=" and ".join(children.stale) or None,
            applied=dict(done.applied),
            pause_denied=done.pause_denied,
            larger_denied=done.larger_denied,
            drain_denied=done.drain_denied,
            settings_denied=done.settings_denied,
            status_age_seconds=done.status_age_seconds(time.monotonic()),
            sweep_age_seconds=done.sweep_age_seconds(time.monotonic()),
            known_seconds=done.known_seconds(time.monotonic()),
        )

    async def _other_operator(self, seen: Observed, deployment: Object | None) -> str:
        """The Lease of another operator that looks after the JobQueue and is alive; '' if there is none."""
        operator = operator_of(seen.reading, deployment, seen.me)
        if operator in ("", self._operator) or not await self._operators.is_alive(operator):
            return ""
        return operator

    async def _endpoint(self, jobqueue: JobQueue, *, served: bool = True) -> Endpoint | Fault:
        """The Redis, by what is in Secrets and ConfigMaps now."""
        key = jobqueue.key
        named = {
            (ref.kind, ref.name): Named(ref.kind, jobqueue.namespace, ref.name) for ref in jobqueue.redis.references
        }
        self._refer(key, served, frozenset(named.values()))
        found = {at: await self._named.find(each) for at, each in named.items()}
        known, spec = self._resolved.get((key, served)), (jobqueue.redis, jobqueue.target)
        if known is None or (known.spec, known.found) != (spec, found):
            known = self._resolved[key, served] = _Resolved(spec, found, resolve_endpoint(jobqueue, found))
        return known.endpoint

    def _refer(self, key: Key, what: bool | str, named: frozenset[Named]) -> None:
        """What the Redis that is served refers to, or the one that the spec names, or the handler."""
        self._references[key, what] = named
        self._named.refer(key, frozenset().union(*(self._references.get((key, each), ()) for each in REFERRING)))

    async def _workers(self, jobqueue: JobQueue, pods: Sequence[Object]) -> dict[str, Worker] | None:
        """What the workers in these pods tell of themselves; None if that can't be read now."""
        ids = [pod["metadata"]["uid"] for pod in pods]
        return await self._read(jobqueue, lambda queue: read_workers(queue, ids)) if pods else {}

    async def _replica_sets(
        self, jobqueue: JobQueue, deployment: Object | None, pods: Sequence[Object]
    ) -> Sequence[Object]:
        """Asked for where it matters of which of them a rollout takes pods: that is too seldom for a watch."""
        if deployment is None:
            return ()
        earlier = {rollout_of(pod) for pod in pods if not is_leaving(pod) and is_outdated(pod, deployment)}
        if len(earlier) < 2:
            return ()
        label = f"{JOBQUEUE_LABEL}={jobqueue.name}"
        found, _ = await self._api.list(REPLICA_SETS, jobqueue.namespace, label_selector=label)
        return found

    async def _left(self, move: Move, jobqueue: JobQueue) -> Move:
        """What would be left behind."""
        adding = self._store.scheduledjobs_of(jobqueue.namespace, jobqueue.name)
        scheduled = {each["metadata"]["uid"]: status_of(each) for each in adding}
        return replace(move, left=await self._read(jobqueue, read_left), scheduled=scheduled)

    async def _read(self, jobqueue: JobQueue, ask: Callable[[Queue], Awaitable[T]]) -> T | None:
        """What a queue answers beside what is read of all queues; None if it can't be asked now."""
        followed, queue = self._pollers.followed(jobqueue.key), self._pollers.queue(jobqueue.queue_ref)
        if followed is None or queue is None:
            return None
        with contextlib.suppress(Busy, *UNAVAILABLE), self._bulkheads.enter(followed[0], jobqueue.key):
            async with queue, asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                return await ask(queue)
        return None

    async def _larger(self, jobqueue: JobQueue, reading: Reading) -> Object | None:
        """What has the name of the larger worker's pod. One is asked for only where one may be made."""
        name = larger_name(jobqueue)
        known = self._store.pods.get(jobqueue.namespace, name)
        wants = jobqueue.worker.retry_memory is not None and reading.snapshot is not None
        if known is not None or not (wants and reading.snapshot and reading.snapshot.wants_larger):
            return known
        return await self._api.find(PODS, jobqueue.namespace, name)

    async def _code(self, jobqueue: JobQueue) -> Code:
        """The handler's source, if it is in a ConfigMap."""
        name = jobqueue.worker.code_config_map
        named = None if name is None else Named(CONFIG_MAP, jobqueue.namespace, name, as_digest=True)
        self._refer(jobqueue.key, CODE, frozenset() if named is None else frozenset({named}))
        if named is None:
            return Code()
        found = await self._named.find(named)
        return Code(missing=True) if found is None else Code(digest=found["digest"])


def _drains(pod: Object) -> bool:
    """Whether a pod's worker is to fetch nothing."""
    return bool(pod["metadata"].get("deletionTimestamp")) or is_marked(pod)
