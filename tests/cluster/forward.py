"""A port on 127.0.0.1 that leads through the API server to a Service or a pod: how tests and the demo reach Redis."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tests.cluster import network, tools
from tests.cluster.errors import ClusterError

_OPEN_SECONDS = 30.0
_AGAIN_AFTER_SECONDS = 0.2


@contextlib.asynccontextmanager
async def forwarded(kubeconfig: Path, namespace: str, target: str, port: int) -> AsyncIterator[int]:
    """Forward a local port to `service/name` or `pod/name` for the block and give its number.

    kubectl ends when the pod behind it does; it is started again on the same port, so that a client which connects
    anew reaches the next pod. Raises ClusterError if the target can't be reached at first.
    """
    local = network.free_port()
    argv = [
        *tools.kubectl(), f"--kubeconfig={kubeconfig}", f"--namespace={namespace}",
        "port-forward", "--address=127.0.0.1", target, f"{local}:{port}",
    ]  # fmt: skip
    process = await _open(argv)
    keeper = asyncio.create_task(_keep(process, argv))
    try:
        yield local
    finally:
        keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeper


async def _keep(process: asyncio.subprocess.Process, argv: list[str]) -> None:
    """Start the command again whenever it ends; end it when this task is cancelled."""
    while True:
        try:
            assert process.stdout
            # Read on: a full pipe would stop kubectl, which prints a line for each connection.
            while await process.stdout.readline():
                pass
            await process.wait()
        except asyncio.CancelledError:
            await _stop(process)
            raise
        await asyncio.sleep(_AGAIN_AFTER_SECONDS)
        with contextlib.suppress(ClusterError, TimeoutError):
            process = await _open(argv)


async def _open(argv: list[str]) -> asyncio.subprocess.Process:
    """Start the command and wait until its port is open."""
    pipe, merged = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    process = await asyncio.create_subprocess_exec(*argv, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=merged)
    try:
        assert process.stdout
        line = await asyncio.wait_for(process.stdout.readline(), _OPEN_SECONDS)
    except BaseException:
        await _stop(process)
        raise
    if not line.startswith(b"Forwarding"):
        await _stop(process)
        raise ClusterError(f"no port-forward to {argv[-2]}: {line.decode().strip() or 'kubectl said nothing'}")
    return process


async def _stop(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    await process.wait()
