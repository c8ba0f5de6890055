"""What is wrong, in words that a person can act on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """Something the user has to mend: a condition's reason, and a message that names what and how."""

    reason: str
    message: str


#: Redis answers, and refuses what one queue is read by.
WRONG_TYPE = "RedisWrongType"
PERMISSION_DENIED = "RedisPermissionDenied"
TOO_LARGE = "RedisTooLarge"
QUEUE_FAULTS = (WRONG_TYPE, PERMISSION_DENIED, TOO_LARGE)

#: Faults that only the user can mend are looked at again this often; most are seen through a watch before.
FAULT_CHECK_SECONDS = 5.0


def describe(error: BaseException) -> str:
    """An error in one line: its own text, or its type where it has none (TimeoutError)."""
    return str(error) or type(error).__name__
