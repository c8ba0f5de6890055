"""What a plan for a JobQueue is made from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crewline_operator.effects.done import Applied
from crewline_operator.model.fault import Fault
from crewline_operator.model.key import Object
from crewline_operator.redis.claims import Claim
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.reading import Reading, Target
from crewline_operator.scaling.decide import History


@dataclass(frozen=True)
class Code:
    """The ConfigMap with the handler's source: a digest of its data, or that it is missing."""

    digest: str | None = None
    missing: bool = False


@dataclass(frozen=True)
class Observed:
    """All that a plan is made from, besides the JobQueue itself."""

    now: datetime
    endpoint: Endpoint | Fault
    status: Mapping[str, Any] = field(default_factory=dict)
    deployment: Object | None = None
    service_account: Object | None = None
    pods: Sequence[Object] = ()
    #: What is read of the queue now, and the last read of it; that is empty until `followed` is what is wanted.
    followed: tuple[Endpoint, Target] | None = None
    reading: Reading = field(default_factory=Reading)
    code: Code = field(default_factory=Code)
    claim: Claim | None = None
    #: The older JobQueue on the same Redis queue, as namespace/name.
    older_twin: str | None = None
    #: What else has a child's name, such as "Deployment 'emails'".
    taken_name: str | None = None
    #: A child of a deleted JobQueue of the same name is still there.
    stale_child: bool = False
    #: What the API server said to the manifests that were just applied, if it does not take them.
    refusal: Fault | None = None
    history: History = field(default_factory=History)
    #: What this process applied last, by the kind of the child, and how long ago it wrote the status.
    applied: Mapping[str, Applied] = field(default_factory=dict)
    status_age_seconds: float = math.inf

    @property
    def current_replicas(self) -> int:
        """How many workers the Deployment asks for now."""
        if self.deployment is None:
            return 0
        replicas: int = self.deployment["spec"].get("replicas", 1)
        return replicas

    @property
    def first_read_pending(self) -> bool:
        """Whether Redis is known but was neither read nor found faulty yet."""
        return isinstance(self.endpoint, Endpoint) and self.reading == Reading()
