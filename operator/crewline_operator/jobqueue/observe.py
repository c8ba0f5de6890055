"""Gathers what a plan is made from: out of the store where it can be trusted, else from the API server and Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from crewline_operator.effects.done import Done
from crewline_operator.jobqueue.children.ownership import Standing, standing
from crewline_operator.jobqueue.claim import claim_of
from crewline_operator.jobqueue.code import Codes
from crewline_operator.jobqueue.endpoint import resolve_endpoint
from crewline_operator.jobqueue.observed import Code, Observed
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.kube.api import DEPLOYMENTS, SERVICE_ACCOUNTS, Api
from crewline_operator.kube.store import Store
from crewline_operator.model.fault import FAULT_CHECK_SECONDS, Fault
from crewline_operator.model.key import Key, Object, status_of
from crewline_operator.model.names import JOBQUEUE_LABEL
from crewline_operator.redis.claims import Claims
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
        self, *, api: Api, store: Store, codes: Codes, pollers: Pollers, claims: Claims, done: Callable[[Key], Done]
    ) -> None:
        self._api = api
        self._store = store
        self._codes = codes
        self._pollers = pollers
        self._claims = claims
        self._done = done
        self._resolved: dict[Key, _Resolved] = {}

    def reset(self) -> None:
        """Forget what was read, so that it is read again: the full resync."""
        self._resolved.clear()

    def forget(self, key: Key) -> None:
        """A JobQueue is gone."""
        self._resolved.pop(key, None)

    async def observe(self, obj: Object, jobqueue: JobQueue, history: History) -> Observed:
        """What a plan for `jobqueue` is made from. Raises what the API server's calls raise."""
        key = jobqueue.key
        endpoint = await self._endpoint(key, obj, jobqueue)
        followed = self._pollers.followed(key)
        older: Key | None = None
        reading = Reading()
        if isinstance(endpoint, Endpoint):
            older = self._claims.older(key, claim_of(jobqueue, endpoint.shown))
            if followed == (endpoint, jobqueue.target):
                reading = self._pollers.reading(key)
        seen = Observed(
            now=datetime.now(UTC),
            status=status_of(obj),
            endpoint=endpoint,
            followed=followed,
            reading=reading,
            claim=self._claims.of(key),
            older_twin=f"{older.namespace}/{older.name}" if older is not None else None,
            history=history,
        )
        if seen.first_read_pending:
            # The queue has to be followed at once: whoever adds to it waits for that, and nothing is decided before.
            return seen
        children = await self._children(jobqueue)
        done = self._done(key)
        return replace(
            seen,
            deployment=children.own.get("Deployment"),
            service_account=children.own.get("ServiceAccount"),
            pods=self._store.pods_of(jobqueue.namespace, jobqueue.name),
            code=await self._code(jobqueue),
            taken_name=" and ".join(children.foreign) or None,
            stale_child=children.stale,
            applied=dict(done.applied),
            status_age_seconds=done.status_age_seconds(time.monotonic()),
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

    async def _children(self, jobqueue: JobQueue) -> _Children:
        """What has the names of the children."""
        children = _Children()
        for kind in CHILDREN:
            found = await self._find(kind, jobqueue)
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

    async def _find(self, kind: str, jobqueue: JobQueue) -> Object | None:
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
