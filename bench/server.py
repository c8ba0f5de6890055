"""The Redis that is measured against, and what it tells of itself."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from settings import HERE

sys.path.append(str(HERE / "peers"))
from _miniredis import MiniRedis  # noqa: E402


class Server:
    """A redis-server of our own on a free loopback port, nothing persisted.

    Args:
        under: the command it runs under.
        options: more of its own.
    """

    def __init__(self, under: Sequence[str] = (), options: Sequence[str] = ()) -> None:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.dir = tempfile.mkdtemp(prefix="bench-redis-")
        self.proc = subprocess.Popen(
            [
                *under,
                "redis-server",
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
                self.dir,
                "--logfile",
                "redis.log",
                "--daemonize",
                "no",
                *options,
            ],
            cwd=self.dir,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(100):
            try:
                self.r = MiniRedis(self.port)
                break
            except OSError:
                time.sleep(0.05)

    def flush(self) -> None:
        self.r("FLUSHALL", "SYNC")
        self.r("SCRIPT", "FLUSH")
        self.r("FUNCTION", "FLUSH", "SYNC")
        self.r("CONFIG", "RESETSTAT")
        time.sleep(0.2)

    def memory(self) -> int:
        time.sleep(0.2)  # let the buffers of clients that left be freed
        return int(self.r.info("memory")["used_memory"])

    def cpu(self) -> float:
        d = self.r.info("cpu")
        return float(d["used_cpu_sys"]) + float(d["used_cpu_user"])

    def calls(self) -> dict[str, int]:
        d = self.r.info("commandstats")
        return {k.removeprefix("cmdstat_"): int(v.split("calls=")[1].split(",")[0]) for k, v in d.items()}

    def reads(self) -> int:
        return int(self.r.info("stats")["total_reads_processed"])

    def stop(self) -> None:
        self.proc.terminate()
        self.proc.wait(10)
        shutil.rmtree(self.dir, ignore_errors=True)


class Monitor:
    """Counts commands by MONITOR: sent by clients, and called inside scripts."""

    def __init__(self, port: int) -> None:
        self.r = MiniRedis(port)
        self.r("MONITOR")
        self.top = self.lua = 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            for line in self.r.buf:
                head = line.split(b"]", 1)[0]
                if head.endswith(b" lua"):
                    self.lua += 1
                else:
                    self.top += 1
        except (OSError, ValueError):
            pass

    def stop(self) -> tuple[int, int]:
        time.sleep(0.3)
        self.r.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(5)
        return self.top, self.lua


def machine(s: Server) -> dict:
    cpu = next(
        (
            x.split(":", 1)[1].strip()
            for x in Path("/proc/cpuinfo").read_text().splitlines()
            if x.startswith("model name")
        ),
        "?",
    )
    osname = next(
        (
            x.split("=", 1)[1].strip('"')
            for x in Path("/etc/os-release").read_text().splitlines()
            if x.startswith("PRETTY_NAME")
        ),
        "?",
    )
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "os": osname,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "redis": s.r.info("server")["redis_version"],
    }
