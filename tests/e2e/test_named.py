"""Secrets and ConfigMaps are watched one by one, by their names, as long as a JobQueue names them.

The operator runs in the test's own process, on the real API server.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import redis as sync_redis
from crewline_operator.kube import api as api_module
from crewline_operator.kube.named import Named, NamedObjects

from tests.e2e.inside import Inside, Operator
from tests.e2e.scene import Object, condition, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: "Within seconds", on a busy machine.
SOON_SECONDS = 10.0


def secret(name: str, **data: str) -> Object:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}


class Watcher:
    """What is named, and who was told of changes."""

    def __init__(self, inside: Inside) -> None:
        self.told: list[str] = []
        self.objects: NamedObjects[str] = NamedObjects(inside.api, self.told.append)
        self.namespace = inside.scene.namespace

    def named(self, name: str, kind: str = "Secret") -> Named:
        return Named(kind, self.namespace, name)

    async def value(self, name: str, key: str = "password") -> str | None:
        found = await self.objects.find(self.named(name))
        return None if found is None else base64.b64decode(found["data"][key]).decode()

    def is_up(self, name: str) -> bool:
        return self.objects._known[self.named(name)].up


@pytest_asyncio.fixture(loop_scope="session")
async def watcher(inside: Inside) -> AsyncIterator[Watcher]:
    watcher = Watcher(inside)
    yield watcher
    await watcher.objects.close()


async def up(watcher: Watcher, *names: str) -> None:
    async def look() -> bool:
        return all(watcher.is_up(name) for name in names)

    await until("all are watched", look, seconds=SOON_SECONDS)


async def test_its_users_are_told_of_each_change_and_of_nothing_else(inside: Inside, watcher: Watcher) -> None:
    watcher.objects.refer("emails", [watcher.named("redis")])
    watcher.objects.refer("reports", [watcher.named("redis"), watcher.named("other")])
    assert len(watcher.objects) == 2, "one watch for each name"
    await up(watcher, "redis", "other")
    assert await watcher.value("redis") is None

    async def told(*users: str) -> None:
        async def look() -> bool:
            return sorted(watcher.told) == sorted(users)

        await until(f"{users} are told", look, seconds=SOON_SECONDS)
        watcher.told.clear()

    await inside.scene.apply(secret("redis", password="one"))
    await told("emails", "reports")
    assert await watcher.value("redis") == "one"

    await inside.scene.kubectl("annotate", "secret", "redis", "note=nothing")
    await inside.scene.apply(secret("bystander", password="x"), secret("redis", password="two"))
    await told("emails", "reports")
    assert await watcher.value("redis") == "two"

    watcher.objects.refer("reports", [watcher.named("other")])
    await inside.scene.delete("Secret", "redis", "v1")
    await told("emails")
    assert await watcher.value("redis") is None

    watcher.objects.refer("emails")
    watcher.objects.refer("reports")
    assert len(watcher.objects) == 0


async def test_a_watch_that_ends_is_begun_anew_and_misses_nothing(
    inside: Inside, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_module, "WATCH_SECONDS", 1.0)
    await inside.scene.apply(secret("redis", password="0"))
    watcher.objects.refer("emails", [watcher.named("redis")])
    for number in range(1, 15):
        await inside.scene.apply(secret("redis", password=str(number)))

        async def seen() -> str | None:
            return watcher.objects._known[watcher.named("redis")].obj and await watcher.value("redis")

        await until(f"{number} is seen", seen, lambda value: value == str(number), seconds=SOON_SECONDS)  # noqa: B023


async def test_what_can_not_be_watched_is_asked_for_again(
    inside: Inside, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator that was upgraded before its role was."""

    def refused(*_: Any) -> Any:
        raise api_module.ApiError(403, "Forbidden", "secrets is forbidden: cannot watch")

    monkeypatch.setattr(inside.api, "watch", refused)
    watcher.objects.refer("emails", [watcher.named("redis")])
    assert await watcher.value("redis") is None
    await inside.scene.apply(secret("redis", password="one"))

    async def seen() -> str | None:
        return await watcher.value("redis")

    await until("it is seen", seen, lambda value: value == "one", seconds=SOON_SECONDS)
    assert "emails" in watcher.told


async def connected(operator: Operator, inside: Inside, *names: str) -> None:
    for name in names:
        await inside.scene.wait_condition(name, "RedisReachable", "Connected")


async def test_a_changed_password_reaches_the_operator_without_a_restart(inside: Inside) -> None:
    scene = inside.scene
    admin = sync_redis.Redis(port=inside.redis.port)
    admin.execute_command("ACL", "SETUSER", "app", "on", ">first-secret", "~*", "&*", "+@all")
    reach = {"url": inside.redis.url, "username": "app"}
    same = [reach | {"passwordFrom": {"secretKeyRef": {"name": name, "key": "password"}}} for name in ("a", "b")]
    await scene.apply(secret("a", password="first-secret"), secret("b", password="first-secret\n"))
    await scene.apply(inside.jobqueue("emails", redis=same[0]), inside.jobqueue("reports", redis=same[1]))

    def clients() -> list[str]:
        return sorted(each["name"] for each in admin.client_list() if each["user"] == "app")

    async with inside.operator() as operator:
        await connected(operator, inside, "emails", "reports")
        assert [name for name in clients() if name == "crewline-operator-wake"] == ["crewline-operator-wake"], "shared"

        # Redis first: connections that stand are cut, and new ones refused
        admin.execute_command("ACL", "SETUSER", "app", "resetpass", ">second-secret")
        admin.execute_command("CLIENT", "KILL", "USER", "app")
        for name in ("emails", "reports"):
            await scene.wait_condition(name, "RedisReachable", "RedisAuthFailed")
        await scene.apply(secret("a", password="second-secret"))
        await connected(operator, inside, "emails")
        await scene.wait_event("emails", "RedisRecovered")
        assert condition(await scene.get("JobQueue", "reports") or {}, "RedisReachable")["status"] == "False"
        await scene.apply(secret("b", password="second-secret"))
        await connected(operator, inside, "reports")

        # the Secret goes and comes back
        await scene.delete("Secret", "a", "v1")
        missing = await scene.wait_condition("emails", "RedisReachable", "MissingSecret")
        assert "spec.redis.passwordFrom: there is no Secret 'a'" in missing["message"]
        await scene.apply(secret("a", password="second-secret"))
        await connected(operator, inside, "emails")
        assert len(operator.controller._named) == 2

        await scene.delete("JobQueue", "reports")

        async def watched() -> int:
            return len(operator.controller._named)

        await until("nobody names Secret b", watched, lambda count: count == 1, seconds=SOON_SECONDS)
    told = await scene.kubectl("get", "jobqueues,deployments,events", "-o", "yaml")
    assert "first-secret" not in told and "second-secret" not in told
    admin.close()


async def test_workers_are_held_then_fall_back_while_a_password_is_wrong_and_go_when_it_is_right(
    inside: Inside,
) -> None:
    scene = inside.scene
    admin = sync_redis.Redis(port=inside.redis.port)
    admin.execute_command("ACL", "SETUSER", "app", "on", ">first-secret", "~*", "&*", "+@all")
    password_from = {"secretKeyRef": {"name": "redis", "key": "password"}}
    reach = {"url": inside.redis.url, "username": "app", "passwordFrom": password_from}
    scaling = {
        "idleSeconds": 1,
        "fallback": {"afterSeconds": 3, "replicas": 2},
        "behavior": {"stableWindowSeconds": 1, "panicWindowSeconds": 1},
    }
    await scene.apply(secret("redis", password="first-secret"))
    await scene.apply(inside.jobqueue("emails", redis=reach, scaling=scaling))
    async with inside.operator() as operator:
        await connected(operator, inside, "emails")
        admin.execute_command("ACL", "SETUSER", "app", "resetpass", ">second-secret")
        admin.execute_command("CLIENT", "KILL", "USER", "app")
        failed = await scene.wait_condition("emails", "RedisReachable", "RedisAuthFailed")
        assert "correct user and password where spec.redis names them" in failed["message"]
        await scene.wait("emails", "falls back", lambda seen: seen["status"]["desiredReplicas"] == 2, seconds=20)
        assert await scene.replicas("emails") == 2

        await scene.apply(secret("redis", password="second-secret"))
        await connected(operator, inside, "emails")
        await scene.wait("emails", "sleeps again", lambda seen: seen["status"]["desiredReplicas"] == 0, seconds=20)
    admin.close()
