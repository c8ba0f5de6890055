"""A program whose handler is in its main file: a child finds it there, if the file says what a child must not run."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from crewline import Queue

PROGRAM = """\
import asyncio, os, sys
from crewline import Queue, Worker

STARTS = {starts!r}

class Mail:
    @staticmethod
    async def send(job):
        return [os.getpid(), __name__]

async def main():
    with open(STARTS, "a") as file:
        file.write("started\\n")
    await Worker({queue!r}, Mail.send, redis=sys.argv[1], concurrency=2).run()

{guard}
    asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("file", "command", "name"),
    [
        ("program.py", ["program.py"], "__mp_main__"),
        ("program.py", ["-m", "program"], "program"),
        ("app/__main__.py", ["app"], "__mp_main__"),
        ("app/__main__.py", ["-m", "app"], "app.__main__"),
    ],
)
async def test_a_suspect_of_a_guarded_main_file_runs_in_a_child(
    queue: Queue, redis_url: str, tmp_path: Path, file: str, command: list[str], name: str
) -> None:
    starts = _write(tmp_path / file, queue.name, "if __name__ == '__main__':")
    (here, _), (suspect, known_as) = await _one_of_each(queue, redis_url, tmp_path, command)
    assert suspect != here
    assert known_as == name
    assert starts.read_text() == "started\n"


async def test_a_main_file_without_a_guard_is_started_once(queue: Queue, redis_url: str, tmp_path: Path) -> None:
    starts = _write(tmp_path / "program.py", queue.name, "if True:")
    (here, _), (suspect, name) = await _one_of_each(queue, redis_url, tmp_path, ["program.py"])
    assert (suspect, name) == (here, "__main__")
    assert starts.read_text() == "started\n"


def _write(program: Path, queue: str, guard: str) -> Path:
    starts = program.parent / "starts"
    program.parent.mkdir(exist_ok=True)
    program.write_text(PROGRAM.format(starts=str(starts), queue=queue, guard=guard))
    return starts


async def _one_of_each(queue: Queue, redis_url: str, folder: Path, command: list[str]) -> tuple[Any, Any]:
    """What a job and then a suspect of that program returned: process id, the handler's module."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    worker = await asyncio.create_subprocess_exec(sys.executable, *command, redis_url, cwd=folder, env=environment)
    try:
        plain = await (await queue.add("mail", {})).result(timeout=30)
        await queue.pause()
        job = await queue.add("mail", {})
        await queue.redis.hset(queue.keys.job(job.id), "suspect", "1")
        await queue.resume()
        return plain, await job.result(timeout=30)
    finally:
        worker.terminate()
        await worker.wait()
