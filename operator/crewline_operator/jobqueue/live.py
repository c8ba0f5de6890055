"""What of a JobQueue reaches its workers while they run: the queue's settings in Redis, and BullMQ's own limits. Pure.

The settings are one text, written anew whenever what is read is another one, so that what somebody else has put there
is mended, too. BullMQ's limits are everybody's: a dashboard may set them. Those that the spec names are kept so; one
that it names no more is taken away if it still is as it was set here. The settings carry the limits, to tell that.

Their generation is that of the spec which changed them last: one that was only scaled has nobody follow anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from crewline.wire.settings import Settings, read_settings

from crewline_operator.effects.actions import WriteSettings
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.pods import is_ready
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.model.fault import Fault
from crewline_operator.model.key import Object
from crewline_operator.model.worker import Worker
from crewline_operator.redis.reading import Reading, Snapshot

#: A write that has failed is tried again after this.
RETRY_SECONDS = 5.0
#: Limits that only count together, by BullMQ's names.
LIMITS = (("concurrency",), ("max", "duration"))


@dataclass(frozen=True)
class LiveStep:
    """What to do now for the workers to follow the spec, and why that was not taken when it was tried last."""

    actions: Sequence[WriteSettings] = ()
    check_after_seconds: float | None = None
    fault: Fault | None = None


def settings_text(jobqueue: JobQueue, generation: int | None = None) -> str:
    """The queue's settings as they are stored, the same for the same spec; `generation` is another than the spec's."""
    live = jobqueue.live if generation is None else replace(jobqueue.live, generation=generation)
    return json.dumps(json.loads(live.to_json()) | {"limits": dict(jobqueue.limits)})


def live_step(jobqueue: JobQueue, observed: Observed) -> LiveStep:
    """Write settings and limits if those that were read are not what they are to be, and the JobQueue has the queue.

    What Redis did not take is not asked for at once.
    """
    snapshot = observed.reading.snapshot
    if snapshot is None or snapshot.owner != observed.me or observed.refusal is not None:
        return LiveStep()
    changes = _limit_changes(jobqueue.limits, snapshot)
    if _is_in_force(jobqueue, snapshot) and not changes:
        return LiveStep()
    denied = observed.settings_denied
    if denied is not None and observed.clock - denied.at < RETRY_SECONDS:
        return LiveStep([], RETRY_SECONDS, denied.fault)
    write = WriteSettings(jobqueue.queue_ref, settings_text(jobqueue), changes)
    return LiveStep([write], RETRY_SECONDS, denied.fault if denied is not None else None)


def settings_status(jobqueue: JobQueue, observed: Observed) -> dict[str, Any] | None:
    """What the status is to tell: the spec's generation that Redis has, and how many of the ready workers follow it."""
    snapshot, workers, ready = observed.reading.snapshot, observed.workers, ready_workers(observed.deployment)
    if observed.holder is not None:
        return None
    # Better than nothing, while there is nothing newer.
    told = observed.status.get("settings")
    last = told if isinstance(told, dict) else None
    if snapshot is None:
        return last
    stored, shown = _generation(snapshot), _shown(jobqueue, snapshot)
    if stored is None or shown is None:
        return None
    if jobqueue.worker.handler is None:
        return {"generation": shown}
    if workers is None:
        settled = is_settled(jobqueue, told, observed.reading, observed.deployment)
        return _told(shown, ready, ready) if settled else last
    uids = [pod["metadata"]["uid"] for pod in observed.pods if is_ready(pod)]
    following = sum(1 for uid in uids if _follows(workers.get(uid), stored))
    return _told(shown, min(following, ready), ready)


def is_settled(jobqueue: JobQueue, told: object, reading: Reading, deployment: Object | None) -> bool:
    """Whether it is `told` that all ready workers follow what is in Redis: then nobody need ask them.

    Those of another program are not asked: it may know nothing of settings.
    """
    ready, snapshot = ready_workers(deployment), reading.snapshot
    stored = _generation(snapshot) if snapshot is not None else None
    if snapshot is None or stored is None or not ready or jobqueue.worker.handler is None:
        return True
    known = told if isinstance(told, dict) else {}
    shown = _shown(jobqueue, snapshot) or stored
    # What was told of an earlier generation of the spec holds as long as that said the same of settings. Those that an
    # earlier JobQueue of that name has left may be of a higher one than any of this.
    same = known.get("generation") in range(min(stored, shown), shown + 1)
    return same and known.get("applied") == f"{ready}/{ready}"


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


def _is_in_force(jobqueue: JobQueue, snapshot: Snapshot) -> bool:
    """Whether Redis has what the spec says, be it of an earlier generation."""
    generation = _generation(snapshot)
    # What is no spec's was written by somebody else.
    return bool(generation) and settings_text(jobqueue, generation) == snapshot.settings


def _shown(jobqueue: JobQueue, snapshot: Snapshot) -> int | None:
    """The generation of the spec that Redis has, None if there are no settings."""
    return jobqueue.generation if _is_in_force(jobqueue, snapshot) else _generation(snapshot)


def _follows(worker: Worker | None, generation: int) -> bool:
    return worker is not None and worker.settings == generation
