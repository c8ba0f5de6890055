"""``crewline dlq``: look at dead letters and replay them."""

from __future__ import annotations

import dataclasses
from contextlib import AbstractAsyncContextManager
from typing import Annotated

import typer

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
from crewline.cli.printing import moment, say, tell, to_json
from crewline.cli.tables import Column, Table, draw
from crewline.cli.usage import EXIT_USAGE, Group, checked, fail
from crewline.errors import CrewlineError
from crewline.queue.dead_letters import DeadLetters
from crewline.queue.letter import DeadLetter
from crewline.queue.queue import Queue
from crewline.wire.checks import check_per_second
from crewline.wire.text import counted

NameOption = Annotated[str | None, typer.Option("--name", help="Only jobs of this name.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Only those whose reason holds this.")]

#: Letters that could not be replayed, of which one message tells.
MOST_NAMED = 20


def _opened(queue: str, redis: str, prefix: str, letters: str | None) -> AbstractAsyncContextManager[Queue]:
    return opened(queue, redis, prefix, dead_letter_queue=letters, check=DeadLetters)


app = typer.Typer(help="Look at the jobs that failed for good, and replay them.", no_args_is_help=True, cls=Group)


@app.command("list")
def list_letters(
    queue: QueueOption,
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    dead_letter_queue: LettersOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")] = 50,
    name: NameOption = None,
    reason: ReasonOption = None,
    as_json: JsonOption = False,
) -> None:
    """List dead letters: which job, why, after how many attempts.

    Example: [bold]crewline dlq list -q emails[/bold]
    """

    async def read() -> tuple[str, int, list[DeadLetter]]:
        async with _opened(queue, redis, prefix, dead_letter_queue) as origin:
            letters = DeadLetters(origin)
            return origin.dead_letter_queue, await letters.count(), await letters.list(limit, name=name, reason=reason)

    where, count, letters = run(read(), redis)
    if as_json:
        told = [dataclasses.asdict(letter) for letter in letters]
        tell(to_json({"queue": queue, "dead_letter_queue": where, "count": count, "letters": told}))
        return
    if not letters:
        tell(f"no dead letters of {queue}")
        return
    columns = [
        Column("letter", right=True), Column("job", right=True), Column("name", whole=False),
        Column("attempts", right=True), Column("failed at"), Column("reason", whole=False),
    ]  # fmt: skip
    table = Table(columns, f"{counted(len(letters), 'dead letter')} of {queue}, of {count:,} in {where}")
    for letter in letters:
        table.add(
            letter.id, letter.job_id, letter.name, letter.attempts, moment(letter.failed_at_ms), letter.reason
        )  # fmt: skip
    draw(table)
    place = "" if dead_letter_queue is None else f" --dead-letter-queue {dead_letter_queue}"
    tell(f"replay one with: crewline dlq replay <letter> -q {queue}{place}")


@app.command("show")
def show(
    letter_id: Annotated[str, typer.Argument(help="The letter's id.", show_default=False)],
    queue: QueueOption,
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    dead_letter_queue: LettersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all of a dead letter, as JSON: the job's data and options, why it failed, its stack traces.

    Example: [bold]crewline dlq show 7 -q emails[/bold]
    """

    async def read() -> DeadLetter:
        async with _opened(queue, redis, prefix, dead_letter_queue) as origin:
            return await DeadLetters(origin).get(letter_id)

    letter = dataclasses.asdict(run(read(), redis))
    # it is JSON in any case: for people, or on a line
    tell(to_json(letter) if as_json else to_json(letter, indent=2, ensure_ascii=False))


@app.command("replay")
def replay(
    letters: Annotated[list[str] | None, typer.Argument(help="The letters' ids.", show_default=False)] = None,
    *,
    queue: QueueOption,
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    dead_letter_queue: LettersOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are there now.")] = False,
    name: NameOption = None,
    reason: ReasonOption = None,
    per_second: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            help="How many a second.",
            show_default="no bound",
            callback=checked(lambda value: check_per_second(value, "the rate")),
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Put dead jobs back into their queue, with all their attempts. Twice is once.

    Examples: [bold]crewline dlq replay 7 9 -q emails[/bold], or
    [bold]crewline dlq replay --reason timeout --per-second 5 -q emails[/bold]
    """
    chosen = everything or name is not None or reason is not None
    if chosen == bool(letters):
        fail(
            "name the letters to replay (crewline dlq list shows them), or choose with --all, --name, --reason",
            EXIT_USAGE,
        )

    #: What came of each letter that was named.
    told: dict[str, str] = {}
    failed: dict[str, str] = {}

    def cant(letter_id: str, error: CrewlineError) -> None:
        failed[letter_id] = str(error)

    async def put_back() -> int:
        async with _opened(queue, redis, prefix, dead_letter_queue) as origin:
            dead = DeadLetters(origin)
            if chosen:
                return await dead.replay_all(
                    per_second=per_second, dry_run=dry_run, on_error=cant, name=name, reason=reason
                )
            for letter_id in letters or []:
                try:
                    done = await dead.replay(letter_id)
                except CrewlineError as error:
                    cant(letter_id, error)
                else:
                    told[letter_id] = "replayed" if done else "replayed before, or its job runs again or is done"
                    if not as_json:
                        say(f"{letter_id}: {told[letter_id]}")
            return [*told.values()].count("replayed")

    count = run(put_back(), redis)
    if as_json:
        say(to_json({"queue": queue, "replayed": count, "letters": told, "failed": failed}))
    else:
        say(f"{'would replay' if dry_run else 'replayed'} {counted(count, 'letter')}; each is replayed once only")
    if failed:
        named = "".join(f"\n  {letter}: {why}" for letter, why in list(failed.items())[:MOST_NAMED])
        more = f"\n  and {len(failed) - MOST_NAMED} more" if len(failed) > MOST_NAMED else ""
        fail(f"{counted(len(failed), 'letter')} can't be replayed:{named}{more}")
