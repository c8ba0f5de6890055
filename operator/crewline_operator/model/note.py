"""What is to be said of an object, once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """A Kubernetes Event to leave on the object."""

    type: str
    reason: str
    message: str
