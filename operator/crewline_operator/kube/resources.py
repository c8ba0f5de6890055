"""Where the kinds are served that the operator works with."""

from __future__ import annotations

from crewline_operator.model.names import is_object_name


class Resource:
    """Where a kind is served."""

    def __init__(self, api: str, plural: str) -> None:
        self.api = api
        self.plural = plural

    @property
    def group_version(self) -> tuple[str, str]:
        """The API's group, '' for Kubernetes' own first one, and version."""
        group, _, version = self.api.removeprefix("/apis/").removeprefix("/api/").rpartition("/")
        return group, version

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """Raises ValueError for what no object may be called."""
        for part in (namespace, name):
            # a name may come from somebody's spec: "../../other/secrets/x" would be another object
            if part is not None and not is_object_name(part):
                raise ValueError(f"{part!r} is no object's name")
        parts = [self.api]
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part is not None]
        return "/".join(parts)


JOBQUEUES = Resource("/apis/crewline.dev/v1alpha1", "jobqueues")
SCHEDULEDJOBS = Resource("/apis/crewline.dev/v1alpha1", "scheduledjobs")
DEPLOYMENTS = Resource("/apis/apps/v1", "deployments")
REPLICA_SETS = Resource("/apis/apps/v1", "replicasets")
DISRUPTION_BUDGETS = Resource("/apis/policy/v1", "poddisruptionbudgets")
SERVICE_ACCOUNTS = Resource("/api/v1", "serviceaccounts")
PODS = Resource("/api/v1", "pods")
CONFIG_MAPS = Resource("/api/v1", "configmaps")
SECRETS = Resource("/api/v1", "secrets")
EVENTS = Resource("/api/v1", "events")
LEASES = Resource("/apis/coordination.k8s.io/v1", "leases")
CRDS = Resource("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions")
