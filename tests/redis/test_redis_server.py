"""The servers that tests start share the machine with all that runs there."""

from __future__ import annotations

from pathlib import Path

from tests import redis_server

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_a_server_gets_no_port_that_the_system_may_give_to_a_client_meanwhile() -> None:
    first = int(RANGE.read_text().split()[0]) if RANGE.exists() else 32768
    ports = {redis_server.free_port() for _ in range(100)}
    # a cluster's nodes talk on another one, 10,000 higher
    assert max(ports) + 10_000 < first
    assert len(ports) > 50
