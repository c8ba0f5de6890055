"""The few calls the operator makes to the API server, each with a timeout of its own.

kubernetes.aio brings configuration, tokens and TLS; its generated models are left aside, since the operator works on
the API server's JSON and half of its objects have no model. Writes to children are server-side applies with one
field manager: what others set on them stays, what the operator sets is taken back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client as kube_client

from crewline_operator.kube.answers import answer_of, events_of
from crewline_operator.kube.connection import cluster_id_of
from crewline_operator.kube.errors import ApiError
from crewline_operator.kube.fence import Fence
from crewline_operator.kube.resources import Resource
from crewline_operator.model.names import FIELD_MANAGER

REQUEST_TIMEOUT_SECONDS = 15.0
#: A watch is begun anew after this.
WATCH_SECONDS = 300.0
#: Objects a page of a list, so that a big cluster neither times out nor fills the memory at once.
LIST_PAGE = 500


class Api:
    """A connection to the API server. All methods raise ApiError, aiohttp.ClientError or TimeoutError.

    Those that write raise NotLeading where `fence` is closed, and take no longer than it is open.
    """

    def __init__(self, client: kube_client.ApiClient, fence: Fence | None = None) -> None:
        self._client = client
        self._fence = fence or Fence.always_open()
        #: The same for all operators of a cluster, and another one for those of another cluster.
        self.cluster_id = cluster_id_of(client.configuration)

    async def ask(self, path: str) -> dict[str, Any]:
        """What is told at a path that is no object's."""
        return await self._call("GET", path)

    async def get(self, resource: Resource, namespace: str | None, name: str) -> dict[str, Any]:
        """One object; `namespace` is None for one of the whole cluster."""
        return await self._call("GET", resource.path(namespace, name))

    async def find(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """One object, None if there is none."""
        try:
            return await self.get(resource, namespace, name)
        except ApiError as error:
            if error.not_found:
                return None
            raise

    async def list(
        self, resource: Resource, namespace: str | None = None, *, label_selector: str | None = None
    ) -> tuple[list[dict[str, Any]], int]:
        """All objects of a namespace or of the cluster, and the list's resource version."""
        items: list[dict[str, Any]] = []
        query: dict[str, Any] = {"limit": LIST_PAGE}
        if label_selector:
            query["labelSelector"] = label_selector
        while True:
            page = await self._call("GET", resource.path(namespace), query=query)
            items += page.get("items") or []
            metadata = page.get("metadata", {})
            if not metadata.get("continue"):
                version = metadata.get("resourceVersion", "0")
                return items, int(version) if version.isdigit() else 0
            query["continue"] = metadata["continue"]

    async def has_any(
        self, resource: Resource, namespace: str | None = None, *, label_selector: str | None = None
    ) -> bool:
        """Whether there is any object in a namespace or in the cluster."""
        query: dict[str, Any] = {"limit": 1} | ({"labelSelector": label_selector} if label_selector else {})
        return bool((await self._call("GET", resource.path(namespace), query=query)).get("items"))

    @asynccontextmanager
    async def watch(
        self, resource: Resource, namespace: str, name: str
    ) -> AsyncIterator[AsyncIterator[tuple[bool, dict[str, Any]]]]:
        """What happens to one object, from what it is now on: whether it was deleted, and the object as it was then.

        Ends when the server ends it, after some minutes. Raises an ApiError also where it is told in the stream.
        """
        # a name that is none would be a selector of its own
        resource.path(namespace, name)
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={name}",
            "timeoutSeconds": round(WATCH_SECONDS * random.uniform(0.8, 1)),
        }
        # one whose server has died without a word is renewed, too
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=REQUEST_TIMEOUT_SECONDS, sock_read=WATCH_SECONDS + 30)
        response = await self._request("GET", resource.path(namespace), query=query, timeout=timeout)
        try:
            if response.status != 200:
                await answer_of(response, f"watch {name!r} at {resource.path(namespace)}")
            yield events_of(response)
        finally:
            response.close()

    async def apply(self, resource: Resource, manifest: Mapping[str, Any], *, uid: str | None = None) -> dict[str, Any]:
        """Server-side apply: make the fields of `manifest` so, whoever owned them; the object as it is then.

        Without `uid` the object is made. Raises a Conflict, and leaves what is there as it was, if somebody else has
        made one since it was looked for, or if the one there is has another uid. One that an operator has made
        meanwhile, by a call of which nobody heard the answer, is no conflict.
        """
        conflict = ApiError(
            409, "Conflict", f"{manifest['kind']} {manifest['metadata']['name']!r} was made by somebody else meanwhile"
        )
        if uid is not None:
            try:
                _, changed = await self._apply(resource, _with_metadata(manifest, uid=uid), force=True)
            except ApiError as error:
                raise conflict if "metadata.uid" in error.fields else error from error
            return changed
        status, made = await self._apply(resource, manifest, force=False)
        if status == 201 or _is_own(made):
            return made
        # An apply that is not forced has overwritten nothing: an empty one takes back what it added.
        empty = {name: manifest[name] for name in ("apiVersion", "kind")}
        identity = {name: manifest["metadata"][name] for name in ("name", "namespace")}
        await self._apply(resource, _with_metadata(empty, **identity), force=False)
        raise conflict

    async def _apply(
        self, resource: Resource, manifest: Mapping[str, Any], *, force: bool
    ) -> tuple[int, dict[str, Any]]:
        metadata = manifest["metadata"]
        return await self._answer(
            "PATCH",
            resource.path(metadata["namespace"], metadata["name"]),
            query={"fieldManager": FIELD_MANAGER, "force": "true" if force else "false"},
            body=manifest,
            content_type="application/apply-patch+yaml",
        )

    async def patch_status(
        self, resource: Resource, obj: Mapping[str, Any], status_patch: Mapping[str, Any]
    ) -> dict[str, Any]:
        """JSON merge patch of the status of `obj`; the object as it is then.

        Raises a Conflict if the object has another version by now: what was decided by this one may be wrong for it.
        """
        metadata = obj["metadata"]
        return await self._call(
            "PATCH",
            resource.path(metadata["namespace"], metadata["name"], "status"),
            query={"fieldManager": FIELD_MANAGER},
            body={"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": status_patch},
            content_type="application/merge-patch+json",
        )

    async def create(self, resource: Resource, namespace: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object; the object as it is then."""
        return await self._call("POST", resource.path(namespace), body=manifest)

    async def replace(
        self, resource: Resource, namespace: str, name: str, manifest: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Write an object as a whole, if it has the version of `manifest`; the object as it is then."""
        return await self._call("PUT", resource.path(namespace, name), body=manifest)

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        """Delete an object if it has that uid; raises a Conflict if it has another."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}}
        await self._call("DELETE", resource.path(namespace, name), body=options)

    async def merge(self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """JSON merge patch of an object; the object as it is then."""
        return await self._call(
            "PATCH", resource.path(namespace, name), body=patch, content_type="application/merge-patch+json"
        )

    async def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        _, answer = await self._answer(method, path, **request)
        return answer

    async def _answer(self, method: str, path: str, **request: Any) -> tuple[int, dict[str, Any]]:
        """The HTTP code and the answer of a call that succeeded."""
        limit = asyncio.timeout if method == "GET" else self._fence.within
        async with limit(REQUEST_TIMEOUT_SECONDS):
            response = await self._request(method, path, **request, timeout=aiohttp.ClientTimeout())
            return response.status, await answer_of(response, f"{method} {path}")

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        """The beginning of an answer, of whatever HTTP code."""
        headers: dict[str, str] = {"Accept": "application/json", "Content-Type": content_type}
        # The token is read again when it has been rotated.
        await self._client.update_params_for_auth(headers, None, ["BearerToken"], path, method, body)
        url = self._client.configuration.host + path + (f"?{urlencode(query)}" if query else "")
        if method != "GET":
            # Asked right before the call, and no earlier: whoever was stopped since then must not write.
            self._fence.check()
        answer = await self._client.rest_client.request(  # type: ignore[no-untyped-call]
            method, url, headers=headers, body=body, _request_timeout=timeout
        )
        response: aiohttp.ClientResponse = answer.response
        return response


def _is_own(obj: Mapping[str, Any]) -> bool:
    """Whether nobody but operators has made an object what it is; others tell its status."""
    managed = obj["metadata"].get("managedFields") or ()
    makers = {each.get("manager") for each in managed if not each.get("subresource")}
    return makers == {FIELD_MANAGER}


def _with_metadata(manifest: Mapping[str, Any], **metadata: str) -> dict[str, Any]:
    return {**manifest, "metadata": {**manifest.get("metadata", {}), **metadata}}
