#!/usr/bin/env python3
"""One of two workers is killed: how long until all that it held has run, and how much longer the whole work takes.

    BENCH_HOME=... .venv/bin/python bench/rescue.py [--rounds 3] [--lease 10] [--out FILE]

Two worker processes of 20 slots each work off sleeping jobs, Crewline's and BullMQ's (Node) in turns at the same lease.
A SIGKILL takes one of them at a moment drawn anew each round, the same for both engines; it is started again a second
later, as a ReplicaSet would. BullMQ looks for stalled jobs once a lease, its default ratio. Needs the project's own
environment (make setup) and bench/setup.sh node.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from crewline import Job, Queue, Worker

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE))
from report import rows_table  # noqa: E402
from server import MiniRedis, Server  # noqa: E402
from settings import HOME  # noqa: E402

SLOTS, NAP_SECONDS, JOBS = 20, 3.0, 400


async def handle(_job: Job) -> None:
    await asyncio.sleep(NAP_SECONDS)


async def work(port: int, lease: float) -> None:
    await Worker("b", handle, redis=f"redis://127.0.0.1:{port}", concurrency=SLOTS, lease_seconds=lease).run()


async def fill(port: int) -> None:
    async with Queue("b", redis=f"redis://127.0.0.1:{port}") as queue:
        await queue.add_bulk(("nap", None, {"remove_on_complete": False}) for _ in range(JOBS))


def start(engine: str, port: int, lease: float) -> subprocess.Popen[bytes]:
    if engine == "crewline":
        argv = [sys.executable, __file__, "--work", str(port), "--lease", str(lease)]
    else:
        argv = ["node", str(HERE / "peers" / "rescue.mjs")]
        argv += [str(round(each)) for each in (port, SLOTS, lease * 1000, NAP_SECONDS * 1000)]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, env=dict(os.environ, BENCH_HOME=str(HOME)))


def measure(server: Server, engine: str, lease: float, kill_after: float | None) -> dict[str, float]:
    """Seconds of the whole work, and from the kill until all that was active then has completed."""
    server.flush()
    asyncio.run(fill(server.port))
    redis = MiniRedis(server.port)
    workers = [start(engine, server.port, lease) for _ in range(2)]
    result: dict[str, float] = {}
    try:
        while redis("LLEN", "bull:b:active") < 2 * SLOTS:
            time.sleep(0.01)
        begun = time.monotonic()
        if kill_after is not None:
            time.sleep(kill_after)
            workers[0].kill()
            killed, held = time.monotonic(), redis("LRANGE", "bull:b:active", 0, -1)
            time.sleep(1)
            workers.append(start(engine, server.port, lease))
            while any(redis("ZSCORE", "bull:b:completed", each) is None for each in held):
                time.sleep(0.02)
            result["rescue"] = time.monotonic() - killed
        while redis("ZCARD", "bull:b:completed") < JOBS:
            time.sleep(0.02)
        result["work"] = time.monotonic() - begun
    finally:
        for each in workers:
            each.kill()
            each.wait()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="kills of each engine (%(default)s)")
    parser.add_argument("--lease", type=float, default=10, help="seconds (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the kills' moments (%(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write each round there, as JSON")
    parser.add_argument("--work", type=int, metavar="PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        asyncio.run(work(arguments.work, arguments.lease))
        return
    draw = random.Random(arguments.seed)
    engines = ("crewline", "bullmq")
    seen: dict[str, dict[str, Any]] = {each: {"rescue": [], "killed": []} for each in engines}
    server = Server()
    try:
        for engine in engines:
            seen[engine]["undisturbed"] = measure(server, engine, arguments.lease, None)["work"]
        for at in range(1, arguments.rounds + 1):
            kill_after = draw.uniform(3, 3 + arguments.lease)
            for engine in engines:
                row = measure(server, engine, arguments.lease, kill_after)
                seen[engine]["rescue"].append(row["rescue"])
                seen[engine]["killed"].append(row["work"])
                told = f"what it held has run {row['rescue']:.1f} s later, {row['work']:.1f} s in all"
                print(f"{engine} {at}/{arguments.rounds}: killed after {kill_after:.1f} s, {told}", file=sys.stderr)
    finally:
        server.stop()
    print(rows_table([
        {"engine": engine, "rescue s (median)": f"{statistics.median(row['rescue']):.1f}",
         "rescue s (worst)": f"{max(row['rescue']):.1f}", "work s, undisturbed": f"{row['undisturbed']:.1f}",
         "work s, one kill (median)": f"{statistics.median(row['killed']):.1f}",
         "times as long": f"{statistics.median(row['killed']) / row['undisturbed']:.2f}"}
        for engine, row in seen.items()
    ]))  # fmt: skip
    if arguments.out:
        arguments.out.write_text(
            json.dumps({"lease": arguments.lease, "seed": arguments.seed, **seen}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
