"""``crewline metrics``: how many jobs are in each state."""

from __future__ import annotations

import dataclasses

from crewline.cli.common import (
    DEFAULT_PREFIX,
    DEFAULT_REDIS,
    JsonOption,
    LettersOption,
    PrefixOption,
    QueueOption,
    RedisOption,
    run,
)
from crewline.cli.printing import cell, draw, tell, to_json
from crewline.queue.observing import Metrics
from crewline.queue.queue import Queue


def metrics(
    queue: QueueOption,
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    dead_letter_queue: LettersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how many jobs a queue has in each state.

    Example: [bold]crewline metrics -q emails --json[/bold]
    """

    async def read() -> Metrics:
        async with Queue(queue, redis=redis, prefix=prefix, dead_letter_queue=dead_letter_queue) as target:
            return await target.metrics()

    counts = dataclasses.asdict(run(read(), redis))
    if as_json:
        tell(to_json({"queue": queue, **counts}))
        return
    from rich.table import Table

    table = Table(title=cell(f"{queue}{' (paused)' if counts.pop('paused') else ''}"), title_justify="left", box=None)
    for state in counts:
        table.add_column(state.replace("_", " "), justify="right")
    table.add_row(*(f"{count:,}" for count in counts.values()))
    draw(table)
