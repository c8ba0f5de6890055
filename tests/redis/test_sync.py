"""The blocking producer beside threads, forks and what jobs are made from."""

from __future__ import annotations

import asyncio
import copy
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

from crewline import FlowJob, sync


def test_what_jobs_are_made_from_runs_where_it_was_called_and_may_call_the_queue(redis_url: str) -> None:
    with sync.Queue("emails", redis=redis_url) as queue:
        first = queue.add("n", 0)

        def items() -> Iterator[tuple[str, Any]]:
            # as Django's ORM has it: only in the thread that asks, and on no event loop
            assert threading.current_thread() is threading.main_thread()
            assert not asyncio._get_running_loop()
            known = queue.get_job(first.id)
            assert known
            yield ("n", known.id)
            yield ("n", known.state())

        assert [job.data for job in queue.add_bulk(items())] == ["1", "waiting"]


def test_a_job_can_be_copied(redis_url: str) -> None:
    with sync.Queue("emails", redis=redis_url) as queue:
        job = copy.copy(queue.add("n", 1))
        assert (job.id, job.state()) == ("1", "waiting")


FORKED = """
import os, signal, sys, threading
from crewline import FlowJob, sync
queue = sync.Queue("emails", redis=sys.argv[1])
job = queue.add("n", 1)
flow = queue.add_flow(FlowJob("root", children=[FlowJob("leaf", queue="mails")]))
{before}
child = os.fork()
if child == 0:
    signal.alarm(20)
    assert queue.get_job(job.id).data == 1
    assert [job.state(), flow.job.state(), flow.children[0].job.state()] == ["waiting", "waiting-children", "waiting"]
    assert flow.job.cancel("by the child") and job.log("by the child") == 1
    queue.close()
    os._exit(0)
{after}
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert [job.state() for _ in range(50)] == ["waiting"] * 50
assert job.remove()
queue.close()
"""


def _fork(redis_url: str, before: str = "", after: str = "") -> None:
    script = FORKED.format(before=before, after=after)
    done = subprocess.run([sys.executable, "-c", script, redis_url], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_job_and_its_queue_that_were_made_before_a_fork_are_used_on_both_sides_of_it(redis_url: str) -> None:
    _fork(redis_url, after="assert [job.state() for _ in range(50)] == ['waiting'] * 50")


def test_a_fork_in_the_middle_of_another_threads_call_holds_up_no_call_in_the_child(redis_url: str) -> None:
    calling = "threading.Thread(target=lambda: [job.state() for _ in iter(int, 1)], daemon=True).start()"
    # whatever the other thread holds in that moment
    holding = "lock = sync._here.lock; lock.acquire()"
    _fork(redis_url, before=f"{calling}\n{holding}", after="lock.release()")


def test_threads_that_call_a_queue_for_the_first_time_together_share_one(redis_url: str) -> None:
    queue = sync.Queue("emails", redis=redis_url)
    queue.close()
    start, opened = threading.Barrier(8), []

    def call() -> None:
        start.wait()
        opened.append(queue._open())

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, opened))) == 1
    queue.close()


def test_a_flows_jobs_are_blocking_ones(redis_url: str) -> None:
    with sync.Queue("emails", redis=redis_url) as queue:
        flow = queue.add_flow(FlowJob("root", children=[FlowJob("leaf", 1)]))
        assert flow.children[0].job.state() == "waiting" and flow.job.remove()
