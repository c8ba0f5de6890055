"""A JobQueue as the operator reads it: the API server's JSON with its defaults, as typed values.

The CRD validates and defaults what is written. What was written under an older schema is read by the same rules, so
that defaults are here, too, and a field that can't be read is told with its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crewline.errors import InvalidOption
from crewline.wire.keys import Keys, letters_queue

from crewline_operator.model.fields import Fields, Unreadable
from crewline_operator.model.key import Key, Object
from crewline_operator.model.queue_ref import QueueRef
from crewline_operator.redis.reading import Target
from crewline_operator.scaling.parse import parse_scaling
from crewline_operator.scaling.spec import ScalingSpec
from crewline_operator.scaling.targets import measures


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
        return Target(self.prefix, self.queue, self.dead_letter_queue, measures(self.scaling))

    @property
    def queue_ref(self) -> QueueRef:
        return QueueRef(self.key, self.prefix, self.queue)


def named_queue(obj: Object) -> tuple[str, str]:
    """The prefix and the queue that a JobQueue is for. Raises Unreadable."""
    spec = Fields(obj.get("spec"), "spec")
    queue = spec.optional_text("queue") or obj["metadata"]["name"]
    return spec.required("redis").optional_text("prefix") or "bull", queue


def parse_jobqueue(obj: Object) -> JobQueue:
    """Read a JobQueue as it is stored. Raises Unreadable."""
    metadata, spec = obj["metadata"], Fields(obj.get("spec"), "spec")
    redis = spec.required("redis")
    prefix, queue = named_queue(obj)
    letters = spec.inner("deadLetter").optional_text("queue") or f"{queue}-dlq"
    try:
        Keys(prefix, queue)
        letters_queue(queue, letters)
    except InvalidOption as error:
        raise Unreadable("InvalidSpec", f"spec.queue, spec.deadLetter.queue or spec.redis.prefix: {error}") from error
    worker = _worker(spec.required("worker"))
    return JobQueue(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 1),
        queue=queue,
        redis_url=redis.optional_text("url"),
        redis_secret=_secret_key(redis),
        prefix=prefix,
        paused=spec.flag("paused"),
        dead_letter_queue=letters,
        worker=worker,
        scaling=parse_scaling(spec, worker.concurrency),
    )


def _secret_key(redis: Fields) -> SecretKey | None:
    if "urlFrom" not in redis:
        return None
    secret = redis.required("urlFrom").required("secretKeyRef")
    return SecretKey(secret.object_name("name"), secret.text("key"))


def _worker(worker: Fields) -> WorkerSpec:
    return WorkerSpec(
        image=worker.optional_text("image"),
        image_pull_policy=worker.optional_text("imagePullPolicy"),
        handler=worker.optional_text("handler"),
        code_config_map=worker.required("code").object_name("configMap") if "code" in worker else None,
        command=worker.texts("command"),
        args=worker.texts("args"),
        concurrency=worker.integer("concurrency", low=1) if "concurrency" in worker else 10,
        execution=worker.optional_text("execution") or "async",
        timeout_seconds=worker.optional_integer("timeoutSeconds"),
        grace_seconds=worker.integer("gracePeriodSeconds") if "gracePeriodSeconds" in worker else 30,
        env=worker.objects("env"),
        env_from=worker.objects("envFrom"),
        resources=worker.mapping("resources"),
    )
