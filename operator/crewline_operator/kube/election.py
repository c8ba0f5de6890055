"""Who leads: what a candidate does with what it has seen of the Lease. Pure: it gets the time, and calls nobody.

The rules are client-go's, by clocks that no date moves and of which no two are ever compared:

- who has written its name to the Lease may act until `renew_deadline_seconds` after it *began* the last renewal that
  was answered. That it asked for one is not enough, and neither is an answer that came later than that;
- a candidate takes a Lease over that it has *itself* seen unchanged for as long as the Lease says, which is longer. It
  measures from when it had the answer, and the holder from before it asked: so the holder has stopped before, as long
  as neither clock runs a third faster than the other;
- every write is for the version that was read last, so that of two that write one is refused.

A lease is 8 s long, not the usual 15, for nobody is to be without a leader for more than 10 s when a node dies: what
the API server tells of that node's pods by then may be old, and to take over on its word would be to have two leaders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Timing:
    """Durations of an election, in seconds."""

    #: For how long a candidate has to see a record unchanged.
    lease_seconds: float = 8.0
    #: For how long a holder may act after it began its last renewal.
    renew_deadline_seconds: float = 6.0
    #: From one renewal to the next.
    renew_seconds: float = 2.0

    @property
    def look_seconds(self) -> float:
        """From one look of a candidate to the next, and between two tries of a renewal."""
        return self.renew_seconds / 4

    @property
    def call_seconds(self) -> float:
        """For one call: a connection that has died leaves time for another try."""
        return self.renew_deadline_seconds / 2


@dataclass(frozen=True)
class Record:
    """What a Lease says."""

    #: Empty if nobody holds it.
    holder: str = ""
    lease_seconds: float = 0.0
    #: Dates, for people to read.
    acquired: str = ""
    renewed: str = ""
    transitions: int = 0
    #: The Lease's resource version; empty if there is no Lease yet.
    version: str = ""
    uid: str = field(default="", compare=False)


def _never(_: str) -> bool:
    return False


class Candidacy:
    """One process' part in an election. `has_ended` tells of which holders it is sure that they do not run any more."""

    def __init__(self, identity: str, timing: Timing, has_ended: Callable[[str], bool] = _never) -> None:
        self.identity = identity
        self._timing = timing
        self._has_ended = has_ended
        self._seen: Record | None = None
        #: When the version of `_seen` was seen first.
        self._seen_at = 0.0
        #: Whether there was a Lease, and is none any more: whoever held it does not know that yet.
        self._has_vanished = False
        #: Until when this process may act, by its clock; None if it does not hold the lease.
        self.holds_until: float | None = None

    @property
    def seen(self) -> Record:
        """The Lease as it was seen last."""
        return self._seen or Record()

    def saw(self, record: Record, now: float) -> None:
        """The Lease was read; `now` is after the answer."""
        if self._seen is None or self._seen.version != record.version:
            self._seen_at = now
            self._has_vanished = self._seen is not None and not record.version
        self._seen = record

    def takes_in_seconds(self, now: float) -> float | None:
        """In how many seconds the Lease may be taken if nothing changes, 0 if now; None before a look at it."""
        if self._seen is None:
            return None
        holder = self._seen.holder
        if not self._has_vanished and (holder in ("", self.identity) or self._has_ended(holder)):
            return 0.0
        lease_seconds = self._seen.lease_seconds or self._timing.lease_seconds
        return max(0.0, self._seen_at + lease_seconds - now)

    @property
    def is_taken(self) -> bool:
        """Whether the Lease was seen to be another's."""
        return self.seen.holder not in ("", self.identity)

    def claim(self, date: str) -> Record:
        """What to write to take the Lease, or to renew it."""
        seen = self.seen
        if seen.holder == self.identity:
            return replace(seen, renewed=date)
        # As client-go counts: the first holder is no change of one.
        transitions = seen.transitions + 1 if seen.version else 0
        return Record(self.identity, self._timing.lease_seconds, date, date, transitions, seen.version, seen.uid)

    def wrote(self, record: Record, began: float, now: float) -> None:
        """A claim was written, and answered by `record`; `began` is when it was begun."""
        self._seen, self._seen_at, self._has_vanished = record, now, False
        self.holds_until = began + self._timing.renew_deadline_seconds

    def may_act(self, now: float) -> bool:
        """Whether this process leads."""
        return self.holds_until is not None and now < self.holds_until

    def release(self, date: str) -> Record:
        """What to write to give up the Lease that this process holds. It may not act from now on."""
        self.holds_until = None
        # One that does not know the empty holder, as client-go before 1.16, waits for a second.
        return replace(self.seen, holder="", lease_seconds=1.0, renewed=date)
