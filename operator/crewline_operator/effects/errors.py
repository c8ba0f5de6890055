"""Why actions were not carried out."""

from __future__ import annotations

from crewline_operator.model.fault import Fault


class Refused(Exception):
    """An action was not taken, and the user has to know; those before it are done, those after it are not."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class NotFollowed(Exception):
    """The JobQueue by whose connection a queue is reached went away after the plan was made."""


class NotRemoved(Exception):
    """A job is there that was to be removed: the plan was made for another state of it."""


class NotItsTurn(Exception):
    """The budget for statuses has nothing left for the object now: it is called again."""


class Gone(Exception):
    """The object that actions were for is not there any more."""


class Changed(Exception):
    """The object that actions were for is another one now: they may be wrong for it."""


class NotWritten(Exception):
    """The API server does not take the object's status now, which says nothing of what else there is to do for it."""

    def __init__(self, message: str = "", *, again: bool = False) -> None:
        """`again`: the last status was not taken either."""
        super().__init__(message)
        self.again = again
