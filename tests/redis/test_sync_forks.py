"""The blocking producer in processes that are forked at any moment: gunicorn with `preload`, Celery's prefork.

Each program forks in a process of its own; a child that hangs is ended by its alarm.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
import redis as sync_redis

BEGIN = """
import os, signal, sys, threading, time
import redis
from crewline import sync

url = sys.argv[1]
queue = sync.Queue("emails", redis=url)

def child(work):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
    return pid

def ended(*pids):
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert not any(codes), codes
"""

AT_ANY_MOMENT = """
queue.add("parent", 0)
stop = threading.Event()

def spin():
    while not stop.is_set():
        sync._loop()

def hammer():
    while not stop.is_set():
        jobs = queue.add_bulk([("parent", n) for n in range(3)])
        assert [job.data for job in jobs] == [0, 1, 2]

threads = [threading.Thread(target=work, daemon=True) for work in (spin, spin, hammer, hammer)]
for thread in threads:
    thread.start()
ended(*(child(lambda: [queue.add("child", n) for n in range(5)]) for _ in range(10)))
stop.set()
for thread in threads:
    thread.join()
"""

EIGHT_THREADS = """
queue.add("parent", 0)

def work():
    with redis.Redis.from_url(url) as admin:
        before = len(admin.client_list())
        together = threading.Barrier(8)
        sys.setswitchinterval(1e-6)

        def first():
            together.wait()
            queue.add("child", 0)

        threads = [threading.Thread(target=first) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        queue.close()
        while len(admin.client_list()) > before:
            time.sleep(0.01)

ended(child(work))
"""

THE_PARENTS_JOBS = """
from crewline import FlowJob

job = queue.add("parent", 0)
node = queue.add_flow(FlowJob("report", children=[FlowJob("page", queue="pages")]))

def work():
    assert job.state() == "waiting" and job.data == 0
    assert node.children[0].job.state() == "waiting" and node.job.state() == "waiting-children"
    assert node.children[0].job.queue_name == "pages"
    assert job.cancel("by the child")

ended(child(work))
assert job.state() == "failed"
# and a child of the child
ended(child(lambda: ended(child(lambda: queue.add("child", 0)))))
"""


def _run(program: str, url: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BEGIN + program, url], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_child_that_is_forked_while_other_threads_make_calls_adds_jobs(redis_url: str) -> None:
    _run(AT_ANY_MOMENT, redis_url)
    with sync_redis.Redis.from_url(redis_url) as client:
        names = [client.hget(b"bull:emails:" + job_id, "name") for job_id in client.lrange("bull:emails:wait", 0, -1)]
    assert names.count(b"child") == 50 and set(names) == {b"child", b"parent"}


@pytest.mark.parametrize("program", [EIGHT_THREADS, THE_PARENTS_JOBS], ids=["eight threads", "the parent's jobs"])
def test_a_child_has_connections_of_its_own(redis_url: str, program: str) -> None:
    _run(program, redis_url)
