"""What the end-to-end tests' jobs do. It is put into a ConfigMap and runs in worker pods."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
import uuid
from pathlib import Path
from typing import Any

from crewline import Job
from redis import Redis as SyncRedis
from redis.asyncio import Redis
from redis.exceptions import RedisError

#: Tells a process from its successor in the same pod.
PROCESS = uuid.uuid4().hex[:8]
HERE = {"pod": socket.gethostname(), "process": PROCESS}


async def echo(job: Job) -> dict[str, Any]:
    """Says where it ran."""
    return {"data": job.data, **HERE}


async def gated(job: Job) -> dict[str, Any]:
    """Runs until the Redis key `gate:<its queue>` is there."""
    await job.progress({"done": 1, "of": 2, **HERE})
    async with Redis.from_url(os.environ["CREWLINE_REDIS_URL"], socket_timeout=5) as redis:
        is_open = False
        while not is_open:
            await asyncio.sleep(0.1)
            # A Redis that is restarted is not this job's failure.
            with contextlib.suppress(RedisError, OSError):
                is_open = bool(await redis.exists(f"gate:{job.queue_name}"))
    return HERE


async def counted(job: Job) -> dict[str, Any]:
    """Takes as many seconds as its data says, and counts in Redis how often it was begun with, `starts:<its queue>`."""
    async with Redis.from_url(os.environ["CREWLINE_REDIS_URL"], socket_timeout=5) as redis:
        await redis.hincrby(f"starts:{job.queue_name}", job.id, 1)
    await asyncio.sleep(job.data)
    return HERE


async def broken(job: Job) -> dict[str, Any]:
    """Fails until the Redis key `mended:<its queue>` is there."""
    async with Redis.from_url(os.environ["CREWLINE_REDIS_URL"]) as redis:
        if not await redis.exists(f"mended:{job.queue_name}"):
            raise ValueError(f"no such recipient: {job.data['to']}")
    return HERE


def look_around(_: Job) -> dict[str, Any]:
    """What its process may do, read from inside. A plain function."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    return {
        "uid": os.getuid(),
        "gid": os.getgid(),
        "capabilities": int(status["CapEff"], 16) | int(status["CapPrm"], 16) | int(status["CapBnd"], 16),
        "no_new_privileges": status["NoNewPrivs"].strip(),
        "seccomp": status["Seccomp"].strip(),
        "secrets": Path("/var/run/secrets").exists(),
        "writable": [folder for folder in ("/", "/opt/crewline", "/opt/code", "/tmp", "/etc") if _can_write(folder)],
        "kubernetes_variables": sorted(name for name in os.environ if name.endswith("_SERVICE_HOST")),
    }


def _can_write(folder: str) -> bool:
    probe = Path(folder) / f"probe-{PROCESS}"
    try:
        probe.touch()
    except OSError:
        return False
    probe.unlink()
    return True


async def mortal(job: Job) -> dict[str, Any]:
    """Lives for as many seconds as its data says; tells in Redis, by its clock, when each run began and was last alive.

    Its first run may go otherwise: it eats memory, ends its process, or blocks it so that no signal is heard.
    """
    async with Redis.from_url(os.environ["CREWLINE_REDIS_URL"], socket_timeout=5) as redis:
        run = f"{job.id}:{await redis.hincrby(f'starts:{job.queue_name}', job.id, 1)}"
        await _tell(redis, job.queue_name, "began", run)
    first = job.data.get("first", "") if run.endswith(":1") else ""
    with SyncRedis.from_url(os.environ["CREWLINE_REDIS_URL"], socket_timeout=5) as sync:
        deadline, eaten = time.monotonic() + job.data.get("seconds", 0), []
        while time.monotonic() < deadline or first:
            seconds, micros = sync.time()
            sync.hset(f"last:{job.queue_name}", run, f"{seconds}.{micros:06}")
            match first:
                case "eat":
                    eaten.append(b"x" * (2 << 20))
                case "exit":
                    os._exit(3)
                case "block":
                    time.sleep(0.1)  # noqa: ASYNC251 - nothing else is to run
                case _:
                    await asyncio.sleep(0.1)
    return HERE


def mortal_child(job: Any) -> None:
    """Eats memory in a process of its own."""
    eaten = []
    while True:
        eaten.append(b"x" * (2 << 20))


async def needs(job: Job) -> dict[str, Any]:
    """Fills as many MiB as its data says, waits for as many seconds, and tells of its run in Redis."""
    async with Redis.from_url(os.environ["CREWLINE_REDIS_URL"], socket_timeout=5) as redis:
        await redis.hincrby(f"starts:{job.queue_name}", job.id, 1)
    eaten = [b"x" * (1 << 20) for _ in range(job.data["mib"])]
    await asyncio.sleep(job.data.get("seconds", 0))
    return HERE | {"eaten": len(eaten)}


async def _tell(redis: Redis, queue: str, what: str, run: str) -> None:
    seconds, micros = await redis.time()
    await redis.hset(f"{what}:{queue}", run, f"{seconds}.{micros:06}")
