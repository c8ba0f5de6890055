"""How many instructions redis-server executes for a job: `.venv/bin/python bench/instructions.py`.

Times on a shared machine say little about a change of five per cent; callgrind (of valgrind) counts what the server
executes, and counts the same again whatever else the machine does: two runs differ by a per cent at most. What the
system does for it (sockets), and waits for memory, are not counted. `--functions N` prints where the most of it goes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from crewline import Queue
from crewline.redis.scripts import Result
from server import Server

PAYLOAD = {"i": 12345, "to": "user00000001@example.com", "template": "welcome", "locale": "en", "tags": ["a", "b", "c"]}
#: As with those peers that keep all by default.
KEPT = {"remove_on_complete": False}
#: Jobs that a row is measured with in full calls, and by themselves.
MANY, FEW = 2000, 200
TOKEN = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed:1"

Act = Callable[[Queue], Awaitable[Any]]


class Counted:
    """A Redis below callgrind."""

    def __init__(self) -> None:
        if not shutil.which("valgrind"):
            sys.exit("instructions: valgrind is needed (Debian: apt-get install valgrind)")
        # its own work by time is to be little beside the work that is counted
        self.server = Server(
            under=["valgrind", "--tool=callgrind", "--callgrind-out-file=counts", "--trace-children=no"],
            options=["--hz", "1", "--dynamic-hz", "no"],
        )
        self.dumps = 0

    def control(self, option: str) -> None:
        subprocess.run(
            ["callgrind_control", option, str(self.server.proc.pid)], check=True, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip

    async def count(self, act: Act, queue: Queue) -> Counter[str]:
        """Instructions by function while ``act`` runs."""
        self.control("--zero")
        await act(queue)
        self.control("--dump")
        self.dumps += 1
        return by_function(Path(self.server.dir) / f"counts.{self.dumps}")


def by_function(dump: Path) -> Counter[str]:
    """What each function executed itself, from a dump of callgrind's; see its manual for the format."""
    names: dict[str, str] = {}
    counts: Counter[str] = Counter()
    function, called = "", False
    for line in dump.read_text().splitlines():
        if named := re.match(r"fn=(\(\d+\))(?: (.*))?$", line):
            function = names.setdefault(named[1], named[2] or named[1])
        elif named := re.match(r"cfn=(\(\d+\)) (.*)$", line):
            names.setdefault(named[1], named[2])
        elif line.startswith("calls="):
            called = True  # what the callee costs is in the line that follows
        elif cost := re.match(r"[+\-*\d]\S* (\d+)$", line):
            if not called:
                counts[function] += int(cost[1])
            called = False
    return counts


async def add(queue: Queue, count: int) -> None:
    await queue.add_bulk(("n", PAYLOAD, KEPT) for _ in range(count))


async def work(queue: Queue, done: Sequence[str], room: int) -> list[str]:
    """One call that completes and fetches jobs."""
    results = [Result(job_id, TOKEN, "completed", json.dumps(PAYLOAD["i"]), plain=True) for job_id in done]
    fetched = await queue.scripts.finish_and_fetch(
        results, letters=f"{queue.keys.base}-dlq:", token=TOKEN, lease_ms=30_000, worker="worker-1", room=room
    )
    if any(fetched.codes) or len(fetched.jobs) < room:
        raise RuntimeError(f"{fetched.codes} {len(fetched.jobs)}")
    return [job.id for job in fetched.jobs]


async def measure(counted: Counted) -> dict[str, tuple[int, Counter[str]]]:
    """Rows: jobs, and the instructions for all of them."""
    rows: dict[str, tuple[int, Counter[str]]] = {}
    held: list[str] = []

    async def row(name: str, jobs: int, act: Act) -> None:
        rows[name] = jobs, await counted.count(act, queue)

    async def add_alone(queue: Queue) -> None:
        for _ in range(FEW):
            await queue.add("n", PAYLOAD, **KEPT)

    async def both(queue: Queue) -> None:
        for _ in range(MANY // 25):
            held[:] = held[25:] + await work(queue, held[:25], 25)

    async def fetch(queue: Queue, jobs: int = 250) -> None:
        for _ in range(jobs // 25):
            held.extend(await work(queue, [], 25))

    async def finish(queue: Queue) -> None:
        while held:
            await work(queue, held[:25], 0)
            del held[:25]

    async def nothing(queue: Queue) -> None:
        for _ in range(FEW):
            await work(queue, [], 0)

    async def alone(queue: Queue) -> None:
        for _ in range(FEW):
            await work(queue, await work(queue, [], 1), 0)

    async with Queue("bench", redis=f"redis://127.0.0.1:{counted.server.port}/0", timeout_seconds=60) as queue:
        # Redis knows the scripts, and its streams and lists are as long as they get
        await add(queue, 5000)
        await both(queue)
        await finish(queue)
        await row("add, 200 a call", MANY, lambda queue: add(queue, MANY))
        # as many are active as a worker runs at once
        await fetch(queue, 100)
        await row("finish and fetch, 25 a call", MANY, both)
        await finish(queue)
        await row("add, one a call", FEW, add_alone)
        await row("fetch and finish, one a call", FEW, alone)
        await row("a call that does nothing", FEW, nothing)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--functions", type=int, default=0, metavar="N")
    asked = parser.parse_args()
    counted = Counted()
    try:
        rows = asyncio.run(measure(counted))
    finally:
        counted.server.stop()
    print("| what | instructions a job |\n|---|---:|")
    for name, (jobs, counts) in rows.items():
        print(f"| {name} | {counts.total() / jobs:,.0f} |")
    for name, (jobs, counts) in rows.items():
        if asked.functions:
            print(f"\n{name}:")
        for function, count in counts.most_common(asked.functions):
            print(f"{count / jobs:10,.0f}  {function}")


if __name__ == "__main__":
    main()
