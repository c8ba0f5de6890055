#!/usr/bin/env python3
"""How soon a job is done where workers have to start first, and whether scaling in kills a busy one: with real pods.

    .venv/bin/python -m bench.operator.pods --help

Crewline is installed by its chart, at its defaults, with Redis in the cluster. Times are between two readings of one
clock: this machine's, which the pods and Redis share with this bench.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crewline import Queue
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.operator.command import parser_of, run_command
from bench.operator.measures import Step, times
from bench.operator.report import pods_markdown
from bench.operator.stage import Replicas
from tests.cluster import images, tools
from tests.cluster.forward import forwarded
from tests.cluster.paths import REPOSITORY
from tests.cluster.provider import pick
from tests.cluster.shell import run
from tests.e2e.scene import until
from tools.demo.kube import Kube, config_map, documents

HANDLERS = REPOSITORY / "tests" / "e2e" / "handlers.py"
REDIS = "redis://redis:6379/0"
API = "crewline.dev/v1alpha1"
#: In the image, whatever it is: what is measured is how long it takes to be called.
IN_IMAGE, IN_CONFIG_MAP = "builtins:repr", "handlers:echo"
POLL_SECONDS = 0.02
PODS, HOLD_SECONDS = 10, 25
#: Replicas that are wanted one after the other, and seconds that jobs take meanwhile: longer than their grace period.
TIDE, JOB_SECONDS = (4, 2, 4, 1, 3, 1), (2, 5, 9)

MEASURES = ("apply", "wake", "wake-code", "ten-pods", "scale-ins-external", "scale-ins-operator")


@dataclass
class Stage:
    """A namespace with a Redis, on a cluster with Crewline."""

    kube: Kube
    namespace: str
    redis_url: str
    replicas: Replicas

    async def apply(self, name: str, handler: str, worker: dict[str, Any] | None = None, **scaling: Any) -> None:
        code = {} if handler == IN_IMAGE else {"code": {"configMap": "handlers"}}
        spec = {
            "redis": {"url": REDIS},
            "worker": {"handler": handler, "gracePeriodSeconds": 2, **code, **(worker or {})},
            "scaling": {"minReplicas": 0, "maxReplicas": 10, "idleSeconds": 2, **scaling},
        }
        manifest = {"apiVersion": API, "kind": "JobQueue", "metadata": {"name": name}, "spec": spec}
        await self.kube.apply([manifest], self.namespace)

    async def asleep(self, name: str) -> None:
        """Wait until a JobQueue is known, and has no worker and no pod that still ends."""
        await until(f"{name} is asleep", lambda: self._is_asleep(name))
        await asyncio.sleep(1)

    async def _is_asleep(self, name: str) -> bool:
        seen = await self.kube.get(API, "JobQueue", name, self.namespace) or {}
        if seen.get("status", {}).get("ready") != "0/0":
            return False
        return not await self.kube.list("v1", "Pod", self.namespace, f"crewline.dev/jobqueue={name}")

    async def delete(self, name: str) -> None:
        await self.kube.delete(API, "JobQueue", name, self.namespace)
        selector = f"crewline.dev/jobqueue={name}"
        pods = functools.partial(self.kube.list, "v1", "Pod", self.namespace, selector)
        await until(f"{name} has no pod", pods, lambda found: found == [])

    def queue(self, name: str) -> Queue:
        return Queue(name, redis=self.redis_url)


async def apply_first(stage: Stage, samples: int, step: Step) -> list[float]:
    """From the call that applies a JobQueue, whose job waits already, until that job has been done."""
    took = []
    for number in range(samples):
        name = f"apply{number}"
        async with stage.queue(name) as queue:
            job = await queue.add("job", number)
            began = time.time()
            await stage.apply(name, IN_CONFIG_MAP)
            took.append(await _completed(queue, job.id) - began)
        await stage.delete(name)
        step()
    return took


async def wake(stage: Stage, handler: str, samples: int, step: Step) -> list[float]:
    """From the call that adds a job to a queue at zero until that job has been done."""
    name = f"wake-{secrets.token_hex(2)}"
    await stage.apply(name, handler)
    took = []
    async with stage.queue(name) as queue:
        await queue.metrics()
        for number in range(samples):
            await stage.asleep(name)
            began = time.time()
            job = await queue.add("job", number)
            took.append(await _completed(queue, job.id) - began)
            step()
    await stage.delete(name)
    return took


async def ten_pods(stage: Stage, samples: int, step: Step) -> list[float]:
    """From the moment when ten replicas are asked for until the last of their pods has begun its first job."""
    name = "ten"
    await stage.apply(name, "handlers:counted", {"concurrency": 1}, target={"jobsPerReplica": 1})
    took = []
    async with stage.queue(name) as queue:
        for _ in range(samples):
            await stage.asleep(name)
            patched = asyncio.create_task(_becomes(stage, name, PODS))
            jobs = await queue.add_bulk([("job", HOLD_SECONDS)] * PODS)
            began = await patched
            ends = [await job.result(timeout=180) for job in jobs]
            if len({each["pod"] for each in ends}) < PODS:
                raise RuntimeError(f"a pod was not there within {HOLD_SECONDS} s, and another one has run two jobs")
            begun = [await queue.redis.hget(queue.keys.job(job.id), "processedOn") for job in jobs]
            took.append(max(int(each or 0) for each in begun) / 1000 - began)
            step()
    await stage.delete(name)
    return took


async def scale_ins(stage: Stage, mode: str, wanted: int, step: Step) -> dict[str, Any]:
    """Have so many scale-ins while all workers are busy; how many jobs ran, and how many of them more than once."""
    name = f"tide-{mode.lower()}"
    behavior = {"stableWindowSeconds": 6, "panicWindowSeconds": 1}
    mode_scaling = (
        {"mode": "External"} if mode == "External" else {"target": {"jobsPerReplica": 1}, "behavior": behavior}
    )
    await stage.apply(name, "handlers:counted", {"concurrency": 1}, **mode_scaling | {"maxReplicas": 4})
    await stage.asleep(name)
    seen = 0
    async with stage.queue(name) as queue:
        added = 0
        while seen < wanted:
            for replicas in TIDE:
                before = stage.replicas.now.get(name, 0)
                if mode == "External":
                    if (await queue.metrics()).waiting < 8:
                        added += len(await queue.add_bulk([("job", seconds) for seconds in JOB_SECONDS * 4]))
                    await _scale(stage, name, replicas)
                else:
                    missing = replicas - (await queue.metrics()).active
                    lengths = [JOB_SECONDS[(added + each) % 3] for each in range(max(0, missing))]
                    added += len(await queue.add_bulk([("job", seconds) for seconds in lengths]))
                await _settled(stage, name, replicas)
                if stage.replicas.now[name] < before:
                    seen += 1
                    step()
        if mode == "External":
            await _scale(stage, name, 4)
        await until("all jobs are done", queue.metrics, lambda counts: counts.completed == added, seconds=300)  # noqa: B023
        starts = await queue.redis.hgetall(f"starts:{name}")
    await stage.delete(name)
    return {"scale_ins": seen, "jobs": added, "interrupted": sum(int(count) > 1 for count in starts.values())}


async def _settled(stage: Stage, name: str, replicas: int) -> None:
    """Wait until so many are asked for, or 15 s are over: by then jobs of all lengths have ended."""
    with contextlib.suppress(TimeoutError):
        await stage.replicas.become(name, replicas, seconds=15)


async def _scale(stage: Stage, name: str, replicas: int) -> None:
    words = [*map(str, tools.kubectl()), "-n", stage.namespace, "scale", "jobqueue", name, f"--replicas={replicas}"]
    await asyncio.to_thread(run, words)


async def _becomes(stage: Stage, name: str, replicas: int) -> float:
    await stage.replicas.become(name, replicas)
    return time.time()


async def _completed(queue: Queue, id_: str) -> float:
    """When a job has been done."""
    async with asyncio.timeout(120):
        while True:
            job = await queue.get_job(id_)
            if job is not None and job.finished_on_ms is not None:
                return job.finished_on_ms / 1000
            await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def open_stage(cluster: str, keep: bool) -> AsyncIterator[Stage]:
    """Start what is missing, and take away what was started. Raises ClusterError."""
    provider = pick(cluster)
    ran_before = not provider.faults()
    kubeconfig = provider.up()
    os.environ["KUBECONFIG"] = str(kubeconfig)
    namespace = f"bench-{secrets.token_hex(3)}"
    try:
        built = images.load(provider)
        _install(built)
        async with Kube(kubeconfig) as kube:
            await kube.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}])
            await kube.apply(documents(*sorted((REPOSITORY / "examples" / "redis").glob("*.yaml"))), namespace)
            await kube.apply([config_map("handlers", HANDLERS)], namespace)
            kubectl = [*map(str, tools.kubectl()), "-n", namespace]
            run([*kubectl, "rollout", "status", "statefulset/redis", "--timeout=90s"], timeout_seconds=120)
            replicas = Replicas()
            following = asyncio.create_task(replicas.follow(kube, namespace))
            async with forwarded(kubeconfig, namespace, "service/redis", 6379) as port:
                yield Stage(kube, namespace, f"redis://127.0.0.1:{port}/0", replicas)
            following.cancel()
            await kube.delete("v1", "Namespace", namespace)
    finally:
        if not (keep or ran_before):
            provider.down()


def _install(built: list[images.Built]) -> None:
    words: list[str | Path] = [*tools.helm(), "upgrade", "--install", "crewline", REPOSITORY / "charts" / "crewline"]
    words += ["--namespace=crewline-system", "--create-namespace", "--wait", "--timeout=120s"]
    for value, image in (("image", images.OPERATOR), ("workerImage", images.WORKER)):
        repository, _, tag = image.reference.rpartition(":")
        words += [f"--set={value}.repository={repository}", f"--set={value}.tag={tag}"]
    # The tag stays the same when the image changes: this makes a new pod then, and only then.
    (operator,) = (each.id for each in built if each.image is images.OPERATOR)
    run([*words, f"--set-string=podAnnotations.crewline\\.dev/image={operator}"], timeout_seconds=150)


async def bench(args: argparse.Namespace) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    columns = (TextColumn("{task.description:>20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        starting = progress.add_task("start", total=1)
        async with open_stage(args.cluster, args.keep) as stage:
            progress.advance(starting)
            for name in [each for each in MEASURES if not args.measures or each in args.measures]:
                total = args.scale_ins if name.startswith("scale-ins") else args.samples
                total = max(1, total // 5) if name == "ten-pods" else total
                task = progress.add_task(name, total=total)

                def step(task: Any = task) -> None:
                    progress.advance(task)

                match name:
                    case "apply":
                        row = times(await apply_first(stage, total, step))
                    case "wake":
                        row = times(await wake(stage, IN_IMAGE, total, step))
                    case "wake-code":
                        row = times(await wake(stage, IN_CONFIG_MAP, total, step))
                    case "ten-pods":
                        row = times(await ten_pods(stage, total, step))
                    case _:
                        row = await scale_ins(stage, name.rpartition("-")[2].capitalize(), total, step)
                rows.append({"measure": name, **row})
    return rows


def main() -> int:
    parser = parser_of("python -m bench.operator.pods", __doc__, MEASURES)
    parser.add_argument("--samples", type=int, default=50, help="of each time; of ten pods a fifth (default 50)")
    parser.add_argument("--scale-ins", type=int, default=50, help="in each mode (default 50)")
    return run_command(parser, MEASURES, bench, pods_markdown)


if __name__ == "__main__":
    sys.exit(main())
