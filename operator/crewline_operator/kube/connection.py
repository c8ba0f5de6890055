"""How the API server is reached, and which cluster's it is."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from kubernetes.aio import client as kube_client
from kubernetes.aio import config as kube_config


@asynccontextmanager
async def connect() -> AsyncIterator[kube_client.ApiClient]:
    """Connect with the pod's service account, else with KUBECONFIG; raises kubernetes' ConfigException."""
    configuration = kube_client.Configuration()
    try:
        kube_config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except kube_config.ConfigException:
        await kube_config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    # A dead link must not be retried inside for minutes: the work queue tries again, with backoff.
    configuration.retries = None
    # Each watch holds a connection: a bound would have other calls wait for one.
    configuration.connection_pool_maxsize = 0
    async with kube_client.ApiClient(configuration) as client:
        yield client


def cluster_id_of(configuration: kube_client.Configuration) -> str:
    # Every cluster has a certificate of its own, and to read it takes no right that an operator in one namespace lacks.
    path = configuration.ssl_ca_cert
    told = Path(path).read_bytes().strip() if path else str(configuration.host).encode()
    return hashlib.sha256(told).hexdigest()[:16]
