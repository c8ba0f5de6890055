"""What of a JobQueue reaches its workers while they run: the queue's settings in Redis, and BullMQ's own limits. Pure.

The settings are one text, written anew whenever what is read is another one, so that what somebody else has put there
is mended, too. BullMQ's limits are everybody's: a dashboard may set them. Those that the spec names are kept so; one
that it names no more is taken away if it still is as it was set here. The settings carry the limits, to tell that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crewline.wire.settings import Settings, read_settings

from crewline_operator.effects.actions import WriteSettings
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.pods import is_ready
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.model.key import Object
from crewline_operator.model.worker import Worker
from crewline_operator.redis.reading import Reading, Snapshot

#: A write that has failed is tried again after this.
RETRY_SECONDS = 5.0
#: Limits that only count together, by BullMQ's names.
LIMITS = (("concurrency",), ("max", "duration"))


@dataclass(frozen=True)
class LiveStep:
    """What to do now for the workers to follow the spec."""

    actions: Sequence[WriteSettings] = ()
    check_after_seconds: float | None = None


def settings_text(jobqueue: JobQueue) -> str:
    """The queue's settings as they are stored: the same for the same spec."""
    return json.dumps(json.loads(jobqueue.live.to_json()) | {"limits": dict(jobqueue.limits)})


def live_step(jobqueue: JobQueue, observed: Observed) -> LiveStep:
    """Write settings and limits if those that were read are not what they are to be, and the JobQueue has the queue."""
    snapshot = observed.reading.snapshot
    if snapshot is None or snapshot.owner != observed.me or observed.refusal is not None:
        return LiveStep()
    text, changes = settings_text(jobqueue), _limit_changes(jobqueue.limits, snapshot)
    if text == snapshot.settings and not changes:
        return LiveStep()
    return LiveStep([WriteSettings(jobqueue.queue_ref, text, changes)], RETRY_SECONDS)


def settings_status(jobqueue: JobQueue, observed: Observed) -> dict[str, Any] | None:
    """What the status is to tell of the settings: their generation in Redis, and how many ready workers follow it."""
    if observed.holder is not None:
        return None
    snapshot, ready = observed.reading.snapshot, ready_workers(observed.deployment)
    asks = jobqueue.worker.handler is not None
    if snapshot is None or (asks and ready and observed.workers is None):
        # What was told last is better than nothing.
        told = observed.status.get("settings")
        return told if isinstance(told, dict) else None
    generation = _generation(snapshot)
    if generation is None:
        return None
    if not asks:
        return {"generation": generation}
    workers = observed.workers or {}
    following = sum(
        1 for pod in observed.pods if is_ready(pod) and _follows(workers.get(pod["metadata"]["uid"]), generation)
    )
    return _told(generation, min(following, ready), ready)


def is_settled(jobqueue: JobQueue, told: object, reading: Reading, deployment: Object | None) -> bool:
    """Whether it is `told` that all ready workers follow what is in Redis: then nobody need ask them.

    Those of another program are not asked: it may know nothing of settings.
    """
    ready = ready_workers(deployment)
    generation = _generation(reading.snapshot) if reading.snapshot is not None else None
    if generation is None or not ready or jobqueue.worker.handler is None:
        return True
    return told == _told(generation, ready, ready)


def asks_again(jobqueue: JobQueue, observed: Observed, status: Mapping[str, Any]) -> bool:
    """Whether workers were asked, and are to be asked again since not all of them follow what is in Redis."""
    settled = is_settled(jobqueue, status.get("settings"), observed.reading, observed.deployment)
    return observed.looked and not settled


def ready_workers(deployment: Object | None) -> int:
    """How many workers are ready, as their Deployment tells, so that the status has it once and for all."""
    ready: int = (deployment or {}).get("status", {}).get("readyReplicas", 0)
    return ready


def _told(generation: int, following: int, ready: int) -> dict[str, Any]:
    return {"generation": generation, "applied": f"{following}/{ready}"}


def _limit_changes(wanted: Mapping[str, int], snapshot: Snapshot) -> dict[str, int | None]:
    """BullMQ's limits to set, None for those to take away."""
    limits, ours = snapshot.limits, _limits_in(snapshot.settings)
    now = {"concurrency": limits.at_once, "max": limits.most, "duration": limits.window_ms}
    changes: dict[str, int | None] = {}
    for names in LIMITS:
        to_be, are, were = ([each.get(name) for name in names] for each in (wanted, now, ours))
        # Whoever has set another one since, or one where there was none, has it.
        given_up = to_be[0] is None and were[0] is not None and are == were
        if given_up or (to_be[0] is not None and are != to_be):
            changes |= dict(zip(names, to_be, strict=True))
    return changes


def _limits_in(stored: str | None) -> Mapping[str, int]:
    """The limits that were set along with settings; none in what can't be read."""
    try:
        limits = json.loads(stored or "{}")["limits"]
        return {name: value for name, value in limits.items() if type(value) is int}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _generation(snapshot: Snapshot) -> int | None:
    """That of the settings that are in Redis, None if there are none."""
    return read_settings(snapshot.settings, Settings())[0].generation if snapshot.settings else None


def _follows(worker: Worker | None, generation: int) -> bool:
    return worker is not None and worker.settings == generation
