"""What the next call to Redis carries: how many results, and how many slots it fills. Nothing here sends anything.

A lone result leaves at once, and under load the calls fill by themselves. Where many jobs end at once in a worker that
was at rest, their slots are filled first: a call that only fetches is answered in half the time, and nobody but Redis
waits for the results. That goes on, one call after the other, for as many slots as results waited when it began; all
these are written before it begins again, so that no result waits for long.
"""

from __future__ import annotations

from typing import NamedTuple

#: Results, and jobs, that one call carries at most. With more, no-op jobs run a tenth faster, but jobs that end at once
#: wait longer for each other: 100 sleepers of 50 ms lose 5 ms a round with 50, 3 ms with 25.
BATCH = 25
#: Results that are worth a call of its own to fill their slots with first, and the jobs that it fetches at most: the
#: first of them begin the sooner the fewer there are.
FILL_FROM, FILL_MOST = 4, 10


class View(NamedTuple):
    """What a decision looks at.

    Attributes:
        results: how many wait to be written.
        free: slots that nobody has.
        hot: the queue may have runnable jobs.
        in_flight: calls under way.
    """

    results: int
    free: int
    hot: bool
    in_flight: int


class Turn(NamedTuple):
    """Whose turn it is.

    Attributes:
        to_fill: slots to fill before results are written.
        owed: results to write before slots are filled first again.
        filling: a call that only fills is under way: no other leaves beside it.
    """

    to_fill: int = 0
    owed: int = 0
    filling: bool = False


class Plan(NamedTuple):
    """A call: ``fills`` if it carries no results although some wait."""

    results: int
    room: int
    fills: bool = False


def next_call(view: View, turn: Turn) -> tuple[Plan | None, Turn]:
    """The call to make now, None for none, and whose turn it is then."""
    fetches = view.hot and view.free > 0
    if turn.filling or not (view.results or fetches):
        return None, turn
    if fetches and not view.in_flight and turn.owed <= 0:
        to_fill = turn.to_fill or view.results
        if min(to_fill, view.free) >= FILL_FROM:
            return Plan(0, min(view.free, FILL_MOST), fills=True), Turn(to_fill, 0, filling=True)
        turn = Turn(0, view.results)
    plan = Plan(min(view.results, BATCH), min(view.free, BATCH))
    return plan, turn._replace(owed=turn.owed - plan.results)


def owing(turn: Turn, results: int) -> Turn:
    """Whose turn it is where so many results of the plan were too long for one call with the others."""
    return turn._replace(owed=turn.owed + results)


def filled(turn: Turn, room: int, jobs: int, results: int) -> Turn:
    """Whose turn it is when a call that fills is answered: it asked for ``room`` jobs and got ``jobs``."""
    left = turn.to_fill - room
    if jobs < room or left <= 0:
        return Turn(0, results)
    return Turn(left, turn.owed)
