"""The network of one cluster: a namespace out of which no packet can leave, and a way to look into it.

One veth pair with both ends inside carries the default route that kube-proxy's service addresses need. It leads
nowhere. The only way in is the door to the API server on 127.0.0.1 (components.py).
"""

from __future__ import annotations

import ctypes
import os
import socket
import ssl
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tests.cluster.pki import NODE_IP
from tests.cluster.shell import run

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000


def create(namespace: str) -> None:
    """Make the namespace, its loopback, the node's address and the route that leads nowhere."""
    run(["ip", "netns", "add", namespace])
    for words in (
        "link set lo up",
        "link add node0 type veth peer name node0p",
        "link set node0p up",
        f"addr add {NODE_IP}/24 dev node0",
        "link set node0 up",
        "route add default dev node0",
    ):
        run(["ip", "-n", namespace, *words.split()])
    run([*inside(namespace), "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"])


def inside(namespace: str) -> list[str]:
    """The words before a command that is to run in the namespace.

    `ip netns exec` would mount another /sys, where the kubelet finds no cgroups.
    """
    return ["nsenter", f"--net={path(namespace)}"]


def path(namespace: str) -> Path:
    return Path("/run/netns") / namespace


def remove(namespace: str) -> None:
    """Remove the namespace; what is in it goes with its last process."""
    if path(namespace).exists():
        run(["ip", "netns", "del", namespace])


def call_inside(namespace: str, function: Callable[[], T]) -> T:
    """Run a function in a thread that has entered the namespace, so that its sockets are inside."""

    def enter() -> None:
        descriptor = os.open(path(namespace), os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(path(namespace)))
        finally:
            os.close(descriptor)

    with ThreadPoolExecutor(max_workers=1, initializer=enter) as thread:
        return thread.submit(function).result()


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def get(url: str, *, context: ssl.SSLContext | None = None, timeout_seconds: float = 2) -> bytes:
    """GET without any proxy that the environment may name; raises OSError if it does not answer 200."""
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if context is not None:
        handlers.append(urllib.request.HTTPSHandler(context=context))
    with urllib.request.build_opener(*handlers).open(url, timeout=timeout_seconds) as answer:
        body: bytes = answer.read()
        return body
