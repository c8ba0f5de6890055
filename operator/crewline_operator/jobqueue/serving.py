"""From an object to the JobQueue that is served: what all but a move itself goes by. Pure.

A spec may name another queue than the one that is served (`served`): whoever looks for jobs, workers or runs by the
spec alone looks where there are none, and ends as if all was well. So there is this one way from an object to its
queue, and a test that only those who deal with moves read the spec as it is.
"""

from __future__ import annotations

from crewline_operator.jobqueue.served import served_object
from crewline_operator.jobqueue.spec import JobQueue, parse_jobqueue
from crewline_operator.model.key import Object


def serving(obj: Object) -> JobQueue:
    """A JobQueue with the queue and the Redis that it serves. Raises Unreadable."""
    return parse_jobqueue(served_object(obj))
