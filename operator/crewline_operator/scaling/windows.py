"""What keeps a number of workers from going down too soon or too far, as in Knative's KPA. Pure.

Down only to the highest number that was wanted in the stable window; not at all within the panic window after a
doubling; and by half at most, in one step a panic window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from crewline_operator.scaling.spec import Behavior


@dataclass(frozen=True)
class Floor:
    """A number below which nothing goes now, and why; `until` when, if the passing of time alone ends it."""

    replicas: int
    why: str
    until: float | None = None


@dataclass(frozen=True)
class Windows:
    """What has to be kept of earlier decisions. Lost with the process, which only delays scaling down."""

    #: (until when, replicas wanted), each higher than all that came later. The last one is wanted still.
    wishes: tuple[tuple[float, int], ...] = ()
    #: When the number was doubled last, or more than that.
    doubled: float | None = None
    #: The last step down: when, and to what.
    stepped: tuple[float, int] | None = None

    def wanted(self, replicas: int, current: int, now: float, behavior: Behavior) -> Windows:
        """With the wish for `replicas` from now on."""
        # A process that has just started knows no earlier wish: it takes what it finds for one.
        *earlier, (_, last) = self.wishes or ((now, current),)
        lasting = [(until, number) for until, number in (*earlier, (now, last)) if number > replicas]
        recent = [(until, number) for until, number in lasting if now - until < behavior.stable_seconds]
        return replace(self, wishes=(*recent, (now, replicas)))

    def stood(self, current: int, now: float) -> Windows:
        """With `current` as the only wish: it was nobody's here, or nobody knew what is wanted."""
        return replace(self, wishes=((now, current),))

    def went_up(self, replicas: int, current: int, now: float) -> Windows:
        """With a step up, which ends one that went down."""
        return replace(self, doubled=now if replicas >= 2 * current else self.doubled, stepped=None)

    def panic_until(self, behavior: Behavior) -> float:
        """Nothing goes down before."""
        return -math.inf if self.doubled is None else self.doubled + behavior.panic_seconds

    def floors(self, current: int, now: float, behavior: Behavior) -> list[Floor]:
        """All that keeps `current` workers from being fewer now."""
        highest = max(number for _, number in self.wishes)
        *earlier, _ = self.wishes
        until = max((at for at, number in earlier if number == highest), default=None)
        ends = None if until is None else until + behavior.stable_seconds
        floors = [Floor(highest, f"{highest} wanted in the last {behavior.stable_seconds:g} s", ends)]
        if now < self.panic_until(behavior):
            floors.append(Floor(current, "just scaled up", self.panic_until(behavior)))
        step = self._last_step(now, behavior)
        if step is None:
            floors.append(Floor(math.ceil(current / 2), "by half at most", now + behavior.panic_seconds))
        else:
            # It stands: workers that are told to end are there for a while.
            at, to = step
            floors.append(Floor(to, "just scaled down", at + behavior.panic_seconds))
        return floors

    def went_down(self, replicas: int, now: float, behavior: Behavior) -> Windows:
        """With a step down, unless it is the last one still."""
        return replace(self, stepped=self._last_step(now, behavior) or (now, replicas))

    def _last_step(self, now: float, behavior: Behavior) -> tuple[float, int] | None:
        return self.stepped if self.stepped is not None and now - self.stepped[0] < behavior.panic_seconds else None
