"""The workers' Deployment and ServiceAccount."""

from __future__ import annotations

from typing import Any

import pytest
from crewline.cli import process
from crewline.worker import stopping
from crewline_operator.jobqueue.children.deployment import (
    CODE_DIGEST,
    SECRET_DIGEST,
    DeploymentInputs,
    build_deployment,
)
from crewline_operator.jobqueue.children.service_account import build_service_account

from tests.unit.operator.factories import jobqueue

#: Measured: how long after a pod's deletion SIGTERM may come, while its time runs.
SIGNAL_SECONDS = 2.0
HANDLER = {"handler": "handlers:handle", "concurrency": 7, "execution": "Thread", "gracePeriodSeconds": 20}


def built(inputs: DeploymentInputs | None = None, **spec: Any) -> dict[str, Any]:
    return build_deployment(jobqueue(**spec), inputs or DeploymentInputs(3, "worker:1", "IfNotPresent"))


def pod(**spec: Any) -> dict[str, Any]:
    template: dict[str, Any] = built(**spec)["spec"]["template"]["spec"]
    return template


def container(**spec: Any) -> dict[str, Any]:
    first: dict[str, Any] = pod(**spec)["containers"][0]
    return first


def env(**spec: Any) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container(**spec)["env"]}


def test_children_are_owned_named_and_labelled_after_the_jobqueue() -> None:
    for child in (built(), build_service_account(jobqueue())):
        metadata = child["metadata"]
        assert (metadata["name"], metadata["namespace"]) == ("emails", "shop")
        (owner,) = metadata["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("JobQueue", "uid-1", True)
        assert metadata["labels"]["crewline.dev/jobqueue"] == "emails"
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "crewline"


def test_workers_hold_no_kubernetes_token() -> None:
    assert build_service_account(jobqueue())["automountServiceAccountToken"] is False
    assert pod()["automountServiceAccountToken"] is False
    assert pod()["serviceAccountName"] == "emails"


def test_pods_meet_the_restricted_security_standard() -> None:
    security = pod()["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_selector_is_on_the_pods() -> None:
    deployment = built()
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert deployment["spec"]["replicas"] == 3


def test_the_worker_gets_what_it_can_not_follow_while_it_runs_in_the_environment() -> None:
    values = env(
        worker=HANDLER | {"timeoutSeconds": 60, "maxCrashes": 5, "onOOM": "DeadLetter"},
        queue="mails",
        deadLetter={"queue": "graveyard"},
    )
    assert values == {
        "CREWLINE_REDIS_URL": "redis://redis:6379/0",
        "CREWLINE_WORKER_ID": {"fieldRef": {"fieldPath": "metadata.uid"}},
        "CREWLINE_QUEUE": "mails",
        "CREWLINE_PREFIX": "bull",
        "CREWLINE_HANDLER": "handlers:handle",
        "CREWLINE_EXECUTION": "thread",
        "CREWLINE_GRACE_SECONDS": "20",
        "CREWLINE_MAX_CRASHES": "5",
        "CREWLINE_ON_OOM": "fail",
        "CREWLINE_DEAD_LETTER_QUEUE": "graveyard",
        "CREWLINE_HEALTH_PORT": "10808",
    }


def test_the_queue_is_named_after_the_jobqueue_and_its_dead_letters_after_the_queue() -> None:
    values = env()
    assert values["CREWLINE_QUEUE"] == "emails"
    assert values["CREWLINE_DEAD_LETTER_QUEUE"] == "emails-dlq"


def test_dead_letters_that_are_disabled_go_nowhere() -> None:
    assert env(deadLetter={"disabled": True})["CREWLINE_DEAD_LETTER_QUEUE"] == ""
    assert env(deadLetter={"disabled": False})["CREWLINE_DEAD_LETTER_QUEUE"] == "emails-dlq"


def test_a_redis_url_in_a_secret_stays_there() -> None:
    redis = {"urlFrom": {"secretKeyRef": {"name": "redis", "key": "url"}}, "prefix": "bull"}
    assert env(redis=redis)["CREWLINE_REDIS_URL"] == {"secretKeyRef": {"name": "redis", "key": "url"}}


def test_user_and_password_stand_apart_from_the_url_and_the_password_in_its_secret() -> None:
    ref = {"secretKeyRef": {"name": "redis", "key": "password"}}
    values = env(redis={"url": "redis://redis", "database": 3, "username": "app", "passwordFrom": ref})
    assert values["CREWLINE_REDIS_URL"] == "redis://redis/3"
    assert values["CREWLINE_REDIS_USERNAME"] == "app"
    assert values["CREWLINE_REDIS_PASSWORD"] == ref


def test_workers_are_told_of_sentinels_and_clusters() -> None:
    ref = {"secretKeyRef": {"name": "guards", "key": "pw"}}
    sentinel = {"masterName": "main", "hosts": ["s1", "s2:7000"], "username": "su", "passwordFrom": ref}
    values = env(redis={"sentinel": sentinel})
    assert values["CREWLINE_REDIS_URL"] == "redis+sentinel://s1,s2:7000/main/0"
    assert values["CREWLINE_REDIS_SENTINEL_USERNAME"] == "su"
    assert values["CREWLINE_REDIS_SENTINEL_PASSWORD"] == ref
    assert "CREWLINE_REDIS_PASSWORD" not in values
    cluster = env(redis={"cluster": {"hosts": ["n1", "n2"]}, "tls": {}})
    assert cluster["CREWLINE_REDIS_URL"] == "rediss+cluster://n1,n2"


def test_files_of_tls_are_mounted_and_a_worker_without_any_has_no_such_volume() -> None:
    ca = {"configMapKeyRef": {"name": "authority", "key": "bundle.pem"}}
    redis = {"url": "rediss://redis", "tls": {"ca": ca, "clientCertificate": {"secretName": "client"}}}
    (volume,) = [each for each in pod(redis=redis)["volumes"] if each["name"] == "redis-tls"]
    assert volume["projected"]["sources"] == [
        {"configMap": {"name": "authority", "items": [{"key": "bundle.pem", "path": "ca.crt"}]}},
        {"secret": {"name": "client", "items": [{"key": "tls.crt", "path": "tls.crt"}]}},
        {"secret": {"name": "client", "items": [{"key": "tls.key", "path": "tls.key"}]}},
    ]
    assert {"name": "redis-tls", "mountPath": "/etc/crewline/redis", "readOnly": True} in container(redis=redis)[
        "volumeMounts"
    ]
    values = env(redis=redis)
    assert values["CREWLINE_REDIS_CA_FILE"] == "/etc/crewline/redis/ca.crt"
    assert values["CREWLINE_REDIS_CERT_FILE"] == "/etc/crewline/redis/tls.crt"
    assert values["CREWLINE_REDIS_KEY_FILE"] == "/etc/crewline/redis/tls.key"
    plain = {"url": "rediss://redis", "tls": {}}
    assert "redis-tls" not in [each["name"] for each in pod(redis=plain)["volumes"]]


@pytest.mark.parametrize("grace", [0, 20, 86400])
def test_the_pod_lives_for_as_long_as_a_drain_may_take(grace: int) -> None:
    """Its jobs are handed back after the grace period, and the process ends by itself after that."""
    drain = grace + stopping.END_SECONDS + process.TASKS_SECONDS + process.HOOKS_SECONDS
    assert (
        pod(worker=HANDLER | {"gracePeriodSeconds": grace})["terminationGracePeriodSeconds"] >= drain + SIGNAL_SECONDS
    )


def test_code_is_mounted_read_only_and_importable() -> None:
    worker = HANDLER | {"code": {"configMap": "emails-handlers"}}
    assert {"name": "code", "configMap": {"name": "emails-handlers"}} in pod(worker=worker)["volumes"]
    assert {"name": "code", "mountPath": "/opt/code", "readOnly": True} in container(worker=worker)["volumeMounts"]
    assert env(worker=worker)["CREWLINE_CODE_PATH"] == "/opt/code"


def test_a_changed_handler_or_secret_rolls_the_pods_and_nothing_else_does() -> None:
    def annotations(**digests: str) -> dict[str, str]:
        deployment = built(DeploymentInputs(3, "worker:1", "IfNotPresent", **digests))
        found: dict[str, str] = deployment["spec"]["template"]["metadata"]["annotations"]
        return found

    assert annotations(code_digest="a")[CODE_DIGEST] == "a"
    assert annotations(secret_digest="b")[SECRET_DIGEST] == "b"
    assert not {CODE_DIGEST, SECRET_DIGEST} & annotations().keys()


def test_a_handler_is_ready_when_it_says_so_and_a_foreign_program_at_once() -> None:
    handler = container(worker=HANDLER)
    assert handler["startupProbe"]["httpGet"] == {"path": "/ready", "port": 10808}
    assert handler["livenessProbe"]["httpGet"] == {"path": "/alive", "port": 10808}
    assert "readinessProbe" not in handler, "one that fails under load would have busy workers killed first"
    foreign = {"command": ["node", "worker.js"], "args": ["--fast"], "image": "mails:3", "concurrency": 5}
    assert not {"readinessProbe", "startupProbe", "livenessProbe"} & container(worker=foreign).keys()
    assert (container(worker=foreign)["command"], container(worker=foreign)["args"]) == (
        ["node", "worker.js"],
        ["--fast"],
    )
    assert "CREWLINE_HANDLER" not in env(worker=foreign)
    assert env(worker=foreign)["CREWLINE_QUEUE"] == "emails"


def test_what_the_user_adds_is_passed_on() -> None:
    worker = HANDLER | {
        "env": [{"name": "MODE", "value": "fast"}],
        "envFrom": [{"secretRef": {"name": "smtp"}}],
        "resources": {"requests": {"cpu": "100m"}},
    }
    assert env(worker=worker)["MODE"] == "fast"
    assert container(worker=worker)["envFrom"] == [{"secretRef": {"name": "smtp"}}]
    assert container(worker=worker)["resources"] == {"requests": {"cpu": "100m"}}


def test_the_same_inputs_build_the_same_manifest() -> None:
    assert built() == built()
