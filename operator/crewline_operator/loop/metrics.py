"""The operator's Prometheus metrics: what it does itself, and, of the one that leads, what it knows of each queue."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from crewline_operator.model.key import Key
from crewline_operator.redis.reading import Snapshot

QUEUE_LABELS = ("namespace", "jobqueue")
STATES = ("waiting", "active", "delayed", "completed", "failed", "dead")


class Metrics:
    """All metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._reconciles = Counter(
            "crewline_reconciles", "Reconciles by kind and result.", ("kind", "result"), registry=self.registry
        )
        self._reconcile_seconds = Histogram(
            "crewline_reconcile_duration_seconds",
            "Time a reconcile took.",
            ("kind",),
            buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60),
            registry=self.registry,
        )
        self._leader = Gauge("crewline_operator_leader", "Whether this process leads: 1 or 0.", registry=self.registry)
        self._work_queue = Gauge("crewline_work_queue_depth", "Objects to reconcile now.", registry=self.registry)
        self._jobs = Gauge("crewline_jobs", "Jobs by state.", (*QUEUE_LABELS, "state"), registry=self.registry)
        self._replicas = Gauge(
            "crewline_worker_replicas",
            "Worker pods, desired and ready.",
            (*QUEUE_LABELS, "kind"),
            registry=self.registry,
        )
        self._redis_up = Gauge(
            "crewline_redis_up", "Whether the queue's Redis answers.", QUEUE_LABELS, registry=self.registry
        )

    def reconciled(self, key: Key, seconds: float, error: BaseException | None) -> None:
        self._reconciles.labels(key.kind, "success" if error is None else "error").inc()
        self._reconcile_seconds.labels(key.kind).observe(seconds)

    def leader(self, leads: bool) -> None:
        self._leader.set(leads)

    def work_queue(self, depth: int) -> None:
        self._work_queue.set(depth)

    def jobqueue(self, key: Key, snapshot: Snapshot | None, desired: int, ready: int) -> None:
        """What is known of a queue; None if its Redis does not answer."""
        labels = (key.namespace, key.name)
        self._redis_up.labels(*labels).set(0 if snapshot is None else 1)
        self._replicas.labels(*labels, "desired").set(desired)
        self._replicas.labels(*labels, "ready").set(ready)
        if snapshot is not None:
            for state in STATES:
                self._jobs.labels(*labels, state).set(getattr(snapshot, state))

    def forget(self, key: Key) -> None:
        """Drop a queue that is gone, so that it is not reported for ever."""
        labels = {"namespace": key.namespace, "jobqueue": key.name}
        for metric in (self._jobs, self._replicas, self._redis_up):
            metric.remove_by_labels(labels)

    def render(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
