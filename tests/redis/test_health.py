"""What a worker tells the kubelet: ready once Redis has answered, alive while it tries."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from crewline import Queue, Worker
from crewline.cli import health
from crewline.cli.health import Health
from crewline.errors import InvalidOption
from crewline.worker.liveness import MOST_SECONDS, Liveness
from crewline.worker.loopwatch import LoopWatch

from tests import redis_server


async def ask(port: int, path: str) -> tuple[int, str]:
    def get() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await asyncio.to_thread(get)


async def test_whoever_asks_too_early_is_answered_once_the_worker_is_ready() -> None:
    told = Health(0)
    asked = asyncio.create_task(ask(told.port, "/ready"))
    assert await ask(told.port, "/alive") == (200, "alive\n"), "an import that takes long is no trouble"
    assert not asked.done()
    told.ready.set()
    assert await asked == (200, "ready\n")


async def test_a_worker_that_is_not_ready_in_time_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "WAIT_SECONDS", 0.05)
    code, text = await ask(Health(0).port, "/ready")
    assert (code, text) == (503, "the first fetch was not answered\n")


async def test_trouble_is_told_and_other_questions_are_none() -> None:
    told = Health(0)
    told.trouble = lambda: "it stands still"
    assert await ask(told.port, "/alive") == (503, "it stands still\n")
    assert (await ask(told.port, "/"))[0] == 404


async def test_a_port_that_is_taken_is_told() -> None:
    told = Health(0)
    with pytest.raises(InvalidOption, match=f"--health-port {told.port} can't be served"):
        Health(told.port)


async def test_who_asks_for_nothing_holds_nobody_up() -> None:
    told = Health(0)
    silent = [await asyncio.open_connection("127.0.0.1", told.port) for _ in range(health.MOST_AT_ONCE + 4)]
    assert (await asyncio.wait_for(ask(told.port, "/alive"), health.TALK_SECONDS - 1))[0] == 200
    for _, writer in silent:
        writer.close()


async def test_it_answers_where_the_system_has_no_thread_to_give_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Health(0)
    assert (await ask(told.port, "/alive"))[0] == 200

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    reader, writer = await asyncio.open_connection("127.0.0.1", told.port)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        writer.write(b"GET /alive HTTP/1.1\r\n\r\n")
        assert b"200 OK" in await asyncio.wait_for(reader.readline(), 10)
    writer.close()


async def test_a_worker_process_tells_that_it_is_ready_and_alive(
    queue: Queue, redis_url: str, tmp_path: Path, until: Callable[..., Any]
) -> None:
    """And the port is served before the handler is imported."""
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\n"
        "while not pathlib.Path('go').exists(): time.sleep(0.01)\n"
        "async def handle(job): return 1\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("crewline"), "worker", "slow:handle", "-q", "emails", "-r", redis_url,
        "--health-port", str(number), cwd=tmp_path, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:

        async def listens() -> bool:
            with contextlib.suppress(OSError):
                return (await ask(number, "/alive"))[0] == 200
            return False

        await until(listens)
        asked = asyncio.create_task(ask(number, "/ready"))
        (tmp_path / "go").touch()
        assert await asked == (200, "ready\n")
        assert await ask(number, "/alive") == (200, "alive\n")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest_asyncio.fixture
async def worker(redis_url: str) -> AsyncIterator[Worker]:
    """One that is not run: its fetch loop stands."""

    async def handle(_: Any) -> None:
        pass

    made = Worker("emails", handle, redis=redis_url, concurrency=1)
    yield made
    await made.queue.close()


async def test_a_fetch_loop_that_stands_is_trouble_unless_there_is_nothing_to_fetch(worker: Worker) -> None:
    clock = Clock()
    worker._committer._reach.tried = 0.0
    live = Liveness(worker._slots, worker._committer._reach, LoopWatch("emails", None, 30), clock)
    assert live.trouble() == ""
    clock.now = MOST_SECONDS + 1
    assert "has not tried Redis for 91 s" in live.trouble()
    worker.pause()
    assert live.trouble() == ""
    worker.resume()
    clock.now += MOST_SECONDS
    assert live.trouble() == "", "it has had room for no longer than that"
    clock.now += 1
    assert live.trouble() != ""
    worker._committer._reach.tried = clock.now
    assert live.trouble() == ""


async def test_a_redis_that_is_away_is_no_trouble_as_long_as_it_is_tried(tmp_path: Path, until: Any) -> None:
    async def handle(_: Any) -> None:
        pass

    server = redis_server.start(tmp_path)
    worker = Worker("emails", handle, redis=server.url)
    running = asyncio.create_task(worker.run())
    try:
        await asyncio.wait_for(worker.wait_ready(), 5)
        server.stop()
        reach = worker._committer._reach
        for _ in range(2):
            before = reach.tried
            await until(lambda before=before: reach.tried > before)
        assert worker.trouble() == ""
    finally:
        server.stop()
        await worker.stop(grace_seconds=0)
        await asyncio.wait_for(running, 15)


async def test_what_holds_the_loop_is_trouble_only_beyond_its_time(worker: Worker) -> None:
    clock = Clock()
    watch = LoopWatch("emails", None, 30)
    live = Liveness(worker._slots, worker._committer._reach, watch, clock)
    worker._committer._reach.tried = 0.0
    clock.now = MOST_SECONDS + 1
    watch._asked = float("-inf")
    assert watch.held
    assert live.trouble() == ""
    watch._over = True
    assert live.trouble() == "what runs holds the event loop beyond its time"
