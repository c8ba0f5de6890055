"""A TCP port for whoever may ask, the kubelet among them: a pod has IPv4 addresses, IPv6 ones, or both."""

from __future__ import annotations

import socket


def listen(port: int) -> socket.socket:
    """A socket that listens on all addresses, of IPv6 and of IPv4 where there are both; 0 is any port.

    Raises:
        OSError: the port can't be had.
    """
    dual = socket.has_dualstack_ipv6()
    return socket.create_server(("", port), family=socket.AF_INET6 if dual else socket.AF_INET, dualstack_ipv6=dual)
