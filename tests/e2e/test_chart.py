"""The chart: it lints, refuses values it does not know, and gives the operator just the rights it uses."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import yaml
from crewline_operator.model.deletion_cost import MARK

from tests.cluster import tools
from tests.cluster.fixtures import Cluster
from tests.cluster.paths import REPOSITORY
from tests.e2e.scene import OPERATOR, SYSTEM

CHART = REPOSITORY / "charts" / "crewline"
IDENTITY = f"system:serviceaccount:{SYSTEM}:{OPERATOR}"


def helm(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*tools.helm(), *words], capture_output=True, text=True, timeout=60, check=False)


def rendered(*words: str) -> list[dict[str, Any]]:
    done = helm("template", OPERATOR, str(CHART), f"--namespace={SYSTEM}", *words)
    assert done.returncode == 0, done.stderr
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def test_it_lints() -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("imagee.tag=1", "additional properties 'imagee' not allowed"),
        ("image.tga=1", "additional properties 'tga' not allowed"),
        ("logLevel=LOUD", "value must be one of"),
        ("replicas=0", "minimum: got 0, want 1"),
        ("scaleInGuard=true", "got boolean, want object"),
        ("watchNamespaces={Not A Name}", "does not match pattern"),
    ],
)
def test_values_it_does_not_know_are_refused(value: str, says: str) -> None:
    done = helm("template", OPERATOR, str(CHART), "--set", value)
    assert done.returncode != 0
    assert says in done.stderr


def test_the_crds_in_it_are_those_of_the_repository() -> None:
    found = [manifest for manifest in rendered() if manifest["kind"] == "CustomResourceDefinition"]
    assert found == [yaml.safe_load(path.read_text()) for path in sorted((REPOSITORY / "crds").glob("*.yaml"))]
    assert not [each for each in rendered("--set", "crds.install=false") if each["kind"] == found[0]["kind"]]
    # Else `helm uninstall` would delete every queue of the cluster.
    assert {each["metadata"]["annotations"]["helm.sh/resource-policy"] for each in found} == {"keep"}


def test_with_watched_namespaces_it_asks_for_no_rights_beyond_them() -> None:
    manifests = rendered("--set", "watchNamespaces={shop,mail}")
    kinds = [manifest["kind"] for manifest in manifests]
    assert not {"ClusterRole", "ClusterRoleBinding"} & set(kinds)
    roles = [each["metadata"] for each in manifests if each["kind"] == "Role"]
    assert [(each["name"], each["namespace"]) for each in roles] == [
        (OPERATOR, "shop"), (OPERATOR, "mail"), (f"{OPERATOR}-leader", SYSTEM)
    ]  # fmt: skip
    (deployment,) = [each for each in manifests if each["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    env = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert env["CREWLINE_WATCH_NAMESPACES"] == "shop,mail"


def test_two_replicas_lead_in_turn_by_a_lease_of_the_release_to_which_alone_they_have_rights() -> None:
    manifests = rendered()
    (deployment,) = [each for each in manifests if each["kind"] == "Deployment"]
    assert deployment["spec"]["replicas"] == 2
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": "CREWLINE_LEASE_NAME", "value": OPERATOR} in container["env"]
    (role,) = [each for each in manifests if each["kind"] == "Role"]
    assert role["metadata"]["namespace"] == SYSTEM
    rights = {(*rule["resources"], *rule.get("resourceNames", ())): rule["verbs"] for rule in role["rules"]}
    assert rights == {
        ("leases", OPERATOR): ["get", "update"],
        ("leases",): ["create"],
        ("events",): ["create", "patch"],
    }


@pytest.mark.parametrize(("replicas", "budgets"), [(1, 0), (2, 1)])
def test_one_of_several_replicas_may_be_evicted_and_a_lone_one_too(replicas: int, budgets: int) -> None:
    found = [each for each in rendered("--set", f"replicas={replicas}") if each["kind"] == "PodDisruptionBudget"]
    assert [each["spec"]["maxUnavailable"] for each in found] == [1] * budgets


def test_the_guard_is_off_unless_it_is_asked_for_and_for_the_watched_namespaces_alone() -> None:
    def guard(*words: str) -> tuple[list[dict[str, Any]], str]:
        manifests = rendered(*words)
        (deployment,) = [each for each in manifests if each["kind"] == "Deployment"]
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        (told,) = [each["value"] for each in container["env"] if each["name"] == "CREWLINE_SCALE_IN_GUARD"]
        return [each for each in manifests if each["kind"].startswith("ValidatingAdmissionPolicy")], told

    assert guard() == ([], "false")
    (policy, binding), told = guard("--set", "scaleInGuard.enabled=true")
    assert (told, policy["spec"]["failurePolicy"], "matchResources" in binding["spec"]) == ("true", "Ignore", False)
    assert binding["spec"]["policyName"] == policy["metadata"]["name"]
    assert f"== '{MARK}'" in policy["spec"]["validations"][0]["expression"]
    (_, binding), _ = guard("--set", "scaleInGuard.enabled=true", "--set", "watchNamespaces={shop}")
    (only,) = binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
    assert only == {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["shop"]}


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("list", "secrets"),
        ("delete", "deployments.apps"),
        ("list", "configmaps"),
        ("update", "jobqueues.crewline.dev"),
        ("create", "roles.rbac.authorization.k8s.io"),
        ("list", "namespaces"),
        ("list", "customresourcedefinitions.apiextensions.k8s.io"),
        ("create", "secrets"),
        ("delete", "replicasets.apps"),
        ("delete", "leases.coordination.k8s.io"),
        ("update", "leases.coordination.k8s.io"),
    ],
)
def test_the_installed_operator_may_not(cluster: Cluster, crewline: None, verb: str, resource: str) -> None:
    command = [*cluster.command, "auth", "can-i", verb, resource, f"--as={IDENTITY}", "--all-namespaces"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "no", done.stdout + done.stderr


def test_the_installed_operator_may_do_its_work(cluster: Cluster, crewline: None) -> None:
    rights = (
        ("get", "secrets"),
        ("watch", "secrets"),
        ("patch", "deployments.apps"),
        ("watch", "jobqueues.crewline.dev"),
    )
    for verb, resource in rights:
        can = cluster.kubectl("auth", "can-i", verb, resource, f"--as={IDENTITY}", "--all-namespaces")
        assert can.strip() == "yes", f"{verb} {resource}"
