"""Which objects are gone, so that what was still on its way about them does not bring them back.

A list that was begun before a deletion ends after it, and so may the answer to a write. Both hold an older version than
the deletion's. A uid never comes back, but an object may leave a watch and return to it: when it loses the label that
the watch selects by, the API server says that it was deleted. What is newer than the deletion is therefore let in.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

#: Longer than any list or answer is under way.
REMEMBERED_SECONDS = 600.0


class Tombstones:
    """Deleted objects of one kind, each for REMEMBERED_SECONDS."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: uid -> (version of the deletion, when it was told), the oldest first.
        self._graves: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._graves)

    def bury(self, uid: str, version: float) -> None:
        """Remember that the object was deleted in `version`; inf if it was not there when it was asked for."""
        now = self._clock()
        earlier, _ = self._graves.pop(uid, (version, now))
        self._graves[uid] = (max(version, earlier), now)
        while next(iter(self._graves.values()))[1] <= now - REMEMBERED_SECONDS:
            self._graves.popitem(last=False)

    def covers(self, uid: str, version: float) -> bool:
        """Whether that version of the object is from before its deletion."""
        grave = self._graves.get(uid)
        return grave is not None and version <= grave[0]
