"""What this Redis can do at most: PING, LPUSH, and two scripts that do what a job's life minimally needs."""

from __future__ import annotations

import json
import statistics
import subprocess

from measures import Failed
from server import Server
from settings import HERE


def redis_benchmark(port: int, n: int, clients: int, depth: int, *cmd: str) -> float:
    argv = [
        "redis-benchmark",
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-n",
        str(n),
        "-c",
        str(clients),
        "-P",
        str(depth),
        "--csv",
        *cmd,
    ]
    text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    # "the command","rps","avg","min","p50","p95","p99","max"; the command may hold quotes
    return float(text.strip().splitlines()[-1].rsplit('","', 7)[1])


def limits(s: Server, repeat: int) -> list[dict]:
    """PING, LPUSH, and the two scripts that do what a job's life minimally needs."""
    data = json.dumps(
        {"i": 1, "to": "user00000001@example.com", "template": "welcome", "locale": "en", "tags": ["a", "b", "c"]}
    )
    rows = []
    for clients, depth, n in ((1, 1, 30_000), (1, 16, 120_000), (50, 1, 100_000), (50, 16, 200_000)):
        got: dict[str, list[float]] = {}
        for _ in range(repeat):
            s.flush()
            sha = {
                f: s.r("SCRIPT", "LOAD", (HERE / "lua" / f"{f}.lua").read_text()).decode() for f in ("enqueue", "next")
            }

            def run(label: str, count: int, *cmd: str, jobs: int = 1) -> None:
                got.setdefault(label, []).append(jobs * redis_benchmark(s.port, count, clients, depth, *cmd))

            run("PING", n, "PING")
            run("LPUSH", n, "LPUSH", "l", data)
            s.r("FLUSHALL", "SYNC")
            run("enqueue.lua", n, "EVALSHA", sha["enqueue"], "2", "w", "id", *[data])
            run("next.lua (finish + fetch)", n, "EVALSHA", sha["next"], "3", "w", "a", "d", "1", "1000")
            s.r("FLUSHALL", "SYNC")
            run(
                "enqueue.lua, 20 jobs a call", n // 10, "EVALSHA", sha["enqueue"], "2", "w", "id", *[data] * 20, jobs=20
            )
            run("next.lua, 20 jobs a call", n // 10, "EVALSHA", sha["next"], "3", "w", "a", "d", "20", "1000", jobs=20)
            left = s.r("LLEN", "w")
            if left:
                raise Failed(f"limits: {left} jobs left waiting")
        for label, rates in got.items():
            rows.append(
                {"clients": clients, "depth": depth, "what": label, "per_s": statistics.median(rates), "all": rates}
            )
    return rows
