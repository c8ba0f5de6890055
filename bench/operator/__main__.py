#!/usr/bin/env python3
"""How soon the operator reacts and what it costs, on a real API server.

    .venv/bin/python -m bench.operator --help

The operator runs as a process of its own beside the cluster, on a Redis of this bench's. Pods are refused by a quota:
what is measured ends where the operator's part does, with the number of replicas that it asks for.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.operator import measures
from bench.operator.command import parser_of, run_command
from bench.operator.report import markdown
from bench.operator.stage import Stage, open_stage

#: In the order in which they are run: each one's queues are there for the next.
MEASURES = ("wake-one", "backlog", "created", "idle", "wake-many")


def main() -> int:
    parser = parser_of("python -m bench.operator", __doc__, MEASURES)
    parser.add_argument("--samples", type=int, default=50, help="of each reaction time (default 50)")
    parser.add_argument("--queues", type=int, default=1000, help="of the measures with many (default 1000)")
    parser.add_argument("--idle-seconds", type=float, default=60.0, help="how long idleness is watched (default 60)")
    parser.add_argument(
        "--producer",
        default="bullmq6",
        choices=["bullmq5", "bullmq6", "crewline"],
        help="who adds the jobs: a Node client (make test-interop installs it), or ours (default bullmq6)",
    )
    return run_command(parser, MEASURES, bench, markdown)


async def bench(args: argparse.Namespace) -> dict[str, Any]:
    """Run what was asked for; each measure with the load of the machine while it ran."""
    wanted = [name for name in MEASURES if not args.measures or name in args.measures]
    columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    rows: list[dict[str, Any]] = []
    with Progress(*columns, console=Console(stderr=True)) as progress:
        starting = progress.add_task("start", total=1)
        async with open_stage(args.cluster, args.producer, args.keep) as stage:
            progress.advance(starting)
            for name in wanted:
                rows.append(await measured(name, stage, args, progress))
    return {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "producer": args.producer,
        "rows": rows,
    }


async def measured(name: str, stage: Stage, args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    total = {"created": args.queues, "idle": round(args.idle_seconds)}.get(name, args.samples)
    task = progress.add_task(name, total=total)

    def step(count: int = 1) -> None:
        progress.advance(task, count)

    load = stage.load()
    match name:
        case "wake-one":
            row = await measures.wake(stage, await measures.some_queues(stage, "one", 1), args.samples, step)
        case "backlog":
            row = await measures.backlog(stage, args.samples, step)
        case "created":
            row = await measures.created(stage, args.queues, step)
        case "idle":
            await measures.some_queues(stage, "many", args.queues)
            row = await measures.idle(stage, args.idle_seconds, step)
        case _:
            names = await measures.some_queues(stage, "many", args.queues)
            row = await measures.wake(stage, names, args.samples, step)
    return {"measure": name, **row, **load()}


if __name__ == "__main__":
    sys.exit(main())
