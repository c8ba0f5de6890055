"""``crewline jobs``: look at jobs and change what becomes of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from crewline.cli import listing
from crewline.cli.common import DEFAULT_PREFIX, DEFAULT_REDIS, JsonOption, PrefixOption, QueueOption, RedisOption, run
from crewline.cli.opening import opened
from crewline.cli.printing import complain, moment, printing, say, shown, tell, to_json
from crewline.cli.usage import EXIT_FAILED, Group
from crewline.errors import CrewlineError, JobNotFound
from crewline.queue.job import Job
from crewline.queue.queue import Queue

app = typer.Typer(
    help="Look at jobs: list, show, logs; retry, remove, cancel or promote them.", no_args_is_help=True, cls=Group
)

IdsArgument = Annotated[list[str], typer.Argument(help="The jobs' ids.", show_default=False)]


app.command("list")(listing.list_jobs)


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
        async with opened(queue, redis, prefix) as target:
            (job,) = await target.look_at([job_id])
            if job is None:
                raise JobNotFound(f"there is no job {job_id} in queue {queue!r}")
            return job, await job.state()

    job, state = run(read(), redis)
    fields = listing.as_dict(job, state)
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
    as_json: JsonOption = False,
) -> None:
    """Print what a job logged.

    Example: [bold]crewline jobs logs 42 -q emails[/bold]
    """

    async def read() -> list[str]:
        async with opened(queue, redis, prefix) as target:
            (job,) = await target.look_at([job_id])
            if job is None:
                raise JobNotFound(f"there is no job {job_id} in queue {queue!r}")
            return await job.logs()

    lines = run(read(), redis)
    if as_json:
        tell(to_json(lines))
        return
    for line in lines:
        tell(line)


def _each(
    ids: list[str],
    queue: str,
    redis: str,
    prefix: str,
    as_json: bool,
    done: str,
    act: Callable[[Queue, str], Awaitable[bool | None]],
) -> None:
    """Does something to each job; says of each what came of it, and fails at the end if one said False or raised."""
    did: list[str] = []
    problems: dict[str, str] = {}

    async def work() -> None:
        async with opened(queue, redis, prefix) as target:
            for job_id in ids:
                try:
                    if await act(target, job_id) is False:
                        problems[job_id] = f"job {job_id}: a worker holds it, it has ended, or it is not there"
                        continue
                except CrewlineError as error:
                    problems[job_id] = str(error)
                    continue
                did.append(job_id)
                if not as_json:
                    say(f"{done} {job_id}")

    try:
        run(work(), redis)
    finally:
        # those before a Redis that went away, too
        if as_json and (did or problems):
            say(to_json({"queue": queue, done: did, "failed": problems}))
        if problems:
            complain("; ".join(problems.values()))
    if problems:
        raise typer.Exit(EXIT_FAILED)


@app.command("retry")
def retry(
    ids: IdsArgument,
    queue: QueueOption,
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    as_json: JsonOption = False,
) -> None:
    """Run finished jobs again, with all their attempts.

    Example: [bold]crewline jobs retry 7 9 -q emails[/bold]
    """
    _each(ids, queue, redis, prefix, as_json, "retried", lambda target, job_id: target.retry(job_id))


@app.command("remove")
def remove(
    ids: IdsArgument,
    queue: QueueOption,
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    keep_children: Annotated[bool, typer.Option("--keep-children", help="Leave the jobs below it in a flow.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete jobs that no worker runs, and a flow's jobs below them.

    Example: [bold]crewline jobs remove 7 9 -q emails[/bold]
    """
    _each(
        ids, queue, redis, prefix, as_json, "removed",
        lambda target, job_id: target.remove(job_id, children=not keep_children),
    )  # fmt: skip


@app.command("cancel")
def cancel(
    ids: IdsArgument,
    queue: QueueOption,
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    reason: Annotated[str, typer.Option(help="Why, for the jobs' failedReason.")] = "cancelled",
    as_json: JsonOption = False,
) -> None:
    """End jobs from outside, running ones too: they fail with the reason, without retry and dead letter.

    Example: [bold]crewline jobs cancel 7 --reason "host is gone" -q emails[/bold]
    """
    _each(ids, queue, redis, prefix, as_json, "cancelled", lambda target, job_id: target.cancel(job_id, reason))


@app.command("promote")
def promote(
    ids: IdsArgument,
    queue: QueueOption,
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    as_json: JsonOption = False,
) -> None:
    """Let delayed jobs run now.

    Example: [bold]crewline jobs promote 7 9 -q emails[/bold]
    """
    _each(ids, queue, redis, prefix, as_json, "promoted", lambda target, job_id: target.promote(job_id))
