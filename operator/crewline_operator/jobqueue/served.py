"""Which queue a JobQueue serves, where its spec may name another one by now. Pure.

The queue that was claimed is kept in the status, as the spec named it. So an edit that would leave jobs behind is seen,
whoever made it and whichever operator was away, and the queue goes on being served until there are none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crewline_operator.model.fields import Fields
from crewline_operator.model.key import Object, status_of

#: In place of a password, which goes into no status.
MASK = "***"


def served_object(obj: Object) -> Object:
    """A JobQueue with the queue and the Redis that it serves, which are those of its spec if nothing else is known."""
    served, spec = served_in(status_of(obj)), obj.get("spec")
    if served is None or not isinstance(spec, Mapping):
        return obj
    redis = dict(served["redis"])
    if MASK in str(redis.get("url")):
        # Nobody can log in with that.
        del redis["url"]
    wanted = {**spec, "queue": served["queue"], "redis": redis}
    letters = spec.get("deadLetter")
    if isinstance(letters, Mapping) and letters.get("queue") == served["queue"]:
        # They are to go to the queue that is left.
        wanted["deadLetter"] = {}
    return {**obj, "spec": wanted}


def served_in(status: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The queue and the spec.redis that a status tells."""
    served = status.get("served")
    if not isinstance(served, Mapping) or not isinstance(served.get("redis"), Mapping):
        return None
    return served if isinstance(served.get("queue"), str) else None


def told_redis(redis: Mapping[str, Any]) -> dict[str, Any]:
    """A spec.redis as a status may tell it."""
    url = redis.get("url")
    if not isinstance(url, str):
        return dict(redis)
    user, at, host = url.partition("://")[2].rpartition("@")
    name, colon, _ = user.partition(":")
    masked = f"{url.partition('://')[0]}://{name}:{MASK}@{host}" if at and colon else url
    return {**redis, "url": masked}


def named_queue(obj: Object) -> tuple[str, str]:
    """The prefix and the queue that a JobQueue names. Raises Unreadable."""
    spec = Fields(obj.get("spec"), "spec")
    queue = spec.optional_text("queue") or obj["metadata"]["name"]
    return spec.required("redis").optional_text("prefix") or "bull", queue
