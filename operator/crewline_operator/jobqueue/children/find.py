"""Which children of a JobQueue there are, and what else has their names.

The store is trusted with what it has; where it has nothing of a child that is to be there, the API server is asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from crewline_operator.jobqueue.children.ownership import Standing, standing
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.kube.api import Api
from crewline_operator.kube.resources import DEPLOYMENTS, DISRUPTION_BUDGETS, SERVICE_ACCOUNTS
from crewline_operator.kube.store import Store
from crewline_operator.model.key import Object
from crewline_operator.model.names import JOBQUEUE_LABEL

#: The kinds of children, and where they are asked for.
CHILDREN = {
    "ServiceAccount": SERVICE_ACCOUNTS,
    "PodDisruptionBudget": DISRUPTION_BUDGETS,
    "Deployment": DEPLOYMENTS,
}


@dataclass
class Children:
    """A JobQueue's children by kind, and what is in their places."""

    own: dict[str, Object] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)


class ChildFinder:
    """Finds children."""

    def __init__(self, *, api: Api, store: Store) -> None:
        self._api = api
        self._store = store

    async def find(self, jobqueue: JobQueue) -> Children:
        """What has the names of the children. Raises what the API server's calls raise."""
        children = Children()
        for kind in CHILDREN:
            wanted = _is_wanted(kind, jobqueue)
            found = await self._find(kind, jobqueue, asks=wanted)
            if found is None:
                continue
            match standing(found, jobqueue):
                case Standing.OURS:
                    children.own[kind] = found
                case Standing.EARLIER if wanted:
                    children.stale.append(f"{kind} {jobqueue.name!r}")
                case Standing.FOREIGN if wanted:
                    children.foreign.append(f"{kind} {jobqueue.name!r}")
        return children

    async def _find(self, kind: str, jobqueue: JobQueue, *, asks: bool) -> Object | None:
        """What has the name of a child, whoever made it."""
        collection = self._store.of(kind)
        known = collection.get(jobqueue.namespace, jobqueue.name)
        if not asks or (known is not None and standing(known, jobqueue) is Standing.OURS):
            return known
        # The watch may lag, and it does not show objects without our label: ask before making one.
        found = await self._api.find(CHILDREN[kind], jobqueue.namespace, jobqueue.name)
        if found is not None and JOBQUEUE_LABEL in (found["metadata"].get("labels") or {}):
            collection.put(found)
        return found


def _is_wanted(kind: str, jobqueue: JobQueue) -> bool:
    """Whether a JobQueue has a child of that kind."""
    if kind == "ServiceAccount":
        return not jobqueue.worker.service_account
    return kind != "PodDisruptionBudget" or jobqueue.worker.disruption.max_unavailable is not None
