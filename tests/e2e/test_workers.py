"""What runs in a worker pod: with no privilege, with the newest code, and what becomes of jobs that fail there."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from crewline.wire.backoff import Backoff

from tests.cluster.errors import ClusterError
from tests.cluster.shell import run
from tests.e2e.scene import Object, Scene, config_map, jobqueue, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

CREWLINE = Path(sys.executable).with_name("crewline")


async def dead_letters(scene: Scene, *words: str) -> Any:
    """`crewline dlq ...`, as an operator of the queue types it."""
    argv = [CREWLINE, "dlq", *words, "--redis", scene.redis_url, "--json"]
    return json.loads(await asyncio.to_thread(run, argv))


@pytest.mark.parametrize("execution", ["Thread", "Process"])
async def test_a_worker_has_no_privilege_and_no_token(scene: Scene, execution: str) -> None:
    name = f"humble-{execution.lower()}"
    with pytest.raises(ClusterError, match='violates PodSecurity "restricted'):
        await scene.kubectl("run", "careless", "--image=localhost/pause:1", "--dry-run=server")

    await scene.apply(jobqueue(name, "handlers:look_around", worker={"execution": execution}))
    job = await scene.queue(name).add("look", {})
    assert await job.result(timeout=60) == {
        "uid": 10001,
        "gid": 10001,
        "capabilities": 0,
        "no_new_privileges": "1",
        "seccomp": "2",
        "secrets": False,
        "writable": ["/tmp"],
        "kubernetes_variables": ["KUBERNETES_SERVICE_HOST"],
    }
    (pod,) = await scene.pods(name)
    assert pod["spec"]["serviceAccountName"] == name
    account = await scene.get("ServiceAccount", name, "v1")
    assert account and account["automountServiceAccountToken"] is False


async def test_a_job_that_keeps_failing_is_retried_with_backoff_becomes_a_dead_letter_and_can_be_replayed(
    scene: Scene,
) -> None:
    await scene.apply(jobqueue("letters", "handlers:broken", scaling={"idleSeconds": 60}))
    queue = scene.queue("letters")
    backoff = Backoff("exponential", delay=0.5, jitter=0)
    added = await queue.add("welcome", {"to": "nobody"}, attempts=3, backoff=backoff)
    dead = await scene.wait("letters", "counts a dead letter", lambda seen: seen["status"]["counts"]["dead"] == 1)
    assert (dead["status"]["counts"]["failed"], dead["status"]["counts"]["delayed"]) == (1, 0)
    row = (await scene.kubectl("get", "jobqueues", "letters", "--no-headers")).split()
    assert row[5:8] == ["0", "1", "1"]

    failed = await queue.get_job(added.id)
    assert failed
    assert (failed.attempts_made, failed.failed_reason) == (3, "no such recipient: nobody")
    assert failed.finished_on_ms and failed.finished_on_ms - failed.timestamp_ms >= 1500

    (letter,) = (await dead_letters(scene, "list", "-q", "letters"))["letters"]
    assert letter["queue"] == "letters"
    assert (letter["job_id"], letter["name"], letter["data"]) == (added.id, "welcome", {"to": "nobody"})
    assert (letter["reason"], letter["attempts"]) == ("no such recipient: nobody", 3)
    assert "ValueError: no such recipient: nobody" in letter["stack"][-1]

    await queue.redis.set("mended:letters", "yes")
    assert (await dead_letters(scene, "replay", letter["id"], "-q", "letters"))["replayed"] == 1
    assert "pod" in await added.result(timeout=60)
    # a poll may see it between the replay and its end
    replayed = await scene.wait(
        "letters", "counts it as completed", lambda seen: seen["status"]["counts"]["completed"] == 1
    )
    assert (replayed["status"]["counts"]["failed"], replayed["status"]["counts"]["dead"]) == (0, 0)


async def test_changed_code_replaces_the_workers(scene: Scene) -> None:
    def code(greeting: str) -> Object:
        return config_map("greeting", f"import os\nasync def handle(job): return ['{greeting}', os.uname().nodename]")

    greeter = {"handler": "handlers:handle", "code": {"configMap": "greeting"}}
    await scene.apply(code("good morning"), jobqueue("greeter", worker=greeter, scaling={"minReplicas": 1}))
    queue = scene.queue("greeter")

    async def greet() -> list[str]:
        said: list[str] = await (await queue.add("greet", {})).result(timeout=60)
        return said

    morning, first_pod = await greet()
    assert morning == "good morning"
    await scene.apply(code("good evening"))
    # Until it is told to end the first worker may take one more job.
    evening, second_pod = await until("another pod greets", greet, lambda said: said[1] != first_pod)
    assert evening == "good evening"
    assert second_pod in {pod["metadata"]["name"] for pod in await scene.pods("greeter")}


async def test_a_worker_tells_the_kubelet_by_itself_that_it_is_ready_and_alive(scene: Scene) -> None:
    await scene.apply(jobqueue("healthy", scaling={"minReplicas": 1}))
    await scene.wait_condition("healthy", "Ready", "WorkersReady")
    (pod,) = await scene.pods("healthy")
    (container,) = pod["spec"]["containers"]
    assert container["startupProbe"]["httpGet"]["path"] == "/ready"
    assert not [probe for name, probe in container.items() if name.endswith("Probe") and "exec" in probe]
    port = container["livenessProbe"]["httpGet"]["port"]
    path = f"/api/v1/namespaces/{scene.namespace}/pods/{pod['metadata']['name']}:{port}/proxy"
    assert await scene.kubectl("get", "--raw", f"{path}/alive") == "alive\n"
    assert await scene.kubectl("get", "--raw", f"{path}/ready") == "ready\n"
