"""An object of the API server's, and what it is called in the work queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

Object = Mapping[str, Any]


def status_of(obj: Object) -> Mapping[str, Any]:
    """An object's status, without what is null in it; an empty one if there is none, or what is there is none."""
    status = obj.get("status")
    return {name: value for name, value in status.items() if value is not None} if isinstance(status, Mapping) else {}


class Key(NamedTuple):
    """An object's identity in the work queue."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"
