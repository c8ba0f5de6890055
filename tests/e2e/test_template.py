"""spec.worker.template on the real API server: what it takes, and what it says to what it does not take."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.inside import Inside
from tests.e2e.scene import Object, condition, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


def templated(inside: Inside, name: str, spec: Any, **metadata: Any) -> Object:
    made = inside.jobqueue(name)
    made["spec"]["worker"]["template"] = {"metadata": metadata, "spec": spec}
    return made


async def pod_template(inside: Inside, name: str) -> Object:
    found = await inside.scene.get("Deployment", name, "apps/v1")
    assert found
    template: Object = found["spec"]["template"]
    return template


async def test_a_template_is_merged_and_its_service_account_takes_the_place_of_ours(inside: Inside) -> None:
    scene = inside.scene
    async with inside.operator():
        await scene.apply(inside.jobqueue("plain"))
        await scene.wait_condition("plain", "Ready", "ScaledToZero")
        assert await scene.get("ServiceAccount", "plain", "v1")
        spec = {
            "serviceAccountName": "mailer",
            "securityContext": {"runAsUser": 2000},
            "topologySpreadConstraints": [
                {"topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "maxSkew": 1, "labelSelector": {}}
            ],
            "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}, {"name": "data", "emptyDir": {}}],
            "containers": [
                {"name": "worker", "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
                {"name": "proxy", "image": "localhost/proxy:1", "ports": [{"containerPort": 53, "protocol": "UDP"}]},
            ],
        }
        await scene.apply(templated(inside, "plain", spec, labels={"team": "mail"}))

        async def account() -> Object | None:
            return await scene.get("ServiceAccount", "plain", "v1")

        await until("our ServiceAccount is removed", account, lambda seen: seen is None, seconds=20)
        built = await pod_template(inside, "plain")
        assert (built["metadata"]["labels"]["team"], built["spec"]["serviceAccountName"]) == ("mail", "mailer")
        assert built["spec"]["securityContext"]["runAsUser"] == 2000
        assert {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}} in built["spec"]["volumes"]
        worker, proxy = built["spec"]["containers"]
        assert [mount["mountPath"] for mount in worker["volumeMounts"]] == ["/tmp", "/data"]
        assert proxy["name"] == "proxy"

        # Taken back, all of it goes, and what the operator makes is there again.
        await scene.apply(inside.jobqueue("plain"))
        await until("ours is made again", account, seconds=20)
        built = await pod_template(inside, "plain")
        assert (built["spec"]["serviceAccountName"], len(built["spec"]["containers"])) == ("plain", 1)
        assert "team" not in built["metadata"]["labels"]
        assert built["spec"]["securityContext"]["runAsUser"] == 10001


@pytest.mark.parametrize(
    ("name", "spec", "reason", "says"),
    [
        ("typo", {"nodeSelectors": {"a": "b"}}, "ApplyRefused", "nodeSelectors"),
        ("odd-type", {"tolerations": {"key": "a"}}, "ApplyRefused", "tolerations"),
        ("odd-value", {"dnsPolicy": "Sometimes"}, "ApplyRefused", "dnsPolicy"),
        ("no-image", {"containers": [{"name": "proxy"}]}, "ApplyRefused", "image"),
        (
            "owned",
            {"restartPolicy": "Never"},
            "InvalidTemplate",
            "spec.worker.template.spec.restartPolicy is set by the",
        ),
    ],
)
async def test_a_wrong_template_is_told_with_the_field_and_a_mend_is_seen(
    inside: Inside, name: str, spec: Any, reason: str, says: str
) -> None:
    scene = inside.scene
    async with inside.operator():
        await scene.apply(templated(inside, name, spec))
        told = await scene.wait_condition(name, "Ready", reason, seconds=20)
        assert says in told["message"], told
        await scene.apply(inside.jobqueue(name))
        mended = await scene.wait(name, "is ready", lambda seen: condition(seen, "Ready")["status"] == "True")
        assert mended["status"]["summary"] == "Asleep"
