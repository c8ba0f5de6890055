"""The long form: `make model`, or `python -m tests.redis.model --help`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests import redis_server
from tests.redis.model import driver


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.redis.model", description="Random steps through the scripts, invariants after each."
    )
    parser.add_argument("--steps", type=int, default=10_000, help="how many at least (%(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of all that is random; now, if not given")
    parser.add_argument("--length", type=int, default=60, help="steps from one empty Redis to the next (%(default)s)")
    arguments = parser.parse_args()
    print(f"model: {arguments.steps} steps, seed {arguments.seed}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="crewline-model-") as folder,
        redis_server.start(Path(folder)) as server,
        driver.machine_on(server.url) as machine,
    ):
        return 0 if driver.run_long(machine, arguments.steps, arguments.seed, arguments.length) else 1


if __name__ == "__main__":
    sys.exit(main())
