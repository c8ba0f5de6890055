"""What steps are made of, as hypothesis draws it: small choices, so that things meet each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from crewline import Backoff, Dedup, FlowJob, Keep
from hypothesis import strategies as st

from tests.redis.model.world import ALL, QUEUES

#: One queue is where most happens: things have to meet each other.
queues = st.sampled_from((*QUEUES[:1], *QUEUES[:1], *QUEUES))
any_queue = st.sampled_from((*QUEUES[:1], *QUEUES[:1], *ALL))
#: Ids that producers choose, so that an id comes back after its job is gone, ...
chosen = st.sampled_from(("a", "b", "c", "d"))
#: ... those that the queue gave, newest first, and those that run.
ids = chosen | st.sampled_from(("#0", "#1", "#2", "*0", "*1"))
workers = st.integers(0, 1)
few = st.integers(0, 2)
minutes = st.integers(0, 2)
#: A worker's own retention, for jobs that bring none; count 0 removes at once.
keeps = st.sampled_from((Keep(), Keep(count=0), Keep(count=1), Keep(age_seconds=60), Keep(count=1, age_seconds=60)))
retention = st.sampled_from((True, False, 1, Keep(age_seconds=60), Keep(count=1, age_seconds=60)))
priorities = st.integers(0, 2)

dedups = st.builds(
    lambda name, ttl, extend, replace, last: Dedup(name, ttl, extend and ttl is not None, replace, last),
    st.sampled_from(("x", "y")), st.sampled_from((None, 60.0)), st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip

_CHOICES: dict[str, st.SearchStrategy[Any]] = {
    "priority": st.integers(1, 2),
    "lifo": st.just(True),
    "attempts": st.integers(1, 2),
    "backoff": st.sampled_from((None, Backoff("fixed", 60, jitter=0))),
    "remove_on_complete": retention,
    "remove_on_fail": retention,
}
_DELAYS = st.sampled_from((60, 120))

#: What a user of Redis may lack who changes a schedule.
commands = st.sampled_from(
    ("HDEL", "HSET", "INCR", "LPUSH", "LREM", "UNLINK", "XADD", "XTRIM", "ZADD", "ZRANGE", "ZREM")
)

#: Of all that a schedule makes, ...
templates = st.just({}) | st.fixed_dictionaries({}, optional=_CHOICES)
#: ... and of one job: most can run at once, or there would be little to do.
options = st.builds(
    lambda shared, own: shared | own,
    templates,
    st.one_of(
        st.just({}),
        st.fixed_dictionaries({"job_id": chosen}),
        st.fixed_dictionaries({"dedup": dedups}, optional={"job_id": chosen, "delay": _DELAYS}),
        st.fixed_dictionaries({"delay": _DELAYS}, optional={"job_id": chosen}),
    ),
)
bulks = st.lists(options, min_size=1, max_size=3)

policies = st.sampled_from(("wait", "fail", "ignore", "continue", "remove"))


def _of_flow(given: dict[str, Any]) -> dict[str, Any]:
    """One that would be kept until another has ended is refused in a flow, whose parent would not wait for it."""
    if "dedup" not in given:
        return given
    return given | {"dedup": dataclasses.replace(given["dedup"], keep_last_if_active=False)}


def _jobs(children: st.SearchStrategy[list[FlowJob]]) -> st.SearchStrategy[FlowJob]:
    return st.builds(
        lambda below, queue, given, policy: FlowJob("job", {}, below, queue, given, policy),
        children, st.none() | queues, options.map(_of_flow), policies,
    )  # fmt: skip


def _told_apart(root: FlowJob) -> bool:
    """Whether no id stands twice in a tree: a caller who does that asks for a job that waits for itself."""
    named = list(_ids(root))
    return len(named) == len(set(named))


def _ids(job: FlowJob) -> Iterator[str]:
    if "job_id" in job.options:
        yield job.options["job_id"]
    for child in job.children:
        yield from _ids(child)


_leaves = _jobs(st.just([]))
_middles = _leaves | _jobs(st.lists(_leaves, min_size=1, max_size=2))
#: One to three levels.
flows = _jobs(st.lists(_middles, min_size=1, max_size=2)).filter(_told_apart)

rules = st.fixed_dictionaries(
    {}, optional={"limit": st.integers(1, 2), "end_minutes": st.integers(1, 3), "start_minutes": st.integers(0, 2)}
)
rhythms = st.sampled_from(({"every": 60}, {"every": 120}, {"cron": "* * * * *"}, {"cron": "0 3 * * *"}))
