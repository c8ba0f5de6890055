"""Commands reach a Redis whose user, password and certificates are in the environment, not in its URL."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import redis

from tests import redis_server
from tests.certificates import write_certificates

CREWLINE = str(Path(sys.executable).parent / "crewline")
HANDLERS = """
from crewline import Job, Queue, redis_url


async def handle(job: Job) -> dict:
    async with Queue("others", redis=redis_url()) as others:
        await others.add("on", job.data)
    return {"done": True}
"""


@pytest_asyncio.fixture
async def environment(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """A Redis that asks for a certificate and a password, as a worker's pod is told of it."""
    write_certificates(tmp_path)
    (tmp_path / "handlers.py").write_text(HANDLERS)
    port = redis_server.free_port()
    options = ("--tls-port", str(port), "--tls-cert-file", "redis.crt", "--tls-key-file", "redis.key",
               "--tls-ca-cert-file", "ca.crt", "--tls-auth-clients", "yes")  # fmt: skip
    with redis_server.start(tmp_path, *options) as server:
        with redis.Redis(port=server.port) as admin:
            admin.execute_command("ACL", "SETUSER", "app", "on", ">p@ss:1", "~*", "&*", "+@all")
            admin.execute_command("ACL", "SETUSER", "default", "resetpass", "off")
        yield {
            "PATH": "/usr/bin",
            "CREWLINE_QUEUE": "emails",
            "CREWLINE_REDIS_URL": f"rediss://127.0.0.1:{port}/0",
            "CREWLINE_REDIS_USERNAME": "app",
            "CREWLINE_REDIS_PASSWORD": "p@ss:1\n",
            "CREWLINE_REDIS_CA_FILE": str(tmp_path / "ca.crt"),
            "CREWLINE_REDIS_CERT_FILE": str(tmp_path / "client.crt"),
            "CREWLINE_REDIS_KEY_FILE": str(tmp_path / "client.key"),
        }


async def _start(folder: Path, environment: dict[str, str], *arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        CREWLINE, *arguments, cwd=folder, env=environment, stdout=pipe, stderr=pipe, stdin=asyncio.subprocess.DEVNULL
    )


async def _run(folder: Path, environment: dict[str, str], *arguments: str) -> tuple[int | None, str, str]:
    process = await _start(folder, environment, *arguments)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode(), err.decode()


async def test_a_worker_and_what_its_handler_adds_to_use_them(
    environment: dict[str, str], tmp_path: Path, until: Any
) -> None:
    assert (await _run(tmp_path, environment, "enqueue", "welcome", "1"))[0] == 0
    worker = await _start(tmp_path, environment, "worker", "handlers:handle", "--execution", "async")

    async def counts(queue: str) -> Any:
        code, out, err = await _run(tmp_path, environment, "metrics", "--queue", queue, "--json")
        assert code == 0, err
        return json.loads(out)

    try:
        await until(lambda: _completed(counts), 60)
        assert (await counts("others"))["waiting"] == 1
    finally:
        worker.terminate()
        _, log = await asyncio.wait_for(worker.communicate(), 60)
    assert worker.returncode == 0, log
    assert b"p@ss" not in log and b"p%40ss" not in log


async def _completed(counts: Any) -> bool:
    return bool((await counts("emails"))["completed"] == 1)


@pytest.mark.parametrize(
    ("without", "code"),
    [("CREWLINE_REDIS_PASSWORD", 3), ("CREWLINE_REDIS_CERT_FILE", 2), ("CREWLINE_REDIS_CA_FILE", 3)],
)
async def test_without_one_of_them_nothing_is_reached(
    environment: dict[str, str], tmp_path: Path, without: str, code: int
) -> None:
    del environment[without]
    ended, _, err = await _run(tmp_path, environment, "metrics")
    assert ended == code, err
    assert "p@ss" not in err and "p%40ss" not in err
