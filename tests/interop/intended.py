"""Where our keys differ from BullMQ's on purpose, and why. The differential tests take these away, and nothing else.

No step of theirs cleans or obliterates the last child that a parent of the same queue waits for: BullMQ deletes that
parent with it, unrun, while its `remove` and its retention let it run. Ours lets it run, whoever takes the child away.
A job that lost its worker goes to the front of its own priority; BullMQ puts it before all priorities.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Dump = dict[str, Any]

#: The reason with which these tests' jobs are rejected, and that of a parent whose child failed.
REJECTED = "no"
CONDEMNED = re.compile(r"^child \S+ failed$")


def _version(found: Dump) -> None:
    """`meta.version` names the BullMQ that wrote it last. We are none, and tools judge a queue's abilities by it."""
    _fields(found, "meta").pop("version", None)


def _event_cap(found: Dump) -> None:
    """`meta.opts.maxLenEvents`: BullMQ writes it when a Queue object is made, we with the first change to the queue."""
    _fields(found, "meta").pop("opts.maxLenEvents", None)


def _stalled_check(found: Dump) -> None:
    """`stalled-check`: the gate of the check that a running worker makes; the BullMQ worker here makes none."""
    found.pop("stalled-check", None)


def _events_of_nothing(found: Dump) -> None:
    """`paused`, `resumed` and `cleaned`: we tell of a change; BullMQ of every call, be it the second or of 0 jobs."""
    paused, kept = False, []
    for event in found.get("events", ("stream", []))[1]:
        if event["event"] in ("paused", "resumed"):
            if paused == (event["event"] == "paused"):
                continue
            paused = not paused
        if event == {"event": "cleaned", "count": "0"}:
            continue
        kept.append(event)
    if kept:
        found["events"] = ("stream", kept)
    else:
        found.pop("events", None)


def _delay_of_promoted(found: Dump) -> None:
    """`delay` of a job that is delayed no more: 0 with us and after BullMQ's promote, but not its promoteJobs."""
    delayed = {member for member, _ in found.get("delayed", ("zset", []))[1]}
    for name, (kind, content) in found.items():
        if kind == "hash" and "delay" in content and name not in delayed:
            content["delay"] = "0"


def _trace_of_rejected(found: Dump) -> None:
    """`stacktrace` of a rejected job: BullMQ keeps its UnrecoverableError's; a Reject is a decision, no fault.

    So is the failure of a parent whose child failed.
    """
    for event in found.get("events", ("stream", []))[1]:
        if event.get("failedReason") == REJECTED or CONDEMNED.search(event.get("failedReason", "")):
            _fields(found, event["jobId"]).pop("stacktrace", None)


def _unneeded_replacement(found: Dump) -> None:
    """`deduplicated`, where a job would have replaced one that is delayed no more: BullMQ drops it without a word."""
    events = found.get("events", ("stream", []))[1]
    added = {event["jobId"] for event in events if event["event"] == "added"}
    for event in list(events):
        if event["event"] == "deduplicated" and event["deduplicatedJobId"] not in added:
            opts = _fields(found, event["jobId"]).get("opts", {})
            if opts.get("de", {}).get("replace"):
                events.remove(event)


def _scheduled(found: Dump) -> None:
    """Iterations of a schedule: ours are placed beside the handler, BullMQ's before it, so that the order of events is
    one job's own; we tell that a changed schedule's old iteration was removed; `prevMillis` is always there. `offset`
    and `delay` depend on the millisecond in which a side did it.
    """
    if not any(event.get("jobId", "").startswith("repeat:") for event in found.get("events", ("stream", []))[1]):
        return
    found["events"][1].sort(key=lambda event: event.get("jobId", ""))
    if "repeat" in found:
        kept = [event for event in found["events"][1] if event["event"] != "removed"]
        found["events"] = ("stream", kept)
    for name, (kind, content) in found.items():
        if kind == "hash" and name.startswith("repeat:"):
            content.pop("offset", None)
            content.get("opts", {}).pop("prevMillis", None)
            content.get("opts", {}).pop("delay", None)
            if "delay" in content:
                content["delay"] = round(int(content["delay"]) / 100_000)


INTENDED: tuple[Callable[[Dump], None], ...] = (
    _version,
    _event_cap,
    _stalled_check,
    _events_of_nothing,
    _delay_of_promoted,
    _trace_of_rejected,
    _unneeded_replacement,
    _scheduled,
)


def without_intended(found: Dump) -> Dump:
    """The dump without what may differ; changes it."""
    for take_away in INTENDED:
        take_away(found)
    if found.get("meta") == ("hash", {}):
        del found["meta"]
    return found


def _fields(found: Dump, name: str) -> Dump:
    fields: Dump = found.get(name, ("hash", {}))[1]
    return fields
