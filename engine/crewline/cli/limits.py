"""``crewline limits``: what holds over all workers of a queue, shown, set and cleared."""

from __future__ import annotations

import dataclasses
import re
from typing import Annotated

import typer

from crewline.cli.common import DEFAULT_PREFIX, DEFAULT_REDIS, JsonOption, PrefixOption, QueueOption, RedisOption, run
from crewline.cli.opening import opened
from crewline.cli.printing import say, tell, to_json
from crewline.cli.usage import EXIT_USAGE, checked, fail
from crewline.errors import InvalidOption
from crewline.queue.observing import Limits
from crewline.queue.queue import Queue
from crewline.wire.checks import check_rate

NONE = "none"


def read_rate(said: str) -> tuple[int, float] | None:
    """What ``--rate`` says, None for no bound. Raises InvalidOption."""
    if said == NONE:
        return None
    found = re.fullmatch(r"(\d{1,12})/(\d{1,9}(?:\.\d{1,9})?)", said)
    if not found:
        raise InvalidOption(f"{said!r} can't be used: say jobs/seconds, as 100/1 or 1000/60; or none")
    return check_rate((int(found[1]), float(found[2])))


def read_concurrency(said: str) -> int | None:
    """The same of ``--concurrency``."""
    if said == NONE:
        return None
    if not re.fullmatch(r"[1-9]\d{0,8}", said):
        raise InvalidOption(f"{said!r} can't be used: say how many jobs, 1 or more; or none")
    return int(said)


def limits(
    queue: QueueOption,
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    concurrency: Annotated[
        str | None,
        typer.Option(
            help="How many jobs may run at once; none for no bound.",
            show_default="as it is",
            callback=checked(read_concurrency),
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            help="How many may start in how many seconds, as 100/1; none for no bound.",
            show_default="as it is",
            callback=checked(read_rate),
        ),
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="No bounds any more, also none that a client has set for a time.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show, set or clear what holds over all workers of a queue, BullMQ's too.

    Examples: [bold]crewline limits -q emails[/bold], or [bold]crewline limits -q emails --rate 100/1[/bold], or
    [bold]crewline limits -q emails --clear[/bold]
    """
    changes = concurrency is not None or rate is not None
    if clear and changes:
        fail("--clear leaves no bounds: leave out --concurrency and --rate, or --clear", EXIT_USAGE)

    async def work() -> Limits:
        async with opened(queue, redis, prefix) as target:
            if clear:
                await _clear(target)
            if concurrency is not None:
                await target.set_global_concurrency(read_concurrency(concurrency))
            if rate is not None:
                await target.set_global_rate(*(read_rate(rate) or (None,)))
            return await target.limits()

    found = run(work(), redis)
    # what was changed is changed, whoever reads of it
    told = say if changes or clear else tell
    told(to_json({"queue": queue, **dataclasses.asdict(found)}) if as_json else _told(queue, found))


async def _clear(queue: Queue) -> None:
    # first of all, since the others wake workers
    await queue.redis.delete(queue.keys.limiter)
    await queue.set_global_rate(None)
    await queue.set_global_concurrency(None)


def _told(queue: str, found: Limits) -> str:
    at_once = "no bound" if found.concurrency is None else f"{found.concurrency:,} jobs"
    rate = "no bound" if found.rate is None else f"{found.rate[0]:,} jobs in {found.rate[1]:g} s"
    holds = f"\n nothing starts for {found.holds_seconds:.1f} s more" if found.holds_seconds else ""
    return f"limits of {queue}, over all workers\n at once: {at_once}\n rate:    {rate}{holds}"
