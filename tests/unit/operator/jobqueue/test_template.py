"""spec.worker.template: what it may change of the workers' pods, and what is the operator's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from crewline_operator.effects.actions import Remove
from crewline_operator.jobqueue.children.deployment import DeploymentInputs, build_deployment, find_template_fault
from crewline_operator.jobqueue.children.template import OWN_PREFIX, OWN_VARIABLES, is_own_variable
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.operator.factories import conditions, deployment, jobqueue, message, observed, service_account
from tests.unit.operator.jobqueue.plans import actions, manifests, notes, planned, reading, status_of
from tests.unit.operator.test_crds import field

EXAMPLES = Path(__file__).resolve().parents[4] / "examples"
HANDLER = {"handler": "handlers:handle", "code": {"configMap": "c"}}
FOREIGN = {"command": ["node", "worker.js"], "image": "mails:3"}


def pod_template(template: Any, **worker: Any) -> Any:
    inputs = DeploymentInputs(3, "worker:1", "IfNotPresent", code_digest="d0")
    return build_deployment(jobqueue(worker=(worker or HANDLER) | {"template": template}), inputs)["spec"]["template"]


def fault(template: Any, **worker: Any) -> str | None:
    found = find_template_fault(jobqueue(worker=(worker or HANDLER) | {"template": template}))
    return found.message if found else None


def test_all_that_a_platform_asks_for_can_be_said() -> None:
    built = pod_template(
        {
            "metadata": {"labels": {"team": "mail"}, "annotations": {"prometheus.io/scrape": "true"}},
            "spec": {
                "nodeSelector": {"disk": "ssd"},
                "tolerations": [{"key": "batch", "operator": "Exists"}],
                "priorityClassName": "low",
                "serviceAccountName": "mailer",
                "securityContext": {"runAsUser": 2000},
                "imagePullSecrets": [{"name": "registry"}],
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "mails"}}],
                "initContainers": [{"name": "warm", "image": "warm:1"}],
                "containers": [
                    {
                        "name": "worker",
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                        "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
                        "livenessProbe": {"periodSeconds": 60},
                        "env": [{"name": "MODE", "value": "fast"}],
                    },
                    {"name": "proxy", "image": "proxy:1"},
                ],
            },
        }
    )
    metadata, spec = built["metadata"], built["spec"]
    assert metadata["labels"]["team"] == "mail" and metadata["labels"]["crewline.dev/jobqueue"] == "emails"
    assert metadata["annotations"]["prometheus.io/scrape"] == "true"
    assert (spec["serviceAccountName"], spec["priorityClassName"]) == ("mailer", "low")
    assert spec["securityContext"]["runAsUser"] == 2000 and spec["securityContext"]["runAsNonRoot"] is True
    assert [volume["name"] for volume in spec["volumes"]] == ["tmp", "code", "data"]
    worker, proxy = spec["containers"]
    assert [mount["mountPath"] for mount in worker["volumeMounts"]] == ["/tmp", "/opt/code", "/data"]
    assert worker["livenessProbe"]["periodSeconds"] == 60
    assert worker["livenessProbe"]["httpGet"] == {"path": "/alive", "port": 10808}
    assert {"name": "MODE", "value": "fast"} in worker["env"] and proxy == {"name": "proxy", "image": "proxy:1"}


def of_worker(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "worker"} | fields]}}


OWNED: list[tuple[Any, str]] = [
    ({"metadata": {"labels": {"crewline.dev/jobqueue": "other"}}}, "metadata.labels[crewline.dev/jobqueue]"),
    ({"metadata": {"labels": {"crewline.dev/more": "x"}}}, "metadata.labels[crewline.dev/more]"),
    ({"metadata": {"labels": {"app.kubernetes.io/instance": None}}}, "metadata.labels[app.kubernetes.io/instance]"),
    ({"metadata": {"labels": None}}, "metadata.labels[app.kubernetes.io/"),
    (
        {"metadata": {"annotations": {"crewline.dev/code-digest": "x"}}},
        "metadata.annotations[crewline.dev/code-digest]",
    ),
    (
        {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "1"}}},
        "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]",
    ),
    ({"spec": {"restartPolicy": "Never"}}, "spec.restartPolicy is set by the operator: leave it out"),
    (
        {"spec": {"terminationGracePeriodSeconds": 5}},
        "spec.terminationGracePeriodSeconds is set by the operator: use spec.worker.gracePeriodSeconds",
    ),
    ({"spec": {"serviceAccount": "x"}}, "use spec.worker.template.spec.serviceAccountName"),
    ({"spec": {"containers": None}}, "spec.containers[worker]."),
    ({"spec": {"volumes": [{"name": "code", "emptyDir": {}}]}}, "spec.volumes[code]"),
    (of_worker(image="x"), "spec.containers[worker].image is set by the operator: use spec.worker.image"),
    (of_worker(args=["x"]), "spec.containers[worker].args is set by the operator: use spec.worker.args"),
    (of_worker(env=[{"name": "CREWLINE_QUEUE", "value": "x"}]), "spec.containers[worker].env[CREWLINE_QUEUE]"),
    (of_worker(env=[{"name": "CREWLINE_TIMEOUT_SECONDS", "value": "x"}]), "env[CREWLINE_TIMEOUT_SECONDS]"),
    (of_worker(env=None), "spec.containers[worker].env["),
    (of_worker(livenessProbe={"httpGet": {"port": 80}}), "spec.containers[worker].livenessProbe"),
    (of_worker(startupProbe=None), "spec.containers[worker].startupProbe"),
    (of_worker(readinessProbe={"httpGet": {"port": 80}}), "spec.containers[worker].readinessProbe"),
    (of_worker(volumeMounts=[{"name": "tmp", "mountPath": "/opt/code"}]), "volumeMounts[/opt/code]"),
]


@pytest.mark.parametrize(("template", "says"), OWNED)
def test_what_is_the_operators_is_refused_by_its_field(template: Any, says: str) -> None:
    told = fault(template)
    assert told is not None and told.startswith("spec.worker.template.") and says in told


def test_a_foreign_worker_has_probes_of_its_own() -> None:
    probes = of_worker(
        readinessProbe={"httpGet": {"path": "/", "port": 80}}, livenessProbe={"exec": {"command": ["x"]}}
    )
    assert fault(probes, **FOREIGN) is None
    assert fault(of_worker(command=["sh"]), **FOREIGN) is not None


def test_nothing_said_changes_nothing_and_what_is_said_again_neither() -> None:
    assert pod_template({}) == pod_template({"metadata": {}, "spec": {}})
    assert fault({"metadata": {"labels": {"app.kubernetes.io/version": "3"}}}) is None
    assert fault({"metadata": {"labels": {"crewline.dev/jobqueue": "emails"}}}) is None


@pytest.mark.parametrize("template", [{"spec": 5}, {"metadata": []}, {"spec": {"volumes": "x"}}])
def test_what_is_no_template_is_told(template: Any) -> None:
    assert fault(template) is not None


JSON = st.recursive(
    st.none() | st.integers(0, 3) | st.sampled_from(["worker", "code", "CREWLINE_QUEUE", "emails", "/opt/code"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "env", "value", "volumeMounts", "mountPath", "livenessProbe", "httpGet", "image"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)
SPECS = st.dictionaries(
    st.sampled_from(["containers", "volumes", "securityContext", "restartPolicy"]), JSON, max_size=3
)
LABELS = st.dictionaries(st.sampled_from(["crewline.dev/jobqueue", "team"]), st.sampled_from(["emails", "x"]))


@given(spec=SPECS, labels=LABELS)
def test_no_template_takes_the_operators_part_of_a_pod(spec: dict[str, Any], labels: dict[str, str]) -> None:
    template = {"spec": spec, "metadata": {"labels": labels}}
    if fault(template) is not None:
        return
    plain, built = pod_template({}), pod_template(template)
    assert built["metadata"]["labels"]["crewline.dev/jobqueue"] == "emails"
    (worker,) = [each for each in built["spec"]["containers"] if each["name"] == "worker"]
    (before,) = plain["spec"]["containers"]
    for name in ("image", "imagePullPolicy"):
        assert worker[name] == before[name]
    own = [variable for variable in before["env"] if is_own_variable(variable["name"])]
    assert own == [variable for variable in worker["env"] if is_own_variable(variable["name"])]
    assert worker["livenessProbe"]["httpGet"] == before["livenessProbe"]["httpGet"]


def test_the_crd_refuses_the_same_variables_in_env() -> None:
    (rule,) = field("jobqueue", "spec.worker.env")["items"]["x-kubernetes-validations"]
    assert all(f"'{name}'" in rule["rule"] for name in OWN_VARIABLES)
    assert f"startsWith('{OWN_PREFIX}')" in rule["rule"]
    assert rule["rule"].count("'CREWLINE_") == len(OWN_VARIABLES) + 1


BAD = {"handler": "h:h", "template": {"spec": {"restartPolicy": "Never"}}}


def test_a_template_that_can_not_be_used_is_told_and_leaves_the_workers_as_they_are() -> None:
    result = planned(observed(deployment=deployment(1), reading=reading(waiting=50)), worker=BAD)
    assert manifests(result) == []
    status = status_of(result)
    assert conditions(status)["Ready"] == ("False", "InvalidTemplate")
    assert "spec.worker.template.spec.restartPolicy is set by the operator" in message(status, "Degraded")
    assert notes(result) == [("Warning", "InvalidTemplate")]


NAMED = {"handler": "handlers:handle", "template": {"spec": {"serviceAccountName": "mailer"}}}


def test_with_a_service_account_of_the_users_none_is_made() -> None:
    result = planned(observed(), worker=NAMED)
    assert [each["kind"] for each in manifests(result)] == ["Deployment"]
    assert notes(result) == [("Normal", "Created")]


def rolled_out(name: str) -> dict[str, Any]:
    built = deployment(2)
    built["spec"]["template"]["spec"]["serviceAccountName"] = name
    return built


def test_one_that_was_made_before_is_removed_once_no_worker_runs_as_it() -> None:
    ours = {"service_account": service_account(), "reading": reading(waiting=15)}
    during = planned(observed(deployment=deployment(2), **ours), worker=NAMED)
    rolling = rolled_out("mailer")
    rolling["status"]["updatedReplicas"] = 1
    for early in (during, planned(observed(deployment=rolling, **ours), worker=NAMED)):
        assert actions(early, Remove) == []
    after = planned(observed(deployment=rolled_out("mailer"), **ours), worker=NAMED)
    assert actions(after, Remove) == [Remove("ServiceAccount", "emails", "uid-s")]


def test_one_that_the_user_names_is_never_removed() -> None:
    same = {"handler": "h:h", "template": {"spec": {"serviceAccountName": "emails"}}}
    seen = observed(deployment=rolled_out("emails"), service_account=service_account(), reading=reading(waiting=15))
    assert actions(planned(seen, worker=same), Remove) == []


def test_the_example_can_be_merged() -> None:
    (obj,) = yaml.safe_load_all((EXAMPLES / "pod-template" / "jobqueue.yaml").read_text())
    assert find_template_fault(jobqueue(**obj["spec"])) is None
