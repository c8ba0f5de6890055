"""Moments as Kubernetes and Redis write them: UTC to the second, and epoch milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp(moment: datetime) -> str:
    """A moment as Kubernetes writes it: UTC, whole seconds."""
    # strftime writes the year 702 as three digits, which the API server takes for no date
    return f"{moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()}Z"


def timestamp_ms(epoch_ms: int) -> str | None:
    """Epoch milliseconds as Kubernetes writes a moment; None if no calendar holds it."""
    try:
        return timestamp(datetime.fromtimestamp(epoch_ms / 1000, UTC))
    except (ValueError, OverflowError, OSError):
        return None


def parse_timestamp(text: str) -> datetime:
    """The moment that Kubernetes wrote."""
    return datetime.fromisoformat(text)


def moment_ms(epoch_ms: int) -> datetime:
    """The moment that epoch milliseconds name."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)


def epoch_ms(moment: datetime) -> int:
    """A moment in epoch milliseconds, as Redis and job ids have it."""
    return round(moment.timestamp() * 1000)
