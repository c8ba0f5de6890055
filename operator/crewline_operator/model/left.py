"""What would be left behind in a queue if nobody served it any more."""

from __future__ import annotations

from dataclasses import dataclass

from crewline_operator.model.marks import Mark


@dataclass(frozen=True)
class Left:
    """Times are Redis' epoch milliseconds."""

    now_ms: int
    #: Those that have not ended, but for runs that lie ahead: these can be taken back.
    jobs: int
    #: What is known of the runs of ScheduledJobs.
    marks: tuple[Mark, ...] = ()
