"""A cluster's API server as far as an operator asks it for at its start: nothing is in it, and kinds may come late."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from crewline_operator.model.names import GROUP, SCHEMA_VERSION, SCHEMA_VERSION_ANNOTATION, VERSION

KINDS = {
    "/api/v1": {
        "configmaps": "ConfigMap",
        "namespaces": "Namespace",
        "pods": "Pod",
        "serviceaccounts": "ServiceAccount",
    },
    "/apis/apps/v1": {"deployments": "Deployment"},
    "/apis/policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
    f"/apis/{GROUP}/{VERSION}": {"jobqueues": "JobQueue", "scheduledjobs": "ScheduledJob"},
}
#: Whether there is nothing yet to be told of at a request's path; of the list of groups: of ours in it.
Hides = Callable[[web.Request], bool]


@dataclass
class Cluster:
    """What it was asked for, and what it does not know of."""

    hides: Hides = lambda _: False
    asked: list[str] = field(default_factory=list)
    watched: set[str] = field(default_factory=set)
    #: Kinds of which all objects were asked for in one answer.
    listed_whole: set[str] = field(default_factory=set)
    lease: dict[str, Any] = field(default_factory=dict)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds after a request."""
        async with asyncio.timeout(60), self._changed:
            await self._changed.wait_for(holds)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Whatever is asked."""
        async with self._changed:
            self.asked.append(request.path)
            plural = request.path.rsplit("/", 1)[1]
            if "watch" in request.query:
                self.watched.add(plural)
            elif "limit" not in request.query and any(plural in kinds for kinds in KINDS.values()):
                self.listed_whole.add(plural)
            self._changed.notify_all()
        if self.hides(request) and request.path != "/apis":
            return web.json_response({"reason": "NotFound", "message": f"no {request.path}"}, status=404)
        if "watch" in request.query:
            stream = web.StreamResponse()
            await stream.prepare(request)
            await asyncio.Event().wait()
        return web.json_response(await self._told(request))

    async def _told(self, request: web.Request) -> Any:
        path = request.path
        if path == "/api":
            return {"versions": ["v1"]}
        if path == "/apis":
            return {
                "groups": [_group(at) for at in KINDS if at != "/api/v1" and not (GROUP in at and self.hides(request))]
            }
        if path in KINDS:
            return {"resources": [_resource(plural, kind) for plural, kind in KINDS[path].items()]}
        if "/customresourcedefinitions/" in path:
            return {"metadata": {"annotations": {SCHEMA_VERSION_ANNOTATION: str(SCHEMA_VERSION)}}}
        if "/leases" in path:
            if request.method != "GET":
                self.lease = await request.json()
            if not self.lease:
                raise web.HTTPNotFound(text="{}")
            self.lease["metadata"] |= {"uid": "lease", "resourceVersion": str(len(self.asked))}
            return self.lease
        return {"metadata": {"resourceVersion": "1"}, "items": []}


def write_kubeconfig(file: Path, url: str) -> Path:
    """Whoever reads it asks at `url`."""
    named = {"clusters": ("cluster", {"server": url}), "users": ("user", {"token": "t"})}
    context = {"name": "it", "context": {"cluster": "it", "user": "it"}}
    lists = {name: [{"name": "it", key: value}] for name, (key, value) in named.items()} | {"contexts": [context]}
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "it"} | lists))
    return file


def _group(at: str) -> dict[str, Any]:
    name, version = at.removeprefix("/apis/").split("/")
    told = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [told], "preferredVersion": told}


def _resource(plural: str, kind: str) -> dict[str, Any]:
    return {"name": plural, "singularName": plural[:-1], "kind": kind, "namespaced": True, "verbs": ["list", "watch"]}
