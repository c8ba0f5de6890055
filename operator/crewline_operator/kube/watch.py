"""kopf's part: it logs in, lists and watches, and puts what it sees into the store. It decides nothing.

Only `on.event` handlers: kopf's change handlers, timers and daemons cost annotations and finalizers on each object.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import kopf

from crewline_operator.kube.kinds import KINDS
from crewline_operator.model.settings import Settings

#: Called with the kind, the object, and the event's type: None if the object was listed.
OnObject = Callable[[str, dict[str, Any], str | None], None]


def make_registry(on_object: OnObject, on_stop: Callable[[], Awaitable[None]]) -> kopf.OperatorRegistry:
    """kopf's handlers, which pass all objects on, and say when kopf is about to end."""
    registry = kopf.OperatorRegistry()

    def forward(kind: str) -> Callable[..., Awaitable[None]]:
        async def handler(event: Any, **_: Any) -> None:
            # A copy of plain dicts: kopf's own views stay with kopf.
            on_object(kind, dict(event["object"]), event["type"])

        return handler

    for kind, resource, _ in KINDS:
        where = (*resource.group_version, resource.plural)
        kopf.on.event(*where, registry=registry, id=resource.plural)(forward(kind))
    kopf.on.login(registry=registry, id="login")(log_in)

    async def stop(**_: Any) -> None:
        # kopf waits 5 s at its end for tasks in its loop that it does not know: ours have to end before.
        await on_stop()

    kopf.on.cleanup(registry=registry, id="stop")(stop)
    return registry


def make_kopf_settings() -> kopf.OperatorSettings:
    """kopf's settings: watch only what is ours, write nothing, ask for no rights beyond the watches."""
    settings = kopf.OperatorSettings()
    # Without this kopf watches all CRDs and namespaces, for which it would need cluster-wide rights.
    settings.scanning.disabled = True
    settings.posting.enabled = False
    for _, resource, label in KINDS:
        if label is not None:
            settings.watching.label_selectors[(*resource.group_version, resource.plural)] = label
    # kopf's default is all objects in one answer, and a task and the whole object kept for 5 s for each of them.
    settings.watching.chunk_size = 100
    settings.queueing.idle_timeout = 0.5
    # A watch whose server has died without a word is renewed.
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    # An API server that restarts is found again within 5 s, one that was away for long within 30 s. It is asked without
    # end: a namespace whose Role is missing is refused for as long as that is so, and holds up no watch of another.
    settings.networking.error_backoffs = _Backoffs()
    return settings


class _Backoffs:
    """Seconds before each further try of a call; kopf begins anew for each call."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((0.5, 1, 2, 3), [5] * 24, itertools.repeat(30))


async def run_kopf(
    settings: Settings, registry: kopf.OperatorRegistry, ready: Any | None = None, stop: Any | None = None
) -> None:
    """Watch until `stop` is set or a signal comes."""
    scope: dict[str, Any] = (
        {"namespaces": list(settings.watch_namespaces)} if settings.watch_namespaces else {"clusterwide": True}
    )
    await kopf.operator(
        registry=registry,
        settings=make_kopf_settings(),
        standalone=True,
        ready_flag=ready,
        stop_flag=stop,
        **scope,
    )


def log_in(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """The pod's service account, else KUBECONFIG."""
    info = kopf.login_with_service_account(**kwargs)
    if info is None:
        return kopf.login_with_kubeconfig(**kwargs)
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        return info
    # The address from the environment: the operator must not depend on the cluster's DNS to start.
    return dataclasses.replace(info, server=f"https://{f'[{host}]' if ':' in host else host}:{port}")
