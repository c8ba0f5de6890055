"""Where an end-to-end test plays: a namespace with a Redis, and the verbs to apply, add, wait and look.

One namespace and one Redis serve all tests, each with queues of its own names. What a test has applied goes with it.
Waiting is polling with a deadline; what was seen last is in the failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from crewline import Queue
from redis.exceptions import RedisError

from tests.cluster.errors import ClusterError
from tests.cluster.fixtures import Cluster
from tools.demo.kube import Kube

API = "crewline.dev/v1alpha1"
SYSTEM = "crewline-system"
OPERATOR = "crewline"
#: Replicas of it, as the chart wants them.
OPERATORS = 2
REDIS = "redis://redis:6379/0"
HANDLERS = Path(__file__).with_name("handlers.py")
POLL_SECONDS = 0.3
#: For whatever takes a pod to start or to end; three times what was seen on a busy machine.
PODS_SECONDS = 90.0

Object = dict[str, Any]


def config_map(name: str, source: str) -> Object:
    """A ConfigMap with one file, handlers.py."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"handlers.py": source}}


def jobqueue(name: str, handler: str = "handlers:echo", **spec: Any) -> Object:
    """A JobQueue for the tests' own handlers. Of `worker` and `scaling` the given fields replace those here."""
    worker = {"handler": handler, "code": {"configMap": "handlers"}, "gracePeriodSeconds": 2}
    scaling = {"minReplicas": 0, "maxReplicas": 3, "idleSeconds": 3}
    spec["worker"] = worker | spec.get("worker", {})
    spec["scaling"] = scaling | spec.get("scaling", {})
    return {"apiVersion": API, "kind": "JobQueue", "metadata": {"name": name}, "spec": {"redis": {"url": REDIS}} | spec}


def condition(obj: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    """A condition of an object's status; all its fields are empty if there is none of that type."""
    found = [each for each in obj.get("status", {}).get("conditions", ()) if each["type"] == type_]
    return found[0] if found else {"status": "", "reason": "", "message": ""}


async def until(
    what: str, look: Callable[[], Awaitable[Any]], holds: Callable[[Any], Any] = bool, seconds: float = PODS_SECONDS
) -> Any:
    """Look again and again until `holds` is true of what was seen, and return that."""
    deadline = time.monotonic() + seconds
    while True:
        seen = await look()
        if holds(seen):
            return seen
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s; last seen: {_shown(seen)}"
        await asyncio.sleep(POLL_SECONDS)


class Scene:
    """A part of the shared namespace: what was applied through it is taken away in `close`."""

    def __init__(self, cluster: Cluster, kube: Kube, namespace: str, redis_url: str) -> None:
        self.cluster = cluster
        self.kube = kube
        self.namespace = namespace
        self.redis_url = redis_url
        self._applied: dict[tuple[str, str, str], None] = {}
        self._queues: dict[str, Queue] = {}

    async def close(self) -> None:
        """Take away what was applied here, and what it made."""
        for api_version, kind, name in reversed(self._applied):
            await self.kube.delete(api_version, kind, name, self.namespace)
        for queue in self._queues.values():
            await queue.close()

    async def apply(self, *objects: Object) -> None:
        """Server-side apply."""
        for obj in objects:
            await self.kube.apply([obj], self.namespace)
            self._applied[obj["apiVersion"], obj["kind"], obj["metadata"]["name"]] = None

    async def delete(self, kind: str, name: str, api_version: str = API) -> None:
        assert await self.kube.delete(api_version, kind, name, self.namespace), f"there is no {kind} {name}"
        self._applied.pop((api_version, kind, name), None)

    async def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """kubectl in this namespace."""
        return await asyncio.to_thread(self.cluster.kubectl, "-n", self.namespace, *words, stdin=stdin)

    async def cluster_kubectl(self, *words: str) -> str:
        """kubectl in no particular namespace."""
        return await asyncio.to_thread(self.cluster.kubectl, *words)

    def queue(self, name: str) -> Queue:
        """The queue as a producer sees it; open until the test ends."""
        if name not in self._queues:
            self._queues[name] = Queue(name, redis=self.redis_url)
        return self._queues[name]

    async def redis_answers(self, name: str = "nothing") -> bool:
        """Whether Redis can be reached through a queue's own connections, which may lead to a pod that is gone."""
        redis = self.queue(name).redis
        await redis.connection_pool.disconnect(inuse_connections=False)
        try:
            return bool(await redis.ping())
        except RedisError:
            return False

    async def open_gate(self, name: str) -> None:
        """Let the jobs of a queue with handlers:gated end."""
        await self.queue(name).redis.set(f"gate:{name}", "open")

    async def get(self, kind: str, name: str, api_version: str = API) -> Object | None:
        return await self.kube.get(api_version, kind, name, self.namespace)

    async def wait(
        self, name: str, what: str, holds: Callable[[Object], Any], *, kind: str = "JobQueue",
        seconds: float = PODS_SECONDS,
    ) -> Object:  # fmt: skip
        """Wait until an object has the fields that `holds` looks at and it is true of them, and return the object."""

        def ready(obj: Object | None) -> Any:
            try:
                return obj and holds(obj)
            except KeyError:
                # Some fields of a status come later, as when Redis could not be read at first.
                return False

        seen: Object = await until(f"{kind} {name} {what}", lambda: self.get(kind, name), ready, seconds)
        return seen

    async def wait_condition(self, name: str, type_: str, reason: str, **options: Any) -> Mapping[str, Any]:
        """Wait until a condition has that reason, and return it."""
        what = f"has {type_} with reason {reason}"
        obj = await self.wait(name, what, lambda obj: condition(obj, type_)["reason"] == reason, **options)
        return condition(obj, type_)

    async def wait_event(self, name: str, reason: str, kind: str = "JobQueue") -> str:
        """Wait until there is an Event of that reason on an object, and return its message."""

        async def messages() -> list[str]:
            events = await self.kube.list("v1", "Event", self.namespace)
            about = [
                each
                for each in events
                if each["involvedObject"] | {"kind": kind, "name": name} == each["involvedObject"]
            ]
            return [each["message"] for each in about if each["reason"] == reason]

        found: list[str] = await until(f"Event {reason} on {kind} {name}", messages, seconds=20)
        return found[-1]

    async def pods(self, name: str) -> list[Object]:
        """The worker pods of a JobQueue that are not on their way out."""
        pods = await self.kube.list("v1", "Pod", self.namespace, f"crewline.dev/jobqueue={name}")
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    async def replicas(self, name: str) -> int | None:
        """The replicas that a JobQueue's Deployment asks for; None if there is none."""
        deployment = await self.get("Deployment", name, "apps/v1")
        return None if deployment is None else deployment["spec"]["replicas"]

    async def restart_operator(self) -> None:
        """Kill all of the operator's pods. Their successors are made at once; this does not wait for them."""
        selector = f"app.kubernetes.io/instance={OPERATOR}"
        await self.cluster_kubectl(
            "-n", SYSTEM, "delete", "pod", "-l", selector, "--force", "--grace-period=0", "--wait=false"
        )

    @contextlib.asynccontextmanager
    async def without_operator(self) -> AsyncIterator[None]:
        """No operator runs in the block; one runs again after it."""
        await self._scale_operator(0)
        try:
            yield
        finally:
            await self._scale_operator(OPERATORS)

    async def _scale_operator(self, replicas: int) -> None:
        async def status() -> Object:
            found = await self.kube.get("apps/v1", "Deployment", OPERATOR, SYSTEM)
            assert found
            return {"replicas": 0, "readyReplicas": 0} | found["status"]

        def reached(seen: Object) -> bool:
            return [seen["replicas"], seen["readyReplicas"]] == [replicas, replicas]

        await self.cluster_kubectl("-n", SYSTEM, "scale", "deployment", OPERATOR, f"--replicas={replicas}")
        await until(f"the operator has {replicas} replicas", status, reached)
        if not replicas:
            # A Deployment does not count a pod that is on its way out, and that one may still write.
            selector = f"app.kubernetes.io/instance={OPERATOR}"
            await until(
                "its pods are gone", lambda: self.kube.list("v1", "Pod", SYSTEM, selector), lambda pods: pods == []
            )

    def describe(self) -> str:
        """What one wants to see when a test has failed."""
        parts = []
        for words in (
            ("-n", self.namespace, "get", "jobqueues,scheduledjobs,deployments,pods", "-o", "wide"),
            ("-n", self.namespace, "describe", "jobqueues"),
            ("-n", self.namespace, "describe", "scheduledjobs"),
            ("-n", self.namespace, "get", "events", "--sort-by=.lastTimestamp"),
            ("-n", SYSTEM, "logs", "--prefix", "-l", f"app.kubernetes.io/instance={OPERATOR}", "--tail=60"),
        ):
            try:
                shown = self.cluster.kubectl(*words)
            except ClusterError as error:
                shown = str(error)
            parts.append(f"$ kubectl {' '.join(words)}\n{shown}")
        return "\n".join(parts)


def _about(event: Object) -> tuple[str, str, str]:
    return event["involvedObject"]["kind"], event["involvedObject"]["name"], event["reason"]


def _shown(seen: Any) -> str:
    """What was seen, short: an object's spec is known to who reads the test."""
    if isinstance(seen, dict) and "status" in seen:
        seen = seen["status"]
    return json.dumps(seen, default=str)[:4000]
