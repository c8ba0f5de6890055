"""Puts Crewline, a Redis and the example on a cluster. Every step can be repeated on what an earlier run left."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tools.demo.kube import Kube, config_map, documents, wait_until

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "access-log"
SYSTEM, NAMESPACE, RELEASE = "crewline-system", "crewline-demo", "crewline"
API = "crewline.dev/v1alpha1"
QUEUE = "access-log"
QUEUES = (QUEUE, "digest")


class InstallFailed(Exception):
    """Which command failed, and what it said."""


async def install_chart(helm: list[str], kubeconfig: Path, registry: str, operator_version: str) -> None:
    """The chart of this repository, with the images `REGISTRY/crewline-*:dev`."""
    await _run(
        *helm, "upgrade", "--install", RELEASE, ROOT / "charts" / "crewline",
        "--namespace", SYSTEM, "--create-namespace",
        "--set", f"image.repository={registry}/crewline-operator", "--set", "image.tag=dev",
        "--set", f"workerImage.repository={registry}/crewline-worker", "--set", "workerImage.tag=dev",
        # The tag stays the same when the image changes: this makes a new pod then, and only then.
        "--set-string", f"podAnnotations.crewline\\.dev/operator={operator_version}",
        # Somebody watches.
        "--set-string", "env.CREWLINE_STATUS_SECONDS=1",
        "--wait", "--timeout", "120s",
        environment={"KUBECONFIG": str(kubeconfig)},
    )  # fmt: skip


async def install_redis(kube: Kube) -> None:
    await kube.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
    manifests = documents(*sorted((ROOT / "examples" / "redis").glob("*.yaml")))
    await kube.apply(manifests, NAMESPACE)
    for kind in ("Deployment", "StatefulSet"):
        for name in (m["metadata"]["name"] for m in manifests if m["kind"] == kind):
            await wait_until(f"{kind.lower()}/{name} ready", _ready(kube, kind, name), 90)


async def remove_example(kube: Kube, redis: Redis) -> bool:
    """Takes away what an earlier run left: first the workers, then the jobs. False if there was nothing."""
    await wait_until("Redis answers through the port-forward", _answers(redis), 30)
    found = await kube.delete(API, "ScheduledJob", "digest", NAMESPACE)
    for name in QUEUES:
        found |= await kube.delete(API, "JobQueue", name, NAMESPACE)
    await wait_until("the workers of an earlier run are gone", _gone(kube), 90)
    # The Redis is the demo's own, in the demo's own namespace.
    found |= await redis.dbsize() > 0
    await redis.flushall()
    return found


async def install_example(kube: Kube) -> None:
    """The handlers, the queues and the schedule; returns when the operator has them, asleep at zero."""
    await kube.apply(
        [
            config_map("access-log-handlers", EXAMPLE / "handlers.py"),
            config_map("digest-handlers", EXAMPLE / "digest.py"),
            *documents(EXAMPLE / "jobqueue.yaml", EXAMPLE / "digest.yaml"),
        ],
        NAMESPACE,
    )

    async def ready() -> tuple[bool, str]:
        queue = await kube.get(API, "JobQueue", QUEUE, NAMESPACE) or {}
        conditions = queue.get("status", {}).get("conditions", [])
        state = {condition["type"]: condition["status"] for condition in conditions}
        seen = "; ".join(f"{c['type']}={c['status']} ({c.get('message') or c['reason']})" for c in conditions)
        return state.get("Ready") == "True", seen or "no status: `kubectl -n crewline-system logs deploy/crewline`"

    await wait_until(f"jobqueue/{QUEUE} is ready", ready, 60)


async def remove_everything(helm: list[str], kubeconfig: Path) -> None:
    """For a cluster that is not ours: what the demo put there, and no more."""
    async with Kube(kubeconfig) as kube:
        for name in QUEUES:
            await kube.delete(API, "JobQueue", name, NAMESPACE)
        await kube.delete("v1", "Namespace", NAMESPACE)
        uninstall = [*helm, "uninstall", RELEASE, "--namespace", SYSTEM, "--ignore-not-found"]
        await _run(*uninstall, environment={"KUBECONFIG": str(kubeconfig)})
        await kube.delete("v1", "Namespace", SYSTEM)
        for namespace in (NAMESPACE, SYSTEM):
            await wait_until(f"namespace {namespace} is gone", _absent(kube, namespace), 120)


def _ready(kube: Kube, kind: str, name: str) -> Callable[[], Awaitable[tuple[bool, str]]]:
    async def probe() -> tuple[bool, str]:
        found: dict[str, Any] = await kube.get("apps/v1", kind, name, NAMESPACE) or {}
        status = found.get("status", {})
        ready, wanted = status.get("readyReplicas", 0), found.get("spec", {}).get("replicas", 1)
        return ready >= wanted, f"{ready} of {wanted} pods ready"

    return probe


def _gone(kube: Kube) -> Callable[[], Awaitable[tuple[bool, str]]]:
    async def probe() -> tuple[bool, str]:
        pods = await kube.list("v1", "Pod", NAMESPACE, "crewline.dev/jobqueue")
        return not pods, f"{len(pods)} pods"

    return probe


def _absent(kube: Kube, namespace: str) -> Callable[[], Awaitable[tuple[bool, str]]]:
    async def probe() -> tuple[bool, str]:
        found = await kube.get("v1", "Namespace", namespace)
        return found is None, str(found and found["status"].get("conditions"))

    return probe


def _answers(redis: Redis) -> Callable[[], Awaitable[tuple[bool, str]]]:
    async def probe() -> tuple[bool, str]:
        try:
            return bool(await redis.ping()), "no PONG"
        except RedisError as error:
            return False, str(error)

    return probe


async def _run(*command: str | Path, environment: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode:
        words = " ".join(map(str, command[1:4]))
        raise InstallFailed(
            f"{Path(command[0]).name} {words} ended with {process.returncode}: {output.decode().strip()}"
        )
