"""What is known of the workers in one pod: whether they are asked to drain, and what they tell of themselves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Worker:
    """The workers of one pod together: one, and for some seconds beside it one that the pod's container had before."""

    #: The token of the request to drain that holds, '' for none.
    asked: str = ""
    #: Whether any of them tells of itself: a worker that is not Crewline's never does.
    known: bool = False
    #: Whether all of them say that they follow that request.
    follows: bool = False
    #: Jobs that they run, and those that they have or may be given yet.
    busy: int = 0
    held: int = 0
    #: The generation of the queue's settings that all of them follow, 0 if there are none, and None if they differ or
    #: can't use a part of them.
    settings: int | None = 0
    #: They fetch nothing any more, since they end.
    stopping: bool = False
