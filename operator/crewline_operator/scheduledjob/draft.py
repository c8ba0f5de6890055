"""A plan of runs in the making: what its parts add to and its status is built from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crewline_operator.model.note import Note


@dataclass(frozen=True)
class Add:
    """Add the job of a run; a run that lies ahead waits for its time."""

    run: datetime
    job_id: str


@dataclass
class RunDraft:
    """A plan of runs in the making."""

    remove: list[str] = field(default_factory=list)
    #: The run ahead, which is not to come.
    take_back: str | None = None
    add: list[Add] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    missed: int = 0
    skipped: int = 0
    #: When the last run was due that was added, now or ahead of its time.
    last_run: datetime | None = None
    #: Jobs whose runs have become due.
    started: list[str] = field(default_factory=list)

    def tracked(self, status: Mapping[str, Any]) -> list[str]:
        """Runs to follow, the oldest first."""
        return list(dict.fromkeys([run["id"] for run in status.get("active") or ()] + self.started))

    def adds(self, job_id: str) -> bool:
        """Whether this plan adds the job, so that Redis could not know it yet."""
        return any(add.job_id == job_id for add in self.add)
