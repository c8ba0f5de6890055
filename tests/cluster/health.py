"""Whether a component works, asked of the component itself, and the wait until it does."""

from __future__ import annotations

import functools
import json
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cluster import network
from tests.cluster.components import Component
from tests.cluster.errors import ClusterError
from tests.cluster.paths import Layout
from tests.cluster.pki import NODE_IP, NODE_NAME
from tests.cluster.process import Identity
from tests.cluster.shell import answers, tail

#: A first start reads 200 MB of program from a cold disk; a warm one takes a second or two.
START_SECONDS = 60.0
_POLL_SECONDS = 0.05

_DNS_QUESTION = (
    b"\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"
    b"\x0akubernetes\x07default\x03svc\x07cluster\x05local\x00\x00\x01\x00\x01"
)


def wait(component: Component, identity: Identity, layout: Layout) -> None:
    """Wait until a component works; raises ClusterError with its log's tail if it dies or takes too long."""
    check = _check(component, layout)
    log = layout.log / f"{component.name}.log"

    def works() -> bool:
        if not identity.alive():
            raise ClusterError(f"{component.name} died; {log} ends:\n{tail(log.read_text())}")
        return check()

    if not until(works, START_SECONDS):
        raise ClusterError(
            f"{component.name} is not well after {START_SECONDS:g} s; {log} ends:\n{tail(log.read_text())}"
        )


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Ask again and again until a condition holds or the time is over; says whether it held."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def api_ready(layout: Layout, port: int) -> bool:
    """Whether the API server answers through its door."""
    return _answers(lambda: network.get(f"https://127.0.0.1:{port}/readyz", context=_admin(layout.pki)))


def node_ready(layout: Layout, port: int) -> bool:
    """Whether the node says of itself that it takes pods."""
    conditions = _object(layout, port, f"nodes/{NODE_NAME}").get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def takes_pods(layout: Layout, port: int) -> bool:
    """Whether a pod can be created: none is accepted before its namespace has its service account."""
    return bool(_object(layout, port, "namespaces/default/serviceaccounts/default"))


def _object(layout: Layout, port: int, path: str) -> dict[str, Any]:
    try:
        answer = network.get(f"https://127.0.0.1:{port}/api/v1/{path}", context=_admin(layout.pki))
    except OSError:
        return {}
    found: dict[str, Any] = json.loads(answer)
    return found


def _check(component: Component, layout: Layout) -> Callable[[], bool]:
    if component.name == "containerd":
        return lambda: answers(["ctr", "-a", layout.containerd_socket, "version"])
    if component.name == "dns":
        return lambda: _answers(lambda: network.call_inside(layout.namespace, _resolve))
    if component.name == "door-inside":
        return layout.api_socket.exists
    if not component.health_url:
        return lambda: True
    context = _admin(layout.pki) if component.health_url.startswith("https") else None
    if context and component.name != "apiserver":
        # The controllers make themselves a certificate that no authority signs; who they are is known: we started them.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    get = functools.partial(network.get, component.health_url, context=context)
    return lambda: _answers(lambda: network.call_inside(layout.namespace, get))


def _resolve() -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as question:
        question.settimeout(1)
        question.sendto(_DNS_QUESTION, (NODE_IP, 53))
        answer = question.recv(512)
    code, count = answer[3] & 0x0F, answer[7]
    if code != 0 or count == 0:
        raise OSError(f"DNS answers with code {code} and {count} addresses")
    return answer


def _answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except OSError:
        return False
    return True


def _admin(pki: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    return context
