"""What numbers and texts options may be: a rule for each kind, so that all objects refuse the same in the same words.

NaN and infinity are refused everywhere: a comparison with NaN is false, and a wait of it never ends or never begins.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeGuard

from crewline.errors import InvalidOption

#: Seconds that any wait, bound or age may have: some 300 years. Milliseconds of it are exact in every client.
MOST_SECONDS = 1e10

#: The largest integer that is exact in every client: Lua's and JavaScript's numbers are doubles.
MOST_COUNT = 2**53 - 1

#: The shortest time that is one: Redis counts milliseconds.
A_MILLISECOND = 0.001


def check_seconds(value: object, name: str, least: float = 0.0, mend: str = "") -> float:
    """Returns a finite number of seconds of at least ``least``, else raises InvalidOption.

    Args:
        value: what was given; a timedelta counts as its seconds.
        name: what it was given for, as the caller wrote it.
        least: the smallest that is allowed; `A_MILLISECOND` for "more than none".
        mend: put after the error's text: what to write instead.
    """
    seconds = value.total_seconds() if isinstance(value, datetime.timedelta) else value
    # the comparison is false for NaN as well
    if not is_number(seconds) or not least <= seconds < MOST_SECONDS:
        raise InvalidOption(f"{name} {value!r} must be a number of seconds of {least:g} or more{mend and f': {mend}'}")
    return seconds


def check_count(value: object, name: str, least: int = 1, mend: str = "", most: int = MOST_COUNT) -> int:
    """Returns an integer of ``least`` or more, and ``most`` or less, else raises InvalidOption."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        bounds = f"of {least} or more" if most == MOST_COUNT else f"from {least} to {most}"
        raise InvalidOption(f"{name} {value!r} must be an integer {bounds}{mend and f': {mend}'}")
    return value


def check_per_second(value: object, name: str = "per_second") -> float:
    """Returns how many a second, else raises InvalidOption."""
    if not is_number(value) or not A_MILLISECOND <= value < 1e9:
        raise InvalidOption(f"{name} {value!r} must be a number of more than 0: leave it out for no bound")
    return value


def check_rate(value: object, name: str = "rate") -> tuple[int, float]:
    """Returns ``(jobs, seconds)``, else raises InvalidOption."""
    if isinstance(value, tuple | list) and len(value) == 2:
        jobs, seconds = value
        if is_number(jobs) and 1 <= jobs < 1e15 and is_number(seconds) and A_MILLISECOND <= seconds < 1e9:
            return int(jobs), seconds
    raise InvalidOption(f"{name} {value!r} must be (jobs, seconds), both more than 0")


def check_text(value: object, name: str, mend: str = "") -> str:
    """Returns a string that is not empty and can be sent, else raises InvalidOption."""
    if not isinstance(value, str) or not value:
        raise InvalidOption(f"{name} {value!r} must be a string that is not empty{mend and f': {mend}'}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidOption(
            f"{name} {value!r} is no Unicode text, it has a lone surrogate: write it in UTF-8"
        ) from None
    return value


def check_truth(value: object, name: str) -> bool:
    """Returns True or False, else raises InvalidOption."""
    if not isinstance(value, bool):
        raise InvalidOption(f"{name} {value!r} must be True or False")
    return value


def check_string(value: object, name: str, mend: str = "") -> str:
    """Returns any string, an empty one too, else raises InvalidOption."""
    if not isinstance(value, str):
        raise InvalidOption(f"{name} {value!r} must be a string{mend and f': {mend}'}")
    return value


def check_choice(value: object, name: str, choices: Collection[str]) -> str:
    """Returns one of the strings that there are to choose from, else raises InvalidOption."""
    if not isinstance(value, str) or value not in choices:
        raise InvalidOption(f"{name} {value!r} must be one of {', '.join(choices)}")
    return value


def check_items(value: object, name: str, mend: str) -> list[Any]:
    """Returns what an iterable gives, else raises InvalidOption; what it raises itself is its own.

    A text is none, and a dict neither: one of their letters or keys is nothing that anybody means.
    """
    if not isinstance(value, Iterable) or isinstance(value, str | bytes | Mapping):
        raise InvalidOption(f"{name} {value!r} must be {mend}")
    return list(value)


def check_callable(value: object, name: str, mend: str = "a function") -> Any:
    """Returns what can be called, else raises InvalidOption."""
    if not callable(value):
        raise InvalidOption(f"{name} {value!r} must be {mend}")
    return value


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is an integer or a float; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
