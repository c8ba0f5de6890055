"""``crewline dlq``: look at dead letters and replay them."""

from __future__ import annotations

import dataclasses
import datetime
import json
from typing import Annotated

import typer

from crewline.cli.common import (
    DEFAULT_PREFIX,
    DEFAULT_REDIS,
    EXIT_USAGE,
    JsonOption,
    LettersOption,
    PrefixOption,
    QueueOption,
    RedisOption,
    fail,
    run,
)
from crewline.dead_letters import DeadLetter, DeadLetters
from crewline.queue import Queue

app = typer.Typer(help="Look at the jobs that failed for good, and replay them.", no_args_is_help=True)


@app.command("list")
def list_letters(
    queue: QueueOption,
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    dead_letter_queue: LettersOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List dead letters: which job, why, after how many attempts.

    Example: [bold]crewline dlq list -q emails[/bold]
    """

    async def read() -> tuple[int, list[DeadLetter]]:
        async with Queue(queue, redis=redis, prefix=prefix, dead_letter_queue=dead_letter_queue) as origin:
            letters = DeadLetters(origin)
            return await letters.count(), await letters.list(limit)

    count, letters = run(read(), redis)
    if as_json:
        print(json.dumps({"queue": queue, "count": count, "letters": [dataclasses.asdict(x) for x in letters]}))
        return
    if not letters:
        print(f"no dead letters of {queue}")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, title=f"{count} dead letters of {queue}", title_justify="left")
    for column, justify in (("letter", "right"), ("job", "right"), ("name", "left"), ("attempts", "right"),
                            ("failed at", "left"), ("reason", "left")):  # fmt: skip
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for letter in letters:
        when = datetime.datetime.fromtimestamp(letter.failed_at_ms / 1000, datetime.UTC)
        table.add_row(
            letter.id, letter.job_id, letter.name, str(letter.attempts), when.strftime("%Y-%m-%d %H:%M:%SZ"),
            letter.reason.splitlines()[0] if letter.reason else "",
        )  # fmt: skip
    Console().print(table)
    print(f"replay one with: crewline dlq replay <letter> -q {queue}")


@app.command("replay")
def replay(
    letters: Annotated[list[str] | None, typer.Argument(help="The letters' ids.", show_default=False)] = None,
    *,
    queue: QueueOption,
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    dead_letter_queue: LettersOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are there now.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Put dead jobs back into their queue, with all their attempts. Twice is once.

    Examples: [bold]crewline dlq replay 7 9 -q emails[/bold], [bold]crewline dlq replay --all -q emails[/bold]
    """
    if everything == bool(letters):
        fail("name the letters to replay (crewline dlq list shows them), or --all", EXIT_USAGE)

    async def put_back() -> int:
        async with Queue(queue, redis=redis, prefix=prefix, dead_letter_queue=dead_letter_queue) as origin:
            dead = DeadLetters(origin)
            if everything:
                return await dead.replay_all()
            return sum([await dead.replay(letter) for letter in letters or []])

    count = run(put_back(), redis)
    if as_json:
        print(json.dumps({"queue": queue, "replayed": count}))
    else:
        print(f"replayed {count} of {'all' if everything else len(letters or [])}; a letter is replayed once only")
