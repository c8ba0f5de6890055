"""What the watches last saw, indexed the ways the reconcilers ask for it.

Objects are the API server's own JSON. An older version never replaces a newer one, so that a late watch event can't
undo what an apply has just returned, and nothing that was on its way brings back what is gone. The store may lack an
object that exists (a watch lags): whoever would act on an absence asks the API server first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from crewline_operator.kube.errors import WentBack
from crewline_operator.kube.tombstones import Tombstones
from crewline_operator.model.key import Object
from crewline_operator.model.names import JOBQUEUE_LABEL


@dataclass(frozen=True)
class Replaced:
    """What a list told that was not known."""

    kept: list[Object]
    gone: list[Object]


class Collection:
    """All objects of one kind, found by name or by what `index_by` makes of them."""

    def __init__(self, kind: str, index_by: Callable[[Object], str | None]) -> None:
        self.kind = kind
        self._index_by = index_by
        self._objects: dict[tuple[str, str], Object] = {}
        self._index: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._tombstones = Tombstones()
        #: By what was listed, the whole cluster or a namespace.
        self._list_versions: dict[str | None, int] = {}
        #: Objects whose status is being written, and what it will be.
        self._expected: dict[tuple[str, str], Mapping[str, object]] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[Object]:
        return iter(self._objects.values())

    def get(self, namespace: str, name: str) -> Object | None:
        return self._objects.get((namespace, name))

    def has_any(self, namespace: str | None = None) -> bool:
        """Whether there is any object, or any in a namespace."""
        return any(namespace in (None, identity[0]) for identity in self._objects)

    def indexed(self, namespace: str, value: str) -> list[Object]:
        """The objects of a namespace for which `index_by` gives `value`."""
        return [self._objects[namespace, name] for name in self._index.get((namespace, value), ())]

    def put(self, obj: Object) -> bool:
        """Keep `obj` unless that version or a newer one is known, or that it is gone; whether it was kept."""
        obj = _slim(obj)
        identity = _identity(obj)
        version = version_of(obj)
        if self._tombstones.covers(_uid(obj), version):
            return False
        known = self._objects.get(identity)
        if known is not None:
            if version <= version_of(known):
                return False
            if _uid(known) != _uid(obj):
                self._tombstones.bury(_uid(known), version)
            self._unindex(identity, known)
        self._objects[identity] = obj
        value = self._index_by(obj)
        if value:
            self._index[identity[0], value].add(identity[1])
        return True

    @contextmanager
    def expecting(self, obj: Object, status: Mapping[str, object]) -> Iterator[None]:
        """While the status of `obj` is being written."""
        identity = _identity(obj)
        self._expected[identity] = status
        try:
            yield
        finally:
            del self._expected[identity]

    def expects(self, obj: Object) -> bool:
        """Whether an object has the status that is being written, so that a watch tells of our own write."""
        expected = self._expected.get(_identity(obj))
        return expected is not None and obj.get("status") == expected

    def remove(self, obj: Object, gone_in: float | None = None) -> None:
        """Forget `obj`, which was deleted in the version `gone_in`, else in its own; a namesake in its place stays."""
        self._tombstones.bury(_uid(obj), version_of(obj) if gone_in is None else gone_in)
        identity = _identity(obj)
        known = self._objects.get(identity)
        if known is not None and _uid(known) == _uid(obj):
            del self._objects[identity]
            self._unindex(identity, known)

    def replace(self, objects: Sequence[Object], list_version: int, namespace: str | None = None) -> Replaced:
        """Bring the collection in line with a list of the API server.

        Objects newer than the list stay: they came through the watch while the list was on its way. Raises WentBack.
        """
        before = self._list_versions.get(namespace, 0)
        if list_version:
            # A list of no version is an answer of something that is no API server.
            if list_version < before:
                raise WentBack(f"the list of {self.kind}s", list_version, before)
            self._list_versions[namespace] = list_version
        listed = {_identity(obj) for obj in objects}
        kept = [obj for obj in objects if self.put(obj)]
        gone = [
            obj
            for identity, obj in self._objects.items()
            if identity not in listed and namespace in (None, identity[0]) and version_of(obj) <= list_version
        ]
        for obj in gone:
            self.remove(obj, list_version)
        return Replaced(kept, gone)

    def _unindex(self, identity: tuple[str, str], obj: Object) -> None:
        value = self._index_by(obj)
        if value:
            names = self._index[identity[0], value]
            names.discard(identity[1])
            if not names:
                del self._index[identity[0], value]


class Store:
    """The collections the operator watches."""

    def __init__(self) -> None:
        self.jobqueues = Collection("JobQueue", lambda _: None)
        self.scheduledjobs = Collection("ScheduledJob", lambda obj: _text_at(obj, "spec", "queueRef", "name"))
        self.deployments = Collection("Deployment", _jobqueue_label)
        self.service_accounts = Collection("ServiceAccount", _jobqueue_label)
        self.disruption_budgets = Collection("PodDisruptionBudget", _jobqueue_label)
        self.pods = Collection("Pod", _jobqueue_label)
        children = (self.deployments, self.service_accounts, self.disruption_budgets)
        collections = (self.jobqueues, self.scheduledjobs, *children, self.pods)
        self._by_kind = {collection.kind: collection for collection in collections}

    def of(self, kind: str) -> Collection:
        """The collection of a kind that is watched."""
        return self._by_kind[kind]

    def scheduledjobs_of(self, namespace: str, jobqueue: str) -> list[Object]:
        """The ScheduledJobs that add to a JobQueue."""
        return self.scheduledjobs.indexed(namespace, jobqueue)

    def pods_of(self, namespace: str, jobqueue: str) -> list[Object]:
        """The worker pods of a JobQueue, those of earlier rollouts among them."""
        return self.pods.indexed(namespace, jobqueue)


def version_of(obj: Object) -> int:
    """The resource version as the number it is (comparable within one kind since Kubernetes 1.35)."""
    text = obj["metadata"].get("resourceVersion", "0")
    return int(text) if text.isdigit() else 0


def _slim(obj: Object) -> Object:
    # Half of an object's bytes, and nobody here reads them.
    metadata = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    return {**obj, "metadata": metadata}


def _uid(obj: Object) -> str:
    return str(obj["metadata"].get("uid"))


def _identity(obj: Object) -> tuple[str, str]:
    metadata = obj["metadata"]
    return metadata["namespace"], metadata["name"]


def _jobqueue_label(obj: Object) -> str | None:
    return _text_at(obj, "metadata", "labels", JOBQUEUE_LABEL)


def _text_at(obj: Object, *path: str) -> str | None:
    """A text in an object that may be anything but for its metadata."""
    value: object = obj
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else None
