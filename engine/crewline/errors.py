"""Every error that Crewline raises on purpose: one small hierarchy, so that a caller can catch what it means.

A message says what was wrong, where, and what to do about it.
"""

from __future__ import annotations


class CrewlineError(Exception):
    """The root of all of Crewline's errors."""


class InvalidOption(CrewlineError, ValueError):
    """An option or name that can't be accepted; nothing was sent to Redis."""


class InvalidPayload(CrewlineError, ValueError):
    """Data that is not strict JSON, or too large; nothing was sent to Redis."""


class JobNotFound(CrewlineError, LookupError):
    """There is no job with that id in that queue."""


class JobFailed(CrewlineError):
    """The awaited job failed for good; the message is its reason."""


class LeaseLost(CrewlineError):
    """Another worker has this job now: what this one writes is refused.

    Attributes:
        lease: id and token of the run that has lost it.
    """

    def __init__(self, message: str = "", lease: tuple[str, str] | None = None) -> None:
        super().__init__(message)
        self.lease = lease


class HandlerNotFound(CrewlineError):
    """The handler that was named can't be imported."""


class Retry(CrewlineError):
    """Raised by a handler: try this job once more, after ``delay`` seconds.

    It uses up an attempt as any failure does; on the last attempt the job fails with this reason.

    Args:
        reason: why, for the job's ``failedReason``.
        delay: seconds to wait; ``None``, or what is no number, for what the job's backoff says.
    """

    def __init__(self, reason: str = "retry asked for", *, delay: float | None = None) -> None:
        super().__init__(reason)
        self.delay = delay

    @property
    def seconds(self) -> float | None:
        """The delay as a number: NaN and infinity too, whatever a handler has computed; None for what is none."""
        try:
            return None if self.delay is None else float(self.delay)
        except (TypeError, ValueError, OverflowError):
            return None


class Reject(CrewlineError):
    """Raised by a handler: this job can never succeed. No retry; it goes straight to the dead letters."""
