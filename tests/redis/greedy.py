"""A process that reads queues as the operator does, and says how much memory that took: `python -m ... URL QUEUE...`.

Prints, as JSON, by how many MiB its peak has grown, and what was read of each queue: its fault, or what runs.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.poller import Poller

from tests.redis.polling import other

READS = 3


def peak_mib() -> float:
    """The most that this process has ever held, which what a child takes over of its parent is no part of."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def read(url: str, queues: list[str]) -> dict[str, Any]:
    poller = Poller(Endpoint(url, "shown"), lambda _: None, 60.0)
    # what a first read imports and opens is no growth
    poller.watch(*other("nobody"))
    await poller.poll_once()
    before = peak_mib()
    keys = {queue: other(queue) for queue in queues}
    for key, target in keys.values():
        poller.watch(key, target)
    for _ in range(READS):
        await poller.poll_once()
    told: dict[str, Any] = {"grown_mib": peak_mib() - before}
    for queue, (key, _) in keys.items():
        reading = poller.reading(key)
        told[queue] = (
            [reading.fault.reason, reading.fault.message]
            if reading.fault is not None
            else [[run.name, run.progress] for run in (reading.snapshot.running if reading.snapshot else ())]
        )
    await poller.stop()
    return told


if __name__ == "__main__":
    print(json.dumps(asyncio.run(read(sys.argv[1], sys.argv[2:]))))
