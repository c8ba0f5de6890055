"""Which JobQueue has a queue, as it is told in Redis to all operators of all clusters that use it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace

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
    #: The Lease of the operator that looks after it, by "namespace/name"; '' where that is not told.
    operator: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    def encode(self) -> str:
        """As it is stored: the same for the same owner."""
        told = {name: value for name, value in asdict(self).items() if value or name != "operator"}
        return json.dumps(told, sort_keys=True)


#: What is no owner, and stands where one would: whoever wrote it, it is not ours.
UNKNOWN = Owner("", "", "unknown", "")


def read_owner(stored: bytes | None) -> Owner | None:
    """The owner that is stored; None if there is none."""
    if stored is None:
        return None
    try:
        told = json.loads(stored)
        names = [str(told[name]) for name in ("cluster", "namespace", "name", "uid")]
        owner = replace(Owner(*names), operator=read_operator(told.get("operator")))
    except (ValueError, KeyError, TypeError, RecursionError):
        return UNKNOWN
    return owner if is_object_name(owner.namespace) and is_object_name(owner.name) else UNKNOWN


def read_operator(told: object) -> str:
    """The Lease that is told; what can't be one is none."""
    parts = told.split("/") if isinstance(told, str) else []
    return "/".join(parts) if len(parts) == 2 and all(map(is_object_name, parts)) else ""
