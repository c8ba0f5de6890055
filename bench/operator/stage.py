"""What is measured on: a cluster, a Redis, the operator as a process, and a producer."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crewline import Queue
from crewline_operator.kube.api import Api
from crewline_operator.kube.resources import JOBQUEUES
from kubernetes.aio import client as kube_client
from kubernetes.aio import config as kube_config
from redis.asyncio import Redis

from tests import redis_server
from tests.cluster import tools
from tests.cluster.errors import ClusterError
from tests.cluster.paths import REPOSITORY
from tests.cluster.provider import pick
from tests.cluster.shell import run
from tests.interop.peers import Peer
from tools.demo.kube import Kube

TICKS = os.sysconf("SC_CLK_TCK")


class Replicas:
    """The replicas that each Deployment of the namespace asks for, and since when that is seen."""

    def __init__(self) -> None:
        self.now: dict[str, int] = {}
        self._waiting: dict[str, tuple[int, asyncio.Future[float]]] = {}

    async def follow(self, kube: Kube, namespace: str) -> None:
        async for seen in kube.follow("apps/v1", "Deployment", None, namespace):
            name, replicas = seen["metadata"]["name"], seen["spec"]["replicas"]
            if self.now.get(name) != replicas:
                self.now[name] = replicas
                wanted, waiting = self._waiting.get(name, (None, None))
                if waiting is not None and replicas == wanted and not waiting.done():
                    waiting.set_result(time.monotonic())

    async def become(self, name: str, replicas: int, seconds: float = 120) -> float:
        """Wait until a Deployment asks for so many; the time when that was seen."""
        if self.now.get(name) == replicas:
            return time.monotonic()
        future = asyncio.get_running_loop().create_future()
        self._waiting[name] = replicas, future
        async with asyncio.timeout(seconds):
            return await future


@dataclass
class Stage:
    """A namespace with an operator at work."""

    api: Api
    kube: Kube
    namespace: str
    redis: Redis
    url: str
    replicas: Replicas
    operator: subprocess.Popen[bytes]
    producer: Producer
    kubectl: list[str]
    made: set[str] = field(default_factory=set)

    async def create(self, names: Iterable[str], on_made: Callable[[], None] = lambda: None, **scaling: Any) -> None:
        """Make JobQueues that have no worker after a moment without jobs, eight at a time."""
        waiting = iter(names)

        async def create_some() -> None:
            for name in waiting:
                await self.api.apply(JOBQUEUES, self._jobqueue(name, scaling))
                self.made.add(name)
                on_made()

        await asyncio.gather(*(create_some() for _ in range(8)))

    def _jobqueue(self, name: str, scaling: dict[str, Any]) -> dict[str, Any]:
        return {
            "apiVersion": "crewline.dev/v1alpha1",
            "kind": "JobQueue",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "redis": {"url": self.url},
                "worker": {"handler": "handlers:handle", "image": "localhost/absent:1"},
                "scaling": {"idleSeconds": 0, **scaling},
            },
        }

    async def delete(self, name: str) -> None:
        await self.kube.delete("crewline.dev/v1alpha1", "JobQueue", name, self.namespace)
        self.made.discard(name)

    async def ready(self) -> int:
        """How many JobQueues say that all is well with them."""
        found, _ = await self.api.list(JOBQUEUES, self.namespace)
        return sum(any(_is_ready(each) for each in obj.get("status", {}).get("conditions", ())) for obj in found)

    def load(self) -> Callable[[], dict[str, float]]:
        """From now on: how many cores the operator and all else on this machine keep busy."""
        own, all_, began = self.cpu_seconds(), _busy_seconds(), time.monotonic()

        def so_far() -> dict[str, float]:
            seconds = time.monotonic() - began
            operator = (self.cpu_seconds() - own) / seconds
            others = (_busy_seconds() - all_) / seconds - operator
            return {"operator_cores": round(operator, 3), "other_cores": round(others, 2)}

        return so_far

    def cpu_seconds(self) -> float:
        """Of the operator's process."""
        fields = Path(f"/proc/{self.operator.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_mib(self) -> float:
        pages = int(Path(f"/proc/{self.operator.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    async def connections(self) -> int:
        """The operator's own to Redis."""
        return sum(each["name"].startswith("crewline-operator") for each in await self.redis.client_list())

    async def api_writes(self) -> int:
        """What was written so far of the kinds that the operator writes, by the API server's own count."""
        text = await asyncio.to_thread(run, [*self.kubectl, "get", "--raw", "/metrics"])
        lines = [line for line in text.splitlines() if line.startswith("apiserver_request_total{")]
        return round(sum(float(line.rpartition(" ")[2]) for line in lines if _is_operators(line)))


def _is_ready(condition: dict[str, Any]) -> bool:
    return condition["type"] == "Ready" and condition["status"] == "True"


def _is_operators(line: str) -> bool:
    if 'resource="jobqueues"' in line or 'resource="events"' in line:
        return any(f'verb="{verb}"' in line for verb in ("APPLY", "PATCH", "POST", "PUT"))
    # The controllers of Kubernetes write to these, too, but by PUT.
    return 'verb="APPLY"' in line and ('resource="deployments"' in line or 'resource="serviceaccounts"' in line)


def _busy_seconds() -> float:
    """CPU time of the machine since its start, but for what was idle."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    return (sum(map(int, fields[:8])) - int(fields[3]) - int(fields[4])) / TICKS


@asynccontextmanager
async def open_stage(cluster: str, producer: str, keep: bool) -> AsyncIterator[Stage]:
    """Start what is missing, and take away what was started. Raises ClusterError."""
    provider = pick(cluster)
    ran_before = not provider.faults()
    kubeconfig = provider.up()
    os.environ["KUBECONFIG"] = str(kubeconfig)
    configuration = kube_client.Configuration()
    await kube_config.load_kube_config(str(kubeconfig), client_configuration=configuration)
    kubectl = [*map(str, tools.kubectl()), f"--kubeconfig={kubeconfig}"]
    namespace = f"bench-{secrets.token_hex(3)}"
    try:
        run([*kubectl, "apply", "--server-side", "--force-conflicts", "-f", REPOSITORY / "crds"])
        run([*kubectl, "wait", "--for=condition=Established", "--timeout=60s", "-f", REPOSITORY / "crds"])
        run([*kubectl, "create", "namespace", namespace])
        run([*kubectl, "-n", namespace, "create", "quota", "none", "--hard=pods=0"])
        with (
            tempfile.TemporaryDirectory() as folder,
            redis_server.start(Path(folder)) as server,
            _operator(namespace, Path(folder) / "operator.log") as operator,
        ):
            async with (
                aclosing(Producer(producer, server)) as adding,
                kube_client.ApiClient(configuration) as client,
                Kube(kubeconfig) as kube,
                Redis.from_url(server.url, decode_responses=True) as redis,
            ):
                replicas = Replicas()
                following = asyncio.create_task(replicas.follow(kube, namespace))
                yield Stage(Api(client), kube, namespace, redis, server.url, replicas, operator, adding, kubectl)
                following.cancel()
    finally:
        run([*kubectl, "delete", "namespace", namespace, "--wait=false", "--ignore-not-found"])
        if not (keep or ran_before):
            provider.down()


@contextmanager
def _operator(namespace: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    port = redis_server.free_port()
    here = {"CREWLINE_WATCH_NAMESPACES": namespace, "CREWLINE_NAMESPACE": namespace}
    env = os.environ | here | {"CREWLINE_HTTP_PORT": str(port)}
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "crewline_operator.main"], env=env, stderr=output)
    try:
        for _ in range(600):
            if process.poll() is None and _answers(f"http://127.0.0.1:{port}/readyz"):
                break
            time.sleep(0.1)
        else:
            raise ClusterError(f"the operator does not start: {log.read_text()[-2000:]}")
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


class Producer:
    """Adds jobs: a BullMQ client of its own, in Node, or ours. A queue is opened, and connected, before it is timed."""

    def __init__(self, kind: str, server: redis_server.RedisServer) -> None:
        self._peer = Peer(kind, server.port) if kind != "crewline" else None
        self._url = server.url
        self._queues: dict[str, Any] = {}

    async def open(self, name: str) -> None:
        if name in self._queues:
            return
        if self._peer is not None:
            self._queues[name] = await self._peer.open("Queue", name)
            await self._queues[name]("getJobCounts")
        else:
            self._queues[name] = Queue(name, redis=self._url)
            await self._queues[name].metrics()

    async def add(self, name: str) -> None:
        queue = self._queues[name]
        await (queue("add", "job", {}, {}) if self._peer is not None else queue.add("job", {}))

    async def aclose(self) -> None:
        if self._peer is not None:
            self._peer.stop()
            return
        for queue in self._queues.values():
            await queue.close()
