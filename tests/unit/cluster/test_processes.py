"""A pid on disk may be somebody else's by the time it is read."""

import os
import signal
import subprocess
from pathlib import Path

from tests.cluster import process
from tests.cluster.health import until
from tests.cluster.process import Identity


def test_a_running_process_is_known_by_its_identity() -> None:
    identity = Identity.of(os.getpid())
    assert identity is not None and identity.alive()


def test_a_pid_that_another_process_has_by_now_is_not_the_one_that_was_started() -> None:
    mine = Identity.of(os.getpid())
    assert mine is not None
    assert not Identity(mine.pid, mine.started_ticks - 1).alive()


def test_a_child_that_ended_is_not_alive_although_nobody_waited_for_it() -> None:
    child = subprocess.Popen(["sleep", "600"])
    identity = Identity.of(child.pid)
    assert identity is not None
    child.kill()
    assert until(lambda: not identity.alive(), 5)
    child.wait()


def test_a_component_runs_in_a_session_of_its_own_in_the_cgroup_it_was_given(tmp_path: Path) -> None:
    group, log = tmp_path / "group", tmp_path / "log"
    group.mkdir()
    identity = process.start(["sh", "-c", "echo started; exec sleep 600"], log=log, cgroup=group)
    try:
        assert until(lambda: log.read_text() == "started\n", 5)
        assert os.getsid(identity.pid) == identity.pid
        assert (group / "cgroup.procs").read_text().strip() == str(identity.pid)
    finally:
        os.kill(identity.pid, signal.SIGKILL)
    assert until(lambda: not identity.alive(), 5)
