"""Flows: a job that waits for its children, added as one tree."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from crewline.errors import InvalidOption
from crewline.queue.job import Job
from crewline.redis.topology import slot_of
from crewline.wire import jsonio
from crewline.wire.checks import check_choice, check_text
from crewline.wire.dedup import Dedup
from crewline.wire.keys import Keys
from crewline.wire.options import Encoded, check_options, encode_job

#: What a child's final failure does to its parent, as BullMQ's options say it.
ON_FAILURE = {"wait": None, "fail": "fpof", "ignore": "idof", "continue": "cpof", "remove": "rdof"}


@dataclass(frozen=True)
class FlowJob:
    """One job of a flow.

    Args:
        name, data: as `Queue.add` takes them.
        children: jobs that have to end before this one runs.
        queue: the queue it goes to; its parent's if None (on a Redis Cluster both must share a hash tag).
        options: further arguments of `Queue.add`, by name.
        on_failure: what its own final failure does to its parent: ``wait`` (the parent waits on, until the child is
            retried or removed), ``fail`` the parent, ``ignore`` it, ``continue`` (the parent runs at once, whatever
            else is unfinished), ``remove`` it from what the parent waits for.
    """

    name: str
    data: Any = None
    children: list[FlowJob] = field(default_factory=list)
    queue: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    on_failure: Literal["wait", "fail", "ignore", "continue", "remove"] = "wait"

    def __post_init__(self) -> None:
        what = f"job {check_text(self.name, 'name of a job of a flow')!r} of a flow: "
        if not isinstance(self.options, dict):
            raise InvalidOption(f"{what}options {self.options!r} must be a dict of arguments of Queue.add")
        if not isinstance(self.children, list | tuple) or not all(isinstance(each, FlowJob) for each in self.children):
            raise InvalidOption(f"{what}children {self.children!r} must be a list of FlowJob")


@dataclass(frozen=True)
class FlowNode:
    """A job of a flow, and its children: those that are there, see `Queue.add_flow`."""

    job: Job
    children: list[FlowNode]


@dataclass(frozen=True)
class Planned:
    """A job of a flow, encoded: its queue's base and its arguments for add_flow."""

    base: str
    queue: str
    source: FlowJob
    encoded: Encoded
    children: list[Planned]

    def walk(self) -> Iterator[Planned]:
        """Level by level, as BullMQ adds them: what is nearer to the root comes to wait first."""
        level = [self]
        while level:
            yield from level
            level = [child for each in level for child in each.children]


def plan_flow(
    root: FlowJob, queue: str, prefix: str, max_payload_bytes: int, *, seed: str, one_slot: bool = False
) -> Planned:
    """Checks and encodes a tree; raises InvalidOption or InvalidPayload that name the job, before anything is sent.

    Args:
        seed: what the ids of jobs without an id of their caller's are made with, and their place in the tree: who goes
            on with a large tree that is there has to come to the same jobs.
        one_slot: all jobs must be in one slot, as on a Redis Cluster.
    """
    if not isinstance(root, FlowJob):
        raise InvalidOption(f"root {root!r} of a flow must be a FlowJob")
    plan = _plan(root, queue, prefix, max_payload_bytes, None, root.name, 0, seed)
    _check_ids(plan)
    if one_slot:
        _check_slots(plan, prefix, plan.queue, root.name)
    return plan


def _check_dedup(dedup: object, path: str) -> None:
    """One that is kept until another has ended is no job yet: its children would not be added, nor its parent wait."""
    if isinstance(dedup, Dedup) and dedup.keep_last_if_active:
        raise InvalidOption(
            f"{path}: dedup keep_last_if_active can't be used in a flow, which would run without the job that is kept "
            "for later: leave it out here, or add that job by itself with Queue.add"
        )


def _check_ids(plan: Planned) -> None:
    seen: set[tuple[str, str]] = set()
    for each in plan.walk():
        place = (each.base, each.encoded.job_id)
        if place in seen:
            raise InvalidOption(
                f"job_id {each.encoded.job_id!r} of queue {each.queue!r} is in this flow twice: a job has one parent"
            )
        seen.add(place)


def _check_slots(job: Planned, prefix: str, root: str, path: str) -> None:
    slot = slot_of(prefix, job.queue)
    if slot is None or slot != slot_of(prefix, root):
        raise InvalidOption(
            f"{path}: queue {job.queue!r} is in another slot of the Redis Cluster than {root!r}, and a flow is added "
            "in one: give the prefix a hash tag, e.g. prefix='{bull}', or both queues the same one, e.g. "
            "'{shop}-orders' and '{shop}-mails'"
        )
    for child in job.children:
        _check_slots(child, prefix, root, f"{path} > {child.source.name}")


def _plan(
    job: FlowJob, queue: str, prefix: str, max_bytes: int, parent: tuple[Keys, str] | None, path: str, depth: int,
    seed: str,
) -> Planned:  # fmt: skip
    if depth > 100:
        raise InvalidOption(f"{path}: the flow is more than 100 levels deep: flatten it")
    check_choice(job.on_failure, f"{path}: on_failure", ON_FAILURE)
    check_options(job.options, f"{path}: ")
    try:
        keys = Keys(prefix, queue if job.queue is None else job.queue)
    except InvalidOption as error:
        raise InvalidOption(f"{path}: {error}") from None
    options = dict(job.options)
    _check_dedup(options.get("dedup"), path)
    job_id = options.get("job_id")
    if job_id is None:
        job_id = str(uuid.uuid5(uuid.NAMESPACE_OID, seed))
    extra: dict[str, Any] = {}
    more: dict[str, Any] = {}
    if parent is not None:
        parent_keys, parent_id = parent
        policy = ON_FAILURE[job.on_failure]
        link: dict[str, Any] = {"id": parent_id, "queueKey": parent_keys.base[:-1]}
        more["parent"] = {"id": parent_id, "queue": parent_keys.base[:-1]}
        if policy:
            link[policy] = True
            more[policy] = True
        extra = {"parentKey": parent_keys.job(parent_id), "parent": jsonio.dumps(link, "options")}
    if job.children:
        extra["children"] = True
    encoded = encode_job(
        job.name, job.data, what=f"{path}: ", more=more, extra=extra, max_payload_bytes=max_bytes, **options
    )._replace(job_id=job_id)
    children = [
        _plan(
            child,
            keys.queue,
            prefix,
            max_bytes,
            (keys, job_id),
            f"{path} > {child.name}",
            depth + 1,
            f"{seed}/{number}",
        )
        for number, child in enumerate(job.children)
    ]
    return Planned(keys.base, keys.queue, job, encoded, children)
