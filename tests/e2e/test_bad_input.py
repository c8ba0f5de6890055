"""What a user can get wrong and the API server can't see: a condition says what and how to mend it.

All broken JobQueues are there at once, with a healthy one beside them on the same Redis: each shows its own fault, and
the healthy one works. Where the mend is within reach the test does it and sees the fault go.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.cluster.paths import REPOSITORY
from tests.e2e.scene import HANDLERS, Object, Scene, condition, config_map, jobqueue, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

MANIFEST = REPOSITORY / "examples" / "redis" / "with-password" / "redis.yaml"
REDIS_WITH_PASSWORD: list[Object] = [*yaml.safe_load_all(MANIFEST.read_text())]
RIGHT_URL = "redis://:change-me@redis-with-password:6379/0"
WRONG_URL = "redis://:wrong-secret@redis-with-password:6379/0"
ALWAYS_ONE = {"minReplicas": 1, "maxReplicas": 1}


def secret(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def url_from(name: str, key: str = "url") -> dict[str, Any]:
    return {"urlFrom": {"secretKeyRef": {"name": name, "key": key}}}


BROKEN = [
    jobqueue("no-code", worker={"code": {"configMap": "not-there-yet"}}),
    jobqueue("no-secret", redis=url_from("not-there-yet")),
    jobqueue("no-key", redis=url_from("redis-keys", "uri")),
    jobqueue("no-redis", redis={"url": "redis://nowhere:6379/0"}),
    jobqueue("no-login", redis=url_from("redis-keys", "wrong")),
    jobqueue("no-import", worker={"code": {"configMap": "careless"}}, scaling=ALWAYS_ONE),
    jobqueue("no-function", "handlers:ecko", scaling=ALWAYS_ONE),
    jobqueue("no-image", worker={"image": "example.com/nope:1"}, scaling=ALWAYS_ONE),
    jobqueue(
        "no-variable",
        worker={"env": [{"name": "API_KEY", "valueFrom": {"secretKeyRef": {"name": "not-there-yet", "key": "key"}}}]},
        scaling=ALWAYS_ONE,
    ),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def broken(module_scene: Scene) -> AsyncIterator[Scene]:
    """The broken JobQueues and a healthy one, `healthy`."""
    await module_scene.apply(
        *REDIS_WITH_PASSWORD,
        secret("redis-keys", wrong=WRONG_URL),
        config_map("careless", "import not_installed_here\n\nasync def echo(job): ..."),
        *BROKEN,
        jobqueue("healthy"),
    )
    yield module_scene


async def fault(scene: Scene, name: str, reason: str) -> Mapping[str, Any]:
    """Wait until a JobQueue is degraded for that reason; there is an Event of it, too."""
    degraded = await scene.wait_condition(name, "Degraded", reason)
    assert degraded["status"] == "True"
    assert await scene.wait_event(name, reason)
    return degraded


async def mended(scene: Scene, name: str) -> None:
    """Wait until nothing is wrong with a JobQueue any more, and let it do a job."""
    await scene.wait_condition(name, "Degraded", "AsExpected")
    await scene.wait_condition(name, "RedisReachable", "Connected")


async def test_a_missing_config_map(broken: Scene) -> None:
    degraded = await fault(broken, "no-code", "MissingConfigMap")
    assert degraded["message"] == (
        f"spec.worker.code: there is no ConfigMap 'not-there-yet' in namespace '{broken.namespace}': "
        "create it with the handler's source, or name another"
    )
    job = await broken.queue("no-code").add("hello", {})
    seen = await broken.wait("no-code", "counts the job", lambda obj: obj["status"]["counts"]["waiting"] == 1)
    assert condition(seen, "Ready")["reason"] == "MissingConfigMap"
    assert await broken.replicas("no-code") is None

    await broken.apply(config_map("not-there-yet", HANDLERS.read_text()))
    await mended(broken, "no-code")
    assert (await job.result(timeout=60))["data"] == {}


async def test_a_missing_secret(broken: Scene) -> None:
    degraded = await fault(broken, "no-secret", "MissingSecret")
    assert degraded["message"] == (
        f"spec.redis.urlFrom: there is no Secret 'not-there-yet' in namespace '{broken.namespace}': "
        "create it with the Redis URL in key 'url', or name another"
    )
    reachable = await broken.wait_condition("no-secret", "RedisReachable", "MissingSecret")
    assert reachable["status"] == "False"

    await broken.apply(secret("not-there-yet", url="redis://redis:6379/0"))
    await mended(broken, "no-secret")
    job = await broken.queue("no-secret").add("hello", {})
    assert (await job.result(timeout=60))["data"] == {}


async def test_a_secret_without_the_key(broken: Scene) -> None:
    degraded = await fault(broken, "no-key", "MissingSecret")
    assert "Secret 'redis-keys' has no key 'uri': add it" in degraded["message"]


async def test_a_redis_that_can_not_be_reached(broken: Scene) -> None:
    degraded = await fault(broken, "no-redis", "RedisUnreachable")
    assert f"Redis nowhere.{broken.namespace}.svc:6379/0 can't be reached" in degraded["message"]
    assert "check host and port in spec.redis" in degraded["message"]
    seen = await broken.get("JobQueue", "no-redis")
    assert seen
    assert [condition(seen, type_)["status"] for type_ in ("Ready", "RedisReachable", "ScalingActive")] == ["False"] * 3


async def test_a_wrong_password(broken: Scene) -> None:
    await until(
        "the Redis with a password is ready",
        lambda: broken.get("Deployment", "redis-with-password", "apps/v1"),
        lambda seen: seen["status"].get("readyReplicas") == 1,
    )
    degraded = await fault(broken, "no-login", "RedisAuthFailed")
    assert "refuses the login: correct user and password" in degraded["message"]
    assert "wrong-secret" not in await broken.kubectl("get", "jobqueue", "no-login", "-o", "yaml")

    await broken.apply(secret("redis-keys", wrong=RIGHT_URL))
    await mended(broken, "no-login")


async def test_a_handler_whose_import_fails(broken: Scene) -> None:
    degraded = await fault(broken, "no-import", "HandlerImportFailed")
    assert "No module named 'not_installed_here'" in degraded["message"]
    assert "pod no-import-" in degraded["message"]
    seen = await broken.wait("no-import", "is not ready", lambda obj: condition(obj, "Ready")["status"] == "False")
    assert seen["status"]["readyReplicas"] == 0

    await broken.apply(config_map("careless", HANDLERS.read_text()))
    await mended(broken, "no-import")
    job = await broken.queue("no-import").add("hello", {})
    assert (await job.result(timeout=60))["data"] == {}


async def test_a_handler_that_is_not_in_its_module(broken: Scene) -> None:
    degraded = await fault(broken, "no-function", "HandlerImportFailed")
    assert "module 'handlers' has no 'ecko'" in degraded["message"]


async def test_an_image_that_can_not_be_pulled(broken: Scene) -> None:
    degraded = await fault(broken, "no-image", "ImagePullFailed")
    assert "image 'example.com/nope:1' can't be pulled" in degraded["message"]
    assert "correct spec.worker.image" in degraded["message"]


async def test_a_variable_from_a_secret_that_is_missing(broken: Scene) -> None:
    degraded = await fault(broken, "no-variable", "WorkerConfigError")
    assert 'secret "not-there-yet" not found' in degraded["message"] or "couldn't find key key" in degraded["message"]
    assert "correct spec.worker" in degraded["message"]


async def test_of_two_jobqueues_on_one_queue_the_first_keeps_it_until_it_goes(broken: Scene) -> None:
    """Also where the other one is the older object, and was for another queue before."""
    await broken.apply(jobqueue("elder", queue="harmless", scaling={"maxReplicas": 1}))
    await broken.wait_condition("elder", "Ready", "ScaledToZero")
    await broken.apply(jobqueue("first", queue="contested", scaling=ALWAYS_ONE))
    await broken.wait_condition("first", "Ready", "WorkersReady")
    await broken.apply(jobqueue("elder", queue="contested", scaling=ALWAYS_ONE))
    degraded = await fault(broken, "elder", "DuplicateQueue")
    assert degraded["message"].startswith(f"JobQueue {broken.namespace}/first has queue 'contested' of this Redis")
    assert await broken.replicas("elder") == 0
    first_now = await broken.get("JobQueue", "first")
    assert first_now and condition(first_now, "Degraded")["status"] == "False"
    assert first_now["status"]["ready"] == "1/1"

    await broken.delete("JobQueue", "first")
    await mended(broken, "elder")
    await broken.wait_condition("elder", "Ready", "WorkersReady")
    (pod,) = await broken.pods("elder")
    job = await broken.queue("contested").add("hello", {})
    assert (await job.result(timeout=60))["pod"] == pod["metadata"]["name"]


async def test_the_faults_of_others_leave_a_queue_alone(broken: Scene) -> None:
    for name in ("no-key", "no-redis", "no-function", "no-image", "no-variable"):
        await broken.wait(name, "is degraded", lambda obj: condition(obj, "Degraded")["status"] == "True")
    queue = broken.queue("healthy")
    jobs = await queue.add_bulk([("hello", {"number": number}) for number in range(50)])
    assert [(await job.result(timeout=60))["data"]["number"] for job in jobs] == list(range(50))
    seen = await broken.wait("healthy", "has counted", lambda obj: obj["status"]["counts"]["completed"] == 50)
    assert condition(seen, "Degraded")["status"] == "False"
    assert condition(seen, "RedisReachable")["status"] == "True"
    await broken.wait("healthy", "sleeps again", lambda obj: obj["status"]["ready"] == "0/0")
