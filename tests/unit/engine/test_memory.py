"""Which deaths of processes were for want of memory, by what the kernel counts in each kind of cgroup."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from crewline.worker.processes.memory import Memory, counted

V1 = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"
V2 = "low 0\nhigh 0\nmax 31\noom 4\noom_kill {}\noom_group_kill 0\n"


@pytest.mark.parametrize("text", [V1, V2])
def test_the_count_is_read_from_either_kind_of_cgroup(text: str) -> None:
    assert (counted(text.format(0)), counted(text.format(17))) == (0, 17)


@pytest.mark.parametrize("text", ["", "oom_kill_disable 0\nunder_oom 0\n", "oom_kill\n", "oom_kill x\n", "oom_kill -1"])
def test_a_kernel_that_does_not_count_proves_nothing(text: str) -> None:
    assert counted(text) == 0


class Counter:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "memory.events"
        self.memory = Memory([folder / "absent", self.file])
        self.kill(0)

    def kill(self, number: int) -> None:
        self.file.write_text(V2.format(number))


def test_each_that_is_counted_is_one_death(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    counter.kill(3)
    before = counter.memory.kills()
    assert before == 3 and not counter.memory.was_the_cause(before), "others died before this one was begun with"
    counter.kill(4)
    assert counter.memory.was_the_cause(before)
    assert not counter.memory.was_the_cause(before), "the other one was killed by somebody"
    counter.kill(6)
    assert [counter.memory.was_the_cause(before) for _ in range(3)] == [True, True, False]


def test_where_nothing_is_told_nothing_is_proven(tmp_path: Path) -> None:
    memory = Memory([tmp_path / "absent", tmp_path])
    assert (memory.kills(), memory.was_the_cause(0)) == (0, False)


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """One with a limit, where the machine lets a test make it: as root, with the first version of cgroups."""
    folder = Path(f"/sys/fs/cgroup/memory/crewline-test-{os.getpid()}")
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(64 << 20))
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        yield folder
    finally:
        folder.rmdir()


def test_the_kernel_has_counted_when_the_end_of_a_process_is_seen(cgroup: Path) -> None:
    memory = Memory([cgroup / "memory.oom_control"])
    before = memory.kills()
    program = f"open({str(cgroup / 'cgroup.procs')!r}, 'w').write('0'); b'x' * (200 << 20)"
    dead = subprocess.run([sys.executable, "-c", program], check=False)
    assert dead.returncode == -signal.SIGKILL
    assert (memory.was_the_cause(before), memory.was_the_cause(before)) == (True, False)
