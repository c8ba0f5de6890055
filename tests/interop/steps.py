"""The same steps through BullMQ and through us: a vocabulary that both sides speak, for the differential tests.

A step is a tuple of its name and its arguments: the methods of `Ours` (our_steps.py) and `Theirs` (their_steps.py). Job
ids are the caller's, so that they are the same on both sides; a step on a job that does not exist, or can't take it,
leaves things as they are.

Cancelling is ours alone. Of a running job it is compared with a handler of theirs that ends as BullMQ advises one that
is told to: with an UnrecoverableError. Of a job that waits it is compared with its removal, and followed by that: what
a cancelled job leaves must be no more than what can be removed. Flows are left out there: a parent hears of a cancelled
child that it failed, and of a removed one nothing.

Three things about schedules are no steps, see `settled` and `drains_right`. One that is set again as it is keeps its
next iteration with us, so that deploying it again shifts nothing; BullMQ places one anew, or one more. One that is
changed or removed takes an iteration along that waits to run, which BullMQ leaves, or has in its list twice then. And
BullMQ's drain takes the wrong ids out of a list in which a next iteration waits among others. Nor is a removal a step
while a job is kept until another's end, see `keeps_another`. Nor is a flow a step with
ids that are known: a parent there waits for ever for a child that had failed before, with us it does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crewline import Dedup, FlowJob
from crewline.wire.text import text
from redis.asyncio import Redis

Step = tuple[Any, ...]

WORKER_NAME = "worker"
#: Said on both sides: where it is left out, BullMQ's jobs stay for ever and ours for a day or seven.
OUR_KEEP: dict[str, Any] = {"remove_on_complete": False, "remove_on_fail": False}
THEIR_KEEP: dict[str, Any] = {"removeOnComplete": False, "removeOnFail": False}
#: Why a job is cancelled that waits, and one that runs.
CANCELLED, CUT_OFF = "cancelled by a step", "cut off by a step"
#: A lease that no step outlives, in milliseconds.
LEASE_MS = 60_000

#: What a child's failure does to its parent, as BullMQ's options name it.
ON_FAILURE = {
    "fail": "failParentOnFailure",
    "ignore": "ignoreDependencyOnFailure",
    "continue": "continueParentOnFailure",
    "remove": "removeDependencyOnFailure",
}


@dataclass(frozen=True)
class Node:
    """A job of a flow and its children."""

    job_id: str
    data: Any = None
    children: tuple[Node, ...] = ()
    on_failure: str = "wait"
    attempts: int = 1

    def ids(self) -> list[str]:
        return [self.job_id, *(job_id for child in self.children for job_id in child.ids())]

    def ours(self) -> FlowJob:
        return FlowJob(
            f"name-{self.job_id}", self.data, [child.ours() for child in self.children], on_failure=self.on_failure,
            options={"job_id": self.job_id, "attempts": self.attempts, "backoff": 0, **OUR_KEEP},
        )  # fmt: skip

    def theirs(self, queue: str) -> dict[str, Any]:
        options: dict[str, Any] = {"jobId": self.job_id, "attempts": self.attempts, **THEIR_KEEP}
        if self.on_failure != "wait":
            options[ON_FAILURE[self.on_failure]] = True
        node = {"name": f"name-{self.job_id}", "queueName": queue, "data": self.data, "opts": options}
        return node | ({"children": [child.theirs(queue) for child in self.children]} if self.children else {})


@dataclass(frozen=True)
class Options:
    """Of one job; delays in seconds."""

    delay: int = 0
    priority: int = 0
    lifo: bool = False
    attempts: int = 1
    backoff: int = 0
    keep: int | None = None
    dedup: Dedup | None = None

    def ours(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "delay": self.delay,
            "priority": self.priority,
            "lifo": self.lifo,
            "attempts": self.attempts,
            "backoff": self.backoff,
            **OUR_KEEP,
        }
        if self.dedup:
            options["dedup"] = self.dedup
        if self.keep is not None:
            options |= {"remove_on_complete": self.keep or True, "remove_on_fail": self.keep or True}
        return options

    def theirs(self) -> dict[str, Any]:
        options: dict[str, Any] = {"attempts": self.attempts, **THEIR_KEEP}
        if self.delay:
            options["delay"] = self.delay * 1000
        if self.priority:
            options["priority"] = self.priority
        if self.lifo:
            options["lifo"] = True
        if self.backoff:
            options["backoff"] = {"type": "fixed", "delay": self.backoff * 1000}
        if self.dedup:
            options["deduplication"] = self.dedup.to_wire()
        if self.keep is not None:
            options |= {"removeOnComplete": self.keep or True, "removeOnFail": self.keep or True}
        return options


async def is_new(redis: Redis, base: str, root: Node) -> bool:
    """Whether no job of that flow is there yet."""
    return not await redis.exists(*(base + job_id for job_id in root.ids()))


async def settled(redis: Redis, base: str, schedule_id: str, every: int | None) -> bool:
    """Whether that schedule may be set to that rule, or removed (None): a step that is the same on both sides."""
    ids = [text(job_id) for job_id in await redis.lrange(f"{base}wait", 0, -1)]
    if any(job_id.startswith(f"repeat:{schedule_id}:") for job_id in ids):
        return False
    return every is None or int(await redis.hget(f"{base}repeat:{schedule_id}", "every") or 0) != every * 1000


async def keeps_another(redis: Redis, base: str) -> bool:
    """Whether a job is kept until another's end: BullMQ deletes it when that is removed or cleaned, ours runs then."""
    return bool(await redis.keys(f"{base}dn:*"))


async def drains_right(redis: Redis, base: str) -> bool:
    """Whether BullMQ's drain would take out of the list what it deletes."""
    ids = [text(job_id) for job_id in await redis.lrange(f"{base}wait", 0, -1)]
    return len(ids) < 2 or not any(job_id.startswith("repeat:") for job_id in ids)
