"""Real worker processes, `crewline worker`, started and ended as a node would do it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
CREWLINE = Path(sys.executable).parent / "crewline"
#: Seconds that a process may take to be ready, on a machine that does other things too.
READY_SECONDS = 60.0


@dataclass
class WorkerProcess:
    """One worker; `ready` exists while it fetches."""

    process: subprocess.Popen[bytes]
    ready: Path
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    async def wait_ready(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + READY_SECONDS
        while not self.ready.exists():
            assert self.alive, (
                f"worker {self.pid} ended with {self.process.returncode}:\n{self.log.read_text()[-3000:]}"
            )
            assert loop.time() < deadline, f"worker {self.pid} was not ready within {READY_SECONDS:g} s"
            await asyncio.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def wait(self, seconds: float = 30.0) -> int:
        """Its exit status."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self.alive:
            assert loop.time() < deadline, f"worker {self.pid} did not end within {seconds:g} s"
            await asyncio.sleep(0.01)
        return self.process.returncode


@dataclass
class Fleet:
    """All the workers of a scene.

    Args:
        folder: for logs and ready files.
        ledger: the file that handlers write to.
        queue, url: what they work on.
        concurrency, lease_seconds, grace_seconds: as `crewline worker` takes them.
    """

    folder: Path
    ledger: Path
    queue: str
    url: str
    concurrency: int
    lease_seconds: float
    grace_seconds: float = 30.0
    workers: list[WorkerProcess] = field(default_factory=list)
    _count: int = 0

    def spawn(self, environment: dict[str, str] | None = None) -> WorkerProcess:
        """Starts a worker and does not wait for it."""
        self._count += 1
        name = f"w{self._count}"
        ready, log = self.folder / f"{name}.ready", self.folder / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [
                    str(CREWLINE), "worker", "handlers:handle", "--queue", self.queue, "--redis", self.url,
                    "--concurrency", str(self.concurrency), "--lease-seconds", str(self.lease_seconds),
                    "--grace-seconds", str(self.grace_seconds), "--name", name, "--code-path", str(HERE),
                    "--ready-file", str(ready),
                ],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                env={**os.environ, "CHAOS_LEDGER": str(self.ledger), "PYTHONDONTWRITEBYTECODE": "1"}
                | (environment or {}),
            )  # fmt: skip
        worker = WorkerProcess(process, ready, log)
        self.workers.append(worker)
        return worker

    async def start(self, count: int, environments: list[dict[str, str]] | None = None) -> None:
        """Starts workers and waits until all of them fetch."""
        started = [self.spawn(environments[n % len(environments)] if environments else None) for n in range(count)]
        for worker in started:
            await worker.wait_ready()

    def alive(self) -> list[WorkerProcess]:
        return [worker for worker in self.workers if worker.alive]

    async def stop(self) -> None:
        """Ends all of them, whatever state they are in."""
        for worker in self.alive():
            worker.send(signal.SIGKILL)
        for worker in self.workers:
            await worker.wait()
            worker.ready.unlink(missing_ok=True)

    def logs(self) -> list[str]:
        """What each worker wrote to its log."""
        return [worker.log.read_text(errors="replace") for worker in self.workers]

    def complaints(self) -> list[str]:
        """Tracebacks of the engine's own: a fault must not surface as one."""
        return [log[log.index("Traceback") :][:3000] for log in self.logs() if "Traceback" in log]
