"""The same steps through npm bullmq 6 and through us leave the same keys, byte for byte but for what is listed here."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable

import pytest
from crewline import Dedup
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from tests.interop.dump import differences, dump
from tests.interop.intended import REJECTED, without_intended
from tests.interop.our_steps import Ours
from tests.interop.peers import Peer
from tests.interop.random_steps import SUBJECTS
from tests.interop.steps import Node, Options, Step
from tests.interop.their_steps import Theirs
from tests.redis_server import RedisServer

_numbers = itertools.count(1)

#: Random sequences a run and subject; the same ones each time.
EXAMPLES = 25

WORKED_OFF: list[Step] = [("work",), ("work",), ("work",)]
EVERY_OPTION = Options(delay=1000, priority=3, lifo=True, attempts=4, backoff=1000, keep=5)

LAST = Options(dedup=Dedup("d", keep_last_if_active=True))

SEQUENCES: dict[str, list[Step]] = {
    "nothing": [],
    "add": [("add", "a", {"n": 1}, Options())],
    "add: any JSON as data": [
        ("add", f"a{n}", data, Options()) for n, data in enumerate([None, 0, "ü✉", [], {"a": [{}, 1.5, -2]}, True])
    ],
    "add: priorities": [("add", f"p{p}{n}", {}, Options(priority=p)) for n, p in enumerate((9, 1, 9, 0, 2097151))],
    "add: delays": [("add", f"d{n}", {}, Options(delay=d)) for n, d in enumerate((3000, 1000, 2000, 1000))],
    "add: a delay and a priority": [("add", "dp", {}, Options(delay=1000, priority=2))],
    "add: lifo": [("add", "a", {}, Options()), ("add", "b", {}, Options(lifo=True)), ("add", "c", {}, Options())],
    "add: every option": [("add", "all", {"x": 1}, EVERY_OPTION)],
    "add: the same id again": [("add", "a", {"n": 1}, Options()), ("add", "a", {"n": 2}, Options(priority=1))],
    "add in bulk": [
        ("add_bulk", [("a", {}, Options()), ("b", {}, Options(priority=1)), ("c", {}, Options(delay=1000)),
                      ("d", {}, Options(lifo=True)), ("a", {}, Options())]),
    ],
    "work: none there": [("work",)],
    "work: completed": [("add", "a", {"returns": {"ok": [1, "ü"]}}, Options()), ("work",)],
    "work: completed without a result": [("add", "a", {}, Options()), ("work",)],
    "work: first of three": [*(("add", i, {}, Options()) for i in "abc"), ("work",)],
    "work: the last priority": [("add", "a", {}, Options(priority=3)), ("work",)],
    "work: priorities in turn": [*(("add", f"p{p}", {}, Options(priority=p)) for p in (3, 1, 2)), ("work",), ("work",)],
    "work: none due": [("add", "a", {}, Options(delay=1000)), ("work",)],
    "work: removed at once": [("add", "a", {}, Options(keep=0)), ("work",)],
    "work: the newest kept": [*(("add", i, {}, Options(keep=1)) for i in "abc"), ("work",), ("work",), ("work",)],
    "work: failed for good": [("add", "a", {"fails": 1}, Options()), ("work",)],
    "work: failed and removed": [("add", "a", {"fails": 1}, Options(keep=0)), ("work",)],
    "work: rejected": [("add", "a", {"reject": REJECTED}, Options(attempts=3)), ("work",)],
    "work: retried at once": [("add", "a", {"fails": 1}, Options(attempts=2)), ("work",)],
    "work: retried, then completed": [
        ("add", "a", {"fails": 1, "returns": 1}, Options(attempts=2)), ("work",), ("work",),
    ],
    "work: all attempts used": [("add", "a", {"fails": 9}, Options(attempts=2)), ("work",), ("work",)],
    "work: retried behind those that wait": [
        ("add", "a", {"fails": 1}, Options(attempts=2)), ("add", "b", {}, Options()), ("work",),
    ],
    "work: retried in its priority": [
        ("add", "a", {"fails": 1}, Options(attempts=2, priority=2)), ("add", "b", {}, Options(priority=2)), ("work",),
    ],
    "work: retried after a backoff": [("add", "a", {"fails": 1}, Options(attempts=2, backoff=1000)), ("work",)],
    "work: progress and log": [("add", "a", {"progress": {"done": 1}, "log": "a line"}, Options()), ("work",)],
    "progress": [
        ("add", "a", {}, Options()), ("progress", "a", 50), ("progress", "a", {"done": 3}), ("progress", "x", 1),
    ],
    "log": [("add", "a", {}, Options()), ("log", "a", "one"), ("log", "a", "zwölf"), ("log", "x", "lost")],
    "update data": [("add", "a", {}, Options()), ("update_data", "a", {"new": "ü"}), ("update_data", "x", {})],
    "pause": [("add", "a", {}, Options()), ("pause",)],
    "pause twice": [("pause",), ("pause",)],
    "pause: adds": [("pause",), ("add", "a", {}, Options()), ("add", "b", {}, Options(delay=1000)),
                    ("add", "c", {}, Options(priority=1))],
    "pause: work": [("add", "a", {}, Options()), ("pause",), ("work",)],
    "pause and resume": [("add", "a", {}, Options()), ("pause",), ("add", "b", {}, Options()), ("resume",)],
    "resume: nothing there": [("pause",), ("resume",)],
    "resume: a delayed job": [("pause",), ("add", "a", {}, Options(delay=1000)), ("resume",)],
    "resume: not paused": [("add", "a", {}, Options()), ("resume",)],
    "remove": [*(("add", i, {}, Options()) for i in "abc"), ("remove", "b"), ("remove", "x")],
    "remove: delayed": [("add", "a", {}, Options(delay=1000)), ("remove", "a")],
    "remove: prioritized": [("add", "a", {}, Options(priority=1)), ("remove", "a")],
    "remove: completed": [("add", "a", {"log": "x"}, Options()), ("work",), ("remove", "a")],
    "remove: failed": [("add", "a", {"fails": 1}, Options()), ("work",), ("remove", "a")],
    "promote": [("add", "a", {}, Options(delay=1000)), ("add", "b", {}, Options(delay=2000)), ("promote", "b")],
    "promote: with a priority": [("add", "a", {}, Options(delay=1000, priority=2)), ("promote", "a")],
    "promote: waiting": [("add", "a", {}, Options()), ("promote", "a"), ("promote", "x")],
    "promote all": [*(("add", f"a{d}", {}, Options(delay=d)) for d in (2000, 1000)), ("promote_all",)],
    "retry": [("add", "a", {"fails": 1}, Options()), ("work",), ("retry", "a")],
    "retry: completes": [("add", "a", {"fails": 1}, Options()), ("work",), ("retry", "a"), ("work",)],
    "retry: with a priority": [("add", "a", {"fails": 1}, Options(priority=2)), ("work",), ("retry", "a")],
    "retry: not failed": [("add", "a", {}, Options()), ("retry", "a")],
    "retry all": [*(("add", i, {"fails": 1}, Options()) for i in "ab"), ("work",), ("work",), ("retry_all",)],
    "change delay": [*(("add", i, {}, Options(delay=1000)) for i in "ab"), ("change_delay", "a", 3000)],
    "change delay: to the front": [*(("add", i, {}, Options(delay=2000)) for i in "ab"), ("change_delay", "b", 1000)],
    "change delay: waiting": [("add", "a", {}, Options()), ("change_delay", "a", 1000)],
    "change priority": [*(("add", i, {}, Options(priority=2)) for i in "ab"), ("change_priority", "b", 1)],
    "change priority: to none": [("add", "a", {}, Options(priority=2)), ("change_priority", "a", 0)],
    "change priority: from none": [*(("add", i, {}, Options()) for i in "ab"), ("change_priority", "a", 5)],
    "change priority: delayed": [("add", "a", {}, Options(delay=1000)), ("change_priority", "a", 5)],
    "drain": [("add", "a", {}, Options()), ("add", "b", {}, Options(priority=1)), ("add", "c", {}, Options(delay=1000)),
              ("drain", False)],
    "drain: the delayed, too": [("add", "a", {}, Options()), ("add", "c", {}, Options(delay=1000)), ("drain", True)],
    "clean: completed": [("add", "a", {"log": "x"}, Options()), ("work",), ("clean", "completed")],
    "clean: failed": [("add", "a", {"fails": 1}, Options()), ("work",), ("clean", "failed")],
    "clean: waiting": [*(("add", i, {}, Options()) for i in "ab"), ("clean", "wait")],
    "clean: delayed": [("add", "a", {}, Options(delay=1000)), ("clean", "delayed")],
    "obliterate": [("add", "a", {}, Options()), ("add", "b", {}, Options(delay=1000)), ("work",),
                   ("obliterate",)],
    "dedup: a second one": [*(("add", i, {}, Options(dedup=Dedup("d"))) for i in "ab"), ("add", "c", {}, Options())],
    "dedup: ended, and free again": [
        ("add", "a", {}, Options(dedup=Dedup("d"))), ("work",), ("add", "b", {}, Options(dedup=Dedup("d"))),
    ],
    "dedup: failed, and free again": [
        ("add", "a", {"fails": 1}, Options(dedup=Dedup("d"))), ("work",), ("add", "b", {}, Options(dedup=Dedup("d"))),
    ],
    "dedup: held through a retry": [
        ("add", "a", {"fails": 1}, Options(dedup=Dedup("d"), attempts=2)), ("work",),
        ("add", "b", {}, Options(dedup=Dedup("d"))),
    ],
    "dedup: removed, and free again": [
        ("add", "a", {}, Options(dedup=Dedup("d"))), ("remove", "a"), ("add", "b", {}, Options(dedup=Dedup("d"))),
    ],
    "dedup: throttled": [
        ("add", "a", {}, Options(dedup=Dedup("d", 1000))), ("work",), ("add", "b", {}, Options(dedup=Dedup("d", 1000))),
    ],
    "dedup: prolonged": [*(("add", i, {}, Options(dedup=Dedup("d", 1000, extend=True))) for i in "ab")],
    "dedup: replaced": [
        *(("add", i, {"n": i}, Options(delay=1000, dedup=Dedup("d", 2000, extend=True, replace=True))) for i in "abc"),
    ],
    "dedup: not replaced when it waits": [
        *(("add", i, {"n": i}, Options(dedup=Dedup("d", 2000, extend=True, replace=True))) for i in "ab"),
    ],
    "dedup: throttled, removed, and free again": [
        ("add", "a", {}, Options(dedup=Dedup("d", 1000))), ("remove", "a"),
    ],
    "dedup: throttled, drained, and free again": [
        ("add", "a", {}, Options(dedup=Dedup("d", 1000))), ("drain", False),
    ],
    "dedup: the last that was kept is drained with the job that it waits for": [
        ("add", "a", {"fails": 1}, Options(dedup=LAST.dedup, attempts=2, backoff=1000)),
        ("during", ("add", "b", {}, LAST)), ("drain", True),
    ],
    "dedup: obliterated, and free again": [("add", "a", {}, Options(dedup=Dedup("d"))), ("obliterate",)],
    "dedup: bulk": [("add_bulk", [(i, {}, Options(dedup=Dedup(d))) for i, d in ("ax", "by", "cx", "dy")])],
    "flow": [("flow", Node("p", {}, (Node("c1"), Node("c2"))))],
    "flow: three levels": [("flow", Node("p", {}, (Node("c", {}, (Node("g"),)), Node("d"))))],
    "flow: one child done": [("flow", Node("p", {}, (Node("c1", {"returns": 1}), Node("c2")))), ("work",)],
    "flow: all done": [
        ("flow", Node("p", {"returns": "p"}, (Node("c1", {"returns": 1}), Node("c2")))), *WORKED_OFF,
    ],
    **{
        f"flow: child failed, {policy}": [
            ("flow", Node("p", {}, (Node("c1", {"fails": 1}, (), policy), Node("c2")))), ("work",),
        ]
        for policy in ("wait", "fail", "ignore", "continue", "remove")
    },
    **{
        f"flow: child failed, {policy}, worked off": [
            ("flow", Node("p", {}, (Node("c1", {"fails": 1}, (), policy), Node("c2")))), *WORKED_OFF,
        ]
        for policy in ("wait", "fail", "ignore", "continue", "remove")
    },
    "flow: child retried": [("flow", Node("p", {}, (Node("c", {"fails": 1}, (), "fail", 2),))), ("work",), ("work",)],
    "flow: child removed": [("flow", Node("p", {}, (Node("c1"), Node("c2")))), ("remove", "c1"), ("remove", "c2")],
    # siblings go in the order of a set, which is any
    "flow: parent removed": [("flow", Node("p", {}, (Node("c"),))), ("remove", "p")],
    "flow: three levels removed": [("flow", Node("p", {}, (Node("c", {}, (Node("g"),)),))), ("remove", "p")],
    "flow: middle removed": [("flow", Node("p", {}, (Node("c", {}, (Node("g"),)), Node("d")))), ("remove", "c")],
    "flow: removed when a child is done": [
        ("flow", Node("p", {}, (Node("c1", {"returns": 1}), Node("c2")))), ("work",), ("remove", "p"),
    ],
    "flow: removed when a child has failed": [
        ("flow", Node("p", {}, (Node("c1", {"fails": 1}, (), "fail"), Node("c2")))), ("work",), ("remove", "p"),
    ],
    "flow: removed when all is done": [
        ("flow", Node("p", {"returns": "p"}, (Node("c1", {"returns": 1}), Node("c2")))), *WORKED_OFF, ("remove", "p"),
    ],
    "flow: drained": [("flow", Node("p", {}, (Node("c1"), Node("c2")))), ("drain", False)],
    "flow: a child drained": [("flow", Node("p", {}, (Node("c1", {}, (Node("g"),)), Node("c2")))), ("drain", False)],
    "flow: obliterated": [("flow", Node("p", {}, (Node("c1"), Node("c2")))), ("work",), ("obliterate",)],
    "flow: child stalled": [("flow", Node("p", {}, (Node("c"),))), ("stall",), ("work",), ("work",)],
    "flow: running child cancelled": [("flow", Node("p", {}, (Node("c", {}, (), "ignore"),))), ("cut_off",), ("work",)],
    "flow: failed child retried by hand": [
        ("flow", Node("p", {}, (Node("c", {"fails": 1}),))), ("work",), ("retry", "c"), ("work",), ("work",),
    ],
    "flow: failed child retried while its parent runs": [
        ("flow", Node("p", {"returns": 1}, (Node("c", {"fails": 1}, (), "ignore"),))), ("work",),
        ("during", ("retry", "c")), ("work",),
    ],
    "stall: put back": [("add", "a", {}, Options()), ("add", "b", {}, Options()), ("stall",)],
    "stall: none there": [("stall",)],
    "stall: put back before all others": [
        ("add", "a", {}, Options(priority=2)), ("add", "b", {}, Options(priority=1)), ("stall",), ("work",),
    ],
    "stall: twice, then completed": [("add", "a", {"returns": 1}, Options()), ("stall",), ("stall",), ("work",)],
    "stall: then failed": [("add", "a", {"fails": 1}, Options()), ("stall",), ("work",)],
    "cancel: waiting": [("add", "a", {}, Options()), ("add", "b", {}, Options(dedup=Dedup("d"))), ("cancel", "b")],
    "cancel: delayed": [("add", "a", {}, Options(delay=1000)), ("cancel", "a")],
    "cancel: completed": [("add", "a", {}, Options()), ("work",), ("cancel", "a"), ("cancel", "x")],
    "cancel: running": [("add", "a", {}, Options(attempts=3)), ("cut_off",)],
    "cancel: running, its last attempt": [("add", "a", {}, Options(dedup=Dedup("d"))), ("cut_off",)],
    "running: not to be removed": [("add", "a", {}, Options()), ("during", ("remove", "a"))],
    "running: paused": [("add", "a", {}, Options()), ("during", ("pause",), ("add", "b", {}, Options()))],
    "running: not to be obliterated": [("add", "a", {}, Options()), ("during", ("obliterate",))],
    "dedup: the last kept while one runs": [
        ("add", "a", {}, LAST), ("during", ("add", "b", {"n": 1}, LAST), ("add", "c", {"n": 2}, LAST)), ("work",),
    ],
    "dedup: none kept while one waits": [("add", "a", {}, LAST), ("add", "b", {"n": 1}, LAST), ("work",)],
    "schedule": [("schedule", "s", 1000)],
    "schedule: iteration run": [("schedule", "s", 1000), ("work",)],
    "schedule: none due after it": [("schedule", "s", 1000), ("work",), ("work",)],
    "schedule: changed": [("schedule", "s", 1000), ("schedule", "s", 2000)],
    "schedule: removed": [("schedule", "s", 1000), ("work",), ("unschedule", "s")],
    "schedule: next iteration promoted": [("schedule", "s", 1000), ("work",), ("promote_all",), ("work",)],
    "schedule: drained": [("schedule", "s", 1000), ("drain", False), ("drain", True)],
    "schedule: an earlier iteration, put back, is drained": [("schedule", "s", 1000), ("stall",), ("drain", False)],
    "schedule: next iteration can not be cleaned": [("schedule", "s", 1000), ("work",), ("clean", "delayed")],
}  # fmt: skip


@pytest.mark.parametrize("steps", SEQUENCES.values(), ids=SEQUENCES)
def test_leaves_the_keys_that_bullmq_leaves(
    steps: list[Step], server: RedisServer, start_peer: Callable[[str], Peer]
) -> None:
    asyncio.run(compare(steps, server.url, start_peer("bullmq6")))


@pytest.mark.parametrize("subject", SUBJECTS)
@given(data=st.data())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    # a shorter failing sequence is not worth the minutes it takes to find
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_sequence_leaves_the_keys_that_bullmq_leaves(
    subject: str, data: st.DataObject, server: RedisServer, start_peer: Callable[[str], Peer]
) -> None:
    steps = data.draw(SUBJECTS[subject])
    asyncio.run(compare(steps, server.url, start_peer("bullmq6")))


async def compare(steps: list[Step], url: str, peer: Peer) -> None:
    """Takes the steps on both sides and fails where they leave different keys."""
    name = f"differential-{next(_numbers)}"
    start_ms = time.time() * 1000
    async with Redis.from_url(url, decode_responses=True) as redis:
        ours = Ours(url, "ours", name)
        theirs = await Theirs.open(peer, "theirs", name, redis)
        try:
            for step in steps:
                await ours.take(step)
                await theirs.take(step)
            found, expected = [await dump(redis, prefix, name, start_ms) for prefix in ("ours", "theirs")]
        finally:
            await ours.close()
            await theirs.close()
    wrong = differences(without_intended(found), without_intended(expected))
    assert not wrong, "\n".join(["after", *(f"  {step}" for step in steps), "differ", *(f"  {line}" for line in wrong)])
