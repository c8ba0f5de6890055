"""Two JobQueues on one Redis queue would fight over its workers and settings: the older one keeps it.

Redis is told apart by host, port and database as the URL names them: two names for one host are not seen through.
"""

from __future__ import annotations

from dataclasses import dataclass

from crewline_operator.model.key import Key


@dataclass(frozen=True)
class Claim:
    """The queue a JobQueue is for, and how old that JobQueue is."""

    redis: str
    prefix: str
    queue: str
    created: str
    uid: str

    @property
    def queue_identity(self) -> tuple[str, str, str]:
        return self.redis, self.prefix, self.queue

    @property
    def age(self) -> tuple[str, str]:
        """Smaller is older. Kubernetes' creation times are whole seconds, so the uid decides between equals."""
        return self.created, self.uid


class Claims:
    """All claims there are."""

    def __init__(self) -> None:
        self._claims: dict[Key, Claim] = {}
        self._by_queue: dict[tuple[str, str, str], set[Key]] = {}

    def of(self, key: Key) -> Claim | None:
        """What a JobQueue claims."""
        return self._claims.get(key)

    def older(self, key: Key, claim: Claim) -> Key | None:
        """The oldest JobQueue that claims the same queue and is older than `claim`, which `key` makes or would make."""
        others = [other for other in self._by_queue.get(claim.queue_identity, ()) if other != key]
        oldest = min(others, key=lambda other: self._claims[other].age, default=None)
        return oldest if oldest is not None and self._claims[oldest].age < claim.age else None

    def make(self, key: Key, claim: Claim) -> list[Key]:
        """Claim a queue, in place of the one that was claimed before. Gives those for which something changed."""
        if self._claims.get(key) == claim:
            return []
        changed = self.drop(key)
        self._claims[key] = claim
        same = self._by_queue.setdefault(claim.queue_identity, set())
        changed += [other for other in same if other not in changed]
        same.add(key)
        return changed

    def drop(self, key: Key) -> list[Key]:
        """Give up a claim. Gives those for which something changed."""
        claim = self._claims.pop(key, None)
        if claim is None:
            return []
        same = self._by_queue[claim.queue_identity]
        same.discard(key)
        if not same:
            del self._by_queue[claim.queue_identity]
        return list(same)
