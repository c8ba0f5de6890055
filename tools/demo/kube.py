"""The few Kubernetes calls of the demo: apply manifests, read, delete and wait, follow one object."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.dynamic import DynamicClient
from kubernetes.aio.dynamic.exceptions import NotFoundError

FIELD_MANAGER = "crewline-demo"
POLL_SECONDS = 0.25


class Timeout(Exception):
    """What was waited for in vain, how long, and what was seen last."""


class Kube:
    """One connection to the API server of a kubeconfig; an async context manager."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig

    async def __aenter__(self) -> Self:
        configuration = client.Configuration()
        await config.load_kube_config(str(self._kubeconfig), client_configuration=configuration)
        self._api = client.ApiClient(configuration)
        # The client's default cache is one file a host and port for all users: a new cluster would get an old one's.
        self._folder = tempfile.TemporaryDirectory()
        self._client = await DynamicClient(self._api, cache_file=f"{self._folder.name}/discovery.json")
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._api.close()
        self._folder.cleanup()

    async def apply(self, documents: Iterable[Mapping[str, Any]], namespace: str | None = None) -> None:
        """Server-side apply; `namespace` for those that name none."""
        for document in documents:
            resource = await self._resource(document["apiVersion"], document["kind"])
            await self._client.server_side_apply(
                resource,
                dict(document),
                namespace=document["metadata"].get("namespace") or namespace,
                field_manager=FIELD_MANAGER,
                force_conflicts=True,
            )

    async def merge(self, api_version: str, kind: str, name: str, namespace: str, patch: Mapping[str, Any]) -> None:
        """JSON merge patch."""
        resource = await self._resource(api_version, kind)
        await self._client.patch(
            resource, dict(patch), name=name, namespace=namespace, content_type="application/merge-patch+json"
        )

    async def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """The object, or None."""
        resource = await self._resource(api_version, kind)
        try:
            found = await self._client.get(resource, name=name, namespace=namespace)
        except NotFoundError:
            return None
        return found.to_dict()

    async def list(self, api_version: str, kind: str, namespace: str, selector: str = "") -> list[dict[str, Any]]:
        resource = await self._resource(api_version, kind)
        found = await self._client.get(resource, namespace=namespace, label_selector=selector or None)
        return found.to_dict()["items"]

    async def delete(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> bool:
        """With its children; False if there was none."""
        resource = await self._resource(api_version, kind)
        try:
            await self._client.delete(
                resource, name=name, namespace=namespace, body={"propagationPolicy": "Background"}
            )
        except NotFoundError:
            return False
        return True

    async def follow(
        self, api_version: str, kind: str, name: str | None, namespace: str
    ) -> AsyncIterator[dict[str, Any]]:
        """The object, or without a name all of that kind, as they are now and after each change, without end."""
        resource = await self._resource(api_version, kind)
        while True:
            try:
                async for event in self._client.watch(resource, namespace=namespace, name=name, timeout=60):
                    if event["type"] in ("ADDED", "MODIFIED"):
                        yield event["raw_object"]
            except (TimeoutError, ApiException, OSError):
                await asyncio.sleep(POLL_SECONDS)

    async def _resource(self, api_version: str, kind: str) -> Any:
        return await self._client.resources.get(api_version=api_version, kind=kind)


async def wait_until(what: str, probe: Callable[[], Awaitable[tuple[bool, str]]], timeout_seconds: float) -> None:
    """Polls until `probe` gives (True, ...); its text says what was seen. Raises Timeout with the last text."""
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    while True:
        done, seen = await probe()
        if done:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise Timeout(f"{what}: not within {timeout_seconds:.0f} s; last seen: {seen}")
        await asyncio.sleep(POLL_SECONDS)


def documents(*files: Path) -> list[dict[str, Any]]:
    """All YAML documents of the files, in order."""
    return [document for file in files for document in yaml.safe_load_all(file.read_text()) if document]


def config_map(name: str, *files: Path) -> dict[str, Any]:
    """What `kubectl create configmap NAME --from-file=...` makes."""
    data = {file.name: file.read_text() for file in files}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
