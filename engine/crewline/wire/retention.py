"""Retention: how long finished jobs stay, as options, scripts and BullMQ write it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from crewline.errors import InvalidOption
from crewline.wire.checks import check_count, is_number


@dataclass(frozen=True)
class Keep:
    """How long finished jobs stay.

    Args:
        count: the newest that are kept; None for all.
        age_seconds: the oldest that is kept, in seconds; None for any age.
    """

    count: int | None = None
    age_seconds: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("count", self.count), ("age_seconds", self.age_seconds)):
            if value is not None:
                check_count(value, f"keep {name}", 0, "leave it out for no bound")

    # looked at for each job that ends
    @cached_property
    def wire(self) -> bool | dict[str, int]:
        """As BullMQ's ``removeOnComplete`` / ``removeOnFail``."""
        wire = {"count": self.count, "age": self.age_seconds}
        return {key: value for key, value in wire.items() if value is not None} or False

    @cached_property
    def script(self) -> str:
        """As the ``keep`` argument of finish_and_fetch."""
        return _script(self.count, self.age_seconds)


#: Retention that our producers write into their jobs' options when nothing is said. What other clients add without
#: the option stays until the queue's settings or the worker say otherwise: nobody asked for its end.
KEEP_COMPLETED = Keep(count=1000, age_seconds=24 * 3600)
KEEP_FAILED = Keep(age_seconds=7 * 24 * 3600)

#: What scripts take for a number (base/fields.lua) is less than this.
MOST_READ = 1e15

#: No bound.
KEEP_ALL = Keep()


def keep_to_wire(keep: Keep | bool | int, what: str) -> bool | int | dict[str, int]:
    """As BullMQ's ``removeOnComplete`` / ``removeOnFail``."""
    if isinstance(keep, Keep):
        # a job's options are its own
        return copy.copy(keep.wire)
    if isinstance(keep, bool) or (isinstance(keep, int) and keep >= 0):
        return keep
    raise InvalidOption(
        f"{what} {keep!r} must be True (remove at once), False (keep), a count, or Keep such as "
        "Keep(count=1000, age_seconds=86400)"
    )


def keep_from_wire(value: Any, said: Keep | None, written: Keep | None = None) -> str:
    """The ``keep`` argument for a finished job with this ``removeOnComplete``/``removeOnFail`` off the wire.

    Never raises, whatever a client has written there: what no bound can be made of is no bound.

    Args:
        said: what the queue's settings or the worker say, for a job that says nothing; None: it stays.
        written: what our producers write where nothing was said: it yields to ``said`` as nothing would, and is applied
            to no job that does not say the same, which "=" stands for.
    """
    if written is not None and value == written.wire:
        return f"={written.script}" if said is None else said.script
    if value is True:
        return "0"
    if value is False:
        return ""
    if is_number(value):
        value = {"count": value}
    if isinstance(value, dict):
        # as scripts read them: lib/end/own_retention.lua
        count, age = _bound(value.get("count")), _bound(value.get("age"))
        return _script(count if count == value.get("count") else None, age)
    return (said or KEEP_ALL).script


def _script(count: int | None, age_seconds: int | None) -> str:
    if count == 0:
        return "0"
    if count is None and age_seconds is None:
        return ""
    return f"{'' if count is None else count},{'' if age_seconds is None else age_seconds}"


def _bound(value: Any) -> int | None:
    """A whole number off the wire; what is none, below zero, or more than a script reads is no bound."""
    return int(value) if is_number(value) and 0 <= value < MOST_READ else None
