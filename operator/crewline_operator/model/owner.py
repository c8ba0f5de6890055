"""Which JobQueue has a queue, as it is told in Redis to all operators of all clusters that use it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from crewline.wire.keys import Keys

from crewline_operator.model.names import is_object_name

#: A claim on a queue holds this long without its operator: longer than that one is away while it is repaired.
CLAIM_SECONDS = 3600
#: Bytes of a claim: a cluster's id, a uid and two names of objects are far fewer.
OWNER_MAX_BYTES = 1024
#: It is renewed this often.
RENEW_SECONDS = 600.0


def claim_key(prefix: str, queue: str) -> str:
    """Where it is told who has a queue."""
    return Keys(prefix, queue).extra("claim")


@dataclass(frozen=True)
class Owner:
    """A JobQueue, unlike any other that ever was or is elsewhere: a uid is given once in the world."""

    cluster: str
    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    def encode(self) -> str:
        """As it is stored: the same for the same owner."""
        return json.dumps(asdict(self), sort_keys=True)


#: What is no owner, and stands where one would: whoever wrote it, it is not ours.
UNKNOWN = Owner("", "", "unknown", "")


def read_owner(stored: bytes | None) -> Owner | None:
    """The owner that is stored; None if there is none."""
    if stored is None:
        return None
    try:
        told = json.loads(stored)
        owner = Owner(*(str(told[name]) for name in ("cluster", "namespace", "name", "uid")))
    except (ValueError, KeyError, TypeError, RecursionError):
        return UNKNOWN
    return owner if is_object_name(owner.namespace) and is_object_name(owner.name) else UNKNOWN
