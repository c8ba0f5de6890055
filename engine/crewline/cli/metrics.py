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
from crewline.cli.opening import opened
from crewline.cli.printing import tell, to_json
from crewline.cli.tables import Column, Table, draw
from crewline.queue.observing import Metrics


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
        async with opened(queue, redis, prefix, dead_letter_queue=dead_letter_queue) as target:
            return await target.metrics()

    counts = dataclasses.asdict(run(read(), redis))
    if as_json:
        tell(to_json({"queue": queue, **counts}))
        return
    title = f"{queue}{' (paused)' if counts.pop('paused') else ''}"
    table = Table([Column(state.replace("_", "-"), right=True) for state in counts], title)
    table.add(*(f"{count:,}" for count in counts.values()))
    draw(table)
