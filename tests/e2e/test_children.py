"""What a JobQueue owns: whatever else has the name of a child is left as it is, whoever looks and whenever."""

from __future__ import annotations

import asyncio

import pytest
from crewline_operator.kube.errors import ApiError
from crewline_operator.kube.resources import SERVICE_ACCOUNTS

from tests.e2e.inside import Inside
from tests.e2e.scene import Object, condition, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


def service_account(name: str, **labels: str) -> Object:
    metadata = {"name": name, "labels": labels} if labels else {"name": name}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


async def test_a_service_account_of_the_same_name_is_not_taken_over_and_outlives_the_jobqueue(inside: Inside) -> None:
    scene = inside.scene
    await scene.apply(service_account("api"))
    before = await scene.get("ServiceAccount", "api", "v1")
    async with inside.operator():
        await scene.apply(inside.jobqueue("api"))
        degraded = await scene.wait_condition("api", "Degraded", "NameTaken")
        assert "ServiceAccount 'api' exists and does not belong to this JobQueue" in degraded["message"]
        assert "delete what has it if nobody needs that" in degraded["message"]
        seen = await scene.get("JobQueue", "api")
        assert seen
        assert condition(seen, "Ready")["reason"] == "NameTaken"
        assert await scene.get("Deployment", "api", "apps/v1") is None
        assert await scene.get("ServiceAccount", "api", "v1") == before
        assert inside.api.written("/serviceaccounts/") == []

        await scene.delete("ServiceAccount", "api", "v1")
        await scene.wait_condition("api", "Degraded", "AsExpected")
        made = await scene.get("ServiceAccount", "api", "v1")
        assert made and made["metadata"]["ownerReferences"][0]["uid"] == seen["metadata"]["uid"]
        assert await scene.get("Deployment", "api", "apps/v1")


async def test_an_object_that_was_made_between_the_look_and_the_apply_is_left_as_it_is(inside: Inside) -> None:
    scene = inside.scene
    await scene.apply(service_account("late", team="billing"))
    before = await scene.get("ServiceAccount", "late", "v1")
    assert before
    manifest = service_account("late", team="crewline") | {"automountServiceAccountToken": False}
    manifest["metadata"]["namespace"] = scene.namespace
    with pytest.raises(ApiError) as other_value:
        await inside.api.apply(SERVICE_ACCOUNTS, manifest)
    manifest["metadata"]["labels"] = {"queue": "late"}
    with pytest.raises(ApiError) as no_conflict:
        await inside.api.apply(SERVICE_ACCOUNTS, manifest)
    with pytest.raises(ApiError) as another:
        await inside.api.apply(SERVICE_ACCOUNTS, manifest, uid="6f7a3c1e-0000-4000-8000-000000000000")
    assert [error.value.status for error in (other_value, no_conflict, another)] == [409, 409, 409]
    after = await scene.get("ServiceAccount", "late", "v1")
    assert after
    # Its resource version has moved twice, and nothing else of it.
    for obj in (before, after):
        obj["metadata"] |= {"resourceVersion": "", "managedFields": []}
    assert after == before


async def test_an_object_that_an_operator_has_made_between_the_look_and_the_apply_is_its_own(inside: Inside) -> None:
    """A call that was cut off came through after all, or there are two operators."""
    manifest = service_account("twice", queue="twice") | {"automountServiceAccountToken": False}
    manifest["metadata"]["namespace"] = inside.scene.namespace
    first, again = await asyncio.gather(*(inside.api.apply(SERVICE_ACCOUNTS, manifest) for _ in range(2)))
    third = await inside.api.apply(SERVICE_ACCOUNTS, manifest)
    assert first["metadata"]["uid"] == again["metadata"]["uid"] == third["metadata"]["uid"]
    found = await inside.scene.get("ServiceAccount", "twice", "v1")
    assert found and found["metadata"]["labels"] == {"queue": "twice"}
    assert found["automountServiceAccountToken"] is False


async def test_a_deployment_that_lost_our_label_has_it_again(inside: Inside) -> None:
    scene = inside.scene
    await scene.apply(inside.jobqueue("emails", scaling={"minReplicas": 1}))
    async with inside.operator():
        await scene.wait_condition("emails", "RedisReachable", "Connected")
        await scene.kubectl("label", "deployment", "emails", "crewline.dev/jobqueue-", "app.kubernetes.io/component-")

        async def labels() -> Object:
            deployment = await scene.get("Deployment", "emails", "apps/v1")
            assert deployment
            found: Object = deployment["metadata"]["labels"]
            return found

        found = await until("it is labelled", labels, lambda seen: "crewline.dev/jobqueue" in seen, seconds=20)
        assert found["app.kubernetes.io/component"] == "worker"
        # It is watched again.
        await scene.kubectl("scale", "deployment", "emails", "--replicas=3")
        await until("one is wanted", lambda: scene.replicas("emails"), lambda replicas: replicas == 1, seconds=20)


async def test_a_service_account_that_was_changed_or_deleted_is_put_right(inside: Inside) -> None:
    scene = inside.scene
    await scene.apply(inside.jobqueue("emails"))
    async with inside.operator():
        await scene.wait_condition("emails", "RedisReachable", "Connected")

        async def token() -> bool | None:
            account = await scene.get("ServiceAccount", "emails", "v1")
            return account["automountServiceAccountToken"] if account else None

        await scene.kubectl("patch", "serviceaccount", "emails", "-p", '{"automountServiceAccountToken": true}')
        await until("it has no token", token, lambda seen: seen is False, seconds=20)
        await scene.kubectl("delete", "serviceaccount", "emails")
        await until("it is there again", token, lambda seen: seen is False, seconds=20)
