"""The end of the worker's process: nothing that is left in it holds it up."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import atexit, logging, threading, time
from crewline.cli import process

def refuse(thread):
    raise RuntimeError("can't start new thread")

logging.basicConfig()
threading.Thread(target=time.sleep, args=(600,)).start()
atexit.register(time.sleep, 600)
threading.Thread.start = refuse
print("the last words")
process.leave(3)
"""


def test_a_process_ends_though_the_system_has_no_thread_for_its_exit_hooks() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (3, "the last words\n")
    assert "is left out: a thread could not be started" in ended.stderr
