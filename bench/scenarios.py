#!/usr/bin/env python3
"""What the comparison of peers leaves out: distance, memory over a million jobs, many workers, many queues.

    .venv/bin/python bench/scenarios.py [distance memory workers queues kinds] [--out FILE] [--quick]

Each scenario starts a Redis of its own and worker processes of ours, and prints a table; --out writes JSON that
bench/publish.py draws. Needs the project's own environment (make setup).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import uvloop
from crewline import Job, Keep, Queue, Worker

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE))
from report import rows_table as table  # noqa: E402
from server import MiniRedis, Server  # noqa: E402

PAYLOAD = {"to": "user00000001@example.com", "template": "welcome", "locale": "en", "tags": ["a", "b", "c"]}


async def handle(job: Job) -> int:
    return job.data["i"]


def handle_plainly(job: Any) -> int:
    return job.data["i"]


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def fill(url: str, count: int, queue: str = "b") -> None:
    async with Queue(queue, redis=url) as target:
        for start in range(0, count, 20_000):
            await target.add_bulk(("n", {"i": i, **PAYLOAD}) for i in range(start, min(start + 20_000, count)))


class Workers:
    """Worker processes of ours on one queue; ended by their own process ids."""

    def __init__(self, url: str, count: int, concurrency: int = 100, kind: str = "async", keep: str = "all") -> None:
        argv = [sys.executable, __file__, "--work", url, str(concurrency), kind, keep]
        self.processes = [subprocess.Popen(argv, stdin=subprocess.DEVNULL) for _ in range(count)]

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(20)


async def work(url: str, concurrency: int, kind: str, keep: str) -> None:
    """The life of a worker process."""
    handler = handle if kind == "async" else handle_plainly
    worker = Worker(
        "b", handler, redis=url, concurrency=concurrency, execution="process" if kind == "process" else None,
        keep_completed=Keep() if keep == "all" else Keep(count=1000),
    )  # fmt: skip
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(15, lambda: asyncio.ensure_future(worker.stop(grace_seconds=1)))
    await worker.run()


def drain_seconds(server: Server, left: int = 0) -> float:
    """Seconds until nothing waits or runs, from the first job that is active."""
    while not server.r("LLEN", "bull:b:active"):
        time.sleep(0.001)
    start = time.monotonic()
    while server.r("LLEN", "bull:b:wait") + server.r("LLEN", "bull:b:active") > left:
        time.sleep(0.005)
    return time.monotonic() - start


def rate(server: Server, url: str, jobs: int, **workers: Any) -> float:
    """Jobs a second that worker processes drain."""
    server.flush()
    asyncio.run(fill(f"redis://127.0.0.1:{server.port}/0", jobs))
    fleet = Workers(url, **workers)
    try:
        return jobs / drain_seconds(server)
    finally:
        fleet.stop()


def distance(server: Server, quick: bool) -> list[dict[str, Any]]:
    """What a round trip of 2 ms costs: the same drain through a proxy without and with it, in turns."""
    jobs, turns = (5_000, 3) if quick else (20_000, 9)
    proxies, rows = [], []
    try:
        for added in (0.0, 2.0):
            argv = [sys.executable, str(HERE / "delay_line.py"), str(server.port), str(added)]
            proxies.append(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
            port = int((proxies[-1].stdout or sys.stdin).readline())
            rows.append({"added_round_trip_ms": added, "ping_ms": ping_ms(port), "port": port, "all": []})
        for _ in range(turns):
            for row in rows:
                row["all"].append(rate(server, f"redis://127.0.0.1:{row['port']}/0", jobs, count=1))
    finally:
        for proxy in proxies:
            proxy.terminate()
            proxy.wait(5)
    # of neighbours in time: the speed of a shared machine changes from minute to minute
    lost = [100 * (1 - far / near) for near, far in zip(rows[0]["all"], rows[1]["all"], strict=True)]
    rows[1]["loss_percent"] = statistics.median(lost)
    for row in rows:
        del row["port"]
        row["jobs_per_s"] = statistics.median(row["all"])
    return rows


def ping_ms(port: int) -> float:
    """The median time of a PING, in milliseconds."""
    redis, took = MiniRedis(port), []
    for _ in range(200):
        start = time.perf_counter()
        redis("PING")
        took.append((time.perf_counter() - start) * 1000)
    return statistics.median(took)


def memory(server: Server, quick: bool) -> list[dict[str, Any]]:
    """Resident memory of one worker over a million jobs."""
    total, step, rows = (100_000, 20_000, []) if quick else (1_000_000, 100_000, [])
    server.flush()
    fleet = Workers(f"redis://127.0.0.1:{server.port}/0", 1, keep="some")
    try:
        for done in range(step, total + 1, step):
            asyncio.run(fill(f"redis://127.0.0.1:{server.port}/0", step))
            drain_seconds(server) if server.r("LLEN", "bull:b:wait") else None
            rows.append({"jobs": done, "rss_mib": resident_bytes(fleet.processes[0].pid) / 2**20})
    finally:
        fleet.stop()
    return rows


def workers(server: Server, quick: bool) -> list[dict[str, Any]]:
    """One queue, one to four worker processes."""
    jobs, rows = 5_000 if quick else 40_000, []
    for count in (1, 2, 3, 4):
        before = server.cpu()
        jobs_per_s = rate(server, f"redis://127.0.0.1:{server.port}/0", jobs, count=count)
        redis_us = (server.cpu() - before) / jobs * 1e6
        rows.append({"workers": count, "jobs_per_s": jobs_per_s, "redis_us_per_job": redis_us})
    return rows


def queues(server: Server, quick: bool) -> list[dict[str, Any]]:
    """One Redis, one to a thousand queues, jobs spread evenly; one process that works on all."""
    jobs, rows = 5_000 if quick else 20_000, []
    for count in (1, 10, 100, 1000):
        server.flush()
        argv = [sys.executable, __file__, "--many", str(server.port), str(count), str(jobs)]
        out = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        rows.append({"queues": count, **json.loads(out.splitlines()[-1])})
    return rows


async def many(port: int, count: int, jobs: int) -> None:
    """Fills ``count`` queues, works them off with one worker each, all in this process, and prints the rate."""
    url = f"redis://127.0.0.1:{port}/0"
    for n in range(count):
        await fill(url, max(jobs // count, 1), f"q{n}")
    done = 0
    finished = asyncio.Event()
    total = max(jobs // count, 1) * count

    async def counted(job: Job) -> int:
        nonlocal done
        done += 1
        if done == total:
            finished.set()
        return job.data["i"]

    fleet = [Worker(f"q{n}", counted, redis=url, concurrency=20) for n in range(count)]
    start = time.monotonic()
    running = [asyncio.ensure_future(worker.run()) for worker in fleet]
    await finished.wait()
    seconds = time.monotonic() - start
    for worker in fleet:
        await worker.stop(grace_seconds=0)
    await asyncio.gather(*running)
    print(json.dumps({"jobs_per_s": total / seconds, "seconds": seconds}))


def kinds(server: Server, quick: bool) -> list[dict[str, Any]]:
    """How a handler runs: on the loop, in threads, in processes."""
    rows = []
    for kind, jobs, concurrency in (("async", 20_000, 100), ("thread", 10_000, 16), ("process", 4_000, 2)):
        jobs = jobs // 4 if quick else jobs
        url = f"redis://127.0.0.1:{server.port}/0"
        got = sorted(rate(server, url, jobs, count=1, concurrency=concurrency, kind=kind) for _ in range(3))
        rows.append({"execution": kind, "concurrency": concurrency, "jobs_per_s": got[1], "all": got})
    return rows


SCENARIOS = {f.__name__: f for f in (distance, memory, workers, queues, kinds)}


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] == "--work":
        return uvloop.run(work(sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5]))
    if len(sys.argv) > 1 and sys.argv[1] == "--many":
        return uvloop.run(many(int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scenario", nargs="*", help=f"any of {', '.join(SCENARIOS)}; all if none is named")
    parser.add_argument("--out", help="writes the rows as JSON, beside what that file has")
    parser.add_argument("--quick", action="store_true", help="a rough run with fewer jobs")
    arguments = parser.parse_args()
    for name in arguments.scenario:
        if name not in SCENARIOS:
            parser.error(f"unknown scenario {name!r}: use any of {', '.join(SCENARIOS)}")
    server = Server()
    results: dict[str, Any] = {}
    try:
        for name in arguments.scenario or SCENARIOS:
            print(f"\n{name}: {(SCENARIOS[name].__doc__ or '').strip()}\n", flush=True)
            results[name] = SCENARIOS[name](server, arguments.quick)
            print(table(results[name]), flush=True)
    finally:
        server.stop()
    if arguments.out:
        path = Path(arguments.out)
        known = json.loads(path.read_text()) if path.exists() else {}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(known | results, indent=1) + "\n")


if __name__ == "__main__":
    # a child process of the kind "process" imports this file by name
    sys.modules["scenarios"] = sys.modules["__main__"]
    handle_plainly.__module__ = "scenarios"
    main()
