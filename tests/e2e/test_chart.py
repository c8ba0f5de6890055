"""The chart: it lints, refuses values it does not know, and gives the operator just the rights it uses."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import yaml

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
    assert [each["metadata"]["namespace"] for each in manifests if each["kind"] == "Role"] == ["shop", "mail"]
    (deployment,) = [each for each in manifests if each["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    env = {variable["name"]: variable["value"] for variable in container["env"]}
    assert env["CREWLINE_WATCH_NAMESPACES"] == "shop,mail"


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("list", "secrets"),
        ("delete", "deployments.apps"),
        ("delete", "pods"),
        ("update", "jobqueues.crewline.dev"),
        ("create", "roles.rbac.authorization.k8s.io"),
        ("list", "namespaces"),
        ("list", "customresourcedefinitions.apiextensions.k8s.io"),
        ("create", "pods"),
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
