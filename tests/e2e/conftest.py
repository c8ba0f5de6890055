"""Fixtures for the end-to-end tests: a real cluster, with everything that is asked of it removed again."""

import os
import platform
from collections.abc import Generator

import pytest

from tests.cluster.fixtures import cluster, cluster_images, forward, kubectl, namespace
from tests.e2e.fixtures import add_report, crewline, module_scene, scene, stage
from tests.e2e.inside import crds, inside

__all__ = [
    "cluster", "cluster_images", "crds", "crewline", "forward", "inside", "kubectl", "module_scene", "namespace",
    "scene", "stage",
]  # fmt: skip

# A node of our own is for machines where none of the other ways leads to a cluster, and it needs root.
collect_ignore = [] if platform.system() == "Linux" and os.geteuid() == 0 else ["test_node_cluster.py"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows the cluster as it is then."""
    report = yield
    add_report(item, report)
    return report
