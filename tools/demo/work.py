"""The middle of the demo: adds the jobs, shows the JobQueue until all is done, and collects what came out."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crewline import DeadLetters, Queue
from rich.console import Console

from tools.demo.install import API, EXAMPLE, NAMESPACE, QUEUE
from tools.demo.kube import Kube, Timeout
from tools.demo.screen import Screen, Snapshot

FRAMES_A_SECOND = 8
#: Without any change of the JobQueue's status for so long, something is wrong: ours takes a second or two a job.
STUCK_SECONDS = 120.0


@dataclass
class Times:
    """Moments by `time.monotonic()`, in seconds."""

    added: float = 0.0
    replicas_patched: float = 0.0
    first_completed: float = 0.0
    all_finished: float = 0.0
    at_zero: float = 0.0


@dataclass(frozen=True)
class Letter:
    """A dead letter, as far as the demo tells of it; its job's id is the chunk's name."""

    id: str
    chunk: str
    attempts: int
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What the jobs returned, and which of them died."""

    return_values: list[dict[str, Any]]
    letters: list[Letter]
    #: The status of the ScheduledJob `digest`, which ran beside.
    schedule: dict[str, Any]
    times: Times


def chunks() -> list[Path]:
    return sorted((EXAMPLE / "log").glob("chunk-*.log"))


def job_of(chunk: Path) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Name, data and options of the job that counts a chunk."""
    return "count", {"chunk": chunk.stem, "text": chunk.read_text()}, {"job_id": chunk.stem, "attempts": 3}


async def count_the_log(console: Console, kube: Kube, queue: Queue) -> Outcome:
    """Adds one job a chunk and returns when all ended and the JobQueue is asleep again.

    Raises Timeout if it stops on the way.
    """
    times = Times()
    files = chunks()
    patched = asyncio.create_task(_first_patch(kube, times))
    latest: dict[str, Any] = {}
    follower = asyncio.create_task(_follow_status(kube, latest))
    try:
        await asyncio.sleep(0)
        times.added = time.monotonic()
        await queue.add_bulk(job_of(chunk) for chunk in files)
        await _watch_until_asleep(console, latest, len(files), times, (patched, follower))
    finally:
        for task in (patched, follower):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    digest = await kube.get(API, "ScheduledJob", "digest", NAMESPACE) or {}
    return await collect(queue, [f.stem for f in files], digest.get("status", {}), times)


async def _first_patch(kube: Kube, times: Times) -> None:
    """Notes when the Deployment was first told to run pods."""
    async for deployment in kube.follow("apps/v1", "Deployment", QUEUE, NAMESPACE):
        if times.added and deployment["spec"]["replicas"] > 0:
            times.replicas_patched = time.monotonic()
            return


async def _follow_status(kube: Kube, latest: dict[str, Any]) -> None:
    async for queue in kube.follow(API, "JobQueue", QUEUE, NAMESPACE):
        latest.clear()
        latest.update(queue.get("status", {}))


async def _watch_until_asleep(
    console: Console, latest: dict[str, Any], total: int, times: Times, watches: tuple[asyncio.Task[None], ...]
) -> None:
    changed, before = time.monotonic(), Snapshot()
    with Screen(console, f"jobqueue/{QUEUE}", total) as screen:
        while True:
            now = Snapshot.of(latest)
            screen.show(now)
            moment = time.monotonic()
            if now != before:
                changed, before = moment, now
            if now.completed and not times.first_completed:
                times.first_completed = moment
            if now.idle and now.completed + now.failed >= total:
                times.all_finished = times.all_finished or moment
                if now.desired == 0 and now.ready == 0:
                    times.at_zero = moment
                    return
            if moment - changed > STUCK_SECONDS:
                raise Timeout(f"jobqueue/{QUEUE} has not changed for {STUCK_SECONDS:.0f} s: {_conditions(latest)}")
            for watch in watches:
                if watch.done():
                    watch.result()
            await asyncio.sleep(1 / FRAMES_A_SECOND)


def _conditions(status: dict[str, Any]) -> str:
    told = [f"{c['type']}={c['status']} {c.get('message', '')}".strip() for c in status.get("conditions", [])]
    return "; ".join(told) or "it has no conditions"


async def collect(queue: Queue, ids: list[str], schedule: dict[str, Any], times: Times) -> Outcome:
    """Reads what came out of the jobs ``ids``, all of them at once."""
    jobs = await asyncio.gather(*(queue.get_job(job_id) for job_id in ids))
    completed = [job for job in jobs if job is not None and await job.state() == "completed"]
    letters = [
        Letter(letter.id, letter.job_id, letter.attempts, letter.reason) for letter in await DeadLetters(queue).list()
    ]
    letters.sort(key=lambda letter: letter.chunk)
    return Outcome([job.return_value for job in completed], letters, schedule, times)
