"""What has to do with a queue besides its JobQueue: another JobQueue that has it, and ScheduledJobs that add to it."""

from __future__ import annotations

from collections.abc import Sequence

from crewline_operator.jobqueue.served import named_queue, served_object
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.kube.api import Api
from crewline_operator.kube.resources import JOBQUEUES, SCHEDULEDJOBS, Resource
from crewline_operator.kube.store import Collection, Store
from crewline_operator.model.fields import Fields, Unreadable
from crewline_operator.model.key import Object
from crewline_operator.model.owner import Owner
from crewline_operator.redis.reading import Reading


class Others:
    """Looks for other objects that Redis tells of. All methods raise what the API server's calls raise."""

    def __init__(self, *, api: Api, store: Store, watch_namespaces: Sequence[str] = ()) -> None:
        self._api = api
        self._store = store
        self._watch_namespaces = watch_namespaces

    async def is_gone(self, holder: Owner | None, jobqueue: JobQueue) -> bool:
        """Whether another JobQueue that has the queue is gone for good, or serves another queue by now."""
        if holder is None or not self._knows(holder):
            return False
        known = await self._find(self._store.jobqueues, JOBQUEUES, holder)
        return known is None or _names_another(known, jobqueue)

    async def strays(self, reading: Reading, jobqueue: JobQueue) -> list[str]:
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


def _names_another(obj: Object, jobqueue: JobQueue) -> bool:
    """Whether a JobQueue serves another queue than `jobqueue`. What can't be read is left as it was."""
    try:
        return named_queue(served_object(obj)) != (jobqueue.prefix, jobqueue.queue)
    except Unreadable:
        return False
