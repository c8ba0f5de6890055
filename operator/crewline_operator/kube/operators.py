"""Whether another operator is alive: one with a Lease of its own, which no election of ours keeps from acting.

Two of them over one namespace would each make the workers as it wants them, for ever. So a claim on a queue names the
Lease of the operator that made it, and another operator leaves the JobQueue alone while that Lease is renewed. What
counts is for how long this process has seen no change of it: no two clocks are compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from crewline_operator.kube.api import Api
from crewline_operator.kube.election import Record
from crewline_operator.kube.errors import ApiError
from crewline_operator.kube.lease import Lease

#: A Lease that is unchanged for so long, or for twice what it says, is nobody's: a standby would have taken it.
GONE_SECONDS = 20.0
#: Between two looks at one Lease, however many JobQueues ask.
LOOK_SECONDS = 2.0
#: Names come from Redis: no more of them than that are kept.
MOST = 100


@dataclass
class _Seen:
    record: Record = field(default_factory=Record)
    #: When it was seen to change last, and when it was looked at last, by the monotonic clock.
    changed: float = 0.0
    looked: float = float("-inf")
    forbidden: bool = False


class OtherOperators:
    """The operators of other Leases, as this process has seen them."""

    def __init__(self, api: Api, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    async def is_alive(self, operator: str) -> bool:
        """Whether the operator of that Lease may act, as far as can be told; by "namespace/name".

        One whose Lease may not be read is taken for alive: its claims end by themselves. Raises what the calls raise.
        """
        if len(self._seen) >= MOST and operator not in self._seen:
            self._seen.clear()
        now = self._clock()
        seen = self._seen.setdefault(operator, _Seen(changed=now))
        if now - seen.looked >= LOOK_SECONDS:
            namespace, _, name = operator.partition("/")
            record = seen.record
            try:
                record = await Lease(self._api, namespace, name).read()
                seen.forbidden = False
            except ApiError as error:
                if error.status != 403:
                    raise
                seen.forbidden = True
            seen.looked = self._clock()
            if record != seen.record:
                seen.record, seen.changed = record, seen.looked
        return seen.forbidden or self._clock() - seen.changed < max(GONE_SECONDS, 2 * seen.record.lease_seconds)
