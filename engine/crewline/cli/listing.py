"""``crewline jobs list``: a state's jobs, also those that nobody can read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from crewline.cli.common import DEFAULT_PREFIX, DEFAULT_REDIS, JsonOption, PrefixOption, QueueOption, RedisOption, run
from crewline.cli.opening import opened
from crewline.cli.printing import moment, tell, to_json
from crewline.cli.tables import Column, Table, draw
from crewline.cli.usage import completed_from, one_of
from crewline.queue.housekeeping import WAITING
from crewline.queue.job import Job
from crewline.queue.queue import Queue
from crewline.queue.stored import opts_as_stored
from crewline.wire.text import text

#: Where the ids of a state are.
STATES = {
    "waiting": WAITING,
    "active": ("active",),
    "prioritized": ("prioritized",),
    "delayed": ("delayed",),
    "completed": ("completed",),
    "failed": ("failed",),
    "waiting-children": ("waiting-children",),
}
#: Those that are sets by time, and by when they are to run.
BY_TIME, BY_TURN = ("completed", "failed", "waiting-children"), ("prioritized", "delayed")
#: What each state's jobs are asked first: since when, or until when.
WHEN = {"active": "since", "delayed": "due", "completed": "ended", "failed": "ended"}
#: The score of a delayed job is its moment in milliseconds times this.
SCORE_OF_MS = 4096

#: A job, or why there is none to be shown, by its id; and when it is due.
Found = tuple[str, Job | str, int | None]


def as_dict(job: Job, state: str) -> dict[str, Any]:
    """A job as the commands print it in JSON."""
    names = (
        "id", "name", "data", "opts", "timestamp_ms", "priority", "attempts_made", "attempts_started", "stalled_count",
        "processed_on_ms", "finished_on_ms", "progress_value", "return_value", "failed_reason", "stacktrace",
        "parent_key", "dead_letter_id",
    )  # fmt: skip
    return {"state": state, **{name: getattr(job, name) for name in names}, "opts": opts_as_stored(job)}


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

    async def read() -> list[Found]:
        async with opened(queue, redis, prefix) as target:
            return await _found(target, await _ids(target, state, limit))

    found = run(read(), redis)
    if as_json:
        tell(to_json([_as_json(each, state) for each in found]))
    elif not found:
        tell(f"no {state} jobs in {queue}")
    else:
        draw(_table(found, state))


async def _ids(queue: Queue, state: str, limit: int) -> list[tuple[bytes | str, float | None]]:
    """The ids of a state as Redis has them, each with its score."""
    ids: list[tuple[bytes | str, float | None]] = []
    for place in STATES[state]:
        key, last = queue.keys.base + place, limit - len(ids) - 1
        if last < 0:
            break
        if place in (*BY_TIME, *BY_TURN):
            ids += [tuple(each) for each in await queue.redis.zrange(key, 0, last, place in BY_TIME, withscores=True)]
        else:
            ids += [(each, None) for each in await queue.redis.lrange(key, 0, last)]
    return ids


async def _found(queue: Queue, ids: Sequence[tuple[bytes | str, float | None]]) -> list[Found]:
    """The jobs of these ids; for one that nobody can name, or that has no hash, why."""
    named = [text(raw) for raw, _ in ids]
    jobs = await queue.look_at(named)
    found: list[Found] = []
    for (raw, score), job_id, job in zip(ids, named, jobs, strict=True):
        due_ms = None if score is None else int(score / SCORE_OF_MS)
        if isinstance(raw, bytes) and job_id.encode() != raw:
            found.append((raw.decode(errors="backslashreplace"), "its id is no UTF-8 text", due_ms))
        else:
            found.append((job_id, job or await _why_none(queue, job_id), due_ms))
    return found


async def _why_none(queue: Queue, job_id: str) -> str:
    kind = text(await queue.redis.type(queue.keys.job(job_id)))
    if kind == "none":
        return "it is not there any more"
    return "no job can have this id" if kind == "hash" else f"its key holds no job: it is a {kind}"


def _as_json(found: Found, state: str) -> dict[str, Any]:
    job_id, job, _ = found
    return as_dict(job, state) if isinstance(job, Job) else {"state": state, "id": job_id, "unreadable": job}


def _table(found: Sequence[Found], state: str) -> Table:
    table = Table(
        [
            Column("id"), Column("name", whole=False), Column(WHEN.get(state, "added")),
            Column("priority", right=True, rare=True), Column("attempts"), Column("progress", whole=False, rare=True),
            Column("reason" if state == "failed" else "data", whole=False),
        ]
    )  # fmt: skip
    for job_id, job, due_ms in found:
        if not isinstance(job, Job):
            table.add(job_id, "", "", "", "", "", job)
            continue
        when = {"active": job.processed_on_ms, "delayed": due_ms, "completed": job.finished_on_ms,
                "failed": job.finished_on_ms}.get(state, job.timestamp_ms)  # fmt: skip
        table.add(
            job.id, job.name, moment(when), job.priority or "", f"{job.attempts_made}/{job.attempts}",
            to_json(job.progress_value) if job.progress_value else "",
            job.failed_reason or "" if state == "failed" else to_json(job.data, ensure_ascii=False),
        )  # fmt: skip
    return table
