"""What moves with the demand alone is a number of the status, written at intervals: no condition, no fault has it."""

from __future__ import annotations

from typing import Any

from crewline_operator.effects.actions import WriteStatus
from crewline_operator.jobqueue.observed import Move, Observed
from crewline_operator.jobqueue.plan import Plan
from crewline_operator.jobqueue.status import NUMBERS
from crewline_operator.kube.status import merge_patch
from crewline_operator.model.fault import Fault
from crewline_operator.model.left import Left
from crewline_operator.model.urgency import Urgency
from crewline_operator.model.worker import Worker
from crewline_operator.redis.reading import Reading, Running
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.unit.operator.factories import CLOCK, ENDPOINT, deployment, observed, pod, service_account, snapshot
from tests.unit.operator.jobqueue.plans import MAILS, MISSING, UNREACHABLE, actions, planned, status_of

SEVERAL = st.integers(1, 500)
RUNNING = st.builds(
    Running, id=st.sampled_from("12"), name=st.just("n"), worker=st.just("w"), started_ms=SEVERAL, progress=SEVERAL
)
#: What a queue holds, anything but nothing; `waiting` and `active` decide how many workers are wanted.
DEMAND = st.fixed_dictionaries(
    dict.fromkeys(("waiting", "active", "delayed", "completed", "failed", "dead", "added"), SEVERAL)
    | {"oldest_waiting_ms": SEVERAL, "running": st.lists(RUNNING, min_size=1, max_size=2).map(tuple)}
)
MOVES = st.sampled_from([None, ENDPOINT, MISSING])
SPECS = st.sampled_from(
    [
        {},
        {"paused": True},
        {"scaling": {"mode": "External", "replicas": 2}},
        {"scaling": {"maxReplicas": 2}},
        {"scaling": {"hold": True}},
    ]
)


def seen(demand: dict[str, Any], left: int, world: dict[str, Any], **parts: Any) -> Observed:
    """A look at the same world, with another demand."""
    size, ready, asked = world["size"], world["ready"], world["asked"]
    endpoint = world["move"]
    move = Move("letters", "bull", endpoint, Left(1_000_000, left)) if endpoint is not None else None
    counts = demand | {"owner": MAILS} if world["foreign"] else demand
    workers = {
        f"pod-{number}": Worker(
            asked=f"t{number}" if number <= asked else "", known=True, follows=number <= asked, busy=busy, held=busy
        )
        for number, busy in zip(range(1, size + 1), parts.pop("busy"), strict=False)
    }
    return observed(
        reading=Reading(snapshot=snapshot(**counts)),
        deployment=deployment(size, ready),
        service_account=service_account(),
        pods=[pod(number, ready=number <= ready) for number in range(1, size + 1)],
        workers=workers,
        looked=True,
        move=move,
        **parts,
    )


WORLDS = st.fixed_dictionaries(
    {
        "size": st.integers(0, 6),
        "ready": st.integers(0, 6),
        "asked": st.integers(0, 6),
        "move": MOVES,
        "foreign": st.booleans(),
    }
)
BUSY = st.lists(SEVERAL, min_size=6, max_size=6)


def is_same(first: Plan, again: Plan) -> bool:
    """Whether no other number of workers came of it, and the scale-in waits for as many."""
    told, now = status_of(first), status_of(again)
    return all(told.get(name) == now.get(name) for name in ("desiredReplicas", "lastDecision"))


@given(
    spec=SPECS,
    world=WORLDS,
    demands=st.tuples(DEMAND, DEMAND),
    left=st.tuples(SEVERAL, SEVERAL),
    busy=st.tuples(BUSY, BUSY),
    age_seconds=st.sampled_from([1.0, 60.0]),
)
def test_a_demand_that_moves_alone_is_nothing_to_write_at_once(
    spec: dict[str, Any],
    world: dict[str, Any],
    demands: tuple[dict[str, Any], dict[str, Any]],
    left: tuple[int, int],
    busy: tuple[list[int], list[int]],
    age_seconds: float,
) -> None:
    first = planned(seen(demands[0], left[0], world, busy=busy[0]), **spec)
    assume(first.status is not None)
    parts = {"busy": busy[1], "status": status_of(first), "history": first.history, "clock": CLOCK + 1}
    again = planned(seen(demands[1], left[1], world, status_age_seconds=age_seconds, **parts), **spec)
    assume(is_same(first, again))
    assert set(merge_patch(status_of(first), status_of(again))) <= set(NUMBERS)
    urgencies = [action.urgency for action in actions(again, WriteStatus)]
    assert urgencies == ([Urgency.NUMBERS] if urgencies and age_seconds > 5 else [])


def test_a_scale_in_that_waits_for_jobs_writes_no_more_than_numbers() -> None:
    world = {"size": 5, "ready": 5, "asked": 3, "move": None, "foreign": False}
    status: dict[str, Any] = {}
    result: Plan | None = None
    urgent = 0
    for second in range(120):
        history = {"history": result.history} if result is not None else {}
        demand = {"waiting": second % 2, "active": 12 + second % 3, "added": 1000 + second}
        look = seen(
            demand, 0, world, busy=[3] * 5, status=status, status_age_seconds=1.0, clock=CLOCK + second, **history
        )
        result = planned(look)
        status = status_of(result)
        urgent += sum(action.urgency is not Urgency.NUMBERS for action in actions(result, WriteStatus))
    assert status["desiredReplicas"] == 3 < status["replicas"], "it waits"
    assert urgent <= 4, "the first status, and the decision"


def test_faults_of_redis_have_no_number_of_it() -> None:
    world = {"size": 1, "ready": 1, "asked": 0, "move": ENDPOINT, "foreign": False}
    told = [
        [
            Fault(each["reason"], each["message"])
            for each in status_of(planned(seen({}, left, world, busy=[1])))["faults"]
        ]
        for left in (3, 4)
    ]
    assert told[0] == told[1]
    assert UNREACHABLE not in told[0]
