"""Deduplication: one job stands for all that are added with the same id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crewline.errors import InvalidOption
from crewline.wire.checks import A_MILLISECOND, check_seconds, check_text, check_truth


@dataclass(frozen=True)
class Dedup:
    """One job stands for all that are added with the same id.

    Args:
        id: what makes two jobs the same.
        ttl_seconds: how long the id holds (throttle); None: until the job has ended.
        extend: each job that is left out prolongs ``ttl_seconds`` (debounce).
        replace: a newer job takes the place of one that is still delayed (debounce, the last one wins).
        keep_last_if_active: the last of those that come while the job runs is run after it.
    """

    id: str
    ttl_seconds: float | None = None
    extend: bool = False
    replace: bool = False
    keep_last_if_active: bool = False

    def __post_init__(self) -> None:
        check_text(self.id, "dedup id")
        for flag in ("extend", "replace", "keep_last_if_active"):
            check_truth(getattr(self, flag), f"dedup {flag}")
        if self.ttl_seconds is not None:
            mend = "leave it out for the job's own time"
            ttl_seconds = check_seconds(self.ttl_seconds, "dedup ttl_seconds", A_MILLISECOND, mend)
            object.__setattr__(self, "ttl_seconds", ttl_seconds)
        if self.extend and self.ttl_seconds is None:
            raise InvalidOption("dedup extend needs ttl_seconds: there is nothing to prolong without it")

    def to_wire(self) -> dict[str, Any]:
        wire: dict[str, Any] = {"id": self.id}
        if self.ttl_seconds is not None:
            wire["ttl"] = round(self.ttl_seconds * 1000)
        for flag, key in (("extend", "extend"), ("replace", "replace"), ("keep_last_if_active", "keepLastIfActive")):
            if getattr(self, flag):
                wire[key] = True
        return wire


def to_dedup(given: Dedup | str) -> Dedup:
    """What the option ``dedup`` says; raises InvalidOption if it can't be used."""
    if isinstance(given, Dedup):
        return given
    if isinstance(given, str):
        return Dedup(given)
    raise InvalidOption(f"dedup {given!r} must be an id, or Dedup such as Dedup('report-7', ttl_seconds=60)")
