"""Steps at random, for the differential tests, by what they are about.

Subjects are apart where one of them would hide what the other is about, or where ours and BullMQ's differ on purpose in
what happens between them.
"""

from __future__ import annotations

from typing import Any

from crewline import Dedup
from hypothesis import strategies as st

from tests.interop.intended import REJECTED
from tests.interop.steps import ON_FAILURE, Node, Options, Step

Steps = st.SearchStrategy[Step]

ids = st.sampled_from("abcdef")
plays = st.fixed_dictionaries(
    {},
    optional={
        "returns": st.sampled_from([1, None, {"ok": "ü"}]),
        "fails": st.integers(1, 3),
        "reject": st.just(REJECTED),
        "progress": st.integers(0, 100),
        "log": st.just("a line"),
    },
)
dedups = st.builds(
    Dedup,
    st.sampled_from("xy"),
    ttl_seconds=st.sampled_from([None, 1000.0]),
    replace=st.booleans(),
    keep_last_if_active=st.booleans(),
)


def _options(priorities: bool = False, lifo: bool = True, **more: Any) -> st.SearchStrategy[Options]:
    return st.builds(
        Options,
        delay=st.sampled_from([0, 0, 0, 1000, 2000]),
        priority=st.sampled_from([0, 0, 1, 2, 2] if priorities else [0]),
        lifo=st.booleans() if lifo else st.just(False),
        attempts=st.integers(1, 3),
        backoff=st.sampled_from([0, 0, 1000]),
        keep=st.sampled_from([None, None, None, 0, 1, 2]),
        **more,
    )


def _just(*steps: Step) -> Steps:
    return st.sampled_from(steps)


def _of(*names: str, of: st.SearchStrategy[str] = ids) -> Steps:
    return st.tuples(st.sampled_from(names), of)


def _adds(options: st.SearchStrategy[Options]) -> Steps:
    return st.tuples(ids, plays, options).map(lambda job: ("add", *job))


def _mixed(weights: dict[Steps, int]) -> Steps:
    """One of these, as often as it says; `one_of` would give each branch of another the same weight."""
    return st.sampled_from([steps for steps, weight in weights.items() for _ in range(weight)]).flatmap(lambda of: of)


def _sequence(first: Steps, then: dict[Steps, int]) -> st.SearchStrategy[list[Step]]:
    """Something to take steps on, then steps of any kind."""
    steps = _mixed({first: sum(then.values()) // 3, **then})
    return st.tuples(st.lists(first, min_size=2, max_size=5), st.lists(steps, min_size=6, max_size=20)).map(
        lambda parts: [*parts[0], *parts[1]]
    )


work = _just(("work",))
#: What changes jobs from outside, whatever kind they are of.
changes = st.one_of(
    _of("remove", "promote", "retry"),
    st.tuples(st.just("progress"), ids, st.integers(0, 100)),
    st.tuples(st.just("update_data"), ids, plays),
    st.tuples(st.just("change_delay"), ids, st.sampled_from([1000, 2000, 3000])),
)
upkeep = st.one_of(
    _just(("pause",), ("resume",), ("drain", False), ("drain", True)),
    st.tuples(st.just("clean"), st.sampled_from(["completed", "failed", "wait", "delayed"])),
)
obliterate = _just(("obliterate",))


def _jobs(priorities: bool) -> st.SearchStrategy[list[Step]]:
    job = st.tuples(ids, plays, _options(priorities, lifo=priorities))
    add = job.map(lambda job: ("add", *job))
    # BullMQ's retryJobs and promoteJobs forget priorities, and the former lifo, ours keep them: together they are no
    # subject here
    apart = (
        [st.tuples(st.just("change_priority"), ids, st.integers(0, 3)), _just(("clean", "prioritized"))]
        if priorities
        else [_just(("retry_all",)), _just(("promote_all",))]
    )
    bulk = st.tuples(st.just("add_bulk"), st.lists(job, max_size=4))
    return _sequence(add, {work: 6, bulk: 1, changes: 3, upkeep: 2, st.one_of(apart): 1})


def _dedup() -> st.SearchStrategy[list[Step]]:
    add = _adds(_options(dedup=st.none() | dedups | dedups))
    during = st.tuples(st.just("during"), add | changes)
    return _sequence(add, {work: 4, during: 3, changes: 3, upkeep: 1, obliterate: 1})


def _ends() -> st.SearchStrategy[list[Step]]:
    """How else a job may end: its worker dies, somebody cancels it, the queue goes."""
    add = _adds(_options())
    stall, cut_off = _just(("stall",)), _just(("cut_off",))
    during = st.tuples(st.just("during"), changes | upkeep | obliterate)
    rare = st.one_of(cut_off, obliterate, upkeep)
    return _sequence(add, {work: 4, stall: 3, during: 2, _of("cancel"): 2, changes: 2, rare: 1})


def _flows() -> st.SearchStrategy[list[Step]]:
    nodes = st.builds(
        Node,
        st.just(""),
        plays,
        st.just(()),
        on_failure=st.sampled_from(["wait", *ON_FAILURE]),
        attempts=st.integers(1, 2),
    )

    def tree(parts: tuple[str, list[Node], list[list[Node]]]) -> Step:
        """A root with up to two children, each with up to two of its own; ids say where in the tree a job is."""
        name, children, below = parts
        grown = tuple(
            _named(child, f"{name}{n}", tuple(_named(leaf, f"{name}{n}{m}") for m, leaf in enumerate(leaves)))
            for n, (child, leaves) in enumerate(zip(children, below, strict=False))
        )
        return ("flow", Node(name, {}, grown))

    flow = st.tuples(
        st.sampled_from("pq"),
        st.lists(nodes, min_size=1, max_size=2),
        st.lists(st.lists(nodes, max_size=2), min_size=2, max_size=2),
    ).map(tree)
    jobs = st.sampled_from(["p", "p0", "p1", "p00", "q", "q0", "q1", "q10"])
    rare = st.one_of(obliterate, _just(("pause",), ("resume",), ("stall",), ("drain", False), ("cut_off",)))
    alone = _adds(_options())
    return _sequence(flow, {alone: 2, work: 6, _of("remove", "retry", of=jobs): 2, rare: 2})


def _named(node: Node, name: str, children: tuple[Node, ...] = ()) -> Node:
    return Node(name, node.data, children, node.on_failure, node.attempts)


def _schedules() -> st.SearchStrategy[list[Step]]:
    schedule = st.tuples(st.just("schedule"), st.sampled_from("st"), st.sampled_from([1000, 2000]))
    rare = st.one_of(
        obliterate, _just(("pause",), ("resume",), ("drain", False), ("drain", True), ("clean", "delayed"), ("stall",))
    )
    unschedule = _of("unschedule", of=st.sampled_from("st"))
    return _sequence(schedule, {work: 5, _just(("promote_all",)): 2, unschedule: 1, rare: 2})


SUBJECTS = {
    "jobs": _jobs(priorities=False),
    "priorities": _jobs(priorities=True),
    "dedup": _dedup(),
    "ends": _ends(),
    "flows": _flows(),
    "schedules": _schedules(),
}
