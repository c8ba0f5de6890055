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
from crewline.wire.settings import Settings

from crewline_operator.jobqueue.disruption_spec import Disruption, parse_disruption
from crewline_operator.jobqueue.live_spec import parse_limits, parse_settings
from crewline_operator.jobqueue.redis_spec import RedisSpec, parse_redis
from crewline_operator.jobqueue.served import named_queue, told_redis
from crewline_operator.model.fields import Fields, Unreadable
from crewline_operator.model.key import Key, Object
from crewline_operator.model.queue_ref import QueueRef
from crewline_operator.redis.reading import Target
from crewline_operator.scaling.parse import parse_scaling
from crewline_operator.scaling.spec import ScalingSpec
from crewline_operator.scaling.targets import measures

#: What becomes of a job that was killed for want of memory while nothing ran beside it.
RETRY, DEAD_LETTER = "Retry", "DeadLetter"
#: As the API has them, and as the engine calls them.
EXECUTIONS = {"Async": "async", "Thread": "thread", "Process": "process"}


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
    #: As the engine calls it.
    execution: str
    timeout_seconds: int | None
    grace_seconds: int
    max_crashes: int = 3
    on_oom: str = RETRY
    #: The memory of the larger worker in which a job that died of it runs once more, a quantity; None for none.
    retry_memory: str | None = None
    env: tuple[Mapping[str, Any], ...] = ()
    env_from: tuple[Mapping[str, Any], ...] = ()
    resources: Mapping[str, Any] = field(default_factory=dict)
    disruption: Disruption = field(default_factory=Disruption)
    #: A partial pod template, merged last.
    template: Mapping[str, Any] = field(default_factory=dict)

    @property
    def service_account(self) -> str | None:
        """The ServiceAccount that the template names; None: they have one of their own."""
        spec = self.template.get("spec")
        name = spec.get("serviceAccountName") if isinstance(spec, Mapping) else None
        return name if isinstance(name, str) and name else None


@dataclass(frozen=True)
class JobQueue:
    """What one JobQueue asks for."""

    namespace: str
    name: str
    uid: str
    generation: int
    queue: str
    redis: RedisSpec
    prefix: str
    paused: bool
    #: "": nowhere.
    dead_letter_queue: str
    worker: WorkerSpec
    scaling: ScalingSpec
    #: What the workers follow while they run.
    live: Settings
    #: What limits the queue over all its workers, by BullMQ's names.
    limits: Mapping[str, int]
    #: spec.redis as a status may tell it.
    told_redis: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        return Key("JobQueue", self.namespace, self.name)

    @property
    def target(self) -> Target:
        """What is read of it in Redis."""
        return Target(
            self.prefix,
            self.queue,
            self.dead_letter_queue,
            measures(self.scaling),
            self.worker.retry_memory is not None,
        )

    @property
    def queue_ref(self) -> QueueRef:
        return QueueRef(self.key, self.prefix, self.queue)


def parse_jobqueue(obj: Object) -> JobQueue:
    """Read a JobQueue as it is stored. Raises Unreadable."""
    metadata, spec = obj["metadata"], Fields(obj.get("spec"), "spec")
    redis = spec.required("redis")
    prefix, queue = named_queue(obj)
    dead_letter = spec.inner("deadLetter")
    letters = "" if dead_letter.flag("disabled") else dead_letter.optional_text("queue") or f"{queue}-dlq"
    try:
        Keys(prefix, queue)
        letters_queue(queue, letters)
    except InvalidOption as error:
        raise Unreadable("InvalidSpec", f"spec.queue, spec.deadLetter.queue or spec.redis.prefix: {error}") from error
    worker, generation = _worker(spec.required("worker")), metadata.get("generation", 1)
    return JobQueue(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=generation,
        queue=queue,
        redis=parse_redis(redis),
        prefix=prefix,
        paused=spec.flag("paused"),
        dead_letter_queue=letters,
        worker=worker,
        scaling=parse_scaling(spec, worker.concurrency),
        live=parse_settings(spec, generation, worker.concurrency, worker.timeout_seconds),
        limits=parse_limits(spec),
        told_redis=told_redis(spec.mapping("redis")),
    )


def _worker(worker: Fields) -> WorkerSpec:
    return WorkerSpec(
        image=worker.optional_text("image"),
        image_pull_policy=worker.optional_text("imagePullPolicy"),
        handler=worker.optional_text("handler"),
        code_config_map=worker.required("code").object_name("configMap") if "code" in worker else None,
        command=worker.texts("command"),
        args=worker.texts("args"),
        concurrency=worker.integer("concurrency", low=1) if "concurrency" in worker else 10,
        execution=EXECUTIONS[worker.choice("execution", list(EXECUTIONS))],
        timeout_seconds=worker.optional_integer("timeoutSeconds"),
        grace_seconds=worker.integer("gracePeriodSeconds") if "gracePeriodSeconds" in worker else 30,
        max_crashes=worker.integer("maxCrashes", low=1) if "maxCrashes" in worker else 3,
        on_oom=worker.choice("onOOM", (RETRY, DEAD_LETTER)),
        retry_memory=worker.required("retryWith").quantity("memory") if "retryWith" in worker else None,
        env=worker.objects("env"),
        env_from=worker.objects("envFrom"),
        resources=worker.mapping("resources"),
        disruption=parse_disruption(worker.inner("disruption")),
        template=worker.mapping("template"),
    )
