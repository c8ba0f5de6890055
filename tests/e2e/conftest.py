"""Fixtures for the end-to-end tests: a real cluster, with everything that is asked of it removed again."""

import os
import platform

from tests.cluster.fixtures import cluster, cluster_images, forward, kubectl, namespace

__all__ = ["cluster", "cluster_images", "forward", "kubectl", "namespace"]

# A node of our own is for machines where none of the other ways leads to a cluster, and it needs root.
collect_ignore = [] if platform.system() == "Linux" and os.geteuid() == 0 else ["test_node_cluster.py"]
