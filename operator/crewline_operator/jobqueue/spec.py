"""A JobQueue as the operator reads it: the API server's JSON with its defaults, as typed values.

The CRD validates and defaults; nothing is checked twice here. Defaults that depend on another field are applied here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crewline_operator.model.key import Key, Object
from crewline_operator.model.queue_ref import QueueRef
from crewline_operator.redis.reading import Target
from crewline_operator.scaling.spec import ScalingSpec


@dataclass(frozen=True)
class SecretKey:
    """A key of a Secret in the JobQueue's namespace."""

    name: str
    key: str


@dataclass(frozen=True)
class WorkerSpec:
    """The program that runs the jobs."""

    image: str | None
    image_pull_policy: str | None
    handler: str | None
    code_config_map: str | None
    command: tuple[str, ...]
    args: tuple[str, ...]
    concurrency: int
    execution: str
    timeout_seconds: int | None
    grace_seconds: int
    env: tuple[Mapping[str, Any], ...] = ()
    env_from: tuple[Mapping[str, Any], ...] = ()
    resources: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JobQueue:
    """What one JobQueue asks for."""

    namespace: str
    name: str
    uid: str
    generation: int
    queue: str
    redis_url: str | None
    redis_secret: SecretKey | None
    prefix: str
    paused: bool
    dead_letter_queue: str
    worker: WorkerSpec
    scaling: ScalingSpec

    @property
    def key(self) -> Key:
        return Key("JobQueue", self.namespace, self.name)

    @property
    def target(self) -> Target:
        """What is read of it in Redis."""
        return Target(self.prefix, self.queue, self.dead_letter_queue)

    @property
    def queue_ref(self) -> QueueRef:
        return QueueRef(self.key, self.prefix, self.queue)


def named_queue(obj: Object) -> tuple[str, str]:
    """The prefix and the queue that a JobQueue is for."""
    spec = obj["spec"]
    return spec["redis"].get("prefix", "bull"), spec.get("queue") or obj["metadata"]["name"]


def parse_jobqueue(obj: Object) -> JobQueue:
    """Read a JobQueue that the API server has validated."""
    metadata, spec = obj["metadata"], obj["spec"]
    redis, worker, scaling = spec["redis"], spec["worker"], spec.get("scaling", {})
    secret = redis.get("urlFrom", {}).get("secretKeyRef")
    prefix, queue = named_queue(obj)
    concurrency = worker.get("concurrency", 10)
    return JobQueue(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 1),
        queue=queue,
        redis_url=redis.get("url"),
        redis_secret=SecretKey(secret["name"], secret["key"]) if secret else None,
        prefix=prefix,
        paused=spec.get("paused", False),
        dead_letter_queue=spec.get("deadLetter", {}).get("queue") or f"{queue}-dlq",
        worker=WorkerSpec(
            image=worker.get("image"),
            image_pull_policy=worker.get("imagePullPolicy"),
            handler=worker.get("handler"),
            code_config_map=worker.get("code", {}).get("configMap"),
            command=tuple(worker.get("command", ())),
            args=tuple(worker.get("args", ())),
            concurrency=concurrency,
            execution=worker.get("execution", "async"),
            timeout_seconds=worker.get("timeoutSeconds"),
            grace_seconds=worker.get("gracePeriodSeconds", 30),
            env=tuple(worker.get("env", ())),
            env_from=tuple(worker.get("envFrom", ())),
            resources=worker.get("resources", {}),
        ),
        scaling=ScalingSpec(
            mode=scaling.get("mode", "operator"),
            min_replicas=scaling.get("minReplicas", 0),
            max_replicas=scaling.get("maxReplicas", 10),
            jobs_per_replica=scaling.get("jobsPerReplica", concurrency),
            idle_seconds=scaling.get("idleSeconds", 60),
            replicas=spec.get("replicas"),
        ),
    )
