"""Where our keys differ from BullMQ's on purpose, and why. The differential tests take these away, and nothing else.

No step of theirs cleans or obliterates the last child that a parent of the same queue waits for: BullMQ deletes that
parent with it, unrun, while its `remove` and its retention let it run. Ours lets it run, whoever takes the child away.
A job that lost its worker goes to the front of its own priority; BullMQ puts it before all priorities.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

from tests.interop.steps import CANCELLED, CUT_OFF

Dump = dict[str, Any]

#: The reason with which these tests' jobs are rejected, and that of a parent whose child failed.
REJECTED = "no"
CONDEMNED = re.compile(r"^child \S+ failed$")
#: That of a job that ends before its children, or though one has failed.
CHILDREN = re.compile(
    r"^(children of the job have not ended|a child of the job failed|Job \S+ has (pending|failed) .*)$"
)


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

    So are a cancellation and the failure of a parent whose child failed.
    """
    for event in found.get("events", ("stream", []))[1]:
        if event.get("failedReason") in (REJECTED, CUT_OFF) or CONDEMNED.search(event.get("failedReason", "")):
            _fields(found, event["jobId"]).pop("stacktrace", None)


def _unfinished_children(found: Dump) -> None:
    """`failedReason` of a job that ends before its children, or though one failed: each side has words of its own, and
    theirs a stack trace.
    """
    told = [event for event in found.get("events", ("stream", []))[1] if CHILDREN.search(event.get("failedReason", ""))]
    for event in told:
        event["failedReason"] = "children"
        _fields(found, event["jobId"]).pop("stacktrace", None)
    for kind, content in found.values():
        if kind == "hash":
            for field, value in content.items():
                if isinstance(value, str) and CHILDREN.search(value):
                    content[field] = "children"


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


def _suspect(found: Dump) -> None:
    """`suspect` on a job whose worker died: it runs apart from others next. BullMQ knows no suspects."""
    for kind, content in found.values():
        if kind == "hash":
            content.pop("suspect", None)


def _told_of_cancelled(found: Dump) -> None:
    """`failed` of a job that was cancelled before it ran: it is kept as failed until the step removes it, too, or not
    at all, as its options say."""
    events, cancelled = found.get("events", ("stream", []))[1], {}
    for event in list(events):
        if event.get("failedReason") == CANCELLED:
            cancelled[event["jobId"]] = event
        elif event["event"] == "removed" and event["jobId"] in cancelled:
            told = cancelled.pop(event["jobId"])
            event["prev"] = told["prev"]
            events.remove(told)
    for job_id, told in cancelled.items():
        prev = told["prev"]
        told.clear()
        told.update(event="removed", jobId=job_id, prev=prev)


def _released_in_silence(found: Dump) -> None:
    """`waiting` of a parent whose last child was drained or cleaned: BullMQ lets it go as well, without a word."""
    events = found.get("events", ("stream", []))[1]
    ends = [event["event"] in ("completed", "failed", "removed", "retries-exhausted") for event in events]
    for i in reversed(range(len(events))):
        if events[i].get("prev") == "waiting-children" and not any(ends[max(i - 1, 0) : i + 2]):
            del events[i]


def _early_marker(found: Dump) -> None:
    """`marker` member 1, a due time: BullMQ leaves that of a promoted or removed job, and a worker wakes early.
    One before the next due time counts as that; one after it would be a fault.
    """
    due = [when for _, when in found.get("delayed", ("zset", []))[1]]
    marker = found.get("marker", ("zset", []))[1]
    first = min(due, key=_seconds, default="")
    kept = [(member, when) for member, when in marker if member != "1" or first]
    for i, (member, when) in enumerate(kept):
        if member == "1" and _seconds(when) < _seconds(first):
            kept[i] = (member, first)
    if kept:
        found["marker"] = ("zset", kept)
    else:
        found.pop("marker", None)


def _seconds(when: str) -> int:
    return int(when.split()[2])


def _order_of_removed(found: Dump) -> None:
    """`removed` of children that go with their parent, and `waiting` of those whose last child goes: siblings go in the
    order of a set, which is any.
    """
    events = found.get("events", ("stream", []))[1]
    for _, run in itertools.groupby(range(len(events)), lambda i: _goes(events[i])):
        at = list(run)
        if any(events[i]["event"] == "removed" for i in at):
            events[at[0] : at[-1] + 1] = sorted(events[at[0] : at[-1] + 1], key=lambda e: (e["event"], e["jobId"]))


def _goes(event: Dump) -> bool:
    return event["event"] == "removed" or event.get("prev") == "waiting-children"


def _kept_last(found: Dump) -> None:
    """`added` of the last of those that came while a job ran, where that is kept: we tell of it after the other's end,
    BullMQ before, so that the order of events is one job's own.
    """
    for kind, content in found.values():
        if kind == "hash" and _opts(content).get("de", {}).get("keepLastIfActive"):
            found["events"][1].sort(key=lambda event: event.get("jobId", ""))
            return


def _told_once_gone(found: Dump) -> None:
    """`removed` of a delayed job that another replaces: we tell of it once the other is stored and it is gone, BullMQ
    before. So nothing is told that Redis refuses half-way.
    """
    events = found.get("events", ("stream", []))[1]
    for at, event in enumerate(events):
        if event["event"] != "deduplicated" or events[at + 1 : at + 2] == []:
            continue
        gone = {"event": "removed", "jobId": event["deduplicatedJobId"], "prev": "delayed"}
        added = events[at + 1]["event"] == "added" and events[at + 1]["jobId"] == event["jobId"]
        if added and events[at - 1] != gone and gone in events[at:]:
            del events[events.index(gone, at)]
            events.insert(at, gone)


INTENDED: tuple[Callable[[Dump], None], ...] = (
    _version,
    _event_cap,
    _stalled_check,
    _events_of_nothing,
    _delay_of_promoted,
    _trace_of_rejected,
    _unfinished_children,
    _unneeded_replacement,
    _scheduled,
    _suspect,
    _told_of_cancelled,
    _released_in_silence,
    _early_marker,
    _order_of_removed,
    _told_once_gone,
    _kept_last,
)


def without_intended(found: Dump) -> Dump:
    """The dump without what may differ; changes it."""
    for take_away in INTENDED:
        take_away(found)
    if found.get("meta") == ("hash", {}):
        del found["meta"]
    return found


def _opts(fields: Dump) -> Dump:
    opts: Dump = fields.get("opts", {})
    return opts


def _fields(found: Dump, name: str) -> Dump:
    fields: Dump = found.get(name, ("hash", {}))[1]
    return fields
