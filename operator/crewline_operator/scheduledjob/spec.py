"""A ScheduledJob as the operator reads it: the API server's JSON with its defaults, as typed values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crewline_operator.model.key import Object
from crewline_operator.model.moments import epoch_ms, parse_timestamp


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
    """Read a ScheduledJob that the API server has validated."""
    metadata, spec = obj["metadata"], obj["spec"]
    job = spec["job"]
    return ScheduledJob(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 1),
        created=parse_timestamp(metadata["creationTimestamp"]),
        queue_ref=spec["queueRef"]["name"],
        schedule=spec["schedule"],
        time_zone=spec.get("timeZone", "Etc/UTC"),
        suspend=spec.get("suspend", False),
        concurrency_policy=spec.get("concurrencyPolicy", "Allow"),
        deadline_seconds=spec.get("startingDeadlineSeconds"),
        job_name=job["name"],
        data=job.get("data", {}),
        priority=job.get("priority", 0),
        attempts=job.get("attempts"),
    )
