"""`crewline worker --reload`: the next job meets the code as it is now, and no mistake in it ends the command."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest_asyncio
from crewline import Queue
from crewline.cli.reload import source_folders

Until = Callable[..., Awaitable[Any]]

HANDLER = "async def handle(job):\n    return {answer!r}\n"


class Development:
    """A worker with --reload in a folder of its own, and what it said so far."""

    def __init__(self, folder: Path, url: str, until: Until) -> None:
        self.folder = folder
        self._url = url
        self._until = until
        self._said = ""
        self._read = 0

    async def start(self, *arguments: str) -> None:
        self.process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "crewline"), "worker", *arguments, "--reload", cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, start_new_session=True,
            env={"CREWLINE_QUEUE": "emails", "CREWLINE_REDIS_URL": self._url, "PATH": "/usr/bin"},
        )  # fmt: skip
        self._reading = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        assert self.process.stderr
        async for line in self.process.stderr:
            self._said += line.decode()

    async def says(self, words: str) -> str:
        """Waits until it says that, after what it said before; returns all in between."""
        await self._until(lambda: words in self._said[self._read :], 20)
        start, self._read = self._read, self._said.index(words, self._read) + len(words)
        return self._said[start : self._read]

    async def ended(self) -> int:
        return await asyncio.wait_for(self.process.wait(), 15)

    async def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        await self._reading


Develop = Callable[..., Awaitable[Development]]


@pytest_asyncio.fixture
async def develop(redis_url: str, tmp_path: Path, until: Until) -> AsyncIterator[Develop]:
    started: list[Development] = []

    async def start(*arguments: str) -> Development:
        worker = Development(tmp_path, redis_url, until)
        await worker.start(*arguments)
        started.append(worker)
        return worker

    yield start
    for worker in started:
        await worker.close()


async def test_the_next_job_meets_the_edited_handler(develop: Develop, queue: Queue, tmp_path: Path) -> None:
    source = tmp_path / "handlers.py"
    source.write_text(HANDLER.format(answer=1))
    worker = await develop("handlers:handle")
    await worker.says("ready: queue emails")
    assert await (await queue.add("n", None)).result(timeout=5) == 1
    # as long as before, and within the second: bytecode would hide it
    source.write_text(HANDLER.format(answer=2))
    await worker.says("handlers.py changed: the worker starts again")
    await worker.says("ready: queue emails")
    assert await (await queue.add("n", None)).result(timeout=5) == 2
    worker.process.send_signal(signal.SIGINT)
    assert await worker.ended() == 0
    assert not await queue.workers(), "the worker ended too, and left the registry"


async def test_a_broken_handler_is_shown_and_the_next_edit_mends_it(
    develop: Develop, queue: Queue, tmp_path: Path
) -> None:
    source = tmp_path / "handlers.py"
    source.write_text("import nowhere\n")
    worker = await develop("handlers:handle")
    said = await worker.says("the worker ended with 78: it starts again at the next change")
    assert "No module named 'nowhere'" in said
    assert "importlib" not in said and "handlers.py" in said, "the user's frames alone"
    source.write_text("async def handle(job:\n")
    said = await worker.says("the worker ended with 78")
    assert "SyntaxError" in said
    source.write_text(HANDLER.format(answer="mended"))
    await worker.says("ready: queue emails")
    assert await (await queue.add("n", None)).result(timeout=5) == "mended"
    worker.process.send_signal(signal.SIGTERM)
    assert await worker.ended() == 0


async def test_a_running_job_is_handed_back_and_run_by_the_new_code(
    develop: Develop, queue: Queue, tmp_path: Path, until: Until
) -> None:
    package = tmp_path / "app"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "answers.py").write_text("import asyncio\nasync def answer():\n    await asyncio.sleep(600)\n")
    (package / "handlers.py").write_text(
        "from app.answers import answer\nasync def handle(job):\n    return await answer()\n"
    )
    worker = await develop("app.handlers:handle", "--grace-seconds", "0.1")
    job = await queue.add("n", None, attempts=1)
    await worker.says("ready: queue emails")
    await until(lambda: queue.redis.llen(queue.keys.active))
    (package / "answers.py").write_text("async def answer():\n    return 'new'\n")
    await worker.says("answers.py changed")
    assert await job.result(timeout=10) == "new"


async def test_without_watchfiles_it_says_how_to_get_it(tmp_path: Path) -> None:
    script = "import sys; sys.modules['watchfiles'] = None; from crewline.cli import app; app()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, "worker", "handlers:handle", "-q", "emails", "--reload", cwd=tmp_path,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert err.decode() == "crewline: --reload needs the package watchfiles: pip install 'crewline[reload]'\n"


def test_a_package_is_watched_whole_and_a_module_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/__init__.py").write_text("raise AssertionError('imported')")
    (tmp_path / "single.py").write_text("raise AssertionError('imported')")
    assert source_folders("app.jobs.handlers", str(tmp_path)) == [tmp_path / "app"]
    assert source_folders("single", str(tmp_path)) == [tmp_path]
    assert source_folders("not_there_yet", str(tmp_path)) == [tmp_path]
