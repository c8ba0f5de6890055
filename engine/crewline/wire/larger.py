"""Jobs that died for want of memory, and wait for a larger worker.

Such a job is in BullMQ's `delayed`, due in an hour, with the field ``larger`` in its hash: of what it died. Until then
only a larger worker takes it, by the sorted set ``<prefix>-crewline:<queue>:larger``: its id, and from when on, in ms.
What is not in `delayed` any more went another way. Crewline's scripts alone write both.
"""

from __future__ import annotations

#: The set, after the queue's own part of the key.
LARGER_KEY = "larger"
