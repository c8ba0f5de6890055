"""``crewline jobs``: look at jobs and change what becomes of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer

from crewline.cli.common import DEFAULT_PREFIX, DEFAULT_REDIS, JsonOption, PrefixOption, QueueOption, RedisOption, run
from crewline.cli.printing import cell, complain, draw, moment, printing, say, shown, tell, to_json
from crewline.cli.usage import EXIT_FAILED, Group, completed_from, one_of
from crewline.errors import CrewlineError, JobNotFound
from crewline.queue.job import Job
from crewline.queue.queue import Queue
from crewline.wire.text import text

app = typer.Typer(
    help="Look at jobs: list, show, logs; retry, remove, cancel or promote them.", no_args_is_help=True, cls=Group
)

#: Where the ids of a state are.
STATES = {
    # BullMQ 5 parks what waits where somebody pauses the queue
    "waiting": ("wait", "paused"),
    "active": ("active",),
    "prioritized": ("prioritized",),
    "delayed": ("delayed",),
    "completed": ("completed",),
    "failed": ("failed",),
    "waiting-children": ("waiting-children",),
}
#: Those that are sets by time, and by when they are to run.
BY_TIME, BY_TURN = ("completed", "failed", "waiting-children"), ("prioritized", "delayed")

IdsArgument = Annotated[list[str], typer.Argument(help="The jobs' ids.", show_default=False)]


def as_dict(job: Job, state: str) -> dict[str, Any]:
    """A job as the commands print it in JSON."""
    names = (
        "id", "name", "data", "opts", "timestamp_ms", "priority", "attempts_made", "attempts_started", "stalled_count",
        "processed_on_ms", "finished_on_ms", "progress_value", "return_value", "failed_reason", "stacktrace",
        "parent_key", "dead_letter_id",
    )  # fmt: skip
    return {"state": state, **{name: getattr(job, name) for name in names}}


@app.command("list")
def list_jobs(
    queue: QueueOption,
    state: Annotated[
        str,
        typer.Argument(
            help=f"One of {', '.join(STATES)}.", callback=one_of(*STATES), autocompletion=completed_from(*STATES)
        ),
    ] = "waiting",
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many at most.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List a state's jobs, newest first; prioritized and delayed ones in the order in which they run.

    Example: [bold]crewline jobs list failed -q emails[/bold]
    """

    async def read() -> list[Job]:
        async with Queue(queue, redis=redis, prefix=prefix) as target:
            ids: list[Any] = []
            for place in STATES[state]:
                key, last = target.keys.base + place, limit - len(ids) - 1
                if last < 0:
                    break
                if state in (*BY_TIME, *BY_TURN):
                    ids += await target.redis.zrange(key, 0, last, desc=state in BY_TIME)
                else:
                    ids += await target.redis.lrange(key, 0, last)
            return [job for job in await target.look_at([text(job_id) for job_id in ids]) if job is not None]

    jobs = run(read(), redis)
    if as_json:
        tell(to_json([as_dict(job, state) for job in jobs]))
        return
    if not jobs:
        tell(f"no {state} jobs in {queue}")
        return
    from rich.table import Table

    table = Table(box=None)
    for column in ("id", "name", "added", "attempts", "progress"):
        table.add_column(column, no_wrap=True, min_width=len(column))
    table.add_column("reason" if state == "failed" else "data", overflow="ellipsis", no_wrap=True, ratio=1)
    for job in jobs:
        last = job.failed_reason if state == "failed" else to_json(job.data, ensure_ascii=False)
        table.add_row(
            cell(job.id), cell(job.name), moment(job.timestamp_ms), f"{job.attempts_made}/{job.attempts}",
            cell(to_json(job.progress_value) if job.progress_value else ""), cell(last or ""),
        )  # fmt: skip
    draw(table)


@app.command("show")
def show(
    job_id: Annotated[str, typer.Argument(help="The job's id.", show_default=False)],
    queue: QueueOption,
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    as_json: JsonOption = False,
) -> None:
    """Show all of a job: data, options, times, result, why it failed.

    Example: [bold]crewline jobs show 42 -q emails[/bold]
    """

    async def read() -> tuple[Job, str]:
        async with Queue(queue, redis=redis, prefix=prefix) as target:
            (job,) = await target.look_at([job_id])
            if job is None:
                raise JobNotFound(f"there is no job {job_id} in queue {queue!r}")
            return job, await job.state()

    job, state = run(read(), redis)
    fields = as_dict(job, state)
    if as_json:
        tell(to_json(fields))
        return
    from rich.console import Console

    console = Console(highlight=False, emoji=False)
    with printing():
        for name, value in fields.items():
            if value in (None, [], ""):
                continue
            label = name.removesuffix("_ms").replace("_", " ")
            if name == "stacktrace":
                console.print(f"{label}:", style="bold")
                console.print(shown(str(value[-1]).rstrip(), lines=True), markup=False, soft_wrap=True)
            elif name.endswith("_ms"):
                console.print(f"[bold]{label:18}[/bold] {moment(value)}")
            else:
                told = value if isinstance(value, str) else to_json(value, ensure_ascii=False)
                console.print(f"[bold]{label:18}[/bold]", end=" ")
                console.print(shown(told, lines=True), markup=False, soft_wrap=True)


@app.command("logs")
def logs(
    job_id: Annotated[str, typer.Argument(help="The job's id.", show_default=False)],
    queue: QueueOption,
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
) -> None:
    """Print what a job logged."""

    async def read() -> list[str]:
        async with Queue(queue, redis=redis, prefix=prefix) as target:
            (job,) = await target.look_at([job_id])
            if job is None:
                raise JobNotFound(f"there is no job {job_id} in queue {queue!r}")
            return await job.logs()

    for line in run(read(), redis):
        tell(line)


def _each(
    ids: list[str], queue: str, redis: str, prefix: str, done: str, act: Callable[[Queue, str], Awaitable[bool | None]]
) -> None:
    """Does something to each job; says of each what came of it, and fails at the end if one said False or raised."""
    problems: list[str] = []

    async def work() -> None:
        async with Queue(queue, redis=redis, prefix=prefix) as target:
            for job_id in ids:
                try:
                    if await act(target, job_id) is False:
                        problems.append(f"job {job_id}: a worker holds it, it has ended, or it is not there")
                    else:
                        say(f"{done} {job_id}")
                except CrewlineError as error:
                    problems.append(str(error))

    try:
        run(work(), redis)
    finally:
        # those before a Redis that went away, too
        if problems:
            complain("; ".join(problems))
    if problems:
        raise typer.Exit(EXIT_FAILED)


@app.command("retry")
def retry(
    ids: IdsArgument, queue: QueueOption, redis: RedisOption = DEFAULT_REDIS, prefix: PrefixOption = DEFAULT_PREFIX
) -> None:
    """Run finished jobs again, with all their attempts."""
    _each(ids, queue, redis, prefix, "retried", lambda target, job_id: target.retry(job_id))


@app.command("remove")
def remove(
    ids: IdsArgument,
    queue: QueueOption,
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    keep_children: Annotated[bool, typer.Option("--keep-children", help="Leave the jobs below it in a flow.")] = False,
) -> None:
    """Delete jobs that no worker runs, and a flow's jobs below them."""
    _each(
        ids, queue, redis, prefix, "removed",
        lambda target, job_id: target.remove(job_id, children=not keep_children),
    )  # fmt: skip


@app.command("cancel")
def cancel(
    ids: IdsArgument,
    queue: QueueOption,
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    reason: Annotated[str, typer.Option(help="Why, for the jobs' failedReason.")] = "cancelled",
) -> None:
    """End jobs from outside, running ones too: they fail with the reason, without retry and dead letter."""
    _each(ids, queue, redis, prefix, "cancelled", lambda target, job_id: target.cancel(job_id, reason))


@app.command("promote")
def promote(
    ids: IdsArgument, queue: QueueOption, redis: RedisOption = DEFAULT_REDIS, prefix: PrefixOption = DEFAULT_PREFIX
) -> None:
    """Let delayed jobs run now."""
    _each(ids, queue, redis, prefix, "promoted", lambda target, job_id: target.promote(job_id))
