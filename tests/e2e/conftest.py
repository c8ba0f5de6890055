"""Fixtures for the end-to-end tests: a real cluster, with everything that is asked of it removed again."""

from tests.cluster.fixtures import cluster, cluster_images, forward, kubectl, namespace

__all__ = ["cluster", "cluster_images", "forward", "kubectl", "namespace"]
