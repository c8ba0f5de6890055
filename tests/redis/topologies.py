"""Several servers for tests: a cluster of three nodes, Sentinels that guard a master."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests import redis_server


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[redis_server.RedisServer]]:
    with contextlib.ExitStack() as stack:
        nodes = [
            stack.enter_context(
                redis_server.start(tmp_path / str(n), "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
            )
            for n in range(3)
        ]
        clients = [stack.enter_context(contextlib.closing(redis.Redis(port=node.port))) for node in nodes]
        for n, client in enumerate(clients):
            first, last = n * 16384 // 3, (n + 1) * 16384 // 3 - 1
            client.execute_command("CLUSTER", "ADDSLOTS", *range(first, last + 1))
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
        wait_until(lambda: all(b"cluster_state:ok" in cluster_info(client) for client in clients))
        wait_until(lambda: all(len(client.execute_command("CLUSTER", "SLOTS")) == 3 for client in clients))
        yield nodes


def cluster_info(client: redis.Redis) -> bytes:
    info = client.execute_command("CLUSTER", "INFO")
    return info if isinstance(info, bytes) else repr(info).replace("': '", ":").encode()


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def knows_all(guard: redis.Redis) -> bool:
    told = guard.execute_command("SENTINEL", "MASTER", "main")
    fields = told if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=False))
    return int(fields["num-slaves"]) >= 1 and int(fields["num-other-sentinels"]) >= 2


def master_port(guard: redis.Redis) -> int:
    """Where a Sentinel says that the master is; its client decodes."""
    return int(guard.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")[1])


@contextlib.contextmanager
def start_sentinel(folder: Path, master_port: int, *lines: str, password: str | None = None) -> Iterator[int]:
    """A Sentinel of the master "main"; `lines` are more of its configuration. Gives its port."""
    folder.mkdir()
    port = redis_server.free_port()
    (folder / "sentinel.conf").write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\nlogfile sentinel.log\n"
        f"sentinel monitor main 127.0.0.1 {master_port} 2\nsentinel down-after-milliseconds main 2000\n"
        "sentinel failover-timeout main 5000\n"
        + (f"requirepass {password}\nsentinel sentinel-pass {password}\n" if password else "")
        + "".join(f"{line}\n" for line in lines)
    )
    process = subprocess.Popen(["redis-server", str(folder / "sentinel.conf"), "--sentinel"])
    try:
        wait_until(lambda: _answers(port, password))
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int, password: str | None) -> bool:
    with contextlib.closing(redis.Redis(port=port, password=password)) as client, contextlib.suppress(redis.RedisError):
        return bool(client.ping())
    return False
