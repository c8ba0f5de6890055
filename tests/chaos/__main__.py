"""The long form: `make chaos`, or `python -m tests.chaos --help`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests import redis_server
from tests.chaos import driver, report
from tests.chaos.faults import FAULTS
from tests.chaos.scene import LONG


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Break one thing at a time, count.")
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"which; all if none is named: {', '.join(FAULTS)}")
    parser.add_argument("--jobs", type=int, default=LONG.jobs, help="jobs for each fault (%(default)s)")
    parser.add_argument("--rounds", type=int, default=LONG.rounds, help="how often each strikes (%(default)s)")
    parser.add_argument("--workers", type=int, default=LONG.workers, help="processes (%(default)s)")
    parser.add_argument("--concurrency", type=int, default=LONG.concurrency, help="slots of each (%(default)s)")
    parser.add_argument("--lease", type=float, default=LONG.lease_seconds, help="seconds (%(default)s)")
    parser.add_argument(
        "--span", type=float, default=LONG.span_seconds, help="seconds of undisturbed work (%(default)s)"
    )
    parser.add_argument(
        "--stop", type=float, default=LONG.stop_seconds, help="seconds that SIGSTOP lasts (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of all that is random; now, if not given")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the rows there")
    arguments = parser.parse_args()
    if unknown := set(arguments.faults) - set(FAULTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}")
    form = replace(
        LONG, jobs=arguments.jobs, rounds=arguments.rounds, workers=arguments.workers,
        concurrency=arguments.concurrency, lease_seconds=arguments.lease, span_seconds=arguments.span,
        stop_seconds=arguments.stop,
    )  # fmt: skip
    print(f"chaos: {form}, seed {arguments.seed}", flush=True)
    rows: list[driver.Row] = []
    with tempfile.TemporaryDirectory(prefix="crewline-chaos-") as folder:
        for name in arguments.faults or FAULTS:
            row = asyncio.run(driver.run(FAULTS[name], form, arguments.seed, Path(folder) / name))
            rows.append(row)
            print(f"{name}: lost {row.lost}, twice {row.twice}, recovers in {row.recover_seconds} s, {row.seconds} s")
            longer = f", {row.longer} times as long as undisturbed" if row.longer else ""
            print(f"  {row.work_seconds} s of work{longer}; free slots filled in {row.fill_seconds} s")
            for problem in row.problems:
                print(f"  PROBLEM: {problem}")
            sys.stdout.flush()
            if arguments.json:
                with redis_server.start(Path(folder) / "version") as server:
                    report.write(arguments.json, rows, form, arguments.seed, server.url)
    print(report.table(rows))
    return 1 if any(row.problems for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
