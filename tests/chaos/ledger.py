"""Reads what the workers wrote down outside Redis: who ran which job, when, and to what end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Run:
    """One run of a job's handler; times in seconds of CLOCK_MONOTONIC, None for what did not happen."""

    pid: int
    number: int
    began: float
    ended: float | None = None
    stopped: float | None = None


@dataclass
class Ledger:
    """All runs by job id, in the order in which they began."""

    runs: dict[str, list[Run]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Ledger:
        ledger = cls()
        text = path.read_text() if path.exists() else ""
        # a reader may see the last line half written
        for line in text[: text.rfind("\n") + 1].splitlines():
            job_id, number, pid, what, at = line.split()
            runs = ledger.runs.setdefault(job_id, [])
            if what == "begin":
                runs.append(Run(int(pid), int(number), float(at)))
                continue
            run = next(run for run in reversed(runs) if run.pid == int(pid) and run.number == int(number))
            if what == "end":
                run.ended = float(at)
            else:
                run.stopped = float(at)
        return ledger

    def ends(self) -> Counter[str]:
        """How often each job ran to its end: its effect happened that often."""
        return Counter({job_id: sum(run.ended is not None for run in runs) for job_id, runs in self.runs.items()})

    def twice(self) -> list[str]:
        """Jobs that ran to their end more than once."""
        return [job_id for job_id, count in self.ends().items() if count > 1]

    def begun_again(self) -> list[str]:
        """Jobs whose handler was begun more than once, whatever became of the first run."""
        return [job_id for job_id, runs in self.runs.items() if len(runs) > 1]

    def running_at(self, moment: float, pid: int | None = None) -> set[str]:
        """Jobs that had begun by ``moment`` and ended later or never."""
        return {
            job_id
            for job_id, runs in self.runs.items()
            for run in runs
            if run.began <= moment
            and (run.ended is None or run.ended > moment)
            and (run.stopped is None or run.stopped > moment)
            and (pid is None or run.pid == pid)
        }
