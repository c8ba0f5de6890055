"""What was seen: into the store with it, and into the work queue with the keys of all that it concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from crewline_operator.kube.store import Store
from crewline_operator.loop.workqueue import WorkQueue
from crewline_operator.model.key import Key, Object
from crewline_operator.model.names import JOBQUEUE_LABEL

#: The kinds that are reconciled.
RECONCILED = ("JobQueue", "ScheduledJob")


class Intake:
    """Where watches, lists and pollers put what they see."""

    def __init__(
        self,
        *,
        store: Store,
        work: WorkQueue[Key],
        on_pod: Callable[[Object], None],
    ) -> None:
        self._store = store
        self._work = work
        #: Told of each pod when it changes, and when it is gone.
        self._on_pod = on_pod

    def on_object(self, kind: str, obj: dict[str, Any], gone: bool) -> None:
        """Take in what a watch has seen."""
        namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
        collection = self._store.of(kind)
        known = collection.get(namespace, name)
        if gone:
            collection.remove(obj)
        elif not collection.put(obj):
            return
        if kind in RECONCILED:
            if gone or known is None or _is_edited(known, obj):
                # Whatever failed for it before is no reason to wait.
                self._work.forget(Key(kind, namespace, name))
            elif collection.expects(obj):
                # The watch is faster than the answer to our own write.
                return
        self._concern(kind, obj)

    def on_list(self, kind: str, objects: list[dict[str, Any]], version: int, namespace: str | None) -> None:
        """Take in a list of the API server: what it has or lacks that was not known."""
        replaced = self._store.of(kind).replace(objects, version, namespace)
        for obj in replaced.gone:
            self._work.forget(_key(kind, obj))
        for obj in (*replaced.kept, *replaced.gone):
            self._concern(kind, obj)

    def on_reading(self, keys: Iterable[Key]) -> None:
        """Take in that something else was read of these JobQueues' Redis queues."""
        for key in keys:
            self._work.add(key)

    def add_all(self) -> None:
        """Have everything looked at."""
        for kind in RECONCILED:
            self._add(kind, self._store.of(kind))

    def add_all_anew(self) -> None:
        """Have everything looked at now, whatever has failed before."""
        for kind in RECONCILED:
            for obj in self._store.of(kind):
                self._work.forget(_key(kind, obj))
        self.add_all()

    def _concern(self, kind: str, obj: Object) -> None:
        """Have those looked at that a change of `obj` concerns."""
        namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
        if kind == "Pod":
            self._on_pod(obj)
        if kind in RECONCILED:
            self._work.add(Key(kind, namespace, name))
            if kind == "JobQueue":
                self._add("ScheduledJob", self._store.scheduledjobs_of(namespace, name))
        else:
            jobqueue = (obj["metadata"].get("labels") or {}).get(JOBQUEUE_LABEL)
            if jobqueue:
                self._work.add(Key("JobQueue", namespace, jobqueue))

    def _add(self, kind: str, objects: Iterable[Object]) -> None:
        for obj in objects:
            self._work.add(_key(kind, obj))


def _key(kind: str, obj: Object) -> Key:
    return Key(kind, obj["metadata"]["namespace"], obj["metadata"]["name"])


def _is_edited(known: Object, obj: Object) -> bool:
    """Whether somebody wants something else of an object than before."""
    names = ("uid", "generation", "deletionTimestamp")
    return any(known["metadata"].get(name) != obj["metadata"].get(name) for name in names)
