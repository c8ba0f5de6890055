"""A ScheduledJob as the operator reads it: the API server's JSON with its defaults, as typed values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crewline_operator.model.fields import Fields, Unreadable
from crewline_operator.model.key import Object
from crewline_operator.model.moments import epoch_ms, parse_timestamp, timestamp_ms

STATUS_MEND = "delete the ScheduledJob and create it again"


@dataclass(frozen=True)
class ScheduledJob:
    """What one ScheduledJob asks for."""

    namespace: str
    name: str
    uid: str
    generation: int
    created: datetime
    queue_ref: str
    schedule: str
    time_zone: str
    suspend: bool
    concurrency_policy: str
    deadline_seconds: int | None
    job_name: str
    data: Mapping[str, Any]
    priority: int
    attempts: int | None

    @property
    def decided_for(self) -> str:
        """What a status' decidedUntil is about."""
        return f"{self.schedule} {self.time_zone}"

    @property
    def job_digest(self) -> str:
        """Changes when the job to add does."""
        job = [self.job_name, self.data, self.priority, self.attempts]
        return hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()[:16]

    def job_id(self, run: datetime) -> str:
        """The id of the job for a run: the same whoever adds it, so that it is added once."""
        return self.job_id_ms(epoch_ms(run))

    def job_id_ms(self, run_ms: int) -> str:
        """The same for a run in epoch milliseconds."""
        return f"{self.uid}-{run_ms}"


def parse_scheduledjob(obj: Object) -> ScheduledJob:
    """Read a ScheduledJob as it is stored. Raises Unreadable."""
    metadata, spec = obj["metadata"], Fields(obj.get("spec"), "spec")
    job = spec.required("job")
    return ScheduledJob(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 1),
        created=parse_timestamp(metadata["creationTimestamp"]),
        queue_ref=spec.required("queueRef").text("name"),
        schedule=spec.text("schedule"),
        time_zone=spec.optional_text("timeZone") or "Etc/UTC",
        suspend=spec.flag("suspend"),
        concurrency_policy=spec.optional_text("concurrencyPolicy") or "Allow",
        deadline_seconds=spec.optional_integer("startingDeadlineSeconds"),
        job_name=job.text("name"),
        data=job.mapping("data"),
        priority=job.optional_integer("priority") or 0,
        attempts=job.optional_integer("attempts"),
    )


def check_status(status: Mapping[str, Any]) -> None:
    """Raise Unreadable if a status is nothing that runs can be decided by."""
    fields = Fields(status, "status", "InvalidStatus")
    for name in ("decidedUntil", "lastScheduleTime"):
        _check_moment(fields, name)
    for name in ("missedRuns", "skippedRuns"):
        fields.optional_integer(name)
    for run in fields.objects("active"):
        Fields(run, "status.active[]", "InvalidStatus").text("id")
    if "placed" in fields:
        placed = fields.required("placed")
        placed.text("queueRef")
        due_ms = placed.text("id").rpartition("-")[2]
        if not due_ms.isascii() or not due_ms.isdigit() or timestamp_ms(int(due_ms)) is None:
            raise Unreadable("InvalidStatus", f"{placed.path}.id names no run: {STATUS_MEND}")


def _check_moment(fields: Fields, name: str) -> None:
    text = fields.optional_text(name)
    try:
        aware = text is None or parse_timestamp(text).tzinfo is not None
    except ValueError:
        aware = False
    if not aware:
        raise Unreadable("InvalidStatus", f"{fields.path}.{name} is no time: {STATUS_MEND}")
