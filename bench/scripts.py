"""How long Redis stands still for a call of each script at its largest input: `.venv/bin/python bench/scripts.py`.

Each script's header says its bound; this makes calls of that size and prints how much processor time Redis' main thread
takes for the longest call of a scenario, the least of some repeats. `--most MS` ends it with 1 if one took longer than
that, but for those scenarios that are exceptions.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncGenerator, Iterable
from importlib.resources import files
from typing import Any

from crewline import Queue
from crewline.redis import scripts
from crewline.redis.lanes import Command, Lanes
from inputs import EXCEPTIONS, SCENARIOS
from inputs.base import Scenario
from server import Server

NAMES = [each.name.removesuffix(".lua") for group in scripts.GROUPS for each in (files(scripts) / group).iterdir()]


def busy_seconds(server: Server) -> float:
    told = server.r.info("cpu")
    return float(told["used_cpu_user_main_thread"]) + float(told["used_cpu_sys_main_thread"])


async def longest(server: Server, prepare: Scenario) -> float:
    """Milliseconds of the longest call of a scenario."""
    server.flush()
    took: list[float] = []
    call, ahead = Lanes.call, Lanes.call_ahead

    async def timed(self: Lanes, *command: Any) -> Any:
        before = busy_seconds(server)
        answer = await call(self, *command)
        if command[0] == "EVALSHA":
            took.append((busy_seconds(server) - before) * 1000)
        return answer

    async def one_by_one(self: Lanes, commands: Iterable[Command]) -> AsyncGenerator[Any]:
        for command in commands:
            yield await timed(self, *command)

    async with Queue("bench", redis=f"redis://127.0.0.1:{server.port}/0") as queue:
        act = await prepare(queue)
        for name in NAMES:
            # or the first call of each would be the one that compiles it
            server.r("SCRIPT", "LOAD", scripts.source(name))
        Lanes.call, Lanes.call_ahead = timed, one_by_one  # type: ignore[method-assign]
        try:
            await act()
        finally:
            Lanes.call, Lanes.call_ahead = call, ahead  # type: ignore[method-assign]
    return max(took)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--most", type=float, default=0.0, metavar="MS")
    parser.add_argument("only", nargs="*", help="parts of scenarios' names")
    asked = parser.parse_args()
    server, late = Server(), []
    print(f"| script, at its bound ({scripts.MOST_JOBS} jobs where its header says no other) | longest call, ms |")
    print("|---|---:|")
    try:
        for name, prepare in SCENARIOS.items():
            if asked.only and not any(part in name for part in asked.only):
                continue
            runs = [await longest(server, prepare) for _ in range(asked.repeat)]
            least_ms = min(runs)
            print(f"| {name} | {least_ms:.2f} |", flush=True)
            if asked.most and least_ms > asked.most and name not in EXCEPTIONS:
                late.append(name)
    finally:
        server.stop()
    if late:
        sys.exit(f"scripts: longer than {asked.most:g} ms: {', '.join(late)}")


if __name__ == "__main__":
    asyncio.run(main())
