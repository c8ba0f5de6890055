"""The Lease of an election, as the API server keeps it.

It is written as a whole for the version that was read, never with server-side apply: who has read an older one is to be
refused. Fields that are not ours stay.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from crewline_operator.kube.api import Api
from crewline_operator.kube.election import Record
from crewline_operator.kube.errors import WentBack
from crewline_operator.kube.resources import LEASES
from crewline_operator.model.key import Object


class Lease:
    """One Lease. `api` must not be fenced by it."""

    def __init__(self, api: Api, namespace: str, name: str) -> None:
        self._api = api
        self.namespace = namespace
        self.name = name
        self._manifest: Object = {}
        self._newest = 0

    async def read(self) -> Record:
        """What it says now; an empty record if there is none. Raises WentBack, and what `Api.find` raises."""
        self._manifest = await self._api.find(LEASES, self.namespace, self.name) or {}
        record = _record(self._manifest)
        if record.version.isdigit():
            # Here it is seen before anybody leads by what was known of the time that was lost.
            if int(record.version) < self._newest:
                raise WentBack(f"Lease {self.namespace}/{self.name}", int(record.version), self._newest)
            self._newest = int(record.version)
        return record

    async def write(self, record: Record) -> Record:
        """Write it over the version in `record`, or make it; what it says then. Raises what the calls raise."""
        metadata: Mapping[str, Any] = {"name": self.name, "namespace": self.namespace}
        spec = dict(self._manifest.get("spec") or {}) | _spec(record)
        if not record.version:
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
            self._manifest = await self._api.create(LEASES, self.namespace, body)
        else:
            metadata = {**self._manifest["metadata"], "resourceVersion": record.version}
            body = {**self._manifest, "metadata": metadata, "spec": spec}
            self._manifest = await self._api.replace(LEASES, self.namespace, self.name, body)
        return _record(self._manifest)


def _record(lease: Object) -> Record:
    metadata, spec = lease.get("metadata") or {}, lease.get("spec") or {}
    return Record(
        holder=spec.get("holderIdentity") or "",
        lease_seconds=float(spec.get("leaseDurationSeconds") or 0),
        acquired=spec.get("acquireTime") or "",
        renewed=spec.get("renewTime") or "",
        transitions=spec.get("leaseTransitions") or 0,
        version=metadata.get("resourceVersion") or "",
        uid=metadata.get("uid") or "",
    )


def _spec(record: Record) -> dict[str, Any]:
    return {
        "holderIdentity": record.holder,
        # Whole seconds, and not fewer than those that a candidate here waits.
        "leaseDurationSeconds": math.ceil(record.lease_seconds),
        "acquireTime": record.acquired or None,
        "renewTime": record.renewed or None,
        "leaseTransitions": record.transitions,
    }
